//! `X-Forwarded-*` and the source address of a request.

use super::super::forwarded::{ORIGIN_FIELDS, set};
use super::*;
use crate::message::Fields;

fn trusting(networks: &[&str]) -> OutboundHead {
    let networks = networks.iter().map(|network| network.parse().unwrap()).collect();
    OutboundHead::new(Backend::Generic, names(false), Authorization::Forward, networks)
}

fn with(head: &OutboundHead, lines: &[(&str, &str)]) -> Fields {
    sent_by(head, &authorizer(Backend::Generic), &[&[BEARER], lines].concat(), json!({}))
}

const CLAIMED: &[(&str, &str)] = &[
    ("x-forwarded-for", "203.0.113.7"),
    ("x-forwarded-for", "10.0.0.9"),
    ("x-forwarded-proto", "https"),
    ("x-forwarded-host", "public.example"),
    ("forwarded", "for=203.0.113.7"),
    ("x-real-ip", "203.0.113.7"),
    ("x-forwarded-prefix", "/.."),
    ("x-forwarded-port", "443"),
];

#[test]
fn forwarded_fields_of_a_client_are_replaced() {
    for head in [trusting(&[]), trusting(&["10.0.0.0/8"])] {
        let fields = with(&head, CLAIMED);
        assert_values(&fields, "x-forwarded-for", &["192.0.2.1"]);
        assert_values(&fields, "x-forwarded-proto", &["http"]);
        assert_values(&fields, "x-forwarded-host", &["a.example"]);
        for name in ORIGIN_FIELDS {
            assert_values(&fields, name, &[]);
        }
    }
}

#[test]
fn forwarded_fields_of_a_trusted_proxy_are_kept() {
    let fields = with(&trusting(&["192.0.2.0/24"]), CLAIMED);
    assert_values(&fields, "x-forwarded-for", &["203.0.113.7, 10.0.0.9, 192.0.2.1"]);
    assert_values(&fields, "x-forwarded-proto", &["https"]);
    assert_values(&fields, "x-forwarded-host", &["public.example"]);
    assert_values(&fields, "x-real-ip", &["203.0.113.7"]);
    let silent = with(&trusting(&["192.0.2.0/24"]), &[]);
    assert_values(&silent, "x-forwarded-for", &["192.0.2.1"]);
    assert_values(&silent, "x-forwarded-proto", &["http"]);
    assert_values(&silent, "x-forwarded-host", &["a.example"]);
}

#[test]
fn other_spellings_of_forwarded_fields_are_removed() {
    for head in [trusting(&[]), trusting(&["192.0.2.0/24"])] {
        for name in [
            "x_forwarded_for",
            "X-Forwarded_For",
            "x.forwarded.for",
            "X_FORWARDED_PROTO",
            "x_forwarded-host",
            "x_real_ip",
            "x--forwarded-for",
            "xforwardedfor",
            "x-forwarded--for",
            "x-for-warded-for",
            "x-forwarded-f-or",
            "x-forwarded_port",
            "x-forwarded-port-",
            "xforwarded-port",
            "forwarded-",
            "x-realip",
        ] {
            assert_values(&with(&head, &[(name, "203.0.113.7")]), name, &[]);
        }
    }
}

#[test]
fn x_forwarded_proto_is_the_scheme_of_the_client_connection() {
    let mut lines = fields(&[BEARER, ("host", "a.example")]);
    let facts = facts_of(Backend::Generic, "GET", "/x", &lines).unwrap();
    let permit = decide(&authorizer(Backend::Generic), &facts, Some(verified(json!({})))).unwrap();
    let peer: IpAddr = "::ffff:192.0.2.9".parse().unwrap();
    trusting(&[]).rewrite(&mut lines, &facts, &permit, peer, true).unwrap();
    assert_values(&lines, "x-forwarded-proto", &["https"]);
    assert_values(&lines, "x-forwarded-for", &["192.0.2.9"]);
}

#[test]
fn the_source_is_the_nearest_address_that_is_not_a_trusted_proxy() {
    let head = trusting(&["192.0.2.0/24", "10.0.0.0/8", "fd00::/8"]);
    for (chain, source) in [
        (&[][..], "192.0.2.1"),
        (&["203.0.113.7"], "203.0.113.7"),
        (&["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        (&["1.1.1.1, 203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (&["1.1.1.1", "203.0.113.7, 10.0.0.9"], "203.0.113.7"),
        (&["1.1.1.1, 203.0.113.7", "10.0.0.9", "10.0.0.8"], "203.0.113.7"),
        (&["10.0.0.9"], "10.0.0.9"),
        (&["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        (&["2001:db8::7, fd00::1"], "2001:db8::7"),
        (&["::ffff:203.0.113.7"], "203.0.113.7"),
        (&["203.0.113.7, ::ffff:10.0.0.9"], "203.0.113.7"),
        // An invalid address ends the chain, because the entries before it cannot be trusted.
        (&["1.1.1.1, garbage"], "192.0.2.1"),
        (&["1.1.1.1, garbage, 10.0.0.9"], "10.0.0.9"),
        (&["1.1.1.1,, 10.0.0.9"], "10.0.0.9"),
        (&["1.1.1.1", ""], "192.0.2.1"),
        // Azure's load balancers and IIS add the port.
        (&["1.1.1.1, 203.0.113.7:80"], "203.0.113.7"),
        (&["1.1.1.1:5678, 10.0.0.9:1"], "1.1.1.1"),
        (&["[2001:db8::1]:443, 10.0.0.9"], "2001:db8::1"),
        (&["[2001:db8::1]"], "2001:db8::1"),
        (&["1.1.1.1, [fd00::1]:443"], "1.1.1.1"),
        (&["1.1.1.1, 203.0.113.7:"], "192.0.2.1"),
        (&["1.1.1.1, 203.0.113.7:99999"], "192.0.2.1"),
        (&["1.1.1.1, 2001:db8::1]:443"], "192.0.2.1"),
        (&["1.1.1.1, [203.0.113.7]"], "192.0.2.1"),
        (&["1.1.1.1, [fe80::1%2]:443"], "192.0.2.1"),
        (&["1.1.1.1, \"203.0.113.7\""], "192.0.2.1"),
        (&["1.1.1.1, fe80::1%eth0"], "192.0.2.1"),
        (&["1.1.1.1, unknown, 203.0.113.7"], "203.0.113.7"),
        (&["1.1.1.1, 010.0.0.9"], "192.0.2.1"),
        // A value that is not ASCII ends the chain too.
        (&["1.1.1.1", "\u{e9}"], "192.0.2.1"),
        (&["1.1.1.1", "\u{e9}, 203.0.113.7"], "203.0.113.7"),
        (&["1.1.1.1", "\u{e9}, 10.0.0.9"], "10.0.0.9"),
    ] {
        let lines: Vec<_> = chain.iter().map(|value| ("x-forwarded-for", *value)).collect();
        let found = head.source_ip(&fields(&lines), PEER);
        assert_eq!(found, Some(source.parse::<IpAddr>().unwrap()), "{chain:?}");
        assert_eq!(
            trusting(&[]).source_ip(&fields(&lines), PEER),
            Some(PEER),
            "no proxy is trusted: {chain:?}"
        );
        assert_eq!(
            trusting(&["10.0.0.0/8"]).source_ip(&fields(&lines), PEER),
            Some(PEER),
            "the peer is not trusted: {chain:?}"
        );
    }
}

/// I07: a long chain is read from the nearest address, up to a fixed number of addresses.
#[test]
fn the_length_of_a_chain_is_bounded() {
    let head = trusting(&["192.0.2.0/24", "10.0.0.0/8"]);
    let chain = |hops: usize| format!("203.0.113.7, {}", vec!["10.0.0.1"; hops].join(", "));
    let source = |hops| head.source_ip(&fields(&[("x-forwarded-for", &chain(hops))]), PEER);
    assert_eq!(source(31), "203.0.113.7".parse::<IpAddr>().ok());
    assert_eq!(source(32), "10.0.0.1".parse::<IpAddr>().ok(), "the last address that is read, a proxy's");
    assert_eq!(source(1000), "10.0.0.1".parse::<IpAddr>().ok());
    for (hops, kept) in [(1, 3), (31, 33), (32, 33), (1000, 33)] {
        let sent = with(&head, &[("x-forwarded-for", &chain(hops))]);
        let value = sent.get("x-forwarded-for").unwrap().to_str().unwrap();
        assert_eq!(value.split(", ").count(), kept, "{hops}: {value}");
        assert!(value.ends_with("192.0.2.1") && value.starts_with(char::is_numeric), "{value}");
    }
    let lines: Vec<_> = std::iter::repeat_n(("x-forwarded-for", "10.0.0.1"), 90).collect();
    let sent = with(&head, &lines);
    assert_eq!(
        sent.get("x-forwarded-for").unwrap().to_str().unwrap().split(", ").count(),
        33,
        "in many fields"
    );
}

#[test]
fn other_origin_fields_of_a_client_are_removed() {
    let names =
        ["x-forwarded-scheme", "x-forwarded-ssl", "x-forwarded-server", "true-client-ip", "x-client-ip"];
    let lines: Vec<_> = names.iter().map(|name| (*name, "forged")).collect();
    let (own, trusted) = (with(&trusting(&[]), &lines), with(&trusting(&["192.0.2.0/24"]), &lines));
    for name in names {
        assert_values(&own, name, &[]);
        assert_values(&trusted, name, &["forged"]);
    }
    // Not even a trusted proxy may state another target or method.
    let target =
        with(&trusting(&["192.0.2.0/24"]), &[("x-forwarded-uri", "/admin"), ("x-forwarded-method", "GET")]);
    assert_values(&target, "x-forwarded-uri", &[]);
    assert_values(&target, "x-forwarded-method", &[]);
}

#[test]
fn host_is_the_authority_of_the_target() {
    for (target, lines) in
        [("http://A.Example:80/x", &[("host", "a.example:80")][..]), ("http://A.Example:80/x", &[])]
    {
        let mut fields = fields(lines);
        let facts = RequestFacts::read(
            &http::Method::GET,
            &http::Uri::from_static(target),
            http::Version::HTTP_2,
            &fields,
            Backend::Generic.quirks(),
            PEER,
        )
        .unwrap();
        let permit = decide(&open(Backend::Generic), &facts, None).unwrap();
        head(Backend::Generic).rewrite(&mut fields, &facts, &permit, PEER, false).unwrap();
        assert_values(&fields, "host", &["A.Example:80"]);
        assert_values(&fields, "x-forwarded-host", &["A.Example:80"]);
    }
}

#[test]
fn a_chain_that_is_not_ascii_is_replaced() {
    let fields =
        with(&trusting(&["192.0.2.0/24"]), &[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-for", "\u{e9}")]);
    assert_values(&fields, "x-forwarded-for", &["192.0.2.1"]);
}

#[test]
fn a_peer_without_an_address_is_trusted_only_if_configured() {
    let lines = [("x-forwarded-for", "203.0.113.7"), ("x-forwarded-proto", "https")];
    for (trusted, source, chain, proto) in [
        (true, Some("203.0.113.7".parse().unwrap()), "203.0.113.7, unknown", "https"),
        (false, None, "unknown", "http"),
    ] {
        let head = trusting(&["0.0.0.0/0", "::/0"]).trusting_unix_peers(trusted);
        let mut fields = fields(&[&[BEARER, ("host", "a.example")], &lines[..]].concat());
        let facts = facts_of(Backend::Generic, "GET", "/x", &fields).unwrap();
        let permit = decide(&authorizer(Backend::Generic), &facts, Some(verified(json!({})))).unwrap();
        assert_eq!(head.source_ip(&fields, None), source, "{trusted}");
        head.rewrite(&mut fields, &facts, &permit, None, false).unwrap();
        assert_values(&fields, "x-forwarded-for", &[chain]);
        assert_values(&fields, "x-forwarded-proto", &[proto]);
    }
}

#[test]
fn the_address_of_the_peer_is_written_in_canonical_form() {
    for (peer, text) in [
        ("0.0.0.0", "0.0.0.0"),
        ("10.200.3.45", "10.200.3.45"),
        ("9.99.100.1", "9.99.100.1"),
        ("255.255.255.255", "255.255.255.255"),
        ("::ffff:192.0.2.9", "192.0.2.9"),
        ("::1", "::1"),
        ("2001:DB8:0:0:0:0:0:1", "2001:db8::1"),
        ("1111:2222:3333:4444:5555:6666:7777:8888", "1111:2222:3333:4444:5555:6666:7777:8888"),
    ] {
        let mut headers = Fields::new();
        set(&mut headers, Some(peer.parse().unwrap()), false);
        assert_values(&headers, "x-forwarded-for", &[text]);
    }
}
