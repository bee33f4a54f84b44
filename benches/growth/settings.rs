//! The size of the configuration: rules, routes, issuers and revocations. What a request costs must not depend on it.

use std::hint::black_box;
use std::sync::Arc;

use http::{HeaderName, HeaderValue, Method, Uri, Version};
use metagate::admission::{Admission, RequestHead, Snapshot, Via};
use metagate::backend::Backend;
use metagate::decision::{Authorizer, Route};
use metagate::jose::{KeySet, VerificationKey};
use metagate::message::Fields;
use metagate::outbound_head::{Authorization, IdentityNames, OutboundHead};
use metagate::policy::{Matching, Methods, PathPattern, RouteTable, Verdict};
use metagate::revocation::{Revocation, RevocationLists, Revocations, RevokedBy};
use metagate::trust::KeyRing;

use super::world;
use super::{Constant, Run};

/// How many requests one run admits, so that the clock's resolution does not matter.
const REQUESTS: usize = 100;

const RULES: &[usize] = &[1, 100, 1000, 10_000];
const ISSUERS: &[usize] = &[1, 100];
const REVOCATIONS: &[usize] = &[1, 1000, 100_000, 1_000_000];

pub const CASES: &[Constant] = &[
    Constant::new("rules", RULES, |size| admitted(ruled(size, |_| Matching::default()), "/api/v1/tables/x")),
    Constant::new("rules, a path with many readings", RULES, |size| {
        admitted(ruled(size, |_| Matching::default()), "/api/v1;a=b/t%61bles;c/x/")
    }),
    Constant::new("rules after `*`", RULES, |size| {
        let of = |number| Matching {
            paths: vec![pattern(&format!("/*/*/thing{number}/*/x"))],
            ..Matching::default()
        };
        admitted(ruled(size, of), "/api/v1/tables/x")
    }),
    Constant::new("rules by host", RULES, |size| {
        let hosts = |number| vec![format!("tenant{number}.example").into()];
        admitted(
            ruled(size, |number| Matching { hosts: hosts(number), ..Matching::default() }),
            "/api/v1/tables/x",
        )
    }),
    Constant::new("rules about parameters", RULES, |size| {
        let query = |number| vec![(format!("name{number}").into(), vec!["*".into()])];
        let of = |number| Matching { query: query(number), ..Matching::default() };
        admitted(ruled(size, of), "/api/v1/tables/x?a=1&b=2&name=3")
    }),
    Constant::new("public routes", RULES, |size| admitted(routed(size), "/api/v1/tables/x")),
    Constant::new("public routes, the last one", RULES, |size| {
        admitted(routed(size), &format!("/public/thing{}/x", size - 1))
    }),
    Constant::new("issuers", ISSUERS, |size| {
        let mut authorizer = world::authorizer(Backend::Generic, Vec::new());
        let own = authorizer.trust.remove(0);
        for number in 1..size {
            let mut other = own.clone();
            other.name = format!("other{number}").into();
            other.rules.issuers = vec![format!("https://issuer{number}.example").into()];
            authorizer.trust.push(other);
        }
        authorizer.trust.push(own);
        admitted(authorizer, "/api/v1/tables/x")
    }),
    Constant::new("revocations", REVOCATIONS, |size| {
        let kinds = [RevokedBy::Id, RevokedBy::Subject, RevokedBy::Key];
        let entry = |number: usize| {
            let by = kinds[number % kinds.len()];
            Revocation::new(by, &format!("0e5cb7a6-4d2c-4f0a-9d6b-{number:012}")).expect("an entry")
        };
        let list = Revocations::new((0..size).map(entry), None).expect("room for all").complete();
        request(
            world::authorizer(Backend::Generic, Vec::new()),
            "/api/v1/tables/x",
            Some(Arc::new(list).into()),
        )
    }),
];

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).expect("a pattern")
}

/// Rules that refuse, about other paths and what `more` says.
fn ruled(size: usize, more: impl Fn(usize) -> Matching) -> Authorizer {
    let rules = (0..size).map(|number| {
        let mut matching = more(number);
        if matching.paths.is_empty() && matching.hosts.is_empty() {
            matching.paths = vec![pattern(&format!("/api/v1/thing{number}/**"))];
        }
        matching.methods = Methods::parse("GET,POST").expect("methods");
        let mut rule = world::rule(matching);
        rule.verdict = Verdict::Deny;
        rule
    });
    world::authorizer(Backend::Generic, rules.collect())
}

fn routed(size: usize) -> Authorizer {
    let routes: Vec<_> = (0..size).map(|number| format!("/public/thing{number}/**")).collect();
    let rows: Vec<_> = routes.iter().map(|route| (Route::Public, route.as_str())).collect();
    let mut authorizer = world::authorizer(Backend::Generic, Vec::new());
    authorizer.policy.routes = RouteTable::parse(&rows).expect("routes");
    authorizer
}

fn admitted(authorizer: Authorizer, target: &str) -> Run {
    request(authorizer, target, None)
}

/// Admits a request with a good token. Verifying it is a part of what is measured.
fn request(authorizer: Authorizer, target: &str, revocations: Option<RevocationLists>) -> Run {
    let names = IdentityNames {
        user: Some(HeaderName::from_static("x-forwarded-user")),
        email: Some(HeaderName::from_static("x-forwarded-email")),
        groups: Some(HeaderName::from_static("x-forwarded-groups")),
        datahub_actor: false,
    };
    let head = OutboundHead::new(authorizer.backend, names, Authorization::Forward, Vec::new());
    let keys = Arc::new(KeySet::new(vec![Arc::new(VerificationKey::from_shared_secret(world::SECRET))]));
    let ring = KeyRing { generation: 0, sets: vec![Some(keys); authorizer.trust.len()] };
    let mut headers: Fields = world::fields::<&str>([]);
    let bearer = format!("Bearer {}", world::token(",\"jti\":\"0e5cb7a6-4d2c-4f0a-9d6b-of-a-token\""));
    headers.insert("authorization", HeaderValue::try_from(bearer).expect("a value"));
    let target = Uri::try_from(target).expect("a target");
    let admission = Admission { authorizer, head, body_bytes: u64::MAX, target_bytes: 8192 };
    let ring = Arc::new(ring);
    Box::new(move || {
        let mut snapshot = Snapshot::new(world::NOW, ring.clone());
        snapshot.revocations = revocations.as_ref();
        for _ in 0..REQUESTS {
            let request = RequestHead {
                method: &Method::GET,
                target: &target,
                version: Version::HTTP_11,
                headers: &headers,
                source: Some(world::PEER),
                content_length: None,
                via: Via::Proxy,
                token_fields: None,
            };
            assert!(black_box(admission.admit_offline(&request, &mut snapshot, &mut ())).is_ok());
        }
    })
}
