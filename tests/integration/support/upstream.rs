//! The backend behind the gateway: records every request and responds by script.

use std::io;
use std::ops::Deref;

use serde_json::json;

use super::stub::{Exchange, Next, Received, Stub};

pub struct Upstream(Stub);

impl Upstream {
    /// Responds to every request with 200 and a JSON echo of method and raw target.
    pub fn echo() -> Self {
        Self::scripted(echo)
    }

    pub fn scripted(script: impl Fn(&mut Exchange) -> io::Result<Next> + Send + Sync + 'static) -> Self {
        Self(Stub::start(script))
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// The only request received.
    #[track_caller]
    pub fn only_request(&self) -> Received {
        let requests = self.0.requests();
        assert_eq!(requests.len(), 1, "expected one request upstream: {requests:#?}");
        requests.into_iter().next().expect("one")
    }

    /// The last complete request with that target.
    #[track_caller]
    pub fn request_to(&self, target: &str) -> Received {
        self.0.wait_for(target, |all| {
            all.iter().rev().find(|r| r.complete && r.head.target() == target).cloned()
        })
    }
}

impl Deref for Upstream {
    type Target = Stub;

    fn deref(&self) -> &Stub {
        &self.0
    }
}

pub fn echo(exchange: &mut Exchange) -> io::Result<Next> {
    exchange.read_body()?;
    let head = &exchange.request.head;
    let body = json!({"method": head.method(), "target": head.target()}).to_string();
    exchange.reply(200, &[("Content-Type", "application/json"), ("X-Upstream", "yes")], body)
}
