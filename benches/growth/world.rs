//! One authorizer, one issuer and requests to it.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use metagate::backend::Backend;
use metagate::claims::{
    ClaimRules, NonExpiring, OwnTokens, PrincipalRules, PrincipalStyle, RolesClaim, TokenKinds, VerifiedToken,
};
use metagate::decision::{Authorizer, Caller};
use metagate::jose::{Algorithm, AlgorithmSet, KeySet, UnverifiedToken, VerificationKey};
use metagate::message::Fields;
use metagate::numeric_date::NumericDate;
use metagate::policy::{Matching, Mode, Place, Policy, RouteTable, Rule, Verdict};
use metagate::request::RequestFacts;
use metagate::trust::{self, TrustedIssuer};

pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
pub const TOKEN_BYTES: usize = 1 << 20;
pub const NOW: NumericDate = NumericDate::from_secs(1_800_000_000);
pub const SECRET: &[u8] = b"a secret of more than thirty-two bytes";

/// A token with these further claims.
pub fn token(claims: &str) -> String {
    let claims = format!(r#"{{"iss":"https://idp.example","sub":"ada","exp":1800000600{claims}}}"#);
    signed(r#"{"alg":"HS256","typ":"JWT"}"#, &claims)
}

/// A token with this header and these claims.
pub fn signed(header: &str, claims: &str) -> String {
    let input = format!("{}.{}", base64(header.as_bytes()), base64(claims.as_bytes()));
    let made = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), input.as_bytes());
    format!("{input}.{}", base64(made.as_ref()))
}

fn base64(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub fn verified(token: &str) -> VerifiedToken {
    let keys = KeySet::new(vec![Arc::new(VerificationKey::from_shared_secret(SECRET))]);
    let token = UnverifiedToken::parse(token, TOKEN_BYTES).expect("a token");
    trust::verify(&token, &entry(), Some(&keys), NOW).expect("a good token")
}

pub fn caller(claims: &str) -> Caller {
    Caller::Token(Arc::new(verified(&token(claims))))
}

fn entry() -> TrustedIssuer {
    let rules = ClaimRules {
        issuers: Vec::new(),
        own_tokens: OwnTokens::All,
        kinds: TokenKinds::default(),
        audiences: Vec::new(),
        refuses_foreign_audiences: false,
        non_expiring: NonExpiring::Bots,
        max_lifetime: None,
        leeway: Duration::from_secs(30),
        principal: PrincipalRules {
            claims: vec!["email".into(), "preferred_username".into(), "sub".into()],
            mapping: None,
            style: PrincipalStyle::AsIs,
        },
        roles_claim: RolesClaim::default(),
        domain: None,
    };
    TrustedIssuer { name: "idp".into(), algorithms: AlgorithmSet::from_iter([Algorithm::HS256]), rules }
}

pub fn authorizer(backend: Backend, rules: Vec<Rule>) -> Authorizer {
    let routes = RouteTable::preset(backend, &Place::default()).expect("a preset");
    Authorizer {
        backend,
        policy: Policy { routes, rules: rules.into(), ..Policy::default() },
        trust: vec![entry()],
        datahub_system: None,
        token_bytes: TOKEN_BYTES,
        exchange: metagate::token_exchange::TokenExchange::default(),
    }
}

/// A rule that allows what it matches.
pub fn rule(matching: Matching) -> Rule {
    Rule { name: "rule".into(), matching, when: None, verdict: Verdict::Allow, mode: Mode::Enforce }
}

/// `name: value`, with a `Host`.
pub fn fields<N: AsRef<str>>(list: impl IntoIterator<Item = (N, String)>) -> Fields {
    let mut fields = Fields::new();
    fields.insert("host", HeaderValue::from_static("a.example"));
    for (name, value) in list {
        let name = HeaderName::from_bytes(name.as_ref().as_bytes()).expect("a name");
        fields.append(name, HeaderValue::try_from(value).expect("a value"));
    }
    fields
}

pub fn facts(backend: Backend, target: &str, fields: &Fields) -> RequestFacts {
    let target = Uri::try_from(target).expect("a target");
    RequestFacts::read(&Method::POST, &target, Version::HTTP_11, fields, backend.quirks(), PEER)
        .expect("a plain request")
}
