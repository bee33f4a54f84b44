//! Clients that obey `Connection: close` and GOAWAY lose nothing when the process shuts down.

use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::SendRequest;

use super::ask;
use crate::support::eventually;
use crate::support::http2::{
    Arrived, END_HEADERS, END_STREAM, GOAWAY, HEADERS, PING, RawClient, frame, literals, runtime, whole,
};
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, NoResponse};

const CLIENTS: usize = 4;
/// Half of the time for which idle connections stay open at least. A client of an overloaded machine that itself
/// paused for longer proves nothing.
const PAUSE: Duration = Duration::from_millis(500);

fn is_not_ready(stage: &Stage) {
    eventually("/readyz to answer 503", || (stage.gateway.probe("/readyz").status == 503).then_some(()));
}

/// Sends requests on kept-alive connections until no connection is accepted any more.
fn keep_asking(proxy: SocketAddr, answered: &AtomicUsize) {
    while let Ok(socket) = TcpStream::connect(proxy) {
        let mut client = Client::of(socket);
        let mut last = Instant::now();
        loop {
            let paused = last.elapsed() > PAUSE;
            ask(&mut client, "/load");
            let response = match client.response() {
                Err(NoResponse::Closed) if paused => break,
                response => response.expect("a response to every request on an open connection"),
            };
            assert_eq!(response.status, 200);
            answered.fetch_add(1, Ordering::SeqCst);
            last = Instant::now();
            if response.header("connection") == Some("close") {
                assert_eq!(client.rest(), "");
                break;
            }
        }
    }
}

#[test]
fn http1_clients_that_obey_close_lose_no_request() {
    for delay in ["0s", "300ms"] {
        let mut stage = Stage::plain(|setup| setup.env("METAGATE_SHUTDOWN__DELAY", delay));
        let answered = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| keep_asking(stage.gateway.proxy, &answered));
            }
            eventually("some responses", || (answered.load(Ordering::SeqCst) > 50).then_some(()));
            stage.gateway.terminate();
        });
        assert_eq!(stage.gateway.wait_exit(), Some(0));
    }
}

#[test]
fn idle_http1_connections_answer_after_the_listener_has_closed() {
    let mut stage = Stage::plain(|setup| setup);
    let mut idle: Vec<Client> = (0..CLIENTS).map(|_| Client::connect(stage.gateway.proxy)).collect();
    let mut used = Client::connect(stage.gateway.proxy);
    ask(&mut used, "/before");
    assert_eq!(used.response().expect("a response").header("connection"), None);
    let began = Instant::now();
    stage.gateway.terminate();
    eventually("the listener to close", || TcpStream::connect(stage.gateway.proxy).is_err().then_some(()));
    for client in idle.iter_mut().chain([&mut used]) {
        ask(client, "/idle");
        match client.response() {
            Err(_) if began.elapsed() > PAUSE => return,
            response => {
                assert_eq!(response.expect("a response").header("connection"), Some("close"));
            }
        }
    }
    drop(idle);
    drop(used);
    assert_eq!(stage.gateway.wait_exit(), Some(0));
}

/// Neither kept-alive connections nor ones that never sent anything hold up the end.
#[test]
fn silent_connections_do_not_delay_the_end() {
    let mut stage = Stage::plain(|setup| setup.env("METAGATE_SHUTDOWN__DRAIN_TIMEOUT", "300s"));
    let mut silent = Client::connect(stage.gateway.proxy);
    let mut idle = Client::connect(stage.gateway.proxy);
    ask(&mut idle, "/before");
    assert_eq!(idle.response().expect("a response").status, 200);
    let mut http2 = RawClient::connect(stage.gateway.proxy);
    assert!(http2.answers_ping());
    stage.gateway.terminate();
    assert_eq!((silent.rest(), idle.rest()), (String::new(), String::new()));
    let ping = http2.find(|arrived| arrived.kind == PING && arrived.flags == 0).expect("GOAWAY and a PING");
    http2.send(frame(PING, 1, 0, &ping.payload));
    assert_eq!(http2.end(), [0], "the second GOAWAY");
    drop(http2);
    assert_eq!(stage.gateway.wait_exit(), Some(0));
}

fn request(stream: u32) -> Vec<u8> {
    let token = bearer(&Token::bot());
    let fields = [
        (":method", "GET"),
        (":scheme", "http"),
        (":path", "/http2"),
        (":authority", "gateway.test"),
        ("authorization", &token),
    ];
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &literals(&fields))
}

fn last_stream(goaway: &Arrived) -> u32 {
    u32::from_be_bytes(goaway.payload[..4].try_into().expect("four octets")) & 0x7fff_ffff
}

/// RFC 9113 section 6.8: the first GOAWAY refuses nothing, so requests that are on their way are served.
#[test]
fn http2_gets_two_goaways_from_the_start_of_the_delay() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_SHUTDOWN__DELAY", "300s"));
    let mut client = RawClient::connect(stage.gateway.proxy);
    client.send(request(1));
    client.find(|arrived| arrived.kind == HEADERS && arrived.stream == 1).expect("a response");
    stage.gateway.terminate();
    let first = client.find(|arrived| arrived.kind == GOAWAY).expect("GOAWAY at the start of the delay");
    assert_eq!((last_stream(&first), first.code()), (0x7fff_ffff, Some(0)));
    let ping = client.find(|arrived| arrived.kind == PING && arrived.flags == 0).expect("a PING");
    // It was on its way when GOAWAY arrived.
    client.send(request(3));
    client.find(|arrived| arrived.kind == HEADERS && arrived.stream == 3).expect("a response");
    client.send(frame(PING, 1, 0, &ping.payload));
    let second = client.find(|arrived| arrived.kind == GOAWAY).expect("the second GOAWAY");
    assert_eq!((last_stream(&second), second.code()), (3, Some(0)));
    assert!(client.end().is_empty(), "the connection ends");
}

/// A client that the load balancer still sends here can use its connection.
#[test]
fn http2_connections_opened_during_the_delay_carry_a_request() {
    let stage = Stage::plain(|setup| setup.env("METAGATE_SHUTDOWN__DELAY", "300s"));
    stage.gateway.terminate();
    is_not_ready(&stage);
    let mut client = RawClient::connect(stage.gateway.proxy);
    client.send(frame(PING, 0, 0, b"metagate"));
    let first = client.find(|arrived| matches!(arrived.kind, PING | GOAWAY)).expect("a frame");
    assert_eq!(first.kind, PING, "no GOAWAY before the first request");
    client.send(request(1));
    let (mut has_response, mut has_goaway) = (false, false);
    while !(has_response && has_goaway) {
        let arrived = client.next().expect("a response and GOAWAY");
        has_response |= arrived.kind == HEADERS;
        has_goaway |= arrived.kind == GOAWAY;
    }
}

/// Sends requests, several at a time, on one connection until GOAWAY. Returns whether it could connect.
async fn until_goaway(proxy: SocketAddr, answered: &AtomicUsize) -> bool {
    let Ok(stream) = tokio::net::TcpStream::connect(proxy).await else { return false };
    let shaken: Result<(SendRequest<Bytes>, _), _> = h2::client::handshake(stream).await;
    let Ok((sender, connection)) = shaken else { return false };
    let connection = tokio::spawn(connection);
    let ask = || async {
        let mut sender = sender.clone().ready().await.ok()?;
        let request =
            http::Request::get("http://gateway.test/load").header("authorization", bearer(&Token::bot()));
        // An error means that GOAWAY has arrived: nothing was sent.
        let (response, _) = sender.send_request(request.body(()).expect("a request"), true).ok()?;
        let response = match response.await {
            Ok(response) => whole(response).await,
            Err(error) => Err(error),
        };
        match response {
            Ok(response) => assert_eq!(response.status, 200),
            // Its stream is above the last one that was processed.
            Err(error) if error.is_go_away() && error.is_remote() => return None,
            Err(error) => panic!("lost: {error}"),
        }
        answered.fetch_add(1, Ordering::SeqCst);
        Some(())
    };
    loop {
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        if one.and(two).and(three).is_none() {
            break;
        }
    }
    drop(sender);
    let _ = connection.await;
    true
}

#[test]
fn http2_clients_that_obey_goaway_lose_no_request() {
    let mut stage = Stage::plain(|setup| setup.env("METAGATE_SHUTDOWN__DELAY", "300ms"));
    let (answered, proxy) = (AtomicUsize::new(0), stage.gateway.proxy);
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| runtime().block_on(async { while until_goaway(proxy, &answered).await {} }));
        }
        eventually("some responses", || (answered.load(Ordering::SeqCst) > 50).then_some(()));
        stage.gateway.terminate();
    });
    assert_eq!(stage.gateway.wait_exit(), Some(0));
}
