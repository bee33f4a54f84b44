//! What was recorded of real servers (`tests/real`), replayed: the same requests with tokens of the same shape, in front
//! of a backend that responds as the real one did. A trace has no token and no secret; the tokens are made here.

mod trace;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::providers::snippet;
use crate::support::eventually;
use crate::support::gateway::{Gateway, Setup, text};
use crate::support::issuer::{Issuer, JWKS, Reply};
use crate::support::keys::{Key, key_set, other_rsa, rsa, spare_rsa};
use crate::support::stub::{Exchange, Next, Received};
use crate::support::upstream::Upstream;
use crate::support::wire::{Client, Response, request_bytes};

use trace::{Answer, Recorded, Trace, traces};

/// Where OpenMetadata publishes its key.
const OWN_JWKS: &str = "/api/v1/system/config/jwks";
/// Fields of the connection or of the moment, which a trace does not have.
const PASSING: [&str; 6] =
    ["date", "content-length", "transfer-encoding", "connection", "x-request-id", "expires"];

/// The keys of a trace by name. OpenMetadata's own is published as OpenMetadata does it.
fn key(name: &str) -> &'static Key {
    match name {
        "own" => rsa(),
        "second" => other_rsa(),
        "sso" => spare_rsa(),
        _ => panic!("no key is named {name}"),
    }
}

/// The gateways of `tests/real/openmetadata`, a backend, and the key servers.
struct Replay {
    gateways: BTreeMap<&'static str, Gateway>,
    upstream: Upstream,
    answer: Arc<Mutex<Answer>>,
    _issuers: Vec<Issuer>,
}

impl Replay {
    fn start(trace: &Trace) -> Self {
        let answer = Arc::new(Mutex::new(Answer::default()));
        let current = Arc::clone(&answer);
        let upstream = Upstream::scripted(move |exchange| respond(exchange, &current));
        let own = Issuer::empty();
        let own_key = rsa().jwk_openmetadata();
        own.set(OWN_JWKS, Reply::Json(key_set(&[with_kid(own_key, "own")])));
        let mut urls = BTreeMap::from([("own".to_owned(), own.url(OWN_JWKS))]);
        let mut issuers = vec![own];
        for name in ["sso", "second"] {
            let issuer = Issuer::with_keys(&[with_kid(key(name).jwk(), name)]);
            urls.insert(name.to_owned(), issuer.url(JWKS));
            issuers.push(issuer);
        }
        let listed: Vec<&str> = trace.key_urls.iter().map(|name| urls[name].as_str()).collect();
        // The form of OpenMetadata's documents.
        let listed = format!("[{}]", listed.join(", "));
        let plain = || Setup::run().env("METAGATE_UPSTREAM__URL", upstream.url());
        let documented = || {
            plain()
                .env("METAGATE_BACKEND", "openmetadata")
                .env("AUTHENTICATION_PROVIDER", "basic")
                .env("AUTHENTICATION_PUBLIC_KEYS", &listed)
        };
        let lenient = documented()
            .env("METAGATE_OPENMETADATA__IMPERSONATION__BOTS", "[ingestion-bot]")
            .env("METAGATE_AUTHENTICATION__ALLOW_NON_EXPIRING", "accessTokens");
        let entry =
            snippet("openmetadata").replace("http://localhost:8585/api/v1/system/config/jwks", &urls["own"]);
        let gateways = BTreeMap::from([
            ("documented", documented().start()),
            ("lenient", lenient.start()),
            ("bound", plain().config(entry).start()),
        ]);
        gateways.values().for_each(Gateway::wait_ready);
        Self { gateways, upstream, answer, _issuers: issuers }
    }

    /// Sends one recorded request, and compares everything that it led to.
    fn check(&self, recorded: &Recorded, tokens: &BTreeMap<String, String>) -> Vec<String> {
        let gateway = &self.gateways[recorded.gateway.as_str()];
        *self.answer.lock().expect("no poisoned lock") = recorded.answer.clone();
        let (requests, records) = (self.upstream.requests().len(), gateway.audit().len());
        let fields = recorded.fields(tokens);
        let response = send(gateway, recorded, &fields);
        let record = eventually("an audit record", || gateway.audit().get(records).cloned());
        let mut wrong = recorded.differences_of_record(&record);
        wrong.extend(differences_of_response(&recorded.answer, &response));
        let arrived: Vec<Received> = self.upstream.requests().split_off(requests);
        match (recorded.is_forwarded(), &arrived[..]) {
            (true, [request]) => wrong.extend(differences_of_request(recorded, &fields, request, &record)),
            (false, []) => {}
            (_, all) => wrong.push(format!("{} requests reached the backend", all.len())),
        }
        wrong
    }
}

fn with_kid(mut jwk: Value, kid: &str) -> Value {
    jwk["kid"] = kid.into();
    jwk
}

fn respond(exchange: &mut Exchange, answer: &Mutex<Answer>) -> io::Result<Next> {
    exchange.read_body()?;
    let answer = answer.lock().expect("no poisoned lock").clone();
    let fields: Vec<_> = answer.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    if answer.status != 101 {
        return exchange.reply(answer.status, &fields, &answer.body);
    }
    let mut head = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n".to_owned();
    for (name, value) in fields {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    exchange.send(head + "\r\n")?;
    Ok(Next::Close)
}

fn send(gateway: &Gateway, recorded: &Recorded, fields: &[(String, String)]) -> Response {
    let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let mut client = Client::connect(gateway.proxy);
    client.send(request_bytes(&recorded.method, &recorded.path, &fields, &recorded.body));
    if recorded.answer.status == 101 {
        let (status, head) =
            client.response_head().unwrap_or_else(|error| panic!("{}: {error}", recorded.name()));
        return Response { status, head, ..Response::default() };
    }
    client.response_to(&recorded.method).unwrap_or_else(|error| panic!("{}: {error}", recorded.name()))
}

fn differences_of_response(recorded: &Answer, response: &Response) -> Vec<String> {
    let mut wrong = Vec::new();
    if response.status != recorded.status {
        wrong.push(format!("status {}, recorded is {}", response.status, recorded.status));
    }
    let fields: BTreeMap<String, String> = response
        .head
        .headers
        .iter()
        .map(|(name, value)| (name.to_ascii_lowercase(), value.clone()))
        .filter(|(name, _)| !PASSING.contains(&name.as_str()))
        .collect();
    if fields != recorded.fields {
        wrong.push(format!("fields {fields:?}, recorded are {:?}", recorded.fields));
    }
    if response.text() != recorded.body {
        wrong.push(format!("body {}, recorded is {}", response.text(), recorded.body));
    }
    wrong
}

/// What is wrong with a request that was forwarded.
fn differences_of_request(
    recorded: &Recorded,
    sent: &[(String, String)],
    request: &Received,
    record: &Value,
) -> Vec<String> {
    let mut wrong = request.head.problems.clone();
    let start = format!("{} {} HTTP/1.1", recorded.method, recorded.path);
    if request.head.start != start {
        wrong.push(format!("{:?} was forwarded, sent was {start:?}", request.head.start));
    }
    if request.body != recorded.body {
        wrong.push(format!("a body of {} bytes was forwarded", request.body.len()));
    }
    for (name, value) in sent {
        let arrived = request.head.values(name);
        match name.to_ascii_lowercase().as_str() {
            // The scheme is written as OpenMetadata expects it.
            "authorization" => {
                let token = value.split(' ').nth(1).unwrap_or_default();
                if arrived != [format!("Bearer {token}")] {
                    wrong.push("another Authorization was forwarded".to_owned());
                }
            }
            "x-auth-params-email" if !arrived.is_empty() => wrong.push(format!("{name} was forwarded")),
            "x-forwarded-user" if arrived != [text(record, "principal").unwrap_or_default()] => {
                wrong.push(format!("{name} is {arrived:?}"));
            }
            "x-impersonate-user" if arrived != [value.as_str()] => {
                wrong.push(format!("{name} is {arrived:?}"));
            }
            _ => {}
        }
    }
    wrong
}

#[test]
fn recorded_exchanges_with_openmetadata_are_the_same_today() {
    for trace in traces("openmetadata") {
        let replay = Replay::start(&trace);
        let tokens = trace.tokens(key);
        let mut wrong = Vec::new();
        for recorded in &trace.exchanges {
            let found = replay.check(recorded, &tokens);
            wrong.extend(found.into_iter().map(|difference| format!("{}: {difference}", recorded.name())));
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", trace.name);
        let forwarded = trace.exchanges.iter().filter(|recorded| recorded.is_forwarded()).count();
        let refused = trace.exchanges.len() - forwarded;
        assert!(forwarded > 50 && refused > 30, "{}: {forwarded} forwarded, {refused} refused", trace.name);
    }
}
