//! Credentials and tokens of a form that is not accepted.

use super::*;

pub(super) fn unsupported_schemes() -> Vec<Case> {
    let of = |value: &str, detail| of_request(Step::Credentials, &[("authorization", value)], detail);
    let gms = |case: Case, configured: bool| {
        case.changed(|case| {
            let authorizer = &mut case.admission.authorizer;
            authorizer.backend = Backend::DataHubGms;
            authorizer.datahub_system = configured.then(|| SystemCredential {
                client_id: "system".into(),
                client_secret: SECRET.to_vec().into(),
            });
        })
    };
    vec![
        of("Token abc", "the scheme is Token"),
        of(&token_of(json!({})), "there is a token without the word Bearer before it"),
        of("BearereyJhbGciOiJSUzI1NiJ9.e30.c2ln", "there is no space after Bearer"),
        of("Bearer: abc", "the scheme is Bearer with a colon"),
        of("secret-word abc", "the scheme is not Bearer"),
        of("Basic a:b", "the scheme is Basic"),
        gms(of("Basic a:b", "the scheme is Basic, and datahub.systemClientId is not set"), false),
        gms(
            of("Basic a:b", "the scheme is Basic, and it is not the credential of datahub.systemClientId"),
            true,
        ),
    ]
}

/// Requests of which one part is ambiguous or malformed.
pub(super) fn bad_targets() -> Vec<Case> {
    let of = |lines: &[(&str, &str)], detail| of_request(Step::Request, lines, detail);
    let at = |path, detail| of(&[], detail).changed(|case| case.request = Request::new(path, &[]));
    let by_envoy = |case: Case, removes_fields| {
        case.changed(|case| {
            case.admission = world_of(Backend::DataHubGms);
            case.request.via = Via::ForwardAuth { removes_fields };
        })
    };
    vec![
        of(
            &[("connection", "authorization")],
            r#"Connection names a field that is not about the connection: field "connection" is "authorization""#,
        ),
        at("/a/%2e./b?secret", r#"path has a dot segment: "%2e." at position 4 of the path"#),
        at(
            "/a%2",
            r#"path has a percent sign without two hex digits after it: "%2" at position 3 of the path"#,
        ),
        at("/a?secret=\u{e9}", "query has an octet that must be percent-encoded: at position 8 of the query"),
        at(
            "/api/gmsx/entities?secret",
            r#"path continues in a segment that the backend cuts off: "/api/gmsx" at position 1 of the path"#,
        ),
        of(&[("host", "b")], r#"more than one Host: field "host" is "b""#),
        at(
            "http://u:secret@b/",
            r#"Host is not a host and port: the target has user information before "b""#,
        ),
        of(&[], "no Host").changed(|case| case.request.headers = fields(&[])),
        at("http://b/", r#"Host differs from the target: field "host" is "a.example""#),
        of(
            &[("content_length", "1")],
            r#"a framing field is spelled in another way: field "content_length""#,
        ),
        of(
            &[("content-length", "1, 1")],
            r#"Content-Length is not one plain number: field "content-length" is "1, 1""#,
        ),
        of(
            &[("transfer-encoding", "gzip")],
            r#"Transfer-Encoding is not exactly chunked: field "transfer-encoding" is "gzip""#,
        ),
        by_envoy(
            of(
                &[("x_forwarded_user", "ada")],
                r#"an identity field is spelled in another way: field "x_forwarded_user""#,
            ),
            true,
        ),
        by_envoy(
            of(
                &[("x-datahub-new", "ada")],
                r#"a field may carry an identity and is on no list: field "x-datahub-new""#,
            ),
            false,
        ),
    ]
}

/// Texts that are no token at all.
pub(super) fn malformed_texts() -> Vec<Case> {
    let of = |value: &str, detail| {
        of_request(Step::Credentials, &[("authorization", &*format!("Bearer {value}"))], detail)
    };
    let parse = |token: &str, detail| case(Step::Token, token, detail);
    vec![
        of(" a.b.c", "there is more than one space after Bearer"),
        of("a.b. c", "the token has white space in it: was a line break copied?"),
        of("\"a.b.c\"", "the token is in quotes"),
        of("$TOKEN", "the token is a placeholder, or has characters that no token has"),
        of("a.b.c==", "the token is not base64url: it has padding, + or /"),
        of("a:b", "the token has characters that no token has"),
        parse(
            "garbage",
            "token does not have three parts but 1 part, 7 bytes: is it an opaque access token?",
        ),
        parse("a.b", "token does not have three parts but 2 parts, 3 bytes: was its signature cut off?"),
        parse("a.b.c.d.e", "token does not have three parts but 5 parts, 9 bytes: it is encrypted (JWE)"),
        parse("a..c", "the token's payload is empty: was it cut off?"),
        parse(
            "e30.a.c2ln",
            "payload is not canonical base64url: no text is encoded in 1 characters; was it cut off?",
        ),
        parse(&"x".repeat(MAX_BYTES + 1), "token has 16385 bytes, limits.tokenBytes is 16384"),
    ]
}

/// Tokens of a form that is not accepted.
pub(super) fn malformed_tokens() -> Vec<Case> {
    let of = |token: &str, detail| case(Step::Token, token, detail);
    vec![
        of(&with_header(r#"{"kid":"k"}"#), "alg: none is not a string"),
        of(&with_header(r#"{"alg":"RS256","kid":5}"#), "kid: 5 is not a string"),
        of(&with_header(r#"{"alg":"RS256","typ":[1]}"#), "typ: [1] is not a string"),
        of(&with_header(r#"{"alg":"RS256","crit":["exp"]}"#), "header has crit, which is not supported"),
        of(&with_header("[1]"), "header is JSON, but not an object"),
        of(
            &format!("{}.e30.c2ln", base64url(br#"{"alg":"RS256","alg":"RS256"}"#)),
            "header has a member twice, or is nested too deeply",
        ),
        of(&with_payload(r#"{"a":1,}"#), "payload is not JSON: key must be a string at line 1 column 8"),
        of(&with_payload(r#"{"Sub":"a","sub":"b"}"#), r#"claims "Sub" and "sub" differ only in letter case"#),
        case(Step::Issuer, &token_of(json!({"iss": 5})), "iss: 5 is not a string"),
        case(
            Step::Type,
            &with_header(r#"{"alg":"RS256","kid":"k","typ":"logout+jwt"}"#),
            r#"typ: "logout+jwt", entry okta accepts [jwt, at+jwt] (tokenTypes)"#,
        ),
        case(
            Step::Type,
            &with_header(r#"{"alg":"RS256","kid":"k"}"#),
            "typ is missing, and requireTokenType is set (entry okta)",
        )
        .with_rules(|rules| rules.kinds.require_type = true),
    ]
}

pub(super) fn malformed_claims() -> Vec<Case> {
    let of = |more, detail| case(Step::Claims, &token_of(more), detail);
    let events = json!({"http://schemas.openid.net/event/backchannel-logout": {}});
    vec![
        of(json!({"exp": "1800000600"}), r#"exp is not a NumericDate: exp is the text "1800000600""#),
        of(json!({"nbf": true}), "nbf is not a NumericDate: nbf is the boolean true"),
        of(json!({"iat": null}), "iat is not a NumericDate: iat is null"),
        of(json!({"aud": [1]}), "aud is neither a string nor a list of strings: aud is the list [1]"),
        of(json!({"sub": {"a": 1}}), "sub is not a string: sub is the map {...}"),
        of(
            json!({"email": "a\nb"}),
            r#"a principal claim has control characters or is too long: email is "a\u000ab""#,
        ),
        of(
            json!({"typ": "Refresh"}),
            r#"a refresh or logout token, which is for the issuer's clients: typ is "Refresh""#,
        ),
        of(json!({"events": events}), "a logout token, which `refuse` names: events is {...}"),
        of(json!({"at_hash": "x"}), r#"an ID token, which `refuse` names: at_hash is "x""#)
            .with_rules(|rules| rules.kinds.refuse_id_tokens = true),
    ]
}
