//! When certificates end: on the status page, in the metrics and in what needs a look.

use std::fs;

use serde_json::{Value, json};

use super::*;

const METRIC: &str = "metagate_tls_certificate_not_after_timestamp_seconds";

#[test]
fn every_certificate_file_is_shown_and_one_that_has_ended_needs_a_look_until_it_is_replaced() {
    let (issuer, good, own) = (Issuer::of(rsa()), Certificates::new(), Certificates::until(2020));
    let [ca, certificate, key] =
        ["ca.pem", "tls.crt", "tls.key"].map(|name| good.file(name).display().to_string());
    let config = json!({
        "tls": {"certFile": certificate, "keyFile": key, "clientCaFile": ca},
        "upstream": {
            "url": "https://localhost:1",
            "tls": {"caFile": ca, "certFile": own.file("tls.crt"), "keyFile": own.file("tls.key")},
        },
        "authentication": {
            "caFile": ca,
            "publicKeyUrls": [issuer.url("/jwks")],
            "revocations": {
                "urls": ["https://localhost:1/list"],
                "caFile": ca,
                "store": {"url": "rediss://localhost:1", "caFile": ca, "certFile": certificate, "keyFile": key},
            },
        },
    });
    let setup = Setup::run()
        .env("OTEL_EXPORTER_OTLP_ENDPOINT", "https://localhost:1")
        .env("OTEL_EXPORTER_OTLP_CERTIFICATE", &ca)
        .env("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &certificate)
        .env("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key);
    let gateway = setup.config(config.to_string()).start();
    let status = || gateway.ask_admin("GET", "/status", &[]).json();
    let certificates = status()["certificates"].clone();
    let mut shown: Vec<_> =
        certificates.as_array().expect("a list").iter().map(|one| &one["setting"]).collect();
    shown.sort_by_key(|setting| setting.to_string());
    let expected = [
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
        "authentication.caFile",
        "authentication.revocations.caFile",
        "authentication.revocations.store.caFile",
        "authentication.revocations.store.certFile",
        "tls.certFile",
        "tls.clientCaFile",
        "upstream.tls.caFile",
        "upstream.tls.certFile",
    ];
    assert_eq!(shown, expected, "{certificates}");
    let page = gateway.ask_admin("GET", "/", &[]).text();
    for setting in expected {
        assert!(page.contains(&format!("<td class=\"wrap mono\">{setting}<")), "{setting}: {page}");
        assert!(gateway.metric(METRIC, &[("setting", setting)]) >= 1_577_836_800.0, "{setting}");
    }

    let ended = || -> Vec<Value> {
        let items = status()["needs_a_look"].as_array().cloned().unwrap_or_default();
        items.into_iter().filter(|item| item["title"] == "A certificate has ended.").collect()
    };
    let [item] = &ended()[..] else { panic!("{}", status()["needs_a_look"]) };
    let text = format!("upstream.tls.certFile, {}, at 2020-01-01T00:00:00Z", own.file("tls.crt").display());
    assert_eq!(*item, json!({"level": "bad", "title": "A certificate has ended.", "text": text}));
    assert_eq!(gateway.metric(METRIC, &[("setting", "upstream.tls.certFile")]), 1_577_836_800.0);

    // One file after the other: a pair that does not match is refused.
    for name in ["tls.crt", "tls.key"] {
        fs::copy(good.file(name), own.file(name)).expect("a copy");
    }
    eventually("the new certificate", || ended().is_empty().then_some(()));
    assert!(gateway.metric(METRIC, &[("setting", "upstream.tls.certFile")]) > 4e9);
}
