//! The section `upstream`.

use std::time::Duration;

use super::*;

fn upstream(text: &str) -> Case {
    file(&format!("upstream: {text}")).with(&[KEYS_URL])
}

fn urls(case: &Case) -> Vec<String> {
    case.config().upstream.urls().map(url::Url::to_string).collect()
}

#[test]
fn a_backend_may_have_several_urls() {
    let (one, two) = ("http://gms-0:8080/base", "http://gms-1:8080/base");
    for text in [
        format!("{{url: [\"{one}\", \"{two}\"]}}"),
        format!("{{url: \"{one}, {two}\"}}"),
        format!("{{url: \"{one} {two}\"}}"),
    ] {
        assert_eq!(urls(&upstream(&text)), [one, two], "{text}");
    }
    let variable = ("METAGATE_UPSTREAM__URL", "[http://a:1, http://b:1]");
    assert_eq!(urls(&environment(&[KEYS_URL, variable])), ["http://a:1/", "http://b:1/"]);
    assert_eq!(urls(&upstream("{url: [http://a:1]}")), ["http://a:1/"]);
    assert_eq!(
        urls(&upstream("{url: \"http://a:1/b,c\"}")),
        ["http://a:1/b,c"],
        "one URL with a comma in it"
    );
    let config = upstream("{url: [https://a, https://b]}").config();
    assert_eq!(config.upstream.to_string(), "https://a/, https://b/");
}

#[test]
fn urls_that_cannot_serve_the_same_requests_are_errors() {
    for (text, error) in [
        ("{url: [http://a, https://b]}", "is a list of URLs that differ in scheme or path"),
        ("{url: [http://a/x, http://b/y]}", "is a list of URLs that differ in scheme or path"),
        ("{url: [\"unix:/run/a\", \"unix:/run/b\"]}", "is a list with a socket"),
        ("{url: [http://a, http://a/]}", "names the same URL twice"),
        ("{url: [http://a, http://b?c]}", "must not have a query"),
        ("{url: [http://a, \"http://127.0.0.1:8685\"]}", "is our own listener"),
        ("{url: [http://a, b]}", "item 2: \"b\" is not a URL"),
        ("{url: []}", "is missing"),
    ] {
        let errors = upstream(text).errors();
        assert!(errors.iter().any(|found| found.contains(error)), "{text}: {errors:?}");
    }
    let many: Vec<_> = (0..17).map(|number| format!("http://a{number}")).collect();
    let errors = upstream(&format!("{{url: [{}]}}", many.join(", "))).errors();
    assert_eq!(errors, ["upstream.url @ 1:17 | has 17 URLs; accepted: at most 16"]);
}

#[test]
fn the_host_that_the_backend_gets_is_the_clients_unless_configured() {
    let host = |text: &str| upstream(&format!("{{url: http://a:1, {text}}}")).config().upstream.host_header;
    assert_eq!(host("upgrades: []"), HostHeader::Forward);
    assert_eq!(host("hostHeader: forward"), HostHeader::Forward);
    assert_eq!(host("hostHeader: upstream"), HostHeader::Upstream);
    for name in ["gms.corp.example", "gms:8080", "\"[::1]:80\"", "Catalog.example"] {
        let expected = http::HeaderValue::from_str(name.trim_matches('"')).expect("a value");
        assert_eq!(host(&format!("hostHeader: {name}")), HostHeader::Name(expected), "{name}");
    }
    for name in ["\"http://a\"", "a b", "user@a", "\"a:b\"", "\"a,b\"", "\"a/b\"", "\"*.a\""] {
        let errors = upstream(&format!("{{url: http://a:1, hostHeader: {name}}}")).errors();
        assert_error(&errors, "upstream.hostHeader @ 1:");
    }
    let errors = upstream("{url: \"unix:/run/a\", hostHeader: upstream}").errors();
    assert_error(&errors, "upstream.hostHeader @ 1:44 | is upstream, but the URL of a socket has no host");
}

#[test]
fn a_server_name_is_a_name_or_an_address() {
    let tls = |name: &str| upstream(&format!("{{url: https://a, tls: {{serverName: {name}}}}}"));
    for name in ["gms.corp.example", "127.0.0.1", "\"::1\""] {
        let found = tls(name).config().upstream.tls.server_name.expect("a name");
        assert_eq!(found.to_str(), name.trim_matches('"'));
    }
    for name in ["\"a b\"", "\"a:443\"", "\"https://a\""] {
        assert_error(&tls(name).errors(), "upstream.tls.serverName @ 1:");
    }
    let loaded = upstream("{url: http://a, tls: {serverName: b}}").loaded();
    assert!(loaded.warnings.iter().any(|warning| warning.path == "upstream.tls.serverName"));
}

#[test]
fn connections_are_kept_for_20_seconds_and_are_not_bounded_unless_configured() {
    let config = upstream("{url: http://a}").config().upstream;
    assert_eq!((config.keep_alive, config.max_connections), (Duration::from_secs(20), 0));
    let config = upstream("{url: http://a, keepAlive: 0s, maxConnections: 7}").config().upstream;
    assert_eq!((config.keep_alive, config.max_connections), (Duration::ZERO, 7));
}
