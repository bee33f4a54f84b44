//! File descriptors: few, or none left.

use std::net::TcpStream;

use crate::support::eventually;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, request_bytes};

#[test]
fn connections_are_limited_by_file_descriptors() {
    let stage = Stage::plain(|setup| setup.descriptors(512));
    assert!(
        stage
            .gateway
            .stderr()
            .iter()
            .any(|line| line.contains("limits.connections needs more open files than"))
    );
    let token = bearer(&Token::bot());
    let request = request_bytes("GET", "/x", &[("Authorization", &token)], b"");
    let mut before = Client::connect(stage.gateway.proxy);
    before.send(&request);
    assert_eq!(before.response().expect("a response").status, 200);

    let address = stage.gateway.proxy;
    let _crowd: Vec<TcpStream> = (0..400).filter_map(|_| TcpStream::connect(address).ok()).collect();
    for _ in 0..5 {
        // Idle connections were closed to make room for it.
        let mut client = Client::connect(address);
        client.send(&request);
        assert_eq!(client.response().expect("a response").status, 200);
        assert_eq!(stage.gateway.probe("/livez").status, 200);
        before.send(&request);
        assert_eq!(before.response().expect("a response").status, 200);
    }
    assert!(!stage.gateway.stderr().iter().any(|line| line.contains("cannot accept connections")));
}

/// Something other than clients uses them up: the limit is lowered while the proxy runs.
#[test]
#[cfg(target_os = "linux")]
fn probes_work_without_free_descriptors_and_the_proxy_recovers() {
    let stage = Stage::plain(|setup| setup);
    let request = request_bytes("GET", "/x", &[("Authorization", &bearer(&Token::bot()))], b"");
    let address = stage.gateway.proxy;
    let limit = stage.gateway.limit_descriptors(stage.gateway.open_descriptors() + 3);
    let crowd: Vec<TcpStream> = (0..20).filter_map(|_| TcpStream::connect(address).ok()).collect();
    eventually("the proxy to run out of descriptors", || {
        stage.gateway.stderr().iter().any(|line| line.contains("cannot accept connections")).then_some(())
    });
    // Each probe briefly frees the last descriptor, which a client could then take.
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
