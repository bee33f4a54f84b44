//! A process that has no file descriptor left.

use std::net::TcpStream;

use crate::support::eventually;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, request_bytes};

#[test]
fn it_goes_on_its_probes_answer_and_it_recovers() {
    let stage = Stage::plain(|setup| setup.descriptors(64));
    let token = bearer(&Token::bot());
    let request = request_bytes("GET", "/x", &[("Authorization", &token)], b"");
    let mut before = Client::connect(stage.gateway.proxy);
    before.send(&request);
    assert_eq!(before.answer().expect("an answer").status, 200);

    let address = stage.gateway.proxy;
    let crowd: Vec<TcpStream> = (0..200).filter_map(|_| TcpStream::connect(address).ok()).collect();
    eventually("it to run out of descriptors", || {
        stage.gateway.stderr().iter().any(|line| line.contains("cannot accept connections")).then_some(())
    });
    for _ in 0..20 {
        assert_eq!(stage.gateway.probe("/livez").status, 200);
        assert_eq!(stage.gateway.probe("/readyz").status, 200);
    }
    // Who was there has what it needs.
    before.send(&request);
    assert_eq!(before.answer().expect("an answer").status, 200);

    drop(crowd);
    eventually("the next client to be served", || {
        let mut client = Client::connect(address);
        client.send(&request);
        client.answer().ok().filter(|answer| answer.status == 200)
    });
}
