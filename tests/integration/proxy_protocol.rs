//! Connections through a load balancer that uses the PROXY protocol.

use crate::support::eventually;
use crate::support::gateway::text;
use crate::support::issuer::Issuer;
use crate::support::keys::rsa;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, request_bytes};

fn stage(more: &str) -> Stage {
    let config = format!(
        "authentication: {{publicKeyUrls: [ISSUER/jwks]}}\nproxyProtocol: require\nlimits: {{headerReadTimeout: 300ms}}\n{more}"
    );
    Stage::configured(Issuer::of(rsa()), &config)
}

const LINE: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 56324 443\r\n";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x21\x00\x29\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\xdc\x04\x01\xbb\x04\0\x02ab";
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

fn get(path: &str) -> Vec<u8> {
    request_bytes("GET", path, &[("Authorization", &bearer(&Token::user()))], b"")
}

#[test]
fn proxy_header_sets_the_source_address() {
    let stage = stage("trustedProxies: [127.0.0.0/8]\n");
    for (path, header, address) in
        [("/line", LINE, "192.0.2.7"), ("/binary", BINARY, "2001:db8::7"), ("/local", LOCAL, "127.0.0.1")]
    {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send([header, &get(path)].concat());
        assert_eq!(client.response().expect(path).status, 200, "{path}");
        client.send(get(path));
        assert_eq!(
            client.response().expect(path).status,
            200,
            "{path}: the header counts for the whole connection"
        );
        let received = stage.upstream.requests();
        let of_path: Vec<_> = received.iter().filter(|request| request.head.target() == path).collect();
        assert_eq!(of_path.len(), 2);
        assert!(of_path.iter().all(|request| request.head.value("x-forwarded-for") == Some(address)));
        assert_eq!(text(&stage.gateway.audit_of(path), "source_address"), Some(address));
    }
    // The record of a refused head has the same source address.
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([LINE, b"GET /bad#x HTTP/1.1\r\n"].concat());
    assert_eq!(client.response().expect("a response").status, 400);
    assert_eq!(text(&stage.gateway.audit_of("/bad"), "source_address"), Some("192.0.2.7"));
}

#[test]
fn source_ip_rules_use_the_proxy_header() {
    let stage = stage(
        "trustedProxies: [127.0.0.1/32]\nauthorization: {rules: [{name: inside, require: {sourceIps: [192.0.2.0/24]}}]}\n",
    );
    for (header, status) in [(LINE, 200), (BINARY, 403), (LOCAL, 403)] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send([header, &get("/x")].concat());
        assert_eq!(client.response().expect("a response").status, status);
    }
}

#[test]
fn connection_without_a_valid_proxy_header_is_closed() {
    let stage = stage("");
    for bytes in [
        get("/x"),
        Vec::new(),
        b"PROXY TCP4 192.0".to_vec(),
        [b"PROXY TCP4 nowhere 10.0.0.1 1 2\r\n", get("/x").as_slice()].concat(),
        [b" ", LINE, &get("/x")].concat(),
        BINARY[..30].to_vec(),
    ] {
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(&bytes);
        assert_eq!(client.rest(), "", "{:?}", String::from_utf8_lossy(&bytes));
    }
    assert_eq!(stage.upstream.connections(), 0);
    let is_warning = |line: &String| line.contains("proxyProtocol is required");
    eventually("a warning in the log", || stage.gateway.stderr().iter().any(is_warning).then_some(()));
    assert_eq!(stage.gateway.stderr().iter().filter(|line| is_warning(line)).count(), 1, "once");
    assert!(stage.gateway.audit().is_empty());
}

#[test]
fn proxy_header_from_an_untrusted_peer_is_refused() {
    let stage = stage("trustedProxies: [10.0.0.0/8]\n");
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([LINE, &get("/x")].concat());
    assert_eq!(client.rest(), "");
    assert_eq!(stage.upstream.connections(), 0);
}

#[test]
fn proxy_header_is_a_bad_request_unless_configured() {
    let stage = Stage::plain(|setup| setup);
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([LINE, &get("/x")].concat());
    assert_eq!(client.response().expect("a response").status, 400);
    assert_eq!(stage.upstream.connections(), 0);
}

/// A request from this address, over a connection of its own.
fn request_of(stage: &Stage, address: &str, request: &[u8]) -> Client {
    let mut client = Client::connect(stage.gateway.proxy);
    client.send([format!("PROXY TCP4 {address} 10.0.0.1 56324 443\r\n").as_bytes(), request].concat());
    client
}

fn small(more: &str) -> Stage {
    Stage::configured(
        Issuer::of(rsa()),
        &format!(
            "authentication: {{publicKeyUrls: [ISSUER/jwks]}}\nproxyProtocol: require\ntrustedProxies: [127.0.0.0/8]\nlimits: {{connections: 40{more}}}\n"
        ),
    )
}

#[test]
fn peers_that_send_no_proxy_header_make_room_for_others() {
    let stage = small("");
    let mut before = request_of(&stage, "192.0.2.1", &get("/before"));
    assert_eq!(before.response().expect("a response").status, 200);
    let _silent: Vec<Client> = (0..60)
        .map(|number| {
            let mut client = Client::connect(stage.gateway.proxy);
            if number % 2 == 0 {
                client.send("PROXY ");
            }
            client
        })
        .collect();
    for _ in 0..5 {
        let mut client = request_of(&stage, "192.0.2.2", &get("/during"));
        assert_eq!(client.response().expect("a response").status, 200);
    }
    before.send(get("/kept"));
    assert_eq!(before.response().expect("a response").status, 200);
}

#[test]
fn client_that_used_up_its_share_closes_no_connections_of_others() {
    let stage = small(", connectionsPerClient: 20");
    let token = bearer(&Token::user());
    let unfinished =
        format!("POST /held HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\nContent-Length: 9\r\n\r\n");
    let _busy: Vec<Client> =
        (0..20).map(|_| request_of(&stage, "192.0.2.66", unfinished.as_bytes())).collect();
    let mut idle: Vec<Client> = (0..20)
        .map(|_| {
            let mut client = request_of(&stage, "192.0.2.1", &request_bytes("GET", "/idle", &[], b""));
            assert_eq!(client.response().expect("a response").status, 401);
            client
        })
        .collect();
    eventually("all connections", || {
        let in_flight = stage.gateway.metric("metagate_requests_in_flight", &[]);
        (in_flight == 20.0).then_some(())
    });
    for _ in 0..30 {
        assert_eq!(request_of(&stage, "192.0.2.66", &get("/more")).rest(), "");
    }
    for client in &mut idle {
        client.send(request_bytes("GET", "/idle", &[], b""));
        assert_eq!(client.response().expect("a response").status, 401);
    }
}
