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

#[test]
fn an_element_of_listen_may_have_token_headers_of_its_own() {
    let listen = "[\"127.0.0.1:1\", {address: \"127.0.0.1:2\", tokenHeaders: [X-Goog-IAP-JWT-Assertion]}, {address: unix:/x}]";
    let from_file = file(&format!("listen: {listen}")).with(&[UPSTREAM, KEYS_URL]).config();
    let from_variable = environment(&[UPSTREAM, KEYS_URL, ("METAGATE_LISTEN", listen)]).config();
    for config in [from_file, from_variable] {
        assert_eq!(config.listen.to_string(), "127.0.0.1:1, 127.0.0.1:2, unix:/x");
        let fields: Vec<_> = config.listener_token_fields.iter().map(Option::as_ref).collect();
        let [None, Some(own), None] = *fields else { panic!("{fields:?}") };
        assert_eq!(own.others().collect::<Vec<_>>(), ["x-goog-iap-jwt-assertion"]);
        assert!(!own.has_authorization() && config.token_fields.is_default());
    }
    let one = file("listen: {address: \"127.0.0.1:1\"}").with(&[UPSTREAM, KEYS_URL]).config();
    assert!(one.listen.to_string() == "127.0.0.1:1" && one.listener_token_fields.is_empty());
    let replaced = ("METAGATE_LISTEN", "127.0.0.1:3");
    let replaced = file(&format!("listen: {listen}")).with(&[UPSTREAM, KEYS_URL, replaced]).config();
    assert!(replaced.listen.to_string() == "127.0.0.1:3" && replaced.listener_token_fields.is_empty());
}

#[test]
fn mistakes_in_elements_of_listen_are_errors() {
    for (listen, more, message) in [
        ("[{tokenHeaders: [X-A]}]", "", "listen[0].address @ 1:10 | is missing"),
        ("[{adress: \"127.0.0.1:1\"}]", "", "listen[0].adress"),
        ("[{address: \"127.0.0.1\"}]", "", "listen[0].address @ 1:20 | "),
        (
            "[{address: \"127.0.0.1:1\", tokenHeaders: []}]",
            "",
            "listen[0].tokenHeaders @ 1:49 | is an empty list",
        ),
        ("[\"127.0.0.1:1\", {address: \"127.0.0.1:1\"}]", "", "127.0.0.1:1 is already in the list"),
        ("[{address: \"127.0.0.1:1\", tokenHeaders: [Cookie]}]", "", "`cookie` already has another meaning"),
        (
            "[{address: \"127.0.0.1:1\", tokenHeaders: [X-Me]}]",
            "identity: {headers: {X_Me: tenant}}",
            "`x_me` already has another meaning",
        ),
    ] {
        let errors =
            file(&format!("listen: {listen}\n{more}")).with(&[UPSTREAM, KEYS_URL]).errors().join("\n");
        assert!(errors.contains(message), "{listen}: {errors}");
    }
}
