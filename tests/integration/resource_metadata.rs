//! Protected resource metadata (RFC 9728): the documents at both well-known paths, and the challenges that name them.

use serde_json::json;

use crate::support::gateway::{Setup, text};
use crate::support::http2::Http2Client;
use crate::support::issuer::{Issuer, Reply};
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::Token;
use crate::support::wire::send;

const RESOURCE: &str = "https://catalog.example/mcp";
const DOCUMENT: &str = "/.well-known/oauth-protected-resource/mcp";
const ROOT: &str = "/.well-known/oauth-protected-resource";
const ISSUER: &str = "https://login.example";

fn stage(more: &str) -> Stage {
    let config = format!(
        "authentication:
  issuers:
    - {{name: login, issuer: '{ISSUER}', audiences: ['{RESOURCE}'], publicKeyUrls: [ISSUER/jwks]}}
authorization:
  rules:
    - {{name: writers, match: {{methods: [POST], paths: [/mcp/write]}}, require: {{allScopes: [mcp.read, mcp.write]}}}}
    - {{name: nobody, match: {{methods: [DELETE], paths: ['/**']}}, action: deny}}
resourceMetadata:
  - resource: '{RESOURCE}'
    authorizationServers: [login]
    scopes: [mcp.read]
    name: Catalog
{more}"
    );
    Stage::configured(Issuer::of(rsa()), &config)
}

fn token() -> Token {
    Token::user().issuer(ISSUER).claim("aud", json!([RESOURCE]))
}

#[test]
fn the_document_is_at_both_well_known_paths_for_everybody() {
    let stage = stage("");
    let expected = json!({
        "resource": RESOURCE,
        "authorization_servers": [ISSUER],
        "scopes_supported": ["mcp.read"],
        "bearer_methods_supported": ["header"],
        "resource_name": "Catalog",
    });
    for path in [DOCUMENT, ROOT] {
        for headers in
            [&[][..], &[("Authorization", "Bearer a.b.c")], &[("Origin", "https://inspector.example")]]
        {
            let response = stage.gateway.get(path, headers);
            assert_eq!((response.status, response.json()), (200, expected.clone()), "{path}");
            assert_eq!(response.header("content-type"), Some("application/json"));
            assert_eq!(response.header("access-control-allow-origin"), Some("*"));
            assert_eq!(response.header("cache-control"), Some("public, max-age=300"));
        }
        let length = stage.gateway.get(path, &[]).body.len().to_string();
        let head = send(stage.gateway.proxy, "HEAD", path, &[], b"");
        assert_eq!((head.status, head.header("content-length")), (200, Some(&*length)));
        assert!(head.body.is_empty());
        let asks = [("Origin", "https://inspector.example"), ("Access-Control-Request-Method", "GET")];
        let options = send(stage.gateway.proxy, "OPTIONS", path, &asks, b"");
        assert_eq!((options.status, options.header("access-control-allow-origin")), (204, Some("*")));
        assert_eq!(options.header("access-control-allow-headers"), Some("*"));
        assert_eq!(options.header("access-control-allow-methods"), Some("GET, HEAD, OPTIONS"));
        let record = stage.gateway.audit_of(path);
        assert_eq!(
            (text(&record, "decision"), record["status"].as_u64()),
            (Some("public"), Some(200)),
            "{record}"
        );
    }
    let mut http2 = Http2Client::connect(stage.gateway.proxy);
    let response = http2.send("GET", DOCUMENT, &[], b"").expect("a response");
    assert_eq!((response.status, response.header("access-control-allow-origin")), (200, Some("*")));
    assert!(response.text().contains(RESOURCE));
    assert_eq!(stage.upstream.requests().len(), 0, "nothing is forwarded");
}

#[test]
fn nothing_else_is_open() {
    let stage = stage("");
    for path in [
        "/.well-known/oauth-protected-resource/",
        "/.well-known/oauth-protected-resource/other",
        "/.well-known/oauth-protected-resource/mcp/",
        "/.well-known/oauth%2Dprotected-resource/mcp",
        "//.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-protected-resource;x",
        "/.well-known/oauth-authorization-server",
    ] {
        assert_eq!(stage.gateway.get(path, &[]).status, 401, "{path}");
    }
    assert_eq!(send(stage.gateway.proxy, "POST", DOCUMENT, &[], b"").status, 401);
    let two = [("Host", "a"), ("Host", "b")];
    assert_eq!(stage.gateway.get(DOCUMENT, &two).status, 400, "its head is malformed");
}

#[test]
fn challenges_name_the_document_and_the_scopes() {
    let stage = stage("");
    let metadata = format!("resource_metadata=\"https://catalog.example{DOCUMENT}\"");
    let challenge = |response: &crate::support::wire::Response| {
        response.header("www-authenticate").expect("a challenge").to_owned()
    };
    let missing = stage.gateway.get("/mcp", &[("X-Forwarded-Host", "evil.example")]);
    assert_eq!(missing.status, 401);
    assert_eq!(missing.json(), json!({"code": 401, "message": "No Authorization header provided"}));
    assert_eq!(challenge(&missing), format!("Bearer realm=\"metagate\", {metadata}, scope=\"mcp.read\""));
    let expired = stage.gateway.get_as(&token().expires_in(-3600), "/mcp/messages");
    assert_eq!(
        challenge(&expired),
        format!(
            "Bearer realm=\"metagate\", error=\"invalid_token\", error_description=\"Token has expired\", \
             {metadata}, scope=\"mcp.read\""
        )
    );
    let foreign = stage.gateway.get_as(&token().claim("aud", json!("other")), "/mcp");
    assert_eq!(foreign.json()["message"], "Token is not meant for this service");
    assert!(challenge(&foreign).contains(&metadata));
    let field = crate::support::token::bearer(&token());
    let denied = send(stage.gateway.proxy, "POST", "/mcp/write", &[("Authorization", &field)], b"");
    assert_eq!(denied.status, 403);
    let denied = challenge(&denied);
    assert!(denied.contains("error=\"insufficient_scope\""), "{denied}");
    assert!(denied.ends_with(&format!(", {metadata}, scope=\"mcp.read mcp.write\"")), "{denied}");
    let denied = send(stage.gateway.proxy, "DELETE", "/mcp", &[("Authorization", &field)], b"");
    assert!(challenge(&denied).ends_with(&metadata), "more scopes would not help");
    assert_eq!(stage.gateway.get_as(&token(), "/mcp").status, 200);
    for path in ["/", "/mcpx", "/api"] {
        assert_eq!(challenge(&stage.gateway.get(path, &[])), "Bearer realm=\"metagate\"", "{path}");
    }
}

#[test]
fn an_installation_below_a_path_has_its_document_at_the_root_of_the_host() {
    let config = format!(
        "stripPrefix: /catalog
authentication:
  issuers:
    - {{name: login, issuer: '{ISSUER}', audiences: ['https://h.example/catalog/mcp'], publicKeyUrls: [ISSUER/jwks]}}
resourceMetadata:
  - {{resource: 'https://h.example/catalog/mcp', authorizationServers: [login]}}
"
    );
    let stage = Stage::configured(Issuer::of(rsa()), &config);
    let document = "/.well-known/oauth-protected-resource/catalog/mcp";
    assert_eq!(stage.gateway.get(document, &[]).json()["resource"], "https://h.example/catalog/mcp");
    let refused = stage.gateway.get("/catalog/mcp", &[]);
    let challenge = refused.header("www-authenticate").expect("a challenge");
    assert!(
        challenge.ends_with(&format!("resource_metadata=\"https://h.example{document}\"")),
        "{challenge}"
    );
    assert_eq!(stage.gateway.get("/.well-known/other", &[]).status, 404, "outside the prefix");
}

#[test]
fn openmetadata_serves_its_own_document() {
    let config = "backend: openmetadata
authentication: {publicKeyUrls: [ISSUER/jwks]}
resourceMetadata: [{resource: 'https://om.example/mcp'}]
";
    let stage = Stage::configured(Issuer::of(rsa()), config);
    assert_eq!(stage.gateway.get(DOCUMENT, &[]).status, 200);
    assert_eq!(stage.upstream.requests().len(), 1, "forwarded");
    let refused = stage.gateway.get("/mcp", &[]);
    assert_eq!(
        refused.header("www-authenticate"),
        Some(&*format!("Bearer realm=\"metagate\", resource_metadata=\"https://om.example{DOCUMENT}\""))
    );
}

#[test]
fn check_says_what_clients_find() {
    let issuer = Issuer::of(rsa());
    let place = "/.well-known/oauth-authorization-server";
    let check = |url: &str| {
        let config = format!(
            "upstream: {{url: 'http://127.0.0.1:1'}}
authentication:
  issuers:
    - {{name: login, issuer: '{url}', audiences: ['{RESOURCE}'], publicKeyUrls: ['{}']}}
resourceMetadata: [{{resource: '{RESOURCE}', authorizationServers: [login]}}]
",
            issuer.url("/jwks")
        );
        Setup::command(&["check"]).config(config).finish().stdout
    };
    let url = issuer.url("");
    let absent = check(&url);
    assert!(
        absent.contains("warning[authorization-server]: resourceMetadata[0].authorizationServers"),
        "{absent}"
    );
    assert!(absent.contains(&format!("{url}{place}")) && absent.contains("404"), "{absent}");
    let says = |more: &str| {
        issuer.set(place, Reply::Json(format!("{{\"issuer\": \"{url}\"{more}}}")));
        check(&url)
    };
    assert!(
        says("").contains(&format!("clients find {url}, and need a client ID that its administrator gives"))
    );
    let both = says(", \"registration_endpoint\": \"x\", \"client_id_metadata_document_supported\": true");
    assert!(both.contains("can use a client ID metadata document, or register"), "{both}");
    issuer.set(place, Reply::Json("{\"issuer\": \"https://other.example\"}".into()));
    let other = check(&url);
    assert!(other.contains("error[authorization-server]"), "{other}");
    assert!(other.contains(&format!("is https://other.example, and clients expect {url}")), "{other}");
}
