//! What one admission costs, without network and without hyper.
//!
//! `cold/*` is a full verification per algorithm, `cached` a token that was verified before,
//! `denied/*` one request per kind of refusal, and `rules/*` the cost of rules. Compare rows with
//! each other, not with those of another machine.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::large_enum_variant,
    reason = "a benchmark"
)]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use metagate::admission::{Admission, Environment, RequestHead, Snapshot, Via};
use metagate::backend::Backend;
use metagate::claims::{
    ClaimRules, NonExpiring, OwnTokens, PrincipalRules, PrincipalStyle, RolesClaim, TokenKinds,
};
use metagate::decision::{Authorizer, Caller, Denial, Permit};
use metagate::jose::{
    Algorithm, AlgorithmSet, KeyDialect, KeySet, ParsedKeys, UnverifiedToken, VerificationKey,
};
use metagate::message::Fields;
use metagate::numeric_date::NumericDate;
use metagate::outbound_head::{Authorization, IdentityNames, OutboundHead};
use metagate::policy::{
    Expression, GraphqlMatching, Matching, Methods, Mode, PathPattern, Place, Policy, Requirement, Route,
    RouteTable, Rule, Verdict,
};
use metagate::request::{Graphql, HeadLimits, HeadScanner, RequestFacts};
use metagate::token_cache::TokenCache;
use metagate::trust::{self, KeyRing, TrustedIssuer};

#[path = "support/cached.rs"]
mod cached;
#[path = "support/signer.rs"]
mod signer;

use cached::{Cached, poll_once};
use signer::Signer;

const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);
const CLAIMS: &str = r#"{"iss":"https://idp.example.org","sub":"ada","email":"ada@example.org","aud":"openmetadata","roles":["DataConsumer","DataSteward"],"iat":1799999000,"exp":1800003600,"tokenType":"OM_USER","isBot":false}"#;

fn cold(c: &mut Criterion) {
    let mut group = c.benchmark_group("cold");
    for algorithm in Algorithm::ASYMMETRIC.into_iter().chain([Algorithm::HS256]) {
        let signer = Signer::new(algorithm);
        let token = signer.token(CLAIMS);
        let admission = admission(authorizer(algorithm));
        let mut environment = environment(key_set(&signer));
        group.bench_function(algorithm.name(), |b| {
            b.iter(|| admit(&admission, &mut environment, Some(black_box(&token))).expect("a good token"));
        });
    }
    group.finish();
}

fn cached(c: &mut Criterion) {
    let signer = Signer::new(Algorithm::RS256);
    let token = signer.token(CLAIMS);
    let admission = admission(authorizer(Algorithm::RS256));
    let cache = TokenCache::new(32 << 20, Duration::from_secs(300));
    let mut environment = Cached { inner: environment(key_set(&signer)), cache, hits: 0 };
    drop(admit(&admission, &mut environment, Some(&token)).expect("a good token"));
    let mut requests = 0;
    c.bench_function("cached", |b| {
        b.iter(|| {
            requests += 1;
            admit(&admission, &mut environment, Some(black_box(&token))).expect("allowed")
        });
    });
    assert_eq!(environment.hits, requests, "every one was in the cache");
}

fn denied(c: &mut Criterion) {
    let signer = Signer::new(Algorithm::RS256);
    let stranger = Signer::new(Algorithm::RS256);
    let admission = admission(authorizer(Algorithm::RS256));
    let mut environment = environment(key_set(&signer));
    let changed = |from: &str, to: &str| signer.token(&CLAIMS.replace(from, to));
    let cases = [
        ("missing_token", None),
        ("malformed_token", Some("a.b".to_owned())),
        ("algorithm_not_allowed", Some(Signer::new(Algorithm::ES256).token(CLAIMS))),
        ("untrusted_issuer", Some(changed("idp.example.org", "evil.example.org"))),
        ("unknown_key", Some(signer.token_with_kid("unknown", CLAIMS))),
        ("invalid_signature", Some(stranger.token(CLAIMS))),
        ("expired", Some(changed("1800003600", "1799999900"))),
        ("wrong_audience", Some(changed("openmetadata", "other"))),
    ];
    let mut group = c.benchmark_group("denied");
    for (reason, token) in &cases {
        let mut run = || admit(&admission, &mut environment, black_box(token.as_deref())).err();
        assert_eq!(run().map(|denial| denial.reason.as_str()), Some(*reason));
        group.bench_function(*reason, |b| b.iter(&mut run));
    }
    let token = signer.token(CLAIMS);
    let verified = Arc::new(verify(&admission.authorizer, &key_set(&signer), &token).expect("a good token"));
    group.bench_function("insufficient_permissions", |b| {
        b.iter(|| {
            let facts = facts(Some(&token), "/api/v1/policies/1");
            let authorizer = &admission.authorizer;
            authorizer.decide(&facts, authorizer.route(&facts), Ok(Caller::Token(verified.clone()))).err()
        });
    });
    group.bench_function("bad_target", |b| {
        let target = Uri::from_static("/api/v1/tables/%2e%2e/users");
        b.iter(|| {
            RequestFacts::read(
                &Method::GET,
                &target,
                Version::HTTP_11,
                &fields(None),
                Backend::Generic.quirks(),
                std::net::IpAddr::from([127, 0, 0, 1]),
            )
            .err()
        });
    });
    group.finish();
}

/// Finds the route in each preset. The readings of the path are prepared outside the measurement.
fn route(c: &mut Criterion) {
    let mut group = c.benchmark_group("route");
    for (backend, path, expected) in [
        (Backend::OpenMetadata, "/api/v1/system/version", Route::Public),
        (Backend::OpenMetadata, "/api/v1/tables/name/sample.ecommerce.shopify.orders", Route::Protected),
        (Backend::OpenMetadata, "/table/sample.ecommerce.shopify.orders/schema", Route::Public),
        (Backend::DataHubGms, "/aspects", Route::Protected),
        (Backend::DataHubFrontend, "/api/v2/graphql", Route::Protected),
        (
            Backend::DataHubFrontend,
            "/dataset/urn:li:dataset:(urn:li:dataPlatform:hive,a.b,PROD)",
            Route::Public,
        ),
    ] {
        let mut authorizer = authorizer(Algorithm::RS256);
        authorizer.policy.routes = RouteTable::preset(backend, &Place::default()).unwrap();
        let facts = facts(None, path);
        assert_eq!(authorizer.route(&facts), expected, "{path}");
        group.bench_function(format!("{}{path}", backend.as_str()), |b| {
            b.iter(|| authorizer.route(black_box(&facts)));
        });
    }
    group.finish();
}

/// The cost of rules: only roles, one with `when`, one about GraphQL, and the most expensive `when`
/// that claims can cause.
fn rules(c: &mut Criterion) {
    let signer = Signer::new(Algorithm::RS256);
    let keys = key_set(&signer);
    let mut authorizer = authorizer(Algorithm::RS256);
    let verified = |authorizer: &Authorizer, claims: &str| {
        Caller::Token(Arc::new(verify(authorizer, &keys, &signer.token(claims)).expect("a good token")))
    };
    let (ada, long) = (verified(&authorizer, CLAIMS), long_claims());
    let long = verified(&authorizer, &long);
    let mut group = c.benchmark_group("rules");
    group.bench_function("roles", |b| {
        b.iter(|| {
            let facts = facts(None, "/api/v1/tables");
            authorizer.decide(&facts, Route::Protected, Ok(ada.clone())).expect("allowed")
        });
    });
    let when = |text: &str| Some(Expression::parse(text).expect("an expression"));
    for (name, text, caller) in [
        ("when", "!claims.isBot", &ada),
        ("when_roles", "claims.roles.exists(role, role.startsWith(\"Data\"))", &ada),
        ("when_exhausted", "claims.a.exists(x, claims.b.exists(y, x == y))", &long),
    ] {
        let verdict = Verdict::Require(Box::default());
        authorizer.policy.rules = vec![Rule { when: when(text), verdict, ..rule("/api/v1/**", &[]) }].into();
        group.bench_function(name, |b| {
            b.iter(|| {
                let facts = facts(None, "/api/v1/tables");
                authorizer.decide(&facts, Route::Protected, Ok(caller.clone())).is_ok()
            });
        });
    }
    let graphql = GraphqlMatching { fields: vec!["createAccessToken".into()], ..GraphqlMatching::default() };
    let mut about_graphql = rule("/api/graphql", &[]);
    about_graphql.matching.graphql = Some(graphql);
    authorizer.policy.rules = vec![about_graphql].into();
    let fields = Fields::from_iter([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]);
    let document = |selections: usize| {
        let query = format!(
            "query s {{ search(input: $input) {{ {} }} }}",
            "entity { urn type } ".repeat(selections)
        );
        serde_json::json!({"query": query, "variables": {"input": {"start": 0}}}).to_string()
    };
    for (name, body) in
        [("graphql_small", document(1)), ("graphql_2KiB", document(100)), ("graphql_60KiB", document(3000))]
    {
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut facts = facts(None, "/api/graphql");
                facts.graphql = Some(Graphql::read(&facts, &fields, body.as_bytes()));
                authorizer.decide(&facts, Route::Protected, Ok(ada.clone())).expect("allowed")
            });
        });
    }
    group.finish();
}

/// As many claims as fit into a token of 16 KiB.
fn long_claims() -> String {
    let list = |item: &str| vec![item; 2700].join(",");
    CLAIMS.replacen('{', &format!("{{\"a\":[{}],\"b\":[{}],", list("1"), list("2")), 1)
}

fn admit<E: Environment + Send>(
    admission: &Admission,
    environment: &mut E,
    token: Option<&str>,
) -> Result<Permit, Denial> {
    let (target, headers) = (Uri::from_static("/api/v1/tables"), fields(token));
    let head = RequestHead {
        method: &Method::GET,
        target: &target,
        version: Version::HTTP_11,
        headers: &headers,
        source: Some(std::net::IpAddr::from([127, 0, 0, 1])),
        content_length: None,
        via: Via::Proxy,
        token_fields: None,
    };
    let admitted = poll_once(admission.admit(&head, environment, &mut ()));
    admitted.map(|admitted| admitted.permit)
}

fn environment(keys: KeySet) -> Snapshot<'static> {
    Snapshot::new(NOW, Arc::new(KeyRing { generation: 1, sets: vec![Some(keys.into())] }))
}

fn admission(authorizer: Authorizer) -> Admission {
    let names = IdentityNames {
        user: Some(HeaderName::from_static("x-forwarded-user")),
        email: Some(HeaderName::from_static("x-forwarded-email")),
        groups: Some(HeaderName::from_static("x-forwarded-groups")),
        datahub_actor: false,
    };
    let head = OutboundHead::new(authorizer.backend, names, Authorization::Forward, Vec::new());
    Admission { authorizer, head, body_bytes: u64::MAX, target_bytes: 8192 }
}

fn verify(
    authorizer: &Authorizer,
    keys: &KeySet,
    token: &str,
) -> Result<metagate::claims::VerifiedToken, Denial> {
    let token = UnverifiedToken::parse(token, authorizer.token_bytes)
        .map_err(|fault| Denial::of_token(fault.into(), None))?;
    let entry = trust::entry_for(&token, &authorizer.trust, authorizer.policy.minted_issuer.as_deref())
        .map_err(|fault| Denial::of_token(fault, None))?;
    trust::verify(&token, &authorizer.trust[entry], Some(keys), NOW)
        .map_err(|fault| Denial::of_token(fault, Some(entry)))
}

fn facts(token: Option<&str>, target: &'static str) -> RequestFacts {
    let target = Uri::from_static(target);
    RequestFacts::read(
        &Method::GET,
        &target,
        Version::HTTP_11,
        &fields(token),
        Backend::Generic.quirks(),
        std::net::IpAddr::from([127, 0, 0, 1]),
    )
    .expect("a plain request")
}

fn fields(token: Option<&str>) -> Fields {
    let mut fields = Fields::new();
    fields.insert("host", HeaderValue::from_static("metadata.example.org"));
    fields.insert("user-agent", HeaderValue::from_static("python-requests/2.34.2"));
    fields.insert("accept", HeaderValue::from_static("*/*"));
    if let Some(token) = token {
        fields.insert("authorization", HeaderValue::try_from(format!("Bearer {token}")).expect("ASCII"));
    }
    fields
}

fn key_set(signer: &Signer) -> KeySet {
    match signer.jwk() {
        Some(jwk) => KeySet::new(
            ParsedKeys::parse(format!(r#"{{"keys":[{jwk}]}}"#).as_bytes(), KeyDialect::Standard)
                .unwrap()
                .usable,
        ),
        None => KeySet::new(vec![Arc::new(VerificationKey::from_shared_secret(signer::SECRET))]),
    }
}

/// A small installation: one issuer entry, a public route and two rules.
fn authorizer(algorithm: Algorithm) -> Authorizer {
    let rules = ClaimRules {
        issuers: vec!["https://idp.example.org".into()],
        own_tokens: OwnTokens::All,
        kinds: TokenKinds::default(),
        audiences: vec!["openmetadata".into()],
        refuses_foreign_audiences: false,
        non_expiring: NonExpiring::Bots,
        max_lifetime: None,
        leeway: Duration::from_secs(30),
        principal: PrincipalRules {
            claims: ["email", "preferred_username", "sub"].map(Into::into).to_vec(),
            mapping: None,
            style: PrincipalStyle::AsIs,
        },
        roles_claim: RolesClaim::default(),
        domain: None,
    };
    Authorizer {
        backend: Backend::Generic,
        policy: Policy {
            routes: RouteTable::parse(&[(Route::Public, "GET /docs/**")]).unwrap(),
            rules: vec![rule("/api/v1/policies/**", &[]), rule("/api/v1/**", &["DELETE"])].into(),
            ..Policy::default()
        },
        trust: vec![TrustedIssuer {
            name: "idp".into(),
            algorithms: AlgorithmSet::from_iter([algorithm]),
            rules,
        }],
        datahub_system: None,
        token_bytes: 16 * 1024,
        exchange: metagate::token_exchange::TokenExchange::default(),
    }
}

/// The cost of strict parsing for each request: a head of 500 bytes, as sent by OpenMetadata's
/// client.
fn head(c: &mut Criterion) {
    let fields = "Host: openmetadata.example.org:8585\r\nUser-Agent: python-requests/2.32.3\r\nAccept-Encoding: gzip, deflate, br\r\nAccept: */*\r\nConnection: keep-alive\r\nContent-type: application/json\r\n";
    let mut text = format!(
        "GET /api/v1/tables/name/svc.db.schema.orders?fields=columns HTTP/1.1\r\n{fields}Authorization: Bearer "
    );
    text.extend(std::iter::repeat_n('x', 496 - text.len()));
    text.push_str("\r\n\r\n");
    let limits = HeadLimits { bytes: 64 * 1024, target: 8192, fields: 100 };
    c.bench_function("head", |b| {
        b.iter(|| HeadScanner::new(limits).scan(black_box(text.as_bytes())).expect("good").expect("whole"));
    });
}

/// A rule that requires an admin.
fn rule(path: &str, methods: &[&str]) -> Rule {
    Rule {
        name: path.into(),
        matching: Matching {
            methods: Methods::from_names(methods.iter().copied()).unwrap(),
            paths: vec![PathPattern::parse(path).unwrap()],
            ..Matching::default()
        },
        when: None,
        verdict: Verdict::Require(Box::new(Requirement {
            any_role: vec!["Admin".into()],
            ..Requirement::default()
        })),
        mode: Mode::Enforce,
    }
}

criterion_group!(benches, head, cold, cached, denied, route, rules);
criterion_main!(benches);
