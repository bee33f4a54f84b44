//! `tokenTypes`, `requireTokenType` and `refuse`.

use super::*;
use crate::claims::TokenKinds;

const ENTRIES: &str = "authentication:\n  TOP\n  issuers:\n    - {name: a, issuer: https://a.example OWN}\n    - {name: b, issuer: https://b.example}\n";

/// The token kinds of the two entries.
fn kinds(top: &str, own: &str) -> [TokenKinds; 2] {
    let config = file(&ENTRIES.replace("TOP", top).replace(" OWN", own)).with(&[UPSTREAM]).config();
    [0, 1].map(|index: usize| config.trust[index].rules.kinds.clone())
}

#[test]
fn defaults_of_token_kinds() {
    let [a, b] = kinds("leeway: 30s", "");
    assert_eq!((&a, &b), (&TokenKinds::default(), &TokenKinds::default()));
    let simple = environment(&[KEYS_URL, UPSTREAM]).config();
    assert_eq!(simple.trust[0].rules.kinds, TokenKinds::default());
}

#[test]
fn an_entry_inherits_unset_keys() {
    let top = "tokenTypes: [JWT, application/Access+JWT]\n  requireTokenType: true\n  refuse: [idTokens]";
    let [a, b] = kinds(top, ", tokenTypes: [at+jwt], refuse: []");
    let plain = |kinds: &TokenKinds| (kinds.require_type, kinds.refuse_id_tokens, kinds.refuse_logout_tokens);
    assert_eq!((&*a.types, plain(&a)), (&["at+jwt".into()][..], (true, false, false)));
    assert_eq!((&*b.types, plain(&b)), (&["jwt".into(), "access+jwt".into()][..], (true, true, false)));
    let [a, _] = kinds("leeway: 30s", ", requireTokenType: true, refuse: [logoutTokens, idTokens]");
    assert_eq!(plain(&a), (true, true, true));
}

#[test]
fn invalid_token_kinds_are_errors() {
    let errors = |top: &str, own: &str| {
        file(&ENTRIES.replace("TOP", top).replace(" OWN", own)).with(&[UPSTREAM]).errors()
    };
    assert_error(
        &errors("tokenTypes: []", ", refuse: [refreshTokens]"),
        "authentication.tokenTypes @ 2:15 | is an empty list",
    );
    assert_error(
        &errors("tokenTypes: [JWT, 'a b']", ", refuse: [refreshTokens]"),
        "authentication.issuers[0].refuse @ 4:53 | item 1: \"refreshTokens\" is not accepted; write one of: idTokens, logoutTokens",
    );
    assert_error(
        &errors("tokenTypes: [JWT, 'a b']", ""),
        "authentication.tokenTypes @ 2:15 | item 2: \"a b\" is not a token type like JWT or at+jwt",
    );
}
