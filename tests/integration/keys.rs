//! Key sources and their failures.

mod faults;
mod flood;
mod golden;
mod printed;
mod proxies;
mod refresh;
mod stored;

use std::net::{SocketAddr, TcpListener};

use serde_json::Value;

use crate::support::gateway::Setup;

/// An address that nothing listens on.
fn nowhere() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address")
}

/// The sources in the output of `metagate keys --json`, and its exit code.
#[track_caller]
fn sources(urls: &[String], adjust: impl FnOnce(Setup) -> Setup) -> (Vec<Value>, Option<i32>) {
    let setup = Setup::command(&["keys", "--json"])
        .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", urls.join(", ")))
        .env("METAGATE_UPSTREAM__URL", "http://192.0.2.1:8585")
        .env("METAGATE_AUTHENTICATION__JWKS__TIMEOUT", "2s");
    let finished = adjust(setup).finish();
    let sources: Vec<Value> = serde_json::from_str(&finished.stdout)
        .unwrap_or_else(|error| panic!("{error}: {} {}", finished.stdout, finished.stderr));
    assert_eq!(sources.len(), urls.len());
    (sources, finished.code)
}
