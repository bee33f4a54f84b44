//! The authorized path is the served path: compares metagate's readings with a servlet's.
//!
//! `tests/differential/run` compares the model in `differential/servlet.rs` with a real Jetty.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::cell::Cell;

use http::{HeaderValue, Method, Uri, Version};
use metagate::backend::Backend;
use metagate::decision::{Authorizer, Route};
use metagate::message::Fields;
use metagate::policy::{PathPattern, Place, Policy, RouteTable};
use metagate::request::{BackendQuirks, RequestFacts};
use metagate::token_exchange::TokenExchange;
use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

#[path = "differential/servlet.rs"]
mod servlet;

use servlet::{Container, container_path, jersey_path, resource, servlet_path, views};

const TABLE: &str = include_str!("differential/paths.tsv");

/// Parses a target as metagate does. `None` if it is refused with 400.
fn facts(target: &str) -> Option<RequestFacts> {
    let mut fields = Fields::new();
    fields.insert("host", HeaderValue::from_static("a.example"));
    let target = Uri::try_from(target).ok()?;
    let peer = std::net::IpAddr::from([192, 0, 2, 1]);
    RequestFacts::read(&Method::GET, &target, Version::HTTP_11, &fields, BackendQuirks::default(), peer).ok()
}

fn authorizer(backend: Backend, routes: RouteTable) -> Authorizer {
    let policy = Policy { routes, ..Policy::default() };
    let exchange = TokenExchange::default();
    Authorizer { backend, policy, trust: Vec::new(), datahub_system: None, token_bytes: 0, exchange }
}

/// The presets at the root and below a base path, with SAML, which opens the most routes.
fn presets() -> impl Iterator<Item = Authorizer> {
    let places =
        ["", "/catalog"].map(|base_path| Place { base_path, provider: Some("saml"), ..Place::default() });
    let preset = |backend: Backend, place: &Place<'_>| {
        authorizer(backend, RouteTable::preset(backend, place).unwrap())
    };
    Backend::ALL.into_iter().flat_map(move |backend| places.map(|place| preset(backend, &place)))
}

/// The authorizers to test: the presets, and routes that an operator may configure.
fn authorizers() -> Vec<Authorizer> {
    let written =
        ["/**", "/assets/**", "/*", "/api/*/x", "/api/v1/system/version", "GET /api/v1/policies", "/x/**"];
    let table = |route| RouteTable::parse(&[(Route::Public, route)]).unwrap();
    presets().chain(written.map(|route| authorizer(Backend::Generic, table(route)))).collect()
}

/// A target as metagate and as servlets interpret it.
struct Seen {
    target: String,
    facts: RequestFacts,
    views: Vec<Vec<u8>>,
}

impl Seen {
    /// `None` if metagate refuses it.
    fn of(target: &str) -> Option<Self> {
        Some(Self { target: target.to_owned(), facts: facts(target)?, views: views(target) })
    }

    /// The fault, if the target is open but served as a path that is not.
    fn opened_as_another(&self, authorizer: &Authorizer) -> Option<String> {
        let raw = self.facts.path.raw().as_bytes();
        let route = authorizer.route(&self.facts);
        // One slash at the end is open if the path without it is open in the same way.
        let same_without_slash = |view: &[u8]| {
            let row = authorizer.policy.routes.find(&self.facts.method, view);
            raw.strip_suffix(b"/") == Some(view)
                && row.is_some_and(|row| authorizer.policy.routes.rows()[row].route == route)
        };
        let other = self.views.iter().find(|view| **view != raw && !same_without_slash(view))?;
        let open = route != Route::Protected;
        open.then(|| format!("{} is open and served as {}", self.target, String::from_utf8_lossy(other)))
    }

    /// The fault, if the target is served as one of these paths but the pattern does not match it.
    fn dodged(&self, pattern: &PathPattern) -> Option<String> {
        let served = self.views.iter().find(|view| pattern.matches(view))?;
        let seen = self.facts.path.all().any(|reading| pattern.matches(reading));
        let served = String::from_utf8_lossy(served);
        (!seen)
            .then(|| format!("{} is served as {served} but not matched by a rule on {pattern}", self.target))
    }
}

fn patterns() -> Vec<PathPattern> {
    [
        "/api/v1/policies",
        "/api/v1/policies/*",
        "/api/v1/policies/**",
        "/api/*/policies",
        "/api/**",
        "/assets/x",
        "/assets/**",
        "/*",
        "/x/\u{e9}",
        "/",
    ]
    .map(|pattern| PathPattern::parse(pattern).unwrap())
    .into()
}

#[test]
fn model_agrees_with_jetty_on_every_recorded_target() {
    let mut resources = 0;
    for line in TABLE.lines() {
        let [target, status, servlet, info, served] = line.split('\t').collect::<Vec<_>>()[..] else {
            panic!("{line}")
        };
        let path = container_path(target, Container::Jetty9);
        let Some(path) = path else {
            assert_eq!(status, "400", "{target}");
            continue;
        };
        let (own_servlet, own_info) = servlet_path(&path);
        assert_eq!(escaped(own_servlet), servlet, "{target}");
        assert_eq!(own_info.map_or("null".to_owned(), escaped), info, "{target}");
        let own = match jersey_path(target, Container::Jetty9) {
            Some(path) => resource(&path).unwrap_or("-"),
            None => "rest",
        };
        assert_eq!(own, served, "{target}");
        resources += usize::from(!["-", "rest"].contains(&served));
    }
    assert!(TABLE.lines().count() >= 500 && resources >= 40, "{resources} resources were served");
}

/// Escapes a path as `Backend.java` does.
fn escaped(path: &[u8]) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'%';
    let one = |byte: &u8| if plain(*byte) { char::from(*byte).to_string() } else { format!("%{byte:02X}") };
    path.iter().map(one).collect()
}

#[test]
fn recorded_targets_are_authorized_as_served() {
    let (authorizers, patterns) = (authorizers(), patterns());
    let (mut open, mut other) = (0, 0);
    for seen in TABLE.lines().filter_map(|line| Seen::of(line.split('\t').next()?)) {
        for authorizer in &authorizers {
            assert_eq!(seen.opened_as_another(authorizer), None);
            open += u32::from(authorizer.route(&seen.facts) == Route::Public);
        }
        for pattern in &patterns {
            assert_eq!(seen.dodged(pattern), None);
            other += u32::from(seen.views.iter().any(|view| pattern.matches(view)));
        }
    }
    assert!(open > 20 && other > 200, "{open} were open, {other} were under a rule");
}

/// Significant prefixes, and segments that some servers interpret differently.
fn target() -> impl Strategy<Value = String> {
    let mut starts: Vec<String> = presets()
        .flat_map(|authorizer| authorizer.policy.routes.rows().to_vec())
        .map(|row| row.pattern.path().to_string().replace("/**", "/").replace('*', "x"))
        .collect();
    starts.extend(
        ["/", "/api/v1/policies", "/api;", "/api;v1", "/api/", "/assets/x", "//", "/x/"].map(str::to_owned),
    );
    let piece = prop::sample::select(vec![
        "/",
        "/",
        "/",
        "/",
        "api",
        "v1",
        "policies",
        "policies/x",
        "v1/policies",
        "assets",
        "x",
        "API",
        "Health",
        ";",
        ";",
        ";v1",
        ";a=b",
        "..",
        ".",
        "%2e",
        "%2E%2e",
        "%2f",
        "%2F",
        "%3b",
        "%3B",
        "%61pi",
        "%70olicies",
        "%41",
        "%25",
        "%252f",
        "%252e",
        "%C3%A9",
        "%e9",
        "%5c",
        "//",
        "?x=/health",
        "~",
        ":",
        "@",
        "'",
        "!",
        ",",
        "(",
        "*",
        "=",
        "&",
        "+",
        "$",
    ]);
    // Also with an insertion or another case inside the prefix.
    let spoilt = (prop::sample::select(starts.clone()), any::<prop::sample::Index>(), piece.clone())
        .prop_map(|(start, at, piece)| {
            let at = at.index(start.len()) + 1;
            format!("{}{piece}{}", &start[..at], &start[at..])
        });
    let start = prop_oneof![2 => prop::sample::select(starts), 1 => spoilt];
    (start, prop::collection::vec(piece, 0..6)).prop_map(|(start, pieces)| start + &pieces.concat())
}

/// Deterministic: a failure in CI can be reproduced locally.
fn check(cases: u32, test: impl Fn(&Seen) -> Result<(), TestCaseError>) {
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let run = TestRunner::new_with_rng(config, rng)
        .run(&target(), |target| Seen::of(&target).map_or(Ok(()), |seen| test(&seen)));
    if let Err(failure) = run {
        panic!("{failure}");
    }
}

#[test]
fn open_route_is_served_only_as_itself() {
    let authorizers = authorizers();
    let open = Cell::new(0);
    check(20_000, |seen| {
        for authorizer in &authorizers {
            prop_assert_eq!(seen.opened_as_another(authorizer), None);
            open.set(open.get() + u32::from(authorizer.route(&seen.facts) == Route::Public));
        }
        Ok(())
    });
    assert!(open.get() > 2_000, "only {} were open", open.get());
}

#[test]
fn path_rule_applies_to_every_target_served_as_that_path() {
    let patterns = patterns();
    let matched = Cell::new(0);
    check(20_000, |seen| {
        let raw = seen.facts.path.raw().as_bytes();
        for pattern in &patterns {
            prop_assert_eq!(seen.dodged(pattern), None);
            let otherwise = !pattern.matches(raw) && seen.views.iter().any(|view| pattern.matches(view));
            matched.set(matched.get() + u32::from(otherwise));
        }
        Ok(())
    });
    assert!(matched.get() > 1_000, "only {} matched by a reading other than the raw path", matched.get());
}
