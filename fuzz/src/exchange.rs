//! The exchange: which user a token acts as, and what a form asks for. Both are read here a second time, simply.

use std::sync::Arc;

use metagate::claims::{ClaimPath, MappedUser};
use metagate::request::{Credentials, TokenRequest};
use metagate::token_exchange::{ClaimValue, ExchangeEntry, ExchangeIssuer, TokenExchange};
use serde_json::Value;

use super::world;

const LOADER: &str = "system:serviceaccount:etl:loader";
const AUDIENCE: &str = "https://metagate.example";

/// Signed claims: a token acts as the user of the first entry whose subject and claims it has exactly, and as no other.
pub fn exchange(data: &[u8]) {
    let Some(token) = world::verify(&world::signed(data)) else { return };
    let Ok(claims) = serde_json::from_slice::<Value>(data) else { panic!("verified, and not JSON") };
    let subject = claims["sub"].as_str();
    // The whole text may be the name of one claim.
    let namespace = claims.get("kubernetes.namespace").unwrap_or(&claims["kubernetes"]["namespace"]);
    let loads = subject == Some(LOADER) && has(namespace, |value| value == "etl");
    let is_admin = has(&claims["admin"], |value| *value == true)
        && has(&claims["level"], |value| value.as_u64() == Some(7));
    let expected = if loads {
        Some("loader")
    } else if is_admin {
        Some("admin")
    } else {
        None
    };
    let mapped = entries().map(token);
    assert_eq!(mapped.mapped_user().map(|user| &*user.user), expected);
}

/// Whether a claim has the value, or is an array with it.
fn has(claim: &Value, is_wanted: impl Fn(&Value) -> bool) -> bool {
    is_wanted(claim) || claim.as_array().is_some_and(|items| items.iter().any(is_wanted))
}

fn entries() -> TokenExchange {
    let user = |index: usize, user: &str| {
        let entry = format!("entry-{index}").into();
        Arc::new(MappedUser { index, entry, user: user.into(), email: None })
    };
    let text = |value: &str| vec![ClaimValue::String(value.into())];
    let entry = |issuer: &str, subjects: &[&str], claims, user| ExchangeEntry {
        issuer: issuer.into(),
        subjects: subjects.iter().map(|subject| (*subject).into()).collect(),
        claims,
        user,
    };
    let of_admin = vec![
        (ClaimPath::new("admin"), vec![ClaimValue::Bool(true)]),
        (ClaimPath::new("level"), vec![ClaimValue::Number(7.into())]),
    ];
    let of_loader = vec![(ClaimPath::new("kubernetes.namespace"), text("etl"))];
    TokenExchange::new(
        vec![
            // Of another issuer, so it takes none of these tokens.
            entry("other", &[], Vec::new(), user(0, "nobody")),
            entry("idp", &[LOADER], of_loader, user(1, "loader")),
            entry("idp", &[], of_admin, user(2, "admin")),
        ],
        vec![ExchangeIssuer { name: "idp".into(), is_required: false }],
    )
}

/// A form: one that is accepted asks for one token, for this audience, in exchange for the one token that is in it.
pub fn token_request(data: &[u8]) {
    let Ok(request) = TokenRequest::read(data, AUDIENCE) else { return };
    let parameters: Vec<_> =
        data.split(|byte| *byte == b'&').filter(|part| !part.is_empty()).map(parameter).collect();
    assert!(parameters.len() <= 64);
    let values = |name: &str| -> Vec<&[u8]> {
        let named = parameters.iter().filter(|(known, value)| known == name.as_bytes() && !value.is_empty());
        named.map(|(_, value)| &**value).collect()
    };
    assert_eq!(values("grant_type"), [b"urn:ietf:params:oauth:grant-type:token-exchange"]);
    assert!(
        ["actor_token", "client_secret", "client_assertion", "scope"]
            .iter()
            .all(|name| values(name).is_empty())
    );
    assert!(
        ["audience", "resource"]
            .iter()
            .flat_map(|name| values(name))
            .all(|value| value == AUDIENCE.as_bytes())
    );
    let subjects = values("subject_token");
    assert_eq!(subjects.len(), 1, "which of them?");
    match request.subject {
        Credentials::Bearer(token) => assert_eq!(token.as_bytes(), subjects[0]),
        other => assert!(matches!(other, Credentials::Malformed(_)), "{other:?}"),
    }
}

/// The name and the value of a part of a form whose escapes are well-formed.
fn parameter(part: &[u8]) -> (Vec<u8>, Vec<u8>) {
    let at = part.iter().position(|byte| *byte == b'=').unwrap_or(part.len());
    (decoded(&part[..at]), decoded(part.get(at + 1..).unwrap_or_default()))
}

fn decoded(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = str::from_utf8(&after[..2]).expect("an accepted form has no broken escape");
                rest = &after[2..];
                u8::from_str_radix(digits, 16).expect("an accepted form has no broken escape")
            }
            other => *other,
        });
    }
    decoded
}
