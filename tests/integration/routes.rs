//! Routes that need no token: pages of a web UI, base paths, and `metagate routes`.

use crate::support::gateway::{Finished, Setup};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, request_bytes};

fn stage(backend: &str) -> Stage {
    Stage::plain(|setup| setup.env("METAGATE_BACKEND", backend))
}

#[track_caller]
fn status(stage: &Stage, method: &str, path: &str, fields: &[(&str, &str)]) -> u16 {
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(request_bytes(method, path, fields, b""));
    client.response_to(method).unwrap_or_else(|none| panic!("{method} {path}: {none}")).status
}

#[test]
fn openmetadata_pages_are_public_and_its_api_is_not() {
    let stage = stage("openmetadata");
    let open = [
        "/",
        "/table/sample_data.ecommerce_db.shopify.orders",
        "/table/a/",
        "/assets/index-Z3O_FBkA.js",
        "/api/v1/system/version",
        "/api/v1/System/Version",
        "/api/v1/push/feed/?userId=1&EIO=4&transport=polling",
    ];
    for path in open {
        assert_eq!(status(&stage, "GET", path, &[]), 200, "{path}");
        let seen = stage.upstream.request_to(path);
        assert_eq!(seen.head.value("x-forwarded-user"), None, "{path}");
    }
    for (method, path) in [
        ("GET", "/api/v1/tables"),
        ("GET", "/API/v1/tables"),
        ("GET", "/api;x/v1/tables"),
        ("GET", "//api/v1/tables"),
        ("GET", "/%61pi/v1/tables"),
        ("GET", "/catalog/api/v1/tables"),
        ("GET", "/table/a%20b"),
        ("GET", "/table/a//"),
        ("GET", "/api/v1/tables/"),
        ("POST", "/table/x"),
        ("GET", "/mcp"),
        ("POST", "/mcp"),
        ("GET", "/api/v1/saml/metadata"),
        ("GET", "/api/v1;v1%2fusers%2flogin/events/subscriptions/validation/condition/x"),
    ] {
        assert_eq!(status(&stage, method, path, &[]), 401, "{method} {path}");
    }
    assert_eq!(status(&stage, "GET", "/assets/../api/v1/tables", &[]), 400);
    assert_eq!(stage.upstream.requests().len(), open.len(), "nothing else was forwarded");
}

#[test]
fn token_on_a_public_route_is_ignored() {
    let stage = stage("openmetadata");
    let expired = bearer(&Token::user().expires_in(-3600));
    for value in [expired.as_str(), "Bearer no-token", "Basic eDp5", "Digest x"] {
        for path in ["/api/v1/system/config/auth", "/table/x"] {
            assert_eq!(status(&stage, "GET", path, &[("Authorization", value)]), 200, "{value} {path}");
        }
        assert_eq!(status(&stage, "GET", "/api/v1/tables", &[("Authorization", value)]), 401, "{value}");
    }
    // On an optional route it is verified.
    let feed = "/api/v1/push/feed/?EIO=4";
    assert_eq!(status(&stage, "GET", feed, &[("Authorization", &expired)]), 401);
    assert_eq!(status(&stage, "GET", feed, &[("Authorization", &bearer(&Token::user()))]), 200);
}

#[test]
fn base_path_prefixes_every_route() {
    let stage =
        Stage::plain(|setup| setup.env("METAGATE_BACKEND", "openmetadata").env("BASE_PATH", "\"/catalog/\""));
    for path in ["/catalog", "/catalog/", "/catalog/table/x", "/catalog/api/v1/system/version"] {
        assert_eq!(status(&stage, "GET", path, &[]), 200, "{path}");
    }
    for path in ["/", "/table/x", "/api/v1/system/version", "/catalog/api/v1/tables", "/catalog//"] {
        assert_eq!(status(&stage, "GET", path, &[]), 401, "{path}");
    }
}

#[test]
fn datahub_frontend_pages_are_public_and_its_api_is_not() {
    let stage = stage("datahub-frontend");
    let page = "/dataset/urn:li:dataset:(urn:li:dataPlatform:hive,a.b,PROD)/Schema";
    assert_eq!(status(&stage, "GET", page, &[]), 200);
    let session = [("Cookie", "PLAY_SESSION=x; actor=urn:li:corpuser:ada")];
    for (path, method) in [("/api/v2/graphql", "POST"), ("/openapi/v3/entity/dataset", "GET")] {
        assert_eq!(status(&stage, method, path, &[]), 401, "{path}");
        assert_eq!(status(&stage, method, path, &session), 200, "{path}: the frontend checks its cookies");
    }
}

fn routes(setup: Setup) -> Finished {
    setup
        .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
        .env("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:1/jwks")
        .env("METAGATE_BACKEND", "openmetadata")
        .finish()
}

#[test]
fn routes_command_names_the_source_of_each_row() {
    let config = "authorization:\n  public: [\"GET /swagger.json\"]\n";
    let printed = routes(Setup::command(&["routes"]).config(config));
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    let line = |text: &str| {
        let found = printed.stdout.lines().find(|line| line.contains(text));
        found.unwrap_or_else(|| panic!("no {text} in\n{}", printed.stdout))
    };
    assert!(line("GET /swagger.json").contains("authorization.public, "), "{}", printed.stdout);
    assert!(line("GET /swagger.json").contains("metagate.yaml:2:11"), "{}", printed.stdout);
    assert!(line("GET /api/v1/system/version").contains("JwtFilter, EXCLUDED_ENDPOINTS"));
    assert!(line("saml/acs").starts_with("not in force: "), "{}", printed.stdout);
    assert!(printed.stdout.contains("protected  everything else"));

    let json = routes(Setup::command(&["routes", "--json"]).env("AUTHENTICATION_PROVIDER", "saml"));
    let table: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!((&table["default"], &table["inactive"]), (&"protected".into(), &serde_json::json!([])));
    let rows = table["rows"].as_array().expect("rows");
    assert!(rows.iter().any(|row| row["path"] == "/api/v1/saml/acs" && row["methods"][0] == "POST"));
}

#[test]
fn routes_command_shows_the_row_for_a_request_and_why() {
    for (method, path, expected) in [
        ("GET", "/table/x", &["public: a token is not looked at", "index.html or an asset"][..]),
        ("GET", "/api/v1/tables", &["protected: a token is needed", "/**/api/**"]),
        (
            "GET",
            "/a;b",
            &["read as /a;b: ", "read as /a: ", "protected: a token is needed", "and this one has 3"],
        ),
        ("GET", "/api/v1/push/feed/", &["optional: a token is verified if there is one"]),
        ("POST", "/x", &["no row is about it"]),
        ("GET", "/a/../b", &["refused: 400 Request path is ambiguous or malformed", "reason=bad_target"]),
        ("GET", "no-slash", &["refused: 400"]),
        ("get", "/", &["refused: 405 Request method is not allowed", "reason=method_not_allowed"]),
    ] {
        let printed = routes(Setup::command(&["routes", method, path]));
        assert_eq!(printed.code, Some(0), "{}", printed.stderr);
        for text in expected {
            assert!(printed.stdout.contains(text), "{method} {path}: no `{text}` in\n{}", printed.stdout);
        }
    }
    let json = routes(Setup::command(&["routes", "GET", "/a;b", "--json"])).stdout;
    let response: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!((&response["route"], &response["readings"][1]["path"]), (&"protected".into(), &"/a".into()));
    let json = routes(Setup::command(&["routes", "GET", "/a%zz", "--json"])).stdout;
    let response: serde_json::Value = serde_json::from_str(&json).expect("JSON");
    assert_eq!(response["refused"]["status"], 400);
}

#[test]
fn routes_command_has_the_usual_exit_codes() {
    assert_eq!(routes(Setup::command(&["routes", "GET"])).code, Some(2), "a method needs a path");
    assert_eq!(routes(Setup::command(&["routes"]).config("nonsense: 1\n")).code, Some(2));
    let both = "authorization: {public: [\"GET /x\"], optional: [/x]}\n";
    let finished = routes(Setup::command(&["routes"]).config(both));
    assert_eq!(finished.code, Some(2));
    assert!(finished.stderr.contains("authorization.optional"), "{}", finished.stderr);
}

#[test]
fn check_and_explain_name_the_route_row() {
    let config = "authorization:\n  public: [\"GET /swagger.json\"]\n";
    let checked = routes(Setup::command(&["check", "--offline"]).config(config));
    assert!(checked.stdout.contains("ok: route 1: public GET /swagger.json (authorization.public, "));
    let explained = routes(Setup::command(&["explain", "--path", "/table/x"]));
    assert!(explained.stdout.contains("index.html or an asset"), "{}", explained.stdout);
}
