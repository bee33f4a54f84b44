//! Algorithms, issuers, keys and signatures.

use super::*;

pub(super) fn algorithms() -> Vec<Case> {
    let all = "alg: \"none\", supported [RS256, RS384, RS512, PS256, PS384, PS512, ES256, ES384 and 3 more]";
    vec![
        case(Step::Token, &with_header(r#"{"alg":"none"}"#), all),
        case(
            Step::Key,
            &signed_by(&RSA, Algorithm::RS512, Some("k")),
            "alg: RS512, allowed [RS256] (entry okta)",
        )
        .changed(|case| {
            case.admission.authorizer.trust[0].algorithms = AlgorithmSet::from_iter([Algorithm::RS256]);
        }),
        case(
            Step::Key,
            &signed_by(&P256, Algorithm::ES256, Some("k")),
            "alg: ES256, but the key with kid \"k\" is for [RS256, RS384, RS512, PS256, PS384, PS512]",
        ),
    ]
}

pub(super) fn issuers() -> Vec<Case> {
    let of = |issuer: serde_json::Value, detail| {
        let case = case(Step::Issuer, &token_of(json!({"iss": issuer})), detail);
        case.changed(|case| case.admission.authorizer.trust.push(entry("other", &["https://b.example/x"])))
    };
    vec![
        of(
            json!("https://okta.example/"),
            r#"iss: "https://okta.example/", entries: okta "https://okta.example" (differs only by a trailing slash), other "https://b.example/x""#,
        ),
        of(
            json!("https://B.example/x"),
            r#"iss: "https://B.example/x", entries: other "https://b.example/x" (differs only by letter case), okta "https://okta.example""#,
        ),
        of(
            json!("http://okta.example"),
            r#"iss: "http://okta.example", entries: okta "https://okta.example" (differs only by http or https), other "https://b.example/x""#,
        ),
        of(
            json!("https://evil.example\u{1b}[2J"),
            r#"iss: "https://evil.example\u001b[2J", entries: okta "https://okta.example", other "https://b.example/x""#,
        ),
        of(
            json!(null),
            r#"iss: token has none, entries: okta "https://okta.example", other "https://b.example/x""#,
        ),
    ]
}

pub(super) fn unknown_keys() -> Vec<Case> {
    let of = |kid, detail| case(Step::Key, &signed_by(&RSA, Algorithm::RS256, kid), detail);
    let two = || Some(key_set(&[RSA.jwk_named("k"), OTHER_RSA.jwk_named("l")]));
    vec![
        of(Some("other"), "kid: \"other\" is not in the 1 key of entry okta"),
        of(
            Some("other"),
            "kid: \"other\" is not in the 1 key of https://okta.example/keys, fetched 40s ago",
        )
        .changed(|case| case.sources = sources(None)),
        of(
            Some("K"),
            "kid: \"K\" (differs from \"k\" only by letter case) is not in the 1 key of entry okta",
        ),
        of(None, "kid: token has none, and 2 keys for RS256 are in the 2 keys of entry okta")
            .changed(|case| case.keys = two()),
        case(
            Step::Key,
            &signed_by(&P256, Algorithm::ES256, None),
            "kid: token has none, and no key for ES256 is in the 1 key of entry okta",
        ),
        case(
            Step::Key,
            &HMAC.token(Algorithm::HS256, Some("any"), &claims(json!({}))),
            "kid: \"any\" is unknown, and the signature was not made with the 1 key without kid; looked in the 1 key of entry okta",
        )
        .changed(other_secret),
    ]
}

/// The entry shares another secret than the one that signs.
fn other_secret(case: &mut Case) {
    case.admission.authorizer.trust[0].algorithms = AlgorithmSet::from_iter([Algorithm::HS256]);
    let secret = SigningKey::secret(b"another secret of thirty-two bytes").verifier();
    case.keys = Some(KeySet::new(vec![Arc::new(secret)]));
}

pub(super) fn signatures() -> Vec<Case> {
    let of = |kid, detail| case(Step::Signature, &signed_by(&OTHER_RSA, Algorithm::RS256, kid), detail);
    vec![
        of(Some("k"), "signature: RS256, but it was not made with the key with kid \"k\" (RSA, 2048 bits)"),
        // The key is known, so it does not matter that a source cannot be reached.
        of(Some("k"), "signature: RS256, but it was not made with the key with kid \"k\" (RSA, 2048 bits)")
            .changed(|case| case.unreachable = true),
        of(None, "signature: RS256, but it was not made with the only key for it (RSA, 2048 bits)"),
        of(Some("k"), "signature: RS256, but it was not made with any of the 2 keys with kid \"k\"").changed(
            |case| {
                // Two sources of the entry use the same kid.
                let same = case.keys.iter().flat_map(|keys| keys.keys().to_vec());
                let all = same.clone().chain(same).collect();
                case.keys = Some(KeySet::new(all));
            },
        ),
        case(
            Step::Signature,
            &HMAC.token(Algorithm::HS256, None, &claims(json!({}))),
            "signature: HS256, but it was not made with the shared secret",
        )
        .changed(other_secret),
    ]
}

pub(super) fn no_keys() -> Vec<Case> {
    let token = token_of(json!({}));
    let other = signed_by(&RSA, Algorithm::RS256, Some("other"));
    vec![
        case(Step::Key, &token, "no keys of entry okta: none has been fetched").changed(|case| case.keys = None),
        case(
            Step::Key,
            &token,
            "no keys of entry okta: https://okta.example/keys has none (the last fetch failed: connection refused)",
        )
        .changed(|case| {
            case.keys = None;
            let source = sources(Some("connection refused")).remove(0);
            case.sources = vec![SourceSummary { keys: 0, age: None, ..source }];
        }),
        case(
            Step::Key,
            &other,
            "kid: \"other\" is not in the 1 key of https://okta.example/keys, fetched 40s ago (the last fetch failed: answered 500); a source of keys cannot be reached, so the key may exist",
        )
        .changed(|case| {
            case.unreachable = true;
            case.sources = sources(Some("answered 500"));
        }),
    ]
}
