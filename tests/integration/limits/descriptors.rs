//! File descriptors: few, and none left.

use std::net::TcpStream;

use crate::support::eventually;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, request_bytes};

#[test]
fn there_are_no_more_connections_than_descriptors_allow() {
    let stage = Stage::plain(|setup| setup.descriptors(512));
    assert!(stage.gateway.stderr().iter().any(|line| line.contains("limits.connections is more than")));
    let token = bearer(&Token::bot());
    let request = request_bytes("GET", "/x", &[("Authorization", &token)], b"");
    let mut before = Client::connect(stage.gateway.proxy);
    before.send(&request);
    assert_eq!(before.response().expect("a response").status, 200);

    let address = stage.gateway.proxy;
    let _crowd: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(address).ok()).collect();
    for _ in 0..5 {
        // Idle connections have given way to it.
        let mut client = Client::connect(address);
        client.send(&request);
        assert_eq!(client.response().expect("a response").status, 200);
        assert_eq!(stage.gateway.probe("/livez").status, 200);
        before.send(&request);
        assert_eq!(before.response().expect("a response").status, 200);
    }
    assert!(!stage.gateway.stderr().iter().any(|line| line.contains("cannot accept connections")));
}

/// Here something else than clients takes them: the limit falls while the proxy runs.
#[test]
#[cfg(target_os = "linux")]
fn without_any_its_probes_answer_and_it_recovers() {
    let stage = Stage::plain(|setup| setup);
    let request = request_bytes("GET", "/x", &[("Authorization", &bearer(&Token::bot()))], b"");
    let address = stage.gateway.proxy;
    let limit = stage.gateway.limit_descriptors(stage.gateway.open_descriptors() + 3);
    let crowd: Vec<TcpStream> = (0..20).filter_map(|_| TcpStream::connect(address).ok()).collect();
    eventually("it to run out of descriptors", || {
        stage.gateway.stderr().iter().any(|line| line.contains("cannot accept connections")).then_some(())
    });
    // Each probe frees the last descriptor for a moment in which a client could take it.
    for _ in 0..100 {
        assert_eq!(stage.gateway.probe("/livez").status, 200);
        assert_eq!(stage.gateway.probe("/readyz").status, 200);
    }
    drop(crowd);
    stage.gateway.limit_descriptors(limit);
    eventually("the next client to be served", || {
        let mut client = Client::connect(address);
        client.send(&request);
        client.response().ok().filter(|response| response.status == 200)
    });
}
