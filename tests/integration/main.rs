//! Black-box tests of the built executable: real sockets, real tokens, real processes.

#![allow(clippy::expect_used, clippy::panic, reason = "a failing helper fails its test")]

mod admin;
mod authorization;
mod catalogue;
mod connections;
mod cors;
mod exchange;
mod exhaustive;
mod forward_auth;
mod forwarding;
mod framing;
mod http2;
mod keys;
mod limits;
mod listening;
mod operating;
mod path_prefix;
mod providers;
mod proxy_protocol;
mod real_servers;
mod recipes;
mod refusals;
mod repeated;
mod resource_metadata;
mod routes;
mod rules;
mod spans;
mod support;
mod tls;
mod token_headers;
mod tokens;
mod trust;
mod upgrades;
mod upstream_http2;
