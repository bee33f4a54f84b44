//! Revocation during a tunnel, a streamed response, or a request without a response yet.

use std::fs;

use tempfile::TempDir;

use super::{authorized, read, rest, socket, tunnel};
use crate::support::gateway::text;
use crate::support::issuer::{Issuer, JWKS};
use crate::support::keys::{self, rsa};
use crate::support::stage::Stage;
use crate::support::stub::{Gate, Next};
use crate::support::token::{Token, bearer};
use crate::support::upstream::{Upstream, echo};
use crate::support::wire::Client;

/// A masked text frame, as a client sends it.
const HELLO: &[u8] = b"\x81\x85\0\0\0\0hello";
/// A Close frame with 1008 (policy violation).
const CLOSED: &[u8] = &[0x88, 2, 0x03, 0xf0];

/// A setup whose config file and revocation list a test rewrites.
struct Revocable {
    stage: Stage,
    directory: TempDir,
    /// The backend sends no more until it opens.
    gate: Gate,
}

impl Revocable {
    fn start(more: &str) -> Self {
        let directory = TempDir::new().expect("a directory");
        let (gate, issuer) = (Gate::default(), Issuer::of(rsa()));
        let held = gate.clone();
        let upstream = Upstream::scripted(move |exchange| {
            match exchange.request.head.target() {
                "/socket" => return socket(exchange),
                "/stream" => {
                    exchange.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")?;
                    exchange.hold(&held);
                    exchange.send("3\r\nbye\r\n0\r\n\r\n")?;
                }
                "/late" => {
                    exchange.hold(&held);
                    return exchange.reply(200, &[], "late");
                }
                _ => return echo(exchange),
            }
            Ok(Next::Close)
        });
        fs::write(directory.path().join("list"), "[]").expect("a list");
        let file = directory.path().join("config.yaml");
        fs::write(&file, config(&issuer, &upstream, &directory, more)).expect("a configuration");
        let file = file.to_str().expect("a path").to_owned();
        let stage = Stage::with(issuer, upstream, |setup| setup.env("METAGATE_CONFIG", file));
        Self { stage, directory, gate }
    }

    fn revoke(&self, list: &str) {
        let at = |name| self.directory.path().join(name);
        fs::write(at("new"), list).expect("a list");
        fs::rename(at("new"), at("list")).expect("a new list");
    }

    fn reload(&self, more: &str) {
        let text = config(&self.stage.issuer, &self.stage.upstream, &self.directory, more);
        fs::write(self.directory.path().join("config.yaml"), text).expect("a configuration");
        let response = self.stage.gateway.ask_admin("POST", "/reload", &[("X-Metagate", "1")]);
        assert_eq!(response.status, 200, "{}", response.text());
    }

    fn request(&self, path: &str, token: &Token) -> Client {
        let mut client = Client::connect(self.stage.gateway.proxy);
        let token = bearer(token);
        client.send(format!("GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: {token}\r\n\r\n"));
        client
    }

    /// A client that has received the beginning of a streamed response.
    fn stream(&self, token: &Token) -> Client {
        let mut client = self.request("/stream", token);
        assert_eq!(client.response_head().expect("a head").0, 200);
        client
    }
}

fn config(issuer: &Issuer, upstream: &Upstream, directory: &TempDir, more: &str) -> String {
    let (url, keys) = (upstream.url(), issuer.url(JWKS));
    let list = directory.path().join("list");
    let list = list.display();
    format!(
        "upstream: {{url: \"{url}\"}}\nauthentication: {{publicKeyUrls: [\"{keys}\"], revocations: {{file: \"{list}\"}}}}\n{more}\n"
    )
}

fn ends_with(client: &mut Client, last: &[u8]) {
    let response = rest(client);
    assert!(response.ends_with(last), "{}", String::from_utf8_lossy(&response));
}

#[test]
fn revocation_ends_only_the_tunnels_and_streams_of_its_token() {
    let stage = Revocable::start("");
    let (ada, bot) = (Token::user(), Token::bot());
    let mut socket = tunnel(&stage.stage, &authorized("/socket", &ada));
    let mut stream = stage.stream(&ada);
    let mut late = stage.request("/late", &ada);
    let mut other_socket = tunnel(&stage.stage, &authorized("/socket", &bot));
    let mut other_stream = stage.stream(&bot);
    stage.stage.upstream.wait_for("all requests", |all| (all.len() == 5).then_some(()));
    stage.revoke("[{sub: somebody-else}]");
    socket.send(HELLO);
    assert_eq!(read(&mut socket, HELLO.len()), HELLO);

    stage.revoke("[{sub: somebody-else}, {sub: ada}]");
    assert_eq!(rest(&mut socket), CLOSED);
    ends_with(&mut stream, b"2\r\nhi\r\n");
    let refused = late.response().expect("a response in place of the backend's");
    assert_eq!(refused.status, 401);
    assert_eq!(refused.json()["message"], "Token has been revoked");
    for (path, status, decision) in
        [("/socket", 101, "allow"), ("/stream", 200, "allow"), ("/late", 401, "deny")]
    {
        let record = stage.stage.gateway.audit_of(path);
        assert_eq!((&record["status"], text(&record, "decision")), (&status.into(), Some(decision)));
        assert_eq!(text(&record, "principal"), Some("ada@open-metadata.org"));
        let detail = text(&record, "detail").unwrap_or_default();
        assert!(detail.contains("subject") && detail.contains("revoked"), "{record}");
        if path != "/late" {
            assert_eq!(record["complete"], false);
        }
    }
    other_socket.send(HELLO);
    assert_eq!(read(&mut other_socket, HELLO.len()), HELLO);
    stage.gate.open();
    ends_with(&mut other_stream, b"3\r\nbye\r\n0\r\n\r\n");
}

#[test]
fn revocation_ends_requests_from_before_a_reload() {
    let stage = Revocable::start("");
    let mut socket = tunnel(&stage.stage, &authorized("/socket", &Token::user()));
    let mut stream = stage.stream(&Token::user());
    stage.reload("authorization: {public: [\"GET /open\"]}");
    socket.send(HELLO);
    assert_eq!(read(&mut socket, HELLO.len()), HELLO, "a reload alone ends no tunnel");
    stage.revoke("[{kid: rsa-1}]");
    assert_eq!(rest(&mut socket), CLOSED);
    ends_with(&mut stream, b"2\r\nhi\r\n");
    stage.gate.open();
}

#[test]
fn list_read_by_a_reload_applies_to_running_requests() {
    let stage = Revocable::start("");
    let mut socket = tunnel(&stage.stage, &authorized("/socket", &Token::user()));
    // The reload reads the list before the change is noticed.
    stage.revoke("[{sub: ada}]");
    stage.reload("authorization: {public: [\"GET /open\"]}");
    assert_eq!(rest(&mut socket), CLOSED);
}

#[test]
fn report_mode_revocation_ends_nothing() {
    let stage = Revocable::start("authorization: {mode: report}");
    let mut socket = tunnel(&stage.stage, &authorized("/socket", &Token::user()));
    let mut stream = stage.stream(&Token::user());
    stage.revoke("[{sub: ada}]");
    let revoked = || {
        stage.stage.gateway.get_as(&Token::user(), "/x");
        stage.stage.gateway.metric("metagate_would_deny_total", &[("reason", "revoked")]) > 0.0
    };
    crate::support::eventually("the list to be in force", || revoked().then_some(()));
    socket.send(HELLO);
    assert_eq!(read(&mut socket, HELLO.len()), HELLO);
    stage.gate.open();
    ends_with(&mut stream, b"3\r\nbye\r\n0\r\n\r\n");
}

/// DataHub identifies its tokens by the hash of the whole token.
#[test]
fn datahub_token_is_revoked_by_its_hash() {
    use base64::Engine as _;
    use base64::prelude::BASE64_STANDARD;
    let directory = TempDir::new().expect("a directory");
    let list = directory.path().join("list");
    fs::write(&list, "[]").expect("a list");
    let stage = Stage::with(Issuer::of(rsa()), Upstream::scripted(socket), |setup| {
        setup
            .env("DATAHUB_TOKEN_SERVICE_SIGNING_KEY", keys::DATAHUB_SECRET)
            .env("METAGATE_AUTHENTICATION__REVOCATIONS__FILE", list.to_str().expect("a path"))
    });
    let token = Token::datahub();
    let mut socket = tunnel(&stage, &authorized("/socket", &token));
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, token.encode().as_bytes());
    fs::write(&list, format!("[{{datahubTokenHash: \"{}\"}}]", BASE64_STANDARD.encode(hash)))
        .expect("a list");
    assert_eq!(rest(&mut socket), CLOSED);
}
