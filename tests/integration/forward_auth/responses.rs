//! The contents of auth responses.

use super::*;
use crate::support::gateway::text;

#[test]
fn permit_names_the_caller_and_carries_the_canonical_token() {
    let auth = AuthService::of("forwarded");
    let token = bearer(&Token::user());
    let spelled = token.replace("Bearer ", "bEARER ");
    let fields = [
        ("Authorization", spelled.as_str()),
        ("X-Forwarded-User", "mallory"),
        ("X-Forwarded-Groups", "Admin"),
        ("X-DataHub-Actor", "urn:li:corpuser:admin"),
        ("X-Impersonate-User", "admin"),
        ("X-Request-Id", "abc-1"),
        ("Cookie", "a=b"),
    ];
    let response = auth.forwarded("GET", "/private", &fields);
    assert_eq!(response.status, 200);
    assert_eq!(response.body, b"");
    assert_eq!(response.header("authorization"), Some(token.as_str()));
    assert_eq!(response.header("x-forwarded-user"), Some("ada"));
    assert_eq!(response.header("x-forwarded-email"), Some("ada@open-metadata.org"));
    assert_eq!(response.header("x-forwarded-groups"), Some("DataConsumer"));
    assert_eq!(response.header("x-request-id"), Some("abc-1"));
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let mut names: Vec<String> =
        response.head.headers.iter().map(|(name, _)| name.to_ascii_lowercase()).collect();
    names.sort();
    let expected = [
        "authorization",
        "cache-control",
        "content-length",
        "date",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-user",
        "x-request-id",
    ];
    assert_eq!(names, expected, "no other field of the request");
}

#[test]
fn unauthenticated_callers_are_not_named() {
    let auth = AuthService::of("forwarded");
    let forged = ("X-Forwarded-User", "mallory");
    let expired = bearer(&Token::user().expires_in(-3600));
    for target in ["/public/page", "/optional"] {
        let response = auth.forwarded("GET", target, &[forged]);
        assert_eq!((response.status, response.header("x-forwarded-user")), (200, None), "{target}");
    }
    let response = auth.forwarded("GET", "/public/page", &[forged, ("Authorization", &expired)]);
    assert_eq!(
        (response.status, response.header("x-forwarded-user")),
        (200, None),
        "public routes ignore tokens"
    );
    let response = auth.forwarded("GET", "/optional", &[forged, ("Authorization", &expired)]);
    assert_refused(&response, 401, "Token has expired");
    let good = bearer(&Token::user());
    let response = auth.forwarded("GET", "/optional", &[forged, ("Authorization", &good)]);
    assert_eq!((response.status, response.header("x-forwarded-user")), (200, Some("ada")));
}

#[test]
fn refusals_have_the_same_body_and_challenge_as_the_proxy() {
    let auth = AuthService::of("forwarded");
    let ask = |fields: &[(&str, &str)]| auth.forwarded("GET", "/private", fields);
    let response = ask(&[]);
    assert_refused(&response, 401, NO_TOKEN);
    assert_eq!(response.header("www-authenticate"), Some("Bearer realm=\"metagate\""));
    assert_eq!(response.header("x-metagate-refusal"), None);
    let expired = ask(&[("Authorization", &bearer(&Token::user().expires_in(-3600)))]);
    assert_refused(&expired, 401, "Token has expired");
    assert!(expired.header("www-authenticate").is_some_and(|value| value.contains("invalid_token")));
    let forged = ask(&[("Authorization", &bearer(&Token::user().signed("RS256", keys::other_rsa())))]);
    assert_eq!(forged.status, 401);
    assert_refused(
        &ask(&[("Authorization", "Basic YTpi")]),
        401,
        "Authorization header must use the Bearer scheme",
    );
    let good = bearer(&Token::user());
    let twice = ask(&[("Authorization", &good), ("Authorization", &good)]);
    assert_refused(&twice, 400, "Request carries more than one credential");
    let denied = auth.forwarded("DELETE", "/private", &[("Authorization", &good)]);
    assert_refused(&denied, 403, "Token lacks required role/permission");
    assert!(denied.header("www-authenticate").is_some_and(|value| value.contains("insufficient_scope")));
}

/// On the proxy listener a gRPC refusal is HTTP 200. Here that would be a permit.
#[test]
fn grpc_refusal_is_not_a_2xx() {
    for dialect in ["forwarded", "original", "request"] {
        let auth = AuthService::of(dialect);
        let fields = [("Content-Type", "application/grpc"), ("TE", "trailers")];
        let response = match dialect {
            "forwarded" => auth.forwarded("POST", "/private", &fields),
            "original" => auth.original("POST", "/private", &fields),
            _ => auth.request("POST", "/private", &fields),
        };
        assert_refused(&response, 401, NO_TOKEN);
    }
}

#[test]
fn refusal_body_is_repeated_in_a_field_for_nginx() {
    let auth = AuthService::of("original");
    let token = bearer(&Token::user());
    for (method, fields) in [("GET", vec![]), ("DELETE", vec![("Authorization", token.as_str())])] {
        let response = auth.original(method, "/private", &fields);
        assert!(response.status >= 400);
        assert_eq!(response.header("x-metagate-refusal"), Some(response.text().as_str()));
    }
    let response =
        auth.original("GET", "/private", &[("Authorization", &token), ("X-Metagate-Refusal", "x")]);
    assert_eq!((response.status, response.header("x-metagate-refusal")), (200, None));
}

#[test]
fn envoy_is_told_which_fields_to_remove() {
    let auth = AuthService::with("request", "backend: openmetadata");
    let removed = |fields: &[(&str, &str)], target: &str| {
        let response = auth.request("GET", target, fields);
        assert_eq!(response.status, 200);
        let names = response.header("x-envoy-auth-headers-to-remove").expect("names").to_owned();
        names.split(',').map(str::to_owned).collect::<Vec<_>>()
    };
    let everything = removed(&[], "/api/v1/system/version");
    for name in
        ["x-forwarded-user", "x-forwarded-groups", "x-impersonate-user", "x-openmetadata-persona", "userid"]
    {
        assert!(everything.contains(&name.to_owned()), "{name}");
    }
    let token = bearer(&Token::user().without("email"));
    let rest = removed(&[("Authorization", &token)], "/api/v1/tables");
    for name in ["x-forwarded-user", "authorization"] {
        assert!(!rest.contains(&name.to_owned()), "{name} is set");
    }
    for name in ["x-forwarded-email", "x-impersonate-user", "x-original-url"] {
        assert!(rest.contains(&name.to_owned()), "{name}");
    }
}

#[test]
fn backend_specific_identity_is_handled_as_on_the_proxy() {
    let config = "backend: openmetadata\nopenmetadata: {impersonation: {bots: [ingestion-bot]}}";
    let auth = AuthService::with_own_keys("forwarded", config);
    let impersonating = |token: &Token| {
        let token = bearer(token);
        let fields = [("Authorization", token.as_str()), ("X-Impersonate-User", "bob")];
        auth.forwarded("GET", "/api/v1/tables", &fields)
    };
    assert_refused(&impersonating(&Token::user()), 403, "Only bot users can impersonate other users");
    let bot = impersonating(&Token::bot());
    assert_eq!((bot.status, bot.header("x-impersonate-user")), (200, Some("bob")));
    let version = auth.forwarded("GET", "/api/v1/system/version", &[("X-Impersonate-User", "bob")]);
    assert_eq!((version.status, version.header("x-impersonate-user")), (200, None));
    let expired = bearer(&Token::user().expires_in(-3600));
    let response = auth.forwarded("GET", "/api/v1/tables", &[("Authorization", &expired)]);
    assert_refused(&response, 401, "Expired token! Token has expired");
    drop(auth);

    let auth = AuthService::with("forwarded", "backend: datahub-gms\nidentity: {datahubActor: true}");
    let token = bearer(&Token::user());
    let response = auth.forwarded("GET", "/entities", &[("Authorization", &token)]);
    assert_eq!(response.header("x-datahub-actor"), Some("urn:li:corpuser:ada"));
}

/// The other proxy would forward both, and the frontend would prefer the cookie.
#[test]
fn login_cookie_with_a_token_is_refused() {
    let auth = AuthService::with("forwarded", "backend: datahub-frontend");
    let token = bearer(&Token::user());
    let cookie = ("Cookie", "theme=dark; PLAY_SESSION=abc.def");
    let both = auth.forwarded("GET", "/api/v2/graphql", &[("Authorization", &token), cookie]);
    assert_refused(&both, 400, "Request carries more than one credential");
    assert_eq!(auth.forwarded("GET", "/api/v2/graphql", &[cookie]).status, 200);
    let other = auth.forwarded("GET", "/x", &[("Authorization", &token), ("Cookie", "theme=dark")]);
    assert_eq!(other.status, 200);
}

/// The other proxy forwards the request itself and does not remove unknown spellings.
#[test]
fn lookalikes_of_identity_fields_are_refused() {
    let auth = AuthService::of("forwarded");
    let token = bearer(&Token::user());
    for name in [
        "X_Forwarded_User",
        "X--Forwarded-User",
        "XForwardedUser",
        "x-auth-request%user",
        "Author-ization",
        "cookie_",
    ] {
        let response = auth.forwarded("GET", "/private", &[("Authorization", &token), (name, "root")]);
        assert_refused(&response, 400, BAD_TARGET);
    }
    let fields = [("Authorization", &*token), ("X-Forwarded-User", "root")];
    assert_eq!(
        auth.forwarded("GET", "/private", &fields).status,
        200,
        "a field that the other proxy overwrites"
    );
}

/// The other proxy would forward it, because its configuration can only list known names.
#[test]
fn unlisted_identity_fields_are_refused_or_listed_for_envoy() {
    let token = bearer(&Token::user());
    let identity = ("Cf-Access-Groups", "admin");
    let auth = AuthService::with("forwarded", "backend: datahub-gms");
    for field in [identity, ("X-DataHub-Impersonated-Urn", "urn:li:corpuser:root"), ("X_DataHub_New", "x")] {
        let response = auth.forwarded("GET", "/entities", &[("Authorization", &token), field]);
        assert_refused(&response, 400, BAD_TARGET);
    }
    let listed = [("Authorization", &*token), ("Cf-Access-Token", "x"), ("X-DataHub-Client-Mode", "SDK")];
    let response = auth.forwarded("GET", "/entities", &listed);
    assert_eq!((response.status, response.header("x-datahub-request-source")), (200, Some("SDK")));
    drop(auth);

    let auth = AuthService::of("request");
    let response = auth.request("GET", "/private", &[("Authorization", &token), identity]);
    assert_eq!(response.status, 200);
    let removed = response.header("x-envoy-auth-headers-to-remove").expect("names").to_owned();
    let removed: Vec<&str> = removed.split(',').collect();
    assert!(removed.contains(&"cf-access-groups") && removed.contains(&"cf-access-token"), "{removed:?}");
}

#[test]
fn token_is_not_returned_with_authorization_strip() {
    let upstream = Upstream::echo();
    let config = format!("upstream: {{url: \"{}\", authorization: strip}}", upstream.url());
    let auth = AuthService::with("forwarded", &config);
    let token = bearer(&Token::user());
    let response = auth.forwarded("GET", "/x", &[("Authorization", &token)]);
    assert_eq!((response.status, response.header("authorization")), (200, None));
    assert_eq!(response.header("x-forwarded-user"), Some("ada"));
    drop(auth);
    let auth = AuthService::with("request", &config);
    let response = auth.request("GET", "/x", &[("Authorization", &token)]);
    assert_eq!((response.status, response.header("authorization")), (200, None));
    let removed = response.header("x-envoy-auth-headers-to-remove").expect("names");
    assert!(removed.split(',').any(|name| name == "authorization"), "otherwise Envoy keeps the client's");
}

#[test]
fn report_mode_refuses_only_ambiguous_requests() {
    let auth =
        AuthService::with("forwarded", &RULES.replace("authorization:", "authorization:\n  mode: report"));
    let token = bearer(&Token::user());
    let expired = bearer(&Token::user().expires_in(-3600));
    let response = auth.forwarded("GET", "/private", &[("Authorization", &expired)]);
    assert_eq!((response.status, response.header("x-forwarded-user")), (200, None));
    let response = auth.forwarded("DELETE", "/private", &[("Authorization", &token)]);
    assert_eq!((response.status, response.header("x-forwarded-user")), (200, Some("ada")));
    assert_refused(&auth.forwarded("GET", "/a/../b", &[("Authorization", &token)]), 400, BAD_TARGET);
    let record = auth.stage.gateway.audit_of("/private");
    assert_eq!(record["decision"], "would_deny");
}

#[test]
fn missing_keys_are_a_503_with_retry_after() {
    let issuer = Issuer::empty();
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:9")
        .env("METAGATE_AUTHENTICATION__JWKS__MAX_WAIT", "1ms")
        .env("METAGATE_FORWARD_AUTH__LISTEN", "127.0.0.1:0")
        .env("METAGATE_FORWARD_AUTH__TARGET", "request")
        .start();
    let address = gateway.listener("forward-auth");
    let token = bearer(&Token::user());
    let fields = [("Authorization", token.as_str()), ("X-Forwarded-For", "192.0.2.9")];
    let response = wire::get(address, "/private", &fields);
    assert_refused(&response, 503, "Signing keys are not available, try again");
    assert_eq!(response.header("retry-after"), Some("1"));
}

#[test]
fn each_auth_request_has_one_audit_record_about_the_named_request() {
    let auth = AuthService::of("forwarded");
    let token = bearer(&Token::user());
    assert_eq!(auth.forwarded("PUT", "/private/x?secret", &[("Authorization", &token)]).status, 200);
    let record = auth.stage.gateway.audit_of("/private/x");
    assert_eq!(record["via"], "forward_auth");
    assert_eq!(record["decision"], "allow");
    assert_eq!(record["status"], 200);
    assert_eq!(record["method"], "PUT");
    assert_eq!(record["principal"], "ada");
    assert_eq!(record["source_address"], "192.0.2.9");
    assert_eq!(record["complete"], true);
    auth.ask("GET", "/no-target", &[("Authorization", &token)]);
    let record = auth.stage.gateway.audit_of("/no-target");
    assert_eq!(record["reason"], "bad_target");
    let detail = "no field names the method; forwardAuth.target reads X-Forwarded-Method, X-Forwarded-Uri and \
                  X-Forwarded-Host, and the request has []";
    assert_eq!(record["detail"], detail);
    assert_eq!(auth.stage.gateway.audit().len(), 2);
    let gateway = &auth.stage.gateway;
    assert_eq!(gateway.metric("metagate_requests_total", &[("decision", "allow")]), 1.0);
    assert_eq!(gateway.metric("metagate_upstream_responses_total", &[]), 0.0, "no backend was contacted");
    assert_eq!(gateway.metric("metagate_token_cache_total", &[("result", "miss")]), 1.0);

    // The proxy listener ignores these fields, and its records have no `via`.
    let response = wire::get(gateway.proxy, "/plain", &[("X-Forwarded-Uri", "/public/page")]);
    assert_eq!(response.status, 401);
    assert_eq!(gateway.audit_of("/plain").get("via"), None);
}

#[test]
fn many_auth_requests_share_one_connection() {
    let auth = AuthService::of("request");
    let token = bearer(&Token::user());
    let mut client = Client::connect(auth.address);
    for round in 0..20 {
        let with_token = round % 2 == 0;
        let fields = [("X-Forwarded-For", "192.0.2.9"), ("Authorization", token.as_str())];
        let fields = if with_token { &fields[..] } else { &fields[..1] };
        let body: &[u8] = if round % 3 == 0 { b"{\"ignored\": true}" } else { b"" };
        client.send(wire::request_bytes("POST", "/private", fields, body));
        let response = client.response().expect("a response");
        assert_eq!(response.status, if with_token { 200 } else { 401 }, "{round}");
    }
    // A body too large to discard: the response is sent and the connection closed.
    let length = "Content-Length: 100000000\r\n";
    for authorization in [String::new(), format!("Authorization: {token}\r\n")] {
        let mut client = Client::connect(auth.address);
        client.send(format!(
            "POST /private HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.9\r\n{authorization}{length}\r\nabc"
        ));
        let response = client.response().expect("a response");
        assert_eq!(response.status, if authorization.is_empty() { 401 } else { 200 });
        assert_eq!(response.header("connection"), Some("close"));
    }
}

#[test]
fn forward_auth_is_off_by_default() {
    let stage = Stage::plain(|setup| setup);
    let logs = stage.gateway.logs();
    let listening = logs.iter().filter(|log| text(log, "message") == Some("listening"));
    // The admin listener has an address of each family.
    let names: std::collections::BTreeSet<_> = listening.filter_map(|log| text(log, "listener")).collect();
    assert_eq!(Vec::from_iter(names), ["admin", "health", "proxy"]);
    let response = stage.gateway.get("/x", &[("X-Forwarded-Uri", "/api/v1/system/version")]);
    assert_eq!(response.status, 401);
}

#[test]
fn forward_auth_listener_drains_on_sigterm() {
    let mut auth = AuthService::of("request");
    let mut client = Client::connect(auth.address);
    client.send(wire::request_bytes("GET", "/public/x", &[("X-Forwarded-For", "192.0.2.9")], b""));
    assert_eq!(client.response().expect("a response").status, 200);
    auth.stage.gateway.terminate();
    assert_eq!(auth.stage.gateway.wait_exit(), Some(0));
    assert_eq!(client.rest(), "");
}
