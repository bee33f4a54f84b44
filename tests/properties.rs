//! Properties that hold for every input.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_enum_variant,
    reason = "tests"
)]

use std::cell::Cell;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use http::{HeaderName, HeaderValue, Method, Uri};
use metagate::backend::Backend;
use metagate::decision::Route;
use metagate::jose::{Algorithm, KeyDialect, ParsedKeys, UnverifiedToken, VerificationKey};
use metagate::message::Fields;
use metagate::policy::RouteTable;
use metagate::request::{BackendQuirks, Credentials, ForwardAuthDialect, OriginalRequest, RequestFacts};
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

#[path = "properties/messages.rs"]
mod messages;
#[path = "properties/presets.rs"]
mod presets;
#[path = "../benches/support/signer.rs"]
mod signer;
#[allow(dead_code, reason = "the targets themselves run in fuzz_targets.rs")]
#[path = "../fuzz/src/lib.rs"]
mod targets;

use signer::{SECRET, Signer};
use targets::world;

const CLAIMS: &str =
    r#"{"iss":"https://idp.example","sub":"ada","email":"ada@example.org","exp":1800000600}"#;

/// Deterministic: a failure in CI can be reproduced locally.
fn check<S: Strategy>(cases: u32, strategy: &S, test: impl Fn(S::Value) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    if let Err(failure) = TestRunner::new_with_rng(config, rng).run(strategy, test) {
        panic!("{failure}");
    }
}

/// A mutation of a token. Positions and indices are taken modulo the available range.
#[derive(Clone, Debug)]
enum Change {
    FlipBitOfText(usize, u32),
    FlipBitOfPart(usize, usize, u32),
    ReplaceByte(usize, char),
    Insert(usize, char),
    Remove(usize),
    OtherCase(usize),
    Truncate(usize),
    SwapParts(usize, usize),
    RepeatPart(usize),
    EmptyPart(usize),
    PadPart(usize),
    StandardAlphabet(usize),
    UnusedBits(usize),
    PartOfAnother(usize),
    LowerCase,
    Append(String),
}

fn change() -> impl Strategy<Value = Change> {
    use Change::*;
    let at = || any::<usize>();
    // Characters of tokens, and characters that some parsers skip.
    let character = || {
        prop_oneof![
            prop::char::range('0', 'z'),
            prop::sample::select(vec!['=', '+', '/', ' ', '\n', '\0', '\u{e9}'])
        ]
    };
    prop_oneof![
        (at(), any::<u32>()).prop_map(|(at, bit)| FlipBitOfText(at, bit)),
        (at(), at(), any::<u32>()).prop_map(|(part, at, bit)| FlipBitOfPart(part, at, bit)),
        (at(), character()).prop_map(|(at, new)| ReplaceByte(at, new)),
        (at(), character()).prop_map(|(at, new)| Insert(at, new)),
        at().prop_map(Remove),
        at().prop_map(OtherCase),
        at().prop_map(Truncate),
        (at(), at()).prop_map(|(a, b)| SwapParts(a, b)),
        at().prop_map(RepeatPart),
        at().prop_map(EmptyPart),
        at().prop_map(PadPart),
        at().prop_map(StandardAlphabet),
        at().prop_map(UnusedBits),
        at().prop_map(PartOfAnother),
        Just(LowerCase),
        "[A-Za-z0-9_.=\\-]{1,8}".prop_map(Append),
    ]
}

/// Applies a mutation. `other` is another valid token of the same key.
fn changed(token: &str, other: &str, change: &Change) -> String {
    changed_text(token, change).unwrap_or_else(|| changed_parts(token, other, change))
}

/// Mutations of the text as a whole.
fn changed_text(token: &str, change: &Change) -> Option<String> {
    let mut text: Vec<char> = token.chars().collect();
    let len = text.len();
    match *change {
        Change::FlipBitOfText(at, bit) => {
            text[at % len] = char::from(u8::try_from(text[at % len]).unwrap() ^ (1 << (bit % 8)));
        }
        Change::ReplaceByte(at, new) => text[at % len] = new,
        Change::Insert(at, new) => text.insert(at % (len + 1), new),
        Change::Remove(at) => drop(text.remove(at % len)),
        Change::OtherCase(at) => {
            let old = text[at % len];
            text[at % len] =
                if old.is_ascii_lowercase() { old.to_ascii_uppercase() } else { old.to_ascii_lowercase() };
        }
        Change::Truncate(at) => text.truncate(at % len),
        Change::LowerCase => return Some(token.to_ascii_lowercase()),
        Change::Append(ref more) => text.extend(more.chars()),
        _ => return None,
    }
    Some(text.into_iter().collect())
}

/// Mutations of one part, or of the order of parts.
fn changed_parts(token: &str, other: &str, change: &Change) -> String {
    let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
    let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).unwrap();
    match *change {
        Change::FlipBitOfPart(part, at, bit) => {
            let mut bytes = decoded(&parts[part % 3]);
            let len = bytes.len();
            bytes[at % len] ^= 1 << (bit % 8);
            parts[part % 3] = URL_SAFE_NO_PAD.encode(bytes);
        }
        Change::SwapParts(a, b) => parts.swap(a % 3, b % 3),
        Change::RepeatPart(part) => parts.insert(part % 3, parts[part % 3].clone()),
        Change::EmptyPart(part) => parts[part % 3].clear(),
        Change::PadPart(part) => {
            let padded = URL_SAFE.encode(decoded(&parts[part % 3]));
            parts[part % 3] = if padded.ends_with('=') { padded } else { format!("{padded}=") };
        }
        Change::StandardAlphabet(part) => parts[part % 3] = STANDARD.encode(decoded(&parts[part % 3])),
        // RFC 4648 section 3.5: unused bits of the last character.
        Change::UnusedBits(part) => {
            let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            let last = parts[part % 3].pop().unwrap();
            let next = alphabet.find(last).unwrap() ^ 1;
            parts[part % 3].push_str(&alphabet[next..=next]);
        }
        Change::PartOfAnother(part) => {
            parts[part % 3] = other.split('.').nth(part % 3).unwrap().to_owned();
        }
        ref other => panic!("{other:?} is not a mutation of parts"),
    }
    parts.join(".")
}

fn verifier(signer: &Signer) -> VerificationKey {
    let Some(jwk) = signer.jwk() else { return VerificationKey::from_shared_secret(SECRET) };
    let document = format!(r#"{{"keys":[{jwk}]}}"#);
    let parsed = ParsedKeys::parse(document.as_bytes(), KeyDialect::Standard).unwrap();
    std::sync::Arc::into_inner(parsed.usable.into_iter().next().unwrap()).unwrap()
}

/// No mutated token verifies, with any algorithm. Every part has exactly one valid encoding, so
/// there is not even another text for the same bytes.
#[test]
fn mutated_token_is_refused() {
    let other_claims = CLAIMS.replace("ada", "eve");
    for algorithm in Algorithm::ASYMMETRIC.into_iter().chain([Algorithm::HS256]) {
        let signer = Signer::new(algorithm);
        let (token, other) = (signer.token(CLAIMS), signer.token(&other_claims));
        let key = verifier(&signer);
        let holds = |token: &str| {
            UnverifiedToken::parse(token, world::MAX_BYTES).and_then(|token| token.verify(&key)).is_ok()
        };
        assert!(holds(&token) && holds(&other));
        check(300, &prop::collection::vec(change(), 1..3), |changes| {
            // Mutations accumulate only as long as the token has three parts.
            let mut text = token.clone();
            for change in &changes {
                let whole = text.split('.').count() == 3
                    && text
                        .split('.')
                        .all(|part| URL_SAFE_NO_PAD.decode(part).is_ok_and(|part| !part.is_empty()));
                if whole {
                    text = changed(&text, &other, change);
                }
            }
            prop_assert!(text == token || text == other || !holds(&text), "{changes:?}: {text}");
            Ok(())
        });
    }
}

/// Path segments that some servers interpret differently.
fn path() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "/", "/", "/", "assets", "api", "v1", "x", ".", "..", ";", ";a=b", "%2e", "%2f", "%2F", "%5c", "%25",
        "%252f", "%3b", "%00", "%c0%ae", "%41", "%C3%A9", "\\", "#", "?q=1", "*", "~", ":", "@", "%", "%zz",
    ]);
    prop::collection::vec(piece, 0..10).prop_map(|pieces| format!("/{}", pieces.concat()))
}

/// An ambiguous path matches no open route, whichever routes are open. A slash at the end is not ambiguous if both
/// readings are open in the same way.
#[test]
fn open_route_has_only_one_reading_apart_from_a_slash() {
    let routes = ["/**", "/assets/**", "/*", "/api/v1/x", "/assets/*/x", "/"];
    check(5000, &path(), |path| {
        targets::request_target(path.as_bytes());
        let Ok(target) = http::Uri::try_from(path.as_str()) else { return Ok(()) };
        let mut fields = Fields::new();
        fields.insert("host", HeaderValue::from_static("a.example"));
        let (method, version) = (http::Method::GET, http::Version::HTTP_11);
        let quirks = BackendQuirks::default();
        let read = RequestFacts::read(&method, &target, version, &fields, quirks, world::PEER);
        let Ok(facts) = read else { return Ok(()) };
        for public in routes {
            for authorizer in [world::authorizer(Backend::Generic, &[public]), {
                let optional = RouteTable::parse(&[(Route::Optional, public)]).expect("a pattern");
                world::authorizer_with(Backend::Generic, optional)
            }] {
                let route = authorizer.route(&facts);
                if route != Route::Protected {
                    let raw = facts.path.raw();
                    let slash = raw.strip_suffix('/').unwrap_or(raw).as_bytes();
                    let rows = &authorizer.policy.routes;
                    for reading in facts.path.all() {
                        prop_assert!(reading == raw.as_bytes() || reading == slash);
                        let row = rows.find(&facts.method, reading).map(|row| rows.rows()[row].route);
                        prop_assert_eq!(row, Some(route));
                    }
                    prop_assert!(!facts.path.raw().contains(['%', ';', '\\']));
                    prop_assert!(!facts.path.raw().contains("//") && !facts.path.raw().contains("/../"));
                }
            }
        }
        Ok(())
    });
}

/// The request that the proxy names is authorized byte for byte, and all other fields that name a
/// request agree with it.
#[test]
fn forward_auth_authorizes_exactly_the_named_request() {
    let names =
        ["x-forwarded-method", "x-forwarded-uri", "x-original-method", "x-original-uri", "x-original-url"];
    let method = || prop_oneof![Just("GET".to_owned()), Just("PUT".to_owned()), "[ -~]{0,3}"];
    let target = || {
        let odd = "(https?://)?[a-z@?#:/]{0,6}/[a-z?#/%.;]{0,6}";
        prop_oneof![Just("/a".to_owned()), path(), odd, "[ -~]{0,8}"]
    };
    let value = |name: &'static str| {
        let some = if name.ends_with("method") { method().boxed() } else { target().boxed() };
        prop::collection::vec(some, 0..=1).prop_map(move |values| (name, values))
    };
    let fields = names.map(value).to_vec();
    let form = prop::sample::select(vec![
        ForwardAuthDialect::Forwarded,
        ForwardAuthDialect::Original,
        ForwardAuthDialect::Request,
    ]);
    let read = Cell::new(0);
    check(4000, &(form, fields), |(form, fields)| {
        let mut head = Fields::new();
        head.insert("x-forwarded-host", HeaderValue::from_static("a.example"));
        for (name, values) in &fields {
            for value in values {
                head.append(*name, HeaderValue::from_str(value).unwrap());
            }
        }
        let own = Uri::from_static("/a");
        let Ok(asked) = OriginalRequest::read(form, &Method::GET, &own, &head) else { return Ok(()) };
        read.set(read.get() + 1);
        let target = &*metagate::request::written(asked.target.path_and_query().unwrap());
        for (name, value) in fields.iter().flat_map(|(name, values)| values.iter().map(move |v| (name, v))) {
            if name.ends_with("method") {
                prop_assert_eq!(value.as_str(), asked.method.as_str());
            } else {
                let before = value.strip_suffix(target).expect("the end of every field");
                let authority = before.strip_prefix("http://").or(before.strip_prefix("https://"));
                prop_assert!(before.is_empty() || authority.is_some_and(|a| !a.contains('/')), "{value}");
                prop_assert!(!target.contains('#') && target.starts_with('/'));
            }
        }
        Ok(())
    });
    assert!(read.get() > 100, "only {} were read", read.get());
}

/// Any request ends in a permit or a denial, and without a valid token only open routes are
/// permitted.
#[test]
fn decision_never_panics() {
    let token = prop_oneof![
        "[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}\\.[A-Za-z0-9_-]{0,40}",
        any::<Vec<u8>>().prop_map(|payload| {
            // Only a signed token reaches the claims code.
            let token = world::signed(&payload);
            token[..token.len() - 4].to_owned()
        }),
    ];
    let scheme = prop::sample::select(vec!["Bearer ", "bearer ", "Basic ", "", "Bearer  ", "DPoP "]);
    let noise = prop::collection::vec(any::<u8>(), 0..60);
    check(1500, &(path(), scheme, token, noise.clone(), noise), |(path, scheme, token, first, second)| {
        let head = format!("GET {path}\nhost:a.example\nauthorization:{scheme}{token}\n");
        targets::decision(&[head.as_bytes(), &first, b":", &second].concat());
        targets::decision(&[&first[..], b" ", &second].concat());
        targets::authorization(&[scheme.as_bytes(), token.as_bytes(), &first].concat());
        Ok(())
    });
}

/// The parsed bearer token is a substring of the field that the client sent.
#[test]
fn bearer_token_is_a_substring_of_its_field() {
    check(2000, &prop::collection::vec(any::<u8>(), 0..80), |bytes| {
        let Ok(value) = HeaderValue::from_bytes(&[b"Bearer ", &bytes[..]].concat()) else { return Ok(()) };
        let mut fields = Fields::new();
        fields.insert(http::header::AUTHORIZATION, value.clone());
        if let Ok(Credentials::Bearer(token)) = Credentials::read(&fields) {
            prop_assert_eq!(token.as_str().as_bytes(), bytes.trim_ascii());
        }
        Ok(())
    });
}

/// Of the reserved fields, only those that the gateway sets go upstream, whatever names a client
/// invents.
#[test]
fn reserved_fields_are_only_those_set_by_the_gateway() {
    let own = prop::sample::select(vec![
        "x-forwarded-user",
        "x-forwarded-email",
        "x-forwarded-groups",
        "x-forwarded-for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x-datahub-actor",
        "x-impersonate-user",
        "x-auth-request-user",
        "forwarded",
        "x-real-ip",
        "remote-user",
        "x-original-url",
        "connection",
        "te",
        "x-openmetadata-persona",
        "x-datahub-delegated-for-id",
        "x-forwarded-client-cert",
        "x-datahub-impersonated-urn",
        "x-datahub-client-mode",
        "x-datahub-request-source",
        "cf-access-groups",
        "x-auth-request-roles",
        "proxy",
        "userid",
        "authorization",
        "cookie",
    ]);
    // Each letter in either case, and each separator one of three.
    let spelled = (own, any::<u64>()).prop_map(|(name, bits)| {
        let spell = |(at, c): (usize, char)| match (c, bits >> (at % 60) & 3) {
            ('-', 1) => '_',
            ('-', 2) => '.',
            (c, 3) => c.to_ascii_uppercase(),
            (c, _) => c,
        };
        name.char_indices().map(spell).collect::<String>()
    });
    let name = prop_oneof![3 => spelled, 1 => "[!#$%&'*+.^_`|~0-9A-Za-z\\-]{1,20}"];
    let value = prop_oneof![
        "[ -~]{0,20}",
        Just("x-forwarded-user, x_forwarded_for, authorization".to_owned()),
        Just("Bearer a.b.c".to_owned()),
        Just("a=b; PLAY_SESSION=x".to_owned()),
        Just("X-DataHub-Actor".to_owned())
    ];
    check(2000, &prop::collection::vec((name, value), 0..6), |lines| {
        let field = |(name, value): &(String, String)| {
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        };
        let fields: Fields = lines.iter().map(field).collect();
        for backend in Backend::ALL {
            for caller in world::callers() {
                world::assert_own_fields(backend, &fields, caller);
            }
            world::assert_one_login(backend, &fields);
        }
        Ok(())
    });
}
