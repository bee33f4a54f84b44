//! Connections to the backend that are not used any more.

use std::io;
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use crate::support::eventually;
use crate::support::gateway::Setup;
use crate::support::http2::{Http2Stub, StubOptions, echo};
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::rsa;
use crate::support::token::Token;
use crate::support::upstream::Upstream;

/// Passes connections on to a backend, and counts those that the gateway has opened and closed.
struct Relay {
    address: SocketAddr,
    opened: Arc<AtomicUsize>,
    closed: Arc<AtomicUsize>,
}

impl Relay {
    fn to(url: &str) -> Self {
        let backend = url.strip_prefix("http://").expect("an http URL").trim_end_matches('/').to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let (opened, closed) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let (counted, ended) = (opened.clone(), closed.clone());
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::SeqCst);
                let server = TcpStream::connect(&backend).expect("the backend");
                let (from_client, to_client) = (client.try_clone().expect("a handle"), client);
                let (from_server, to_server) = (server.try_clone().expect("a handle"), server);
                let ended = ended.clone();
                thread::spawn(move || {
                    let _ = io::copy(&mut &from_client, &mut &to_server);
                    ended.fetch_add(1, Ordering::SeqCst);
                    let _ = to_server.shutdown(Shutdown::Both);
                });
                thread::spawn(move || io::copy(&mut &from_server, &mut &to_client));
            }
        });
        Self { address, opened, closed }
    }
}

#[track_caller]
fn closes_idle_connections(protocol: &str, backend: &str) {
    let (relay, issuer) = (Relay::to(backend), Issuer::of(rsa()));
    let gateway = Setup::run()
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
        .env("METAGATE_UPSTREAM__URL", format!("http://{}", relay.address))
        .env("METAGATE_UPSTREAM__PROTOCOL", protocol)
        .env("METAGATE_UPSTREAM__KEEP_ALIVE", "1s")
        .start();
    gateway.wait_ready();
    assert_eq!(gateway.get_as(&Token::user(), "/a").status, 200);
    eventually("the end of every connection, without another request", || {
        let (opened, closed) = (relay.opened.load(Ordering::SeqCst), relay.closed.load(Ordering::SeqCst));
        (opened == closed).then_some(())
    });
}

#[test]
fn idle_http1_connections_are_closed_when_their_time_is_over() {
    let backend = Upstream::echo();
    closes_idle_connections("http1", &backend.url());
}

#[test]
fn idle_http2_connections_are_closed_when_their_time_is_over() {
    let backend = Http2Stub::start(StubOptions::default(), echo);
    closes_idle_connections("http2", &backend.url());
}
