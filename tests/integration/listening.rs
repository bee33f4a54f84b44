//! Where clients connect: several addresses, IPv4 and IPv6 on one port.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;

use tempfile::TempDir;

use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, get, request_bytes};

fn has_ipv6() -> bool {
    TcpListener::bind((Ipv6Addr::LOCALHOST, 0)).is_ok()
}

/// The addresses that the log names for this listener.
fn logged(gateway: &Gateway, listener: &str) -> Vec<String> {
    let is_it = |log: &&serde_json::Value| {
        text(log, "message") == Some("listening") && text(log, "listener") == Some(listener)
    };
    gateway.logs().iter().filter(is_it).filter_map(|log| Some(text(log, "address")?.to_owned())).collect()
}

fn ask(client: &mut Client, target: &str) -> Option<u16> {
    client.send(request_bytes("GET", target, &[("Authorization", &bearer(&Token::bot()))], b""));
    client.response().ok().map(|response| response.status)
}

#[test]
fn every_address_of_listen_has_the_same_policy() {
    let directory = TempDir::new().expect("a directory");
    let socket = directory.path().join("metagate.sock");
    let list = format!("[\"127.0.0.1:0\", \"127.0.0.1:0\", \"unix:{}\"]", socket.display());
    let stage = Stage::plain(|setup| setup.env("METAGATE_LISTEN", list));
    let addresses = logged(&stage.gateway, "proxy");
    assert_eq!(addresses.len(), 3, "{addresses:?}");
    for address in addresses.iter().filter_map(|address| address.parse::<SocketAddr>().ok()) {
        assert_eq!(get(address, "/x", &[]).status, 401);
        assert_eq!(get(address, "/x", &[("Authorization", &bearer(&Token::bot()))]).status, 200);
    }
    let mut client = UnixStream::connect(&socket).expect("the socket file");
    client.write_all(b"GET /unix HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("written");
    let mut response = String::new();
    client.read_to_string(&mut response).expect("a response");
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
}

#[test]
fn the_same_address_twice_is_an_error() {
    let issuer = Issuer::of(keys::rsa());
    let finished = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", Upstream::echo().url())
        .env("METAGATE_LISTEN", "[127.0.0.1:7, 0.0.0.0:7]")
        .finish();
    assert_eq!(finished.code, Some(2));
    assert!(
        finished.stderr.contains("listen: 0.0.0.0:7 is already in the list (127.0.0.1:7)"),
        "{}",
        finished.stderr
    );
}

/// The client of an IPv4-mapped address is the IPv4 address: in records, for limits, and for trustedProxies.
#[test]
fn ipv4_clients_of_a_dual_stack_listener_are_ipv4_addresses() {
    let stage = Stage::plain(|setup| {
        setup
            .env("METAGATE_LISTEN", "[::]:0")
            .env("METAGATE_HEALTH__LISTEN", "[::]:0")
            .env("METAGATE_LIMITS__CONNECTIONS_PER_CLIENT", "2")
            .env("METAGATE_TRUSTED_PROXIES", "[127.0.0.3/32]")
    });
    let port = stage.gateway.proxy.port();
    let from = |source: [u8; 4]| {
        let socket =
            socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::from((source, 0)).into()).expect("a loopback address");
        socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)).into()).expect("a connection");
        Client::of(TcpStream::from(socket))
    };
    let mut first = from([127, 0, 0, 1]);
    assert_eq!(ask(&mut first, "/mapped"), Some(200));
    let record = stage.gateway.audit_of("/mapped");
    assert_eq!(text(&record, "source_address"), Some("127.0.0.1"));
    let forwarded = stage.upstream.request_to("/mapped");
    assert_eq!(forwarded.head.value("x-forwarded-for"), Some("127.0.0.1"));

    let mut second = from([127, 0, 0, 1]);
    assert_eq!(ask(&mut second, "/second"), Some(200));
    assert_eq!(
        from([127, 0, 0, 1]).response().ok().map(|response| response.status),
        Some(503),
        "its share is used up"
    );
    assert_eq!(ask(&mut from([127, 0, 0, 2]), "/other"), Some(200), "another client has a share of its own");
    if has_ipv6() {
        let mut client = Client::connect((Ipv6Addr::LOCALHOST, port).into());
        assert_eq!(ask(&mut client, "/ipv6"), Some(200));
        assert_eq!(text(&stage.gateway.audit_of("/ipv6"), "source_address"), Some("::1"));
    }

    let mut proxy = from([127, 0, 0, 3]);
    proxy.send(request_bytes("GET", "/proxied", &[("X-Forwarded-For", "::ffff:192.0.2.7")], b""));
    assert_eq!(proxy.response().expect("a response").status, 401);
    let record = stage.gateway.audit_of("/proxied");
    assert_eq!(
        text(&record, "source_address"),
        Some("192.0.2.7"),
        "the proxy is trusted, and the client is IPv4"
    );
}

#[test]
fn the_admin_listener_is_on_both_loopback_addresses() {
    let stage = Stage::plain(|setup| setup);
    let addresses: Vec<SocketAddr> =
        logged(&stage.gateway, "admin").iter().map(|address| address.parse().expect("an address")).collect();
    assert!(addresses.iter().all(|address| address.ip().is_loopback()), "{addresses:?}");
    assert_eq!(addresses.len(), if has_ipv6() { 2 } else { 1 });
    for address in addresses {
        let host = format!("Host: {address}");
        let request = crate::support::wire::replace(
            &request_bytes("GET", "/status", &[], b""),
            b"Host: gateway.test",
            host.as_bytes(),
        );
        let mut client = Client::connect(address);
        client.send(request);
        assert_eq!(client.response().expect("a response").status, 200, "{address}");
    }
}

#[test]
fn the_defaults_are_every_address() {
    let issuer = Issuer::of(keys::rsa());
    let printed = Setup::command(&["config", "print"])
        .env("AUTHENTICATION_PUBLIC_KEYS", issuer.url(JWKS))
        .env("METAGATE_UPSTREAM__URL", Upstream::echo().url())
        .finish();
    assert!(
        printed.stdout.contains("[::]:8685") && printed.stdout.contains("[::]:8686"),
        "{}",
        printed.stdout
    );
}
