//! Tests with a model backend.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::sync::atomic::{AtomicU16, AtomicUsize};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;
use crate::config::{Sources, load};
use crate::metrics::ExpositionFormat;
use crate::test_support::verified;

/// A backend that answers every request with one status; with 0, never.
#[derive(Default)]
struct Model {
    status: AtomicU16,
    asked: AtomicUsize,
    last: Mutex<String>,
}

impl Model {
    fn set(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    async fn serve(self: Arc<Self>, listener: TcpListener) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let this = self.clone();
            tokio::spawn(async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.ok()?);
                }
                this.asked.fetch_add(1, Ordering::Relaxed);
                *this.last.lock().unwrap() = String::from_utf8(head).ok()?;
                let status = this.status.load(Ordering::Relaxed);
                if status == 0 {
                    return std::future::pending().await;
                }
                let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
                stream.write_all(answer.as_bytes()).await.ok()
            });
        }
    }
}

struct Setup {
    model: Arc<Model>,
    introspector: Arc<Introspector>,
    metrics: Arc<Metrics>,
}

impl Setup {
    async fn new(status: u16) -> Self {
        let model = Arc::<Model>::default();
        model.set(status);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(model.clone().serve(listener));
        let variables = [
            ("AUTHENTICATION_PUBLIC_KEYS", "https://idp.example/jwks"),
            ("METAGATE_UPSTREAM__URL", &url),
            ("METAGATE_BACKEND", "openmetadata"),
            ("BASE_PATH", "/om"),
            ("METAGATE_AUTHENTICATION__REVOCATIONS__INTROSPECT", "bots"),
        ];
        let environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let config = load(&Sources { environment, ..Sources::default() }).unwrap().config;
        let metrics = Arc::new(Metrics::new());
        let target = Target::new(&config.upstream).unwrap();
        let introspector = Introspector::new(&config, target, &metrics).unwrap();
        Self { model, introspector, metrics }
    }

    fn count(&self, result: &str) -> String {
        let text = self.metrics.encode(ExpositionFormat::Text);
        let name = format!("metagate_introspections_total{{result=\"{result}\"}} ");
        text.lines().find_map(|line| line.strip_prefix(&name)).unwrap().to_owned()
    }

    /// Waits until no question about the token is under way.
    async fn settle(&self, token: &VerifiedToken) {
        self.introspector.entry(token).settle().await;
    }

    /// A request a minute later, and the one after its answer.
    async fn later(&self, token: &VerifiedToken) -> [bool; 2] {
        self.introspector.entry(token).make_due(Instant::now());
        let first = self.introspector.check(token, b"t").is_some();
        self.settle(token).await;
        [first, self.introspector.check(token, b"t").is_some()]
    }
}

fn bot() -> VerifiedToken {
    verified(json!({"isBot": true, "sub": "ingestion-bot"}))
}

#[tokio::test]
async fn the_first_request_knows_whether_a_token_was_replaced() {
    for (status, revoked) in [(200, false), (401, true)] {
        let setup = Setup::new(status).await;
        setup.introspector.first_answer(&bot(), "the.bots.token").await;
        let found = setup.introspector.check(&bot(), b"the.bots.token");
        assert_eq!(found.is_some(), revoked, "{status}");
        if let Some(found) = found {
            assert_eq!((found.by, found.note.as_deref()), (RevokedBy::Fingerprint, Some(NOTE)));
        }
        let request = setup.model.last.lock().unwrap().to_ascii_lowercase();
        assert!(request.starts_with("get /om/api/v1/users/loggedinuser http/1.1\r\n"), "{request}");
        assert!(request.contains("authorization: bearer the.bots.token\r\n"), "{request}");
        assert_eq!(setup.model.asked(), 1, "the answer is kept");
        assert_eq!(setup.introspector.status().refused, u64::from(revoked));
        let counts = [setup.count("active"), setup.count("inactive")];
        assert_eq!(counts, if revoked { ["0", "1"] } else { ["1", "0"] });
    }
}

#[tokio::test]
async fn an_old_answer_is_renewed_without_waiting() {
    let setup = Setup::new(200).await;
    let token = bot();
    setup.introspector.first_answer(&token, "t").await;
    setup.model.set(401);
    assert_eq!(setup.later(&token).await, [false, true], "after a minute the replaced token is noticed");
    setup.model.set(200);
    assert_eq!(setup.later(&token).await, [true, false]);
    assert_eq!(setup.model.asked(), 3);
}

/// Neither makes an outage of OpenMetadata a revoked token valid, nor a valid one revoked.
#[tokio::test]
async fn without_an_answer_the_last_one_is_kept() {
    let setup = Setup::new(401).await;
    let (replaced, current) = (bot(), verified(json!({"isBot": true, "sub": "other-bot"})));
    setup.introspector.first_answer(&replaced, "t").await;
    setup.model.set(200);
    setup.introspector.first_answer(&current, "u").await;
    for status in [500, 403, 404, 429, 302] {
        setup.model.set(status);
        assert_eq!(setup.later(&replaced).await, [true, true], "{status}");
        assert_eq!(setup.later(&current).await, [false, false], "{status}");
        assert!(setup.introspector.status().failure.unwrap().contains(&status.to_string()), "{status}");
    }
    assert_eq!(setup.count("failed"), "10");
    setup.model.set(200);
    assert_eq!(setup.later(&current).await, [false, false]);
    let failure = setup.introspector.status().failure;
    assert!(failure.unwrap().contains("302"), "it may still answer so to other tokens");
    tokio::time::pause();
    tokio::time::advance(INTERVAL).await;
    tokio::time::resume();
    assert_eq!(setup.later(&current).await, [false, false]);
    assert_eq!(setup.introspector.status().failure, None);
    setup.model.set(500);
    assert_eq!(setup.later(&current).await, [false, false]);
    setup.model.set(200);
    assert_eq!(setup.later(&current).await, [false, false]);
    assert_eq!(setup.introspector.status().failure, None, "an outage is over at once");
}

#[tokio::test]
async fn a_backend_that_says_nothing_is_waited_for_once() {
    let setup = Setup::new(0).await;
    tokio::time::pause();
    let began = Instant::now();
    let token = bot();
    setup.introspector.first_answer(&token, "t").await;
    let waited = began.elapsed();
    assert!((PATIENCE..=PATIENCE + Duration::from_millis(10)).contains(&waited), "{waited:?}");
    assert!(setup.introspector.check(&token, b"t").is_none(), "let in");
    setup.settle(&token).await;
    assert!(setup.introspector.status().failure.is_some());
    // The next tokens do not wait.
    let asked = Instant::now();
    let other = verified(json!({"isBot": true, "sub": "other-bot"}));
    setup.introspector.first_answer(&other, "u").await;
    assert_eq!(asked.elapsed(), Duration::ZERO);
}

/// Otherwise one strange token would let replaced tokens of others in.
#[tokio::test]
async fn a_status_about_one_token_lets_no_other_one_in_unasked() {
    let setup = Setup::new(404).await;
    let (strange, replaced) = (bot(), verified(json!({"isBot": true, "sub": "other-bot"})));
    setup.introspector.first_answer(&strange, "t").await;
    assert!(setup.introspector.check(&strange, b"t").is_none());
    assert_eq!(setup.count("failed"), "1");
    assert!(setup.introspector.status().failure.is_some(), "operators are told");
    setup.model.set(401);
    setup.introspector.first_answer(&replaced, "u").await;
    assert!(setup.introspector.check(&replaced, b"u").is_some(), "it waited for its answer");
}

#[tokio::test]
async fn only_bots_of_the_backend_are_asked_about_and_only_so_many_at_once() {
    let setup = Setup::new(0).await;
    for claims in [json!({"sub": "ada"}), json!({"tokenType": "PERSONAL_ACCESS", "sub": "ada"})] {
        let token = verified(claims);
        setup.introspector.first_answer(&token, "t").await;
        assert!(setup.introspector.check(&token, b"t").is_none());
    }
    assert_eq!(setup.introspector.status().tokens, 0);
    let tokens: Vec<_> = (0..MAX_ASKED + 3)
        .map(|number| verified(json!({"isBot": true, "sub": number.to_string()})))
        .collect();
    for token in &tokens {
        assert!(setup.introspector.check(token, b"t").is_none());
        assert!(setup.introspector.check(token, b"t").is_none(), "asked once");
    }
    let asked = tokens.iter().filter(|token| setup.introspector.entry(token).is_asked()).count();
    assert_eq!((asked, setup.count("postponed")), (MAX_ASKED, "6".to_owned()));
}
