//! A scripted key server: each path has its response, and every request is counted.

use std::collections::BTreeMap;
use std::io;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;

use super::keys::{Key, key_set};
use super::stub::{Exchange, Gate, Next, Stub};

/// The path that tests publish keys under unless the path matters.
pub const JWKS: &str = "/jwks";

/// The response of a path.
#[derive(Clone)]
pub enum Reply {
    /// 200 with this JSON.
    Json(String),
    /// 200 with an ETag, and 304 for a request that already has it.
    Tagged(&'static str, String),
    Status(u16, Vec<(&'static str, String)>, String),
    /// 200 and chunks until the client closes.
    Endless,
    /// Nothing until the gate opens, then the response.
    Held(Gate, Box<Reply>),
    /// The response after a delay, as from a distant server.
    Late(Duration, Box<Reply>),
    /// 200 with a Content-Length larger than what is sent.
    CutShort(String),
    /// 200 and an endless body, one byte at a time with a delay before each.
    Drip,
}

pub struct Issuer {
    stub: Stub,
    routes: Arc<Mutex<BTreeMap<String, Reply>>>,
}

impl Issuer {
    /// Publishes these keys under [`JWKS`].
    pub fn with_keys(keys: &[Value]) -> Self {
        let issuer = Self::empty();
        issuer.publish(JWKS, keys);
        issuer
    }

    pub fn of(key: &Key) -> Self {
        Self::with_keys(&[key.jwk()])
    }

    /// Responds with 404 to every path until [`Issuer::set`].
    pub fn empty() -> Self {
        let routes: Arc<Mutex<BTreeMap<String, Reply>>> = Arc::default();
        let table = Arc::clone(&routes);
        let stub = Stub::start(move |exchange| {
            let target = exchange.request.head.target().to_owned();
            let reply = table.lock().expect("no poisoned lock").get(&target).cloned();
            respond(exchange, reply.unwrap_or_else(|| Reply::Status(404, vec![], "no such path".to_owned())))
        });
        Self { stub, routes }
    }

    /// Sets the response of a path. A key rotation is one call.
    pub fn set(&self, path: &str, reply: Reply) {
        self.routes.lock().expect("no poisoned lock").insert(path.to_owned(), reply);
    }

    pub fn publish(&self, path: &str, keys: &[Value]) {
        self.set(path, Reply::Json(key_set(keys)));
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.stub.address)
    }

    /// How often a path was requested.
    pub fn hits(&self, path: &str) -> usize {
        self.stub.requests().iter().filter(|request| request.head.target() == path).count()
    }

    /// Waits until a path was requested that often.
    #[track_caller]
    pub fn wait_hits(&self, path: &str, count: usize) {
        self.stub.wait_for(&format!("{count} requests for {path}"), |all| {
            (all.iter().filter(|request| request.head.target() == path).count() >= count).then_some(())
        });
    }
}

impl Deref for Issuer {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.stub
    }
}

fn respond(exchange: &mut Exchange, reply: Reply) -> io::Result<Next> {
    const JSON: (&str, &str) = ("Content-Type", "application/json");
    match reply {
        Reply::Json(body) => exchange.reply(200, &[JSON], body),
        Reply::Tagged(tag, body) => {
            if exchange.request.head.value("if-none-match") == Some(tag) {
                return exchange.reply(304, &[("ETag", tag)], "");
            }
            exchange.reply(200, &[JSON, ("ETag", tag)], body)
        }
        Reply::Status(status, headers, body) => {
            let headers: Vec<_> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
            exchange.reply(status, &headers, body)
        }
        Reply::Endless => {
            exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
            let chunk = format!("1000\r\n{}\r\n", " ".repeat(0x1000));
            loop {
                exchange.send(&chunk)?;
            }
        }
        Reply::Held(gate, then) => {
            exchange.hold(&gate);
            respond(exchange, *then)
        }
        Reply::Drip => {
            exchange.send("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")?;
            loop {
                exchange.send(" ")?;
                exchange.pause(Duration::from_millis(20));
            }
        }
        Reply::Late(wait, then) => {
            exchange.pause(wait);
            respond(exchange, *then)
        }
        Reply::CutShort(body) => {
            exchange
                .send(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len() + 100))?;
            Ok(Next::Close)
        }
    }
}
