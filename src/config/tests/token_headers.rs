//! `authentication.tokenHeaders`.

use super::*;

fn load_with(token_headers: &str, more: &str) -> Case {
    file(&format!("authentication: {{tokenHeaders: {token_headers}}}\n{more}")).with(&[UPSTREAM, KEYS_URL])
}

fn names(token_headers: &str) -> Vec<String> {
    let fields = load_with(token_headers, "").config().token_fields;
    let own = fields.has_authorization().then(|| "authorization".to_owned());
    own.into_iter().chain(fields.others().map(str::to_owned)).collect()
}

#[test]
fn an_element_is_a_name_or_a_map() {
    for (written, expected) in [
        ("[Authorization]", &["authorization"][..]),
        ("Authorization", &["authorization"]),
        ("[Authorization, {name: X-Goog-IAP-JWT-Assertion}]", &["authorization", "x-goog-iap-jwt-assertion"]),
        ("[Cf-Access-Jwt-Assertion]", &["cf-access-jwt-assertion"]),
        ("{name: X-Amzn-Oidc-Data, padded: true}", &["x-amzn-oidc-data"]),
        ("[{name: Proxy-Authorization, scheme: Bearer}]", &["proxy-authorization"]),
        ("[{name: Authorization, scheme: bearer}]", &["authorization"]),
        ("", &["authorization"]),
    ] {
        assert_eq!(names(written), expected, "{written}");
    }
    assert!(load_with("[Authorization]", "").config().token_fields.is_default());
    let variable =
        ("METAGATE_AUTHENTICATION__TOKEN_HEADERS", "[X-Token, {name: Proxy-Authorization, scheme: Bearer}]");
    let fields = environment(&[UPSTREAM, KEYS_URL, variable]).config().token_fields;
    assert_eq!(fields.others().collect::<Vec<_>>(), ["x-token", "proxy-authorization"]);
}

#[test]
fn names_with_another_meaning_are_errors() {
    for (written, more, message) in [
        ("[]", "", "authentication.tokenHeaders @ 1:32 | is an empty list"),
        ("[{scheme: Bearer}]", "", "a token header needs a name"),
        ("[{name: X-A, padding: true}]", "", "padding"),
        ("[X A]", "", "is not a header name"),
        ("[Cookie]", "", "`cookie` already has another meaning"),
        ("[X_Forwarded_For]", "", "`x_forwarded_for` already has another meaning"),
        ("[X-Token, x_token]", "", "`x_token` is in the list already"),
        ("[X-Forwarded-User]", "", "`x-forwarded-user` is also identity.user"),
        ("[X-Me]", "identity: {email: x_me}", "`x-me` is also identity.email"),
        ("[{name: Authorization, scheme: Basic}]", "", "the scheme of Authorization is always Bearer"),
        ("[{name: X-A, scheme: a b}]", "", "is not the name of a scheme"),
        ("[X-Impersonate-User]", "backend: openmetadata", "already has another meaning"),
    ] {
        let errors = load_with(written, more).errors().join("\n");
        assert!(errors.contains(message), "{written}: {errors}");
    }
}
