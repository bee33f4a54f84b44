//! The admin listener: what it shows, what it does, and who may use it.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::eventually;
use crate::support::gateway::{DELIBERATE, Setup, text};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{self, Client};

#[test]
fn status_shows_the_version_the_configuration_and_the_keys() {
    let stage = Stage::plain(|setup| setup);
    stage.gateway.get_as(&Token::bot(), "/x");
    stage.gateway.get("/x", &[]);
    let status = eventually("both requests to be counted", || {
        let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
        (status["requests"] == json!({"allow": 1, "deny: missing_token": 1})).then_some(status)
    });
    assert_eq!(status["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!((&status["ready"], &status["draining"]), (&json!(true), &json!(false)));
    assert_eq!(status["config"]["hash"].as_str().map(str::len), Some(16));
    assert_eq!(status["config"]["backend"], "generic");
    assert_eq!(status["last_reload"], Value::Null);
    let source = &status["sources"][0];
    assert_eq!((&source["issuer"], &source["failure"]), (&json!("public-keys"), &Value::Null));
    assert_eq!(source["keys"][0]["kid"], "rsa-1");
    // RFC 3339 in UTC, as in the audit record: the texts are in the order of the times.
    let time = |name: &str| source[name].as_str().expect(name).to_owned();
    assert!(time("next_refresh_at") > time("fetched_at") && time("fetched_at").ends_with('Z'));
    let (record, started) = (stage.gateway.audit_of("/x"), status["started_at"].as_str());
    assert_eq!(text(&record, "time").map(str::len), started.map(str::len), "{record} {started:?}");
}

#[test]
fn recent_refusals_are_listed_without_tokens() {
    let stage = Stage::plain(|setup| setup);
    let token = Token::user().signed("RS256", keys::other_rsa()).encode();
    stage.gateway.get_with(&token, "/api/a?access_token=abc");
    stage.gateway.get("/api/<b>'\"&", &[]);
    stage.gateway.get_as(&Token::bot(), "/api/good");
    let refusals = eventually("two refusals", || {
        let refusals = stage.gateway.ask_admin("GET", "/refusals", &[DELIBERATE]).json();
        (refusals.as_array().map(Vec::len) >= Some(1)).then_some(refusals)
    });
    let all = refusals.as_array().expect("a list");
    let first = all.last().expect("one");
    assert_eq!(first["path"], "/api/a");
    assert_eq!((&first["status"], &first["reason"]), (&json!(401), &json!("unknown_key")));
    assert_eq!((&first["method"], &first["issuer"]), (&json!("GET"), &json!("public-keys")));
    assert_eq!(first["source_address"], "127.0.0.1");
    let record = stage.gateway.audit_of("/api/a");
    for field in ["request_id", "decision", "kid", "claimed_subject", "token_fingerprint"] {
        assert!(record[field].is_string() && first[field] == record[field], "{field}: {first}");
    }

    let page = stage.gateway.ask_admin("GET", "/", &[("Sec-Fetch-Site", "none")]);
    assert!(page.header("content-type").is_some_and(|kind| kind.starts_with("text/html")));
    assert!(page.text().contains("unknown_key") && page.text().contains("/api/a"));
    assert!(!page.text().contains("/api/good"));
    for body in [page.text(), refusals.to_string()] {
        assert!(!body.contains(&token[..20]) && !body.contains("access_token"), "{body}");
        assert!(!body.contains("/<b>"), "{body}");
    }
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(
        policy.starts_with("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert_eq!(page.header("cache-control"), Some("no-store"));
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
}

#[test]
fn cross_site_requests_read_nothing_and_change_nothing() {
    let stage = Stage::plain(|setup| setup);
    let gateway = &stage.gateway;
    let own = format!("http://{}", gateway.admin());
    let refused: [&[(&str, &str)]; 5] = [
        &[DELIBERATE, ("Origin", "http://evil.example")],
        &[DELIBERATE, ("Origin", "null")],
        &[DELIBERATE, ("Origin", &own), ("Sec-Fetch-Site", "cross-site")],
        &[DELIBERATE, ("Sec-Fetch-Site", "same-site")],
        &[DELIBERATE, ("Referer", "http://evil.example/")],
    ];
    for fields in refused {
        assert_eq!(gateway.ask_admin("POST", "/reload", fields).status, 403, "{fields:?}");
    }
    assert_eq!(gateway.metric("metagate_config_reloads_total", &[]), 0.0);
    for fields in &refused[..4] {
        let response = gateway.ask_admin("GET", "/status", fields);
        assert_eq!(response.status, 403, "{fields:?}");
        assert!(!response.text().contains("version"));
    }
    // DNS rebinding: a foreign name that resolves to this address.
    let response = wire::get(gateway.admin(), "/status", &[]);
    assert_eq!(response.status, 403, "Host: gateway.test");
    let port = gateway.admin().port();
    let localhost = format!("GET /status HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n");
    assert_eq!(Client::connect(gateway.admin()).send(localhost).response().expect("a response").status, 200);

    let same = [("Origin", own.as_str()), ("Sec-Fetch-Site", "same-origin")];
    assert_eq!(gateway.ask_admin("POST", "/reload", &same).status, 200, "the admin page itself");
    assert_eq!(gateway.ask_admin("GET", "/reload", &[]).status, 405);
    assert_eq!(gateway.ask_admin("POST", "/status", &[DELIBERATE]).status, 405);
    assert_eq!(gateway.ask_admin("GET", "/api", &[]).status, 404);
    assert_eq!(gateway.metric("metagate_config_reloads_total", &[]), 1.0);
}

/// `kubectl port-forward 18687:8687`, a link in a wiki, a proxy in front with a name of its own.
#[test]
fn other_ports_links_and_further_hosts_reach_the_page() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_ADMIN__HOSTS", "[metagate.example]"));
    let send = |method: &str, host: &str, fields: &[(&str, &str)]| {
        let path = if method == "POST" { "/reload" } else { "/" };
        let bytes = wire::request_bytes(method, path, fields, b"");
        let mut client = Client::connect(stage.gateway.admin());
        client.send(wire::replace(&bytes, b"Host: gateway.test", format!("Host: {host}").as_bytes()));
        client.response_to(method).expect("a response")
    };
    let link =
        [("Sec-Fetch-Site", "cross-site"), ("Sec-Fetch-Mode", "navigate"), ("Sec-Fetch-Dest", "document")];
    for host in ["localhost:18687", "127.0.0.1:1", "metagate.example", "METAGATE.example:8443"] {
        assert_eq!(send("GET", host, &[]).status, 200, "{host}");
        assert_eq!(send("GET", host, &link).status, 200, "{host}");
        assert_eq!(send("POST", host, &link).status, 403, "{host}");
    }
    for host in ["evil.example", "metagate.example.evil.example", "10.0.0.1:8687"] {
        assert_eq!(send("GET", host, &[]).status, 403, "{host}");
        assert_eq!(send("GET", host, &link).status, 403, "{host}");
    }
    let click = [
        ("Origin", "https://metagate.example"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Sec-Fetch-Mode", "navigate"),
        ("Sec-Fetch-Dest", "document"),
    ];
    let response = send("POST", "metagate.example", &click);
    assert_eq!((response.status, response.header("location")), (303, Some("/")), "the page has the outcome");
    assert_eq!(response.header("referrer-policy"), Some("same-origin"));
    assert_eq!(stage.gateway.metric("metagate_config_reloads_total", &[]), 1.0);
    assert!(send("GET", "localhost", &[]).text().contains("(request): applied"));
}

/// A backend in the same pod sends webhooks to URLs chosen by its users, with the fields that its
/// HTTP client adds.
#[test]
fn webhooks_change_nothing_and_learn_no_names() {
    let stage = Stage::plain(|setup| setup);
    let gateway = &stage.gateway;
    let token = Token::user().signed("RS256", keys::other_rsa()).encode();
    gateway.get_with(&token, "/api/a");
    eventually("the refusal", || {
        let refusals = gateway.ask_admin("GET", "/refusals", &[DELIBERATE]).json();
        (refusals.as_array().map(Vec::len) == Some(1)).then_some(())
    });
    let sent: [&[(&str, &str)]; 4] = [
        &[],
        &[("Content-Type", "application/json"), ("User-Agent", "Java-http-client/21"), ("Accept", "*/*")],
        &[("X-OM-Signature", "x"), ("Authorization", "Bearer x"), ("Sec-Fetch-Mode", "cors")],
        &[("X-Metagate", "true")],
    ];
    for fields in sent {
        for method in ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"] {
            for path in ["/reload", "/refusals", "/status", "/", "/other"] {
                let response = gateway.ask_admin(method, path, fields);
                assert_eq!(response.status, 403, "{method} {path} {fields:?}");
                assert_eq!(response.json()["message"], "the field X-Metagate: 1 is missing");
            }
        }
        assert_eq!(gateway.ask_admin("GET", "/refusals", fields).status, 403);
        let page = gateway.ask_admin("GET", "/", fields);
        assert_eq!(page.status, 200);
        assert!(!page.text().contains("/api/a") && !page.text().contains("<th>who"), "{}", page.text());
        assert_eq!(gateway.ask_admin("GET", "/status", fields).status, 200, "/status names nobody");
    }
    assert_eq!(gateway.metric("metagate_config_reloads_total", &[]), 0.0);
    assert_eq!(gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status, 200);
    assert_eq!(gateway.metric("metagate_config_reloads_total", &[]), 1.0);
}

#[test]
fn admin_endpoints_are_only_on_their_own_listener() {
    let stage = Stage::plain(|setup| setup);
    for path in ["/status", "/refusals", "/reload"] {
        assert_eq!(stage.gateway.get(path, &[]).status, 401, "{path} on the data listener");
        assert_eq!(stage.gateway.probe(path).status, 404, "{path} on the health listener");
    }
    let token = bearer(&Token::bot());
    assert_eq!(stage.gateway.ask_admin("GET", "/api/x", &[("Authorization", &token)]).status, 404);
    assert_eq!(stage.upstream.requests().len(), 0, "the admin listener never proxies");
}

#[test]
fn admin_responds_while_the_data_listener_is_full() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__CONNECTIONS", "2"));
    let proxy = stage.gateway.proxy;
    let mut held: Vec<_> = (0..2).map(|_| Client::connect(proxy)).collect();
    for client in &mut held {
        client.send(wire::request_bytes("GET", "/x", &[("Authorization", &bearer(&Token::bot()))], b""));
        assert_eq!(client.response().expect("a response").status, 200);
    }
    for _ in 0..200 {
        assert_eq!(stage.gateway.get("/x", &[]).status, 503);
        let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
        assert_eq!(status["connections"], 2);
    }
    assert_eq!(stage.gateway.probe("/readyz").status, 200, "A30");
}

#[test]
fn port_in_use_is_an_error_that_names_the_key() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (variable, key) in [
        ("METAGATE_LISTEN", "listen"),
        ("METAGATE_HEALTH__LISTEN", "health.listen"),
        ("METAGATE_ADMIN__LISTEN", "admin.listen"),
    ] {
        let finished = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", "http://127.0.0.1:1/jwks")
            .env("METAGATE_UPSTREAM__URL", "http://127.0.0.1:1")
            .env(variable, address.clone())
            .finish();
        assert_eq!(finished.code, Some(1), "{}", finished.stderr);
        assert!(
            finished.stderr.contains(&format!("error: {key}: cannot listen on {address}")),
            "{}",
            finished.stderr
        );
    }
}

#[test]
fn non_loopback_admin_address_is_warned_about() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_ADMIN__LISTEN", "0.0.0.0:0"));
    let logs = stage.gateway.logs();
    let warned = logs.iter().any(|log| text(log, "key") == Some("admin.listen"));
    assert!(warned, "{logs:?}");
}

#[test]
fn status_has_the_last_hour_the_limits_and_the_tokens_in_use() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__CONNECTIONS", "200"));
    // The first sample is taken at the start.
    eventually("the first sample", || {
        let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
        status["last_hour"]["since"].is_string().then_some(())
    });
    stage.gateway.get_as(&Token::bot(), "/x");
    stage.gateway.get_as(&Token::user(), "/x");
    stage.gateway.get_as(&Token::user(), "/x");
    stage.gateway.get("/x", &[]);
    let status = eventually("all requests to be counted", || {
        let status = stage.gateway.ask_admin("GET", "/status", &[]).json();
        (status["requests"] == json!({"allow": 3, "deny: missing_token": 1})).then_some(status)
    });
    let hour = &status["last_hour"];
    assert_eq!(hour["requests"], status["requests"], "{hour}");
    assert!(hour["overhead_seconds"]["p50"].as_f64() > Some(0.0), "{hour}");
    assert!(hour["token_cache_hit_rate"].as_f64() > Some(0.3), "{hour}");
    let signed: u64 =
        hour["keys"].as_array().expect("keys").iter().filter_map(|key| key["requests"].as_u64()).sum();
    assert_eq!(signed, 3, "requests with a verified token: {hour}");
    assert_eq!(status["budgets"]["connections"]["limit"], 200);
    assert!(status["budgets"]["token_cache_bytes"]["used"].as_u64() > Some(0), "{status}");
    let tokens = &status["tokens"];
    assert_eq!((&tokens["bot"]["in_use"], &tokens["user"]["in_use"]), (&json!(1), &json!(1)), "{tokens}");
    assert_eq!(tokens["bot"]["never_end"], 1, "{tokens}");
    assert!(tokens["user"]["first_ends_at"].as_str().is_some_and(|time| time.ends_with('Z')), "{tokens}");
    assert!(!status.to_string().contains("ingestion-bot"), "no names: {status}");
}

#[test]
fn the_script_of_the_page_is_its_only_script() {
    let stage = Stage::plain(|setup| setup);
    let page = stage.gateway.ask_admin("GET", "/", &[]);
    let policy = page.header("content-security-policy").expect("a policy").to_owned();
    assert!(policy.contains("script-src 'self'") && !policy.contains("unsafe"), "{policy}");
    assert_eq!(page.text().matches("<script").count(), 1);
    let script = stage.gateway.ask_admin("GET", "/page.js", &[]);
    assert_eq!((script.status, script.header("content-type")), (200, Some("text/javascript; charset=utf-8")));
    assert!(script.text().contains("use strict"));
}

#[test]
fn the_level_of_the_log_changes_while_the_process_runs() {
    let stage = Stage::plain(|setup| setup);
    let gateway = &stage.gateway;
    let change = |body: &str, fields: &[(&str, &str)]| {
        let bytes = wire::request_bytes("POST", "/log", fields, body.as_bytes());
        let host = format!("Host: {}", gateway.admin());
        let bytes = wire::replace(&bytes, b"Host: gateway.test", host.as_bytes());
        Client::connect(gateway.admin()).send(bytes).response().expect("a response")
    };
    let level = || gateway.ask_admin("GET", "/log", &[]).json()["level"].clone();
    assert_eq!(level(), "info");
    assert_eq!(change(r#"{"level": "debug"}"#, &[]).status, 403, "not deliberate");
    for wrong in
        [r#"{"level": "loud"}"#, r#"{"level": 1}"#, r#"{"levels": "debug"}"#, "debug", &" ".repeat(5_000)]
    {
        assert_eq!(change(wrong, &[DELIBERATE]).status, 400, "{wrong}");
    }
    assert_eq!(level(), "info");

    let response = change(r#"{"level": "off"}"#, &[DELIBERATE]);
    assert_eq!((response.status, level()), (200, json!("off")));
    // Nothing is logged of this one.
    assert_eq!(change(r#"{"level": "debug,h2=warn"}"#, &[DELIBERATE]).status, 200);
    assert_eq!(change(r#"{"level": "warn"}"#, &[DELIBERATE]).status, 200);
    let changes = eventually("the last change to be logged", || {
        let is_change = |line: &Value| text(line, "message").is_some_and(|text| text.contains("POST /log"));
        let changes: Vec<_> = gateway.logs().into_iter().filter(is_change).collect();
        changes.last().is_some_and(|last| text(last, "to") == Some("warn")).then_some(changes)
    });
    assert_eq!(changes.len(), 2, "{changes:?}");

    assert_eq!(gateway.ask_admin("POST", "/reload", &[DELIBERATE]).status, 200);
    assert_eq!(level(), "info", "a reload restores that of the configuration");
}

#[test]
fn the_time_that_workers_are_busy_is_counted() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_WORKERS", "2"));
    let busy =
        |worker: &str| stage.gateway.metric("metagate_worker_busy_seconds_total", &[("worker", worker)]);
    let before = busy("0") + busy("1");
    for _ in 0..20 {
        stage.gateway.get_as(&Token::bot(), "/x");
    }
    eventually("the time of 20 requests", || (busy("0") + busy("1") > before).then_some(()));
    assert!(stage.gateway.metric("metagate_worker_tasks", &[("worker", "1")]) >= 1.0);
}
