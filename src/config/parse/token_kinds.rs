//! Parses `tokenTypes`, `requireTokenType` and `refuse` of `authentication` or of an issuer entry.

use super::super::values;
use super::super::words::{RefusedKind, Word};
use super::section::Section;
use crate::claims::TokenKinds;

/// The settings of `authentication`, where each key has a default.
pub(super) fn of_all(section: &Section<'_>) -> TokenKinds {
    for name in ["tokenTypes", "refuse", "requireTokenType"] {
        section.require(name);
    }
    let nothing = TokenKinds {
        types: Vec::new(),
        require_type: false,
        refuse_id_tokens: false,
        refuse_logout_tokens: false,
        header: Vec::new(),
        own: false,
    };
    of_entry(section, &nothing)
}

/// The settings of an issuer entry, with `inherited` for keys that it does not set.
pub(super) fn of_entry(section: &Section<'_>, inherited: &TokenKinds) -> TokenKinds {
    let types = section.list("tokenTypes", token_type);
    if types.as_ref().is_some_and(Vec::is_empty) {
        let help = "leave the key out; a token without typ is accepted unless requireTokenType is set";
        section.missing("tokenTypes", "is an empty list: no token with a typ would be accepted", help);
    }
    let refuse = section.list("refuse", RefusedKind::from_word);
    let refuses = |kind, inherited| refuse.as_ref().map_or(inherited, |kinds: &Vec<_>| kinds.contains(&kind));
    TokenKinds {
        require_type: section.read("requireTokenType", values::boolean).unwrap_or(inherited.require_type),
        refuse_id_tokens: refuses(RefusedKind::IdTokens, inherited.refuse_id_tokens),
        refuse_logout_tokens: refuses(RefusedKind::LogoutTokens, inherited.refuse_logout_tokens),
        types: types.unwrap_or_else(|| inherited.types.clone()),
        header: required_header(section),
        own: false,
    }
}

/// `requireHeader`: members of the header with their accepted values.
fn required_header(section: &Section<'_>) -> Vec<(Box<str>, Vec<Box<str>>)> {
    let mut required = Vec::new();
    for (name, accepted) in section.text_lists("requireHeader") {
        if accepted.is_empty() {
            section.error("requireHeader", format!("`{name}` has an empty list of values"));
        } else if let Some((_, key)) = READ_OTHERWISE.iter().find(|(member, _)| *member == name) {
            section.error("requireHeader", format!("`{name}` is checked by another key: {key}"));
        } else if let Some(why) = accepted.iter().find_map(|value| values::filled_in(value).err()) {
            section.error("requireHeader", why);
        } else {
            required.push((name.into(), accepted));
        }
    }
    required
}

/// Members of a header that other keys are about.
const READ_OTHERWISE: [(&str, &str); 3] =
    [("alg", "algorithms"), ("kid", "publicKeyUrls"), ("typ", "tokenTypes")];

/// A media type (RFC 6838 section 4.2), with or without `application/`.
fn token_type(text: &str) -> Result<Box<str>, String> {
    let plain = TokenKinds::plain(text);
    let in_name = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte);
    if plain.is_empty() || !plain.bytes().all(in_name) {
        return Err(format!("{} is not a token type like JWT or at+jwt", values::quote(text)));
    }
    Ok(plain)
}
