//! The fuzz targets: functions of bytes that panic if a property is violated.
//!
//! `fuzz_targets` has a libFuzzer program for each. metagate's `tests/fuzz_targets.rs` runs them as
//! ordinary tests over the seeds and pseudo-random bytes.

#![forbid(unsafe_code)]

use http::header::AUTHORIZATION;
use http::{HeaderValue, Method, Uri, Version};
use metagate::admission::Admitted;
use metagate::backend::Backend;
use metagate::claims;
use metagate::decision::{Caller, Route};
use metagate::jose::{Algorithm, JsonValue, KeyDialect, KeyFamily, KeySet, ParsedKeys, UnverifiedToken};
use metagate::message::Fields;
use metagate::policy::{Budget, Expression, PathPattern, Place, Subject};
use metagate::request::{BackendQuirks, Credentials, Graphql, PathReadings, RequestFacts};

#[allow(dead_code, reason = "servlet_paths.rs uses the rest to compare with a real container")]
#[path = "../../tests/differential/servlet.rs"]
pub mod servlet;
#[cfg(feature = "server")]
mod config;
mod exchange;
mod http2;
mod response;
#[cfg(feature = "server")]
mod store;
mod wire;
pub mod world;

#[cfg(feature = "server")]
pub use config::{config_document, config_layers};
pub use exchange::{exchange, token_request};
pub use http2::http2_head;
pub use response::response;
#[cfg(feature = "server")]
pub use store::store_messages;
pub use wire::request_head;

use world::{MAX_BYTES, NOW, PEER};

/// The name of a target's program, and the target.
pub type Target = (&'static str, fn(&[u8]));

/// Every target that needs more than the core.
#[cfg(feature = "server")]
pub const SERVER_TARGETS: &[Target] = &[
    ("config_document", config_document),
    ("config_layers", config_layers),
    ("store_messages", store_messages),
];

/// Every target that needs only the core.
pub const TARGETS: &[Target] = &[
    ("jose_header", jose_header),
    ("key_set", key_set),
    ("claims", claims),
    ("request_head", request_head),
    ("http2_head", http2_head),
    ("response", response),
    ("request_target", request_target),
    ("authorization", authorization),
    ("outbound_head", outbound_head),
    ("decision", decision),
    ("graphql", graphql),
    ("expression", expression),
    ("exchange", exchange),
    ("token_request", token_request),
];

/// The bytes as a compact token, and as a header: no unsigned token passes.
pub fn jose_header(data: &[u8]) {
    let as_header = format!("{}.e30.c2ln", world::base64url(data));
    for token in [str::from_utf8(data).unwrap_or_default(), &as_header] {
        let Ok(read) = UnverifiedToken::parse(token, MAX_BYTES) else { continue };
        assert_eq!(token.split('.').count(), 3);
        assert!(read.header().kid.as_ref().is_none_or(|kid| kid.len() <= 256));
        assert_eq!(read.fingerprint().short().len(), 16);
        let _ = read.issuer_hint();
        assert!(read.verify(&world::key()).is_err());
    }
}

/// A key set document: whatever it contains, no weak, private or symmetric key is accepted.
pub fn key_set(data: &[u8]) {
    for dialect in [KeyDialect::Standard, KeyDialect::OpenMetadata] {
        let Ok(parsed) = ParsedKeys::parse(data, dialect) else { continue };
        // Of those that are not used as many are named, and the first beyond the limit.
        assert!(parsed.usable.len() <= 100 && parsed.usable.len() + parsed.skipped.len() <= 201);
        for key in &parsed.usable {
            assert_ne!(key.family(), KeyFamily::Hmac);
            assert!(!key.algorithms().is_empty());
            assert!(key.algorithms().iter().all(|algorithm| algorithm.family() == key.family()));
            assert!(key.family() != KeyFamily::Rsa || (2048..=8192).contains(&key.bits()));
        }
        let kids: Vec<_> = parsed.usable.iter().map(|key| key.kid().map(str::to_owned)).collect();
        let set = KeySet::new(parsed.usable);
        for kid in kids.iter().map(Option::as_deref).chain([None, Some("")]) {
            for algorithm in Algorithm::ASYMMETRIC {
                let _ = set.choose(kid, algorithm);
            }
        }
    }
}

/// Signed claims: an accepted token has a principal and is valid now.
pub fn claims(data: &[u8]) {
    let token = world::signed(data);
    let Ok(read) = UnverifiedToken::parse(&token, MAX_BYTES) else { return };
    for rules in world::rules() {
        let Ok(signed) = read.verify(&world::key()) else { panic!("our own signature") };
        let Ok(token) = claims::validate(signed, "idp", &rules, NOW) else { continue };
        assert!(!token.principal().is_empty() && !token.principal().chars().any(char::is_control));
        assert_eq!(token.check_times(NOW), Ok(()));
        assert!(rules.issuers.is_empty() || token.issuer().is_some());
        assert!(token.weight() > 0);
        let permit = world::permit(Caller::Token(token.into()));
        let facts = world::facts("GET", "/x", &Fields::new());
        let mut fields = Fields::new();
        let _ = world::head(Backend::DataHubGms).rewrite(&mut fields, &facts, &permit, PEER, true);
    }
}

/// A request target: an open route has one reading apart from a slash at its end, no reading is dangerous, and the readings
/// include every path that a servlet may serve it as.
pub fn request_target(data: &[u8]) {
    let Ok(target) = Uri::try_from(data) else { return };
    let Ok(path) = PathReadings::of(&target) else { return };
    for reading in path.all() {
        assert_eq!(reading.first(), Some(&b'/'));
        assert!(!reading.iter().any(u8::is_ascii_control));
        assert!(!reading.split(|byte| *byte == b'/').any(|segment| segment == b".." || segment == b"."));
    }
    assert_eq!(path.path_and_query().path(), path.raw());
    if path.is_plain() {
        assert_eq!(path.all().count(), 1);
    }
    let mut fields = Fields::new();
    fields.insert("host", HeaderValue::from_static("a.example"));
    let read = |target| {
        RequestFacts::read(&Method::GET, target, Version::HTTP_11, &fields, BackendQuirks::default(), PEER)
    };
    if let Ok(facts) = read(&target) {
        let route = world::authorizer(Backend::Generic, &["/**"]).route(&facts);
        assert_eq!(route == Route::Public, path.is_plain() || path.without_last_slash().is_some());
        assert!(facts.target_host.is_some() == target.authority().is_some());
    }
    let served = servlet::views(target.path());
    let is_raw = |view: &Vec<u8>| *view == path.raw().as_bytes();
    assert!(!path.is_plain() || served.iter().all(is_raw));
    if let Some(without) = path.without_last_slash() {
        assert!(served.iter().all(|view| is_raw(view) || *view == without));
    }
    for pattern in ["/api/v1/policies/**", "/api/*/policies", "/assets/*", "/x/\u{e9}"] {
        let Ok(pattern) = PathPattern::parse(pattern) else { panic!("{pattern}") };
        let matches = |path: &[u8]| pattern.matches(path);
        assert!(path.all().any(matches) || !served.iter().any(|view| matches(view)), "{pattern}");
    }
}

/// `Authorization` fields, one per line: a token has only characters of its alphabet and is
/// forwarded in one form.
pub fn authorization(data: &[u8]) {
    let mut fields = Fields::new();
    for line in data.split(|byte| *byte == b'\n') {
        if let Ok(value) = HeaderValue::from_bytes(line) {
            fields.append(AUTHORIZATION, value);
        }
    }
    let Ok(Credentials::Bearer(token)) = Credentials::read(&fields) else { return };
    assert_eq!(fields.len(), 1);
    let text = token.as_str();
    assert!(!text.is_empty());
    assert!(text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)));
    assert_eq!(token.canonical_field().as_bytes(), format!("Bearer {text}").as_bytes());
    assert!(token.canonical_field().is_sensitive());
    assert_eq!(format!("{token:?}"), "BearerToken(..)");
}

/// Fields, one `name:value` per line: of the reserved fields, only those that the gateway sets or
/// this caller may send go upstream, and a bearer token is forwarded without another login.
pub fn outbound_head(data: &[u8]) {
    let fields = world::fields(data);
    for backend in Backend::ALL {
        for caller in world::callers() {
            world::assert_own_fields(backend, &fields, caller);
        }
        world::assert_one_login(backend, &fields);
    }
}

/// A whole request, `METHOD target` and fields: without a valid token only open routes are
/// permitted.
pub fn decision(data: &[u8]) {
    let (line, rest) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    let mut words = line.splitn(2, |byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (Ok(method), Ok(target)) = (Method::from_bytes(method), Uri::try_from(target)) else { return };
    let fields = world::fields(rest);
    for backend in Backend::ALL {
        for version in [Version::HTTP_11, Version::HTTP_2] {
            let authorizer = world::preset_authorizer(backend, &Place::default());
            let admitted = world::admit(authorizer, &method, &target, version, &fields);
            let Ok(Admitted { facts, permit }) = admitted else { continue };
            match permit.caller() {
                Caller::Anonymous => {
                    assert_ne!(permit.route(), Route::Protected);
                    // One slash at the end is open if the path without it is.
                    let slash = facts.path.without_last_slash().is_some();
                    assert!(facts.path.is_plain() && facts.path.all().count() == 1 || slash);
                }
                Caller::SessionCookie => assert!(facts.has_session_cookie),
                Caller::Token(_) | Caller::DatahubSystem => panic!("{:?}", permit.caller()),
            }
        }
    }
}

/// A GraphQL request: a line with the query of its target, then its body, as JSON and as a
/// document. Only fields that are written there are reported.
pub fn graphql(data: &[u8]) {
    let (query, body) = split_line(data);
    let Ok(query) = str::from_utf8(query) else { return };
    let Ok(target) = Uri::try_from(format!("/api/graphql?{query}")) else { return };
    let written = String::from_utf8_lossy(body);
    let as_json = serde_json::json!({ "query": written }).to_string();
    let bodies =
        [("application/json", body), ("application/graphql", body), ("application/json", as_json.as_bytes())];
    for (content_type, body) in bodies {
        let mut fields = Fields::new();
        fields.insert("content-type", HeaderValue::from_static(content_type));
        fields.insert("host", HeaderValue::from_static("a.example"));
        let read = RequestFacts::read(
            &Method::POST,
            &target,
            Version::HTTP_11,
            &fields,
            BackendQuirks::default(),
            PEER,
        );
        let Ok(facts) = read else { continue };
        let Graphql::Operations(operations) = Graphql::read(&facts, &fields, body) else { continue };
        assert!((1..=64).contains(&operations.len()));
        for operation in operations {
            assert!((1..=128).contains(&operation.fields.len()));
            for name in operation.fields.iter().chain(&operation.name) {
                let first = name.as_bytes()[0];
                assert!(first.is_ascii_alphabetic() || first == b'_', "{name}");
                assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'), "{name}");
                // Unless it may be escaped in JSON or in the target.
                let escaped = written.contains('\\') || query.contains('%');
                assert!(escaped || written.contains(&**name) || query.contains(&**name), "{name}");
            }
        }
    }
}

/// A line with an expression, then claims: evaluation is deterministic and returns a result or an
/// error.
pub fn expression(data: &[u8]) {
    let (text, claims) = split_line(data);
    let Some(token) = world::verify(&world::signed(claims)) else { return };
    let request = world::facts("POST", "/api/graphql?action=a&action=b", &Fields::new());
    let subject = Subject { request: &request, path: b"/api/graphql", token: Some(&token), graphql: None };
    for text in [str::from_utf8(text).unwrap_or_default()].into_iter().chain(world::EXPRESSIONS) {
        let Ok(expression) = Expression::parse(text) else { continue };
        let answer = expression.evaluate(&subject, &Budget::default());
        assert_eq!(expression.evaluate(&subject, &Budget::default()), answer, "{text}");
        if text == world::EXPRESSIONS[0] {
            let is_bot = match token.claims().get("isBot") {
                Some(JsonValue::Bool(is_bot)) => Some(is_bot),
                _ => None,
            };
            assert_eq!(answer.ok(), is_bot.map(|is_bot| !is_bot));
        }
    }
}

fn split_line(data: &[u8]) -> (&[u8], &[u8]) {
    let (line, rest) = data.split_at(data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len()));
    (line, rest.get(1..).unwrap_or_default())
}
