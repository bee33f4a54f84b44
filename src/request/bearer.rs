//! The `Authorization` field (RFC 9110 section 11.6.2) and the bearer token in it (RFC 6750
//! section 2.1). No other source is accepted: not the query, a cookie or the body. Other fields are accepted only if the
//! configuration names them ([`super::TokenFields`]).

use std::fmt;

use bytes::Bytes;
use http::HeaderValue;

use super::RequestFault;
use super::grammar::jwt_octets;
use crate::message::Fields;
use crate::message::field_name::AUTHORIZATION;
use crate::octets;

const BEARER: &[u8] = b"Bearer ";

/// The credentials of a request.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// No `Authorization` field, or an empty one.
    Missing,
    /// `Bearer <token>`.
    Bearer(BearerToken),
    /// `Basic <anything>`: DataHub's services send their id and secret this way, unencoded.
    Basic(BasicCredentials),
    /// Another scheme; the text says which.
    OtherScheme(&'static str),
    /// `Bearer` followed by something that cannot be a token; the text says why.
    Malformed(&'static str),
}

impl Credentials {
    /// Reads the one `Authorization` field.
    pub fn read(headers: &Fields) -> Result<Self, RequestFault> {
        let mut values = headers.get_all(AUTHORIZATION);
        let Some(value) = values.next() else { return Ok(Self::Missing) };
        if values.next().is_some() {
            return Err(RequestFault::AmbiguousCredentials("there is more than one Authorization field"));
        }
        let whole = || headers.get_bytes(AUTHORIZATION).unwrap_or_default();
        if let Some(len) = BearerToken::len_in_canonical_field(value.as_bytes()) {
            let token = BearerToken { value: whole(), at: BEARER.len(), len, form: Form::Canonical };
            return Ok(Self::Bearer(token));
        }
        // Optional white space around a value is not part of it (RFC 9110 section 5.5).
        let Ok(text) = value.to_str() else {
            return Ok(Self::Malformed("Authorization has characters outside of ASCII"));
        };
        let (scheme, rest) =
            text.trim_matches([' ', '\t']).split_once(' ').unwrap_or((text.trim_matches([' ', '\t']), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Ok(Self::Basic(BasicCredentials(rest.as_bytes().into())));
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return Ok(if text.trim_matches([' ', '\t']).is_empty() {
                Self::Missing
            } else {
                Self::OtherScheme(other_scheme(scheme))
            });
        }
        if rest.is_empty() {
            return Ok(Self::Missing);
        }
        // `Authorization` is not a list field, so a comma means two credentials in one field.
        if rest.contains(',') {
            return Err(RequestFault::AmbiguousCredentials("Authorization has a comma"));
        }
        if !is_token(rest.as_bytes()) {
            return Ok(Self::Malformed(why_no_token(rest)));
        }
        Ok(Self::Bearer(BearerToken {
            value: whole(),
            at: text.len() - text.trim_start().len() + BEARER.len(),
            len: rest.len(),
            form: Form::Authorization,
        }))
    }
}

impl Credentials {
    /// Whether the value of a field begins with the scheme `Basic`.
    pub(super) fn are_basic(value: &[u8]) -> bool {
        let scheme = value.trim_ascii_start().split(|octet| *octet == b' ').next();
        scheme.is_some_and(|scheme| scheme.trim_ascii_end().eq_ignore_ascii_case(b"basic"))
    }

    /// A token in a form, as the token endpoint reads one. It is in no field, and is never forwarded.
    pub fn in_form(text: &str) -> Self {
        if !is_token(text.as_bytes()) {
            return Self::Malformed(
                "the token has a character that no token has, perhaps a line break at its end",
            );
        }
        let value = Bytes::copy_from_slice(text.as_bytes());
        let (len, form) = (value.len(), Form::Configured { padded: false });
        Self::Bearer(BearerToken { value, at: 0, len, form })
    }
}

/// Names a scheme other than `Bearer`. An unknown word is not repeated: it may be a token or a part of one.
fn other_scheme(scheme: &str) -> &'static str {
    const KNOWN: [(&str, &str); 8] = [
        ("token", "the scheme is Token"),
        ("dpop", "the scheme is DPoP"),
        ("negotiate", "the scheme is Negotiate"),
        ("digest", "the scheme is Digest"),
        ("ntlm", "the scheme is NTLM"),
        ("aws4-hmac-sha256", "the scheme is AWS4-HMAC-SHA256"),
        ("apikey", "the scheme is ApiKey"),
        ("bearer:", "the scheme is Bearer with a colon"),
    ];
    if let Some((_, text)) = KNOWN.iter().find(|(name, _)| scheme.eq_ignore_ascii_case(name)) {
        return text;
    }
    let starts_with = |start: &str| scheme.get(..start.len()).is_some_and(|s| s.eq_ignore_ascii_case(start));
    // The first bytes of a header that begins with `{"`.
    if scheme.starts_with("eyJ") {
        "there is a token without the word Bearer before it"
    } else if starts_with("bearer") {
        "there is no space after Bearer"
    } else {
        "the scheme is not Bearer"
    }
}

/// Why the text after `Bearer` is no token.
pub(super) fn why_no_token(rest: &str) -> &'static str {
    match rest {
        _ if rest.starts_with(' ') => "there is more than one space after Bearer",
        _ if rest.contains([' ', '\t']) => "the token has white space in it: was a line break copied?",
        _ if rest.starts_with(['"', '\'']) => "the token is in quotes",
        _ if rest.contains(['<', '$', '{', '%']) => {
            "the token is a placeholder, or has characters that no token has"
        }
        _ if rest.contains(['=', '+', '/']) => "the token is not base64url: it has padding, + or /",
        _ => "the token has characters that no token has",
    }
}

/// Whether these are only letters, digits, `-`, `_` and `.`: Base64url parts and the dots between them.
pub(super) fn is_token(text: &[u8]) -> bool {
    octets::has_none(text, |octets| !jwt_octets(octets))
}

/// The same, and `=`. Where it may be is checked when the parts are decoded.
pub(super) fn is_padded_token(text: &[u8]) -> bool {
    text.split(|byte| *byte == b'=').all(is_token)
}

/// A bearer token that is not parsed yet. `Debug` output does not contain its text.
#[derive(Clone)]
pub struct BearerToken {
    value: Bytes,
    at: usize,
    len: usize,
    form: Form,
}

/// How the token's field is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// As [`BearerToken::canonical_field`].
    Canonical,
    /// In `Authorization`, but in another form.
    Authorization,
    /// In another field, or in `Authorization` in a form of the configuration. The parts of a padded token may have
    /// base64 padding.
    Configured { padded: bool },
}

impl BearerToken {
    /// The length of the token of a field in the form that almost every client sends: `Bearer`, one space and the token.
    fn len_in_canonical_field(value: &[u8]) -> Option<usize> {
        let token = value.strip_prefix(BEARER)?;
        let is_canonical = !token.is_empty() && is_token(token);
        is_canonical.then_some(token.len())
    }

    /// A token within the value of a configured field.
    pub(super) fn in_field(value: Bytes, at: usize, len: usize, padded: bool) -> Self {
        Self { value, at, len, form: Form::Configured { padded } }
    }

    /// Whether the client's field already has the form of [`Self::canonical_field`].
    pub fn is_canonical(&self) -> bool {
        self.form == Form::Canonical
    }

    /// Whether it was read by an entry of the configuration, usually from another field than `Authorization`.
    pub fn is_of_configured_field(&self) -> bool {
        matches!(self.form, Form::Configured { .. })
    }

    /// Whether the parts of the token may have base64 padding.
    pub fn may_be_padded(&self) -> bool {
        self.form == Form::Configured { padded: true }
    }

    /// The token's text.
    pub fn as_str(&self) -> &str {
        str::from_utf8(self.as_bytes()).unwrap_or_default()
    }

    /// The bytes of its text, which is ASCII.
    pub fn as_bytes(&self) -> &[u8] {
        self.value.get(self.at..self.at + self.len).unwrap_or_default()
    }

    /// The field in the form that both backends accept: `Bearer`, one space, the token.
    pub fn canonical_field(&self) -> HeaderValue {
        // The text comes from a field value, so it is valid in one.
        let mut field = HeaderValue::try_from(format!("Bearer {}", self.as_str()))
            .unwrap_or_else(|_| HeaderValue::from_static("Bearer"));
        field.set_sensitive(true);
        field
    }
}

impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BearerToken(..)")
    }
}

/// The text after `Basic`. `Debug` output does not contain it.
#[derive(Clone)]
pub struct BasicCredentials(Box<[u8]>);

impl BasicCredentials {
    /// Compares with `<id>:<secret>` in constant time.
    pub fn equal(&self, id: &str, secret: &[u8]) -> bool {
        let expected = [id.as_bytes(), b":", secret].concat();
        aws_lc_rs::constant_time::verify_slices_are_equal(&self.0, &expected).is_ok()
    }
}

impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BasicCredentials(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(values: &[&[u8]]) -> Result<Credentials, RequestFault> {
        let mut headers = Fields::new();
        for value in values {
            headers.append(AUTHORIZATION, HeaderValue::from_bytes(value).unwrap());
        }
        Credentials::read(&headers)
    }

    #[test]
    fn bearer_scheme_is_case_insensitive() {
        for text in ["Bearer a.b.c", "bearer a.b.c", "BEARER a.b.c", " Bearer a.b.c\t", "\tbearer a.b.c "] {
            let Ok(Credentials::Bearer(token)) = read(&[text.as_bytes()]) else { panic!("{text}") };
            assert_eq!(token.as_str(), "a.b.c", "{text:?}");
            assert_eq!(token.canonical_field(), "Bearer a.b.c", "{text:?}");
            assert!(!format!("{token:?}").contains("a.b.c"));
        }
    }

    #[test]
    fn each_octet_of_a_token_is_checked() {
        for byte in 0..=u8::MAX {
            let expected = byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
            for len in [1, 31, 32, 33, 70] {
                for at in [0, len / 2, len - 1] {
                    let mut text = vec![b'x'; len];
                    text[at] = byte;
                    assert_eq!(is_token(&text), expected, "{byte:#x} at {at} of {len}");
                }
            }
        }
    }

    /// White space before the scheme leads past the check for the canonical form.
    #[test]
    fn the_canonical_form_is_read_like_the_others() {
        let result = |text: &[u8]| match read(&[text]) {
            Ok(Credentials::Bearer(token)) => format!("{:?}", token.canonical_field().as_bytes()),
            other => format!("{other:?}"),
        };
        let is_value = |byte: &u8| *byte == b'\t' || (*byte >= b' ' && *byte != 0x7f);
        for byte in (0..=u8::MAX).filter(is_value) {
            for text in [vec![byte], vec![byte, b'a'], vec![b'a', byte], vec![b'a', byte, b'.', byte, b'b']] {
                let field = [b"Bearer ", &text[..]].concat();
                assert_eq!(result(&field), result(&[b" ", &field[..]].concat()), "{text:?}");
            }
        }
    }

    #[test]
    fn empty_credentials_are_missing() {
        assert!(matches!(read(&[]), Ok(Credentials::Missing)));
        for text in ["", " ", "Bearer", "Bearer ", "bearer  "] {
            assert!(matches!(read(&[text.as_bytes()]), Ok(Credentials::Missing)), "{text:?}");
        }
    }

    #[test]
    fn basic_and_other_schemes_are_distinguished() {
        for text in [
            "BearereyJ.a.b",
            "BearerXeyJ.a.b",
            "DPoP a.b.c",
            "Token a.b.c",
            "Negotiate x",
            "a.b.c",
            "Bearer\ta.b.c",
        ] {
            assert!(matches!(read(&[text.as_bytes()]), Ok(Credentials::OtherScheme(_))), "{text:?}");
        }
        let Ok(Credentials::Basic(basic)) = read(&[b"Basic __datahub_system:secret"]) else { panic!() };
        assert!(basic.equal("__datahub_system", b"secret"));
        assert!(!basic.equal("__datahub_system", b"secreT"));
        assert!(!basic.equal("__datahub_system", b""));
        assert!(!format!("{basic:?}").contains("secret"));
    }

    #[test]
    fn two_credentials_are_ambiguous() {
        for values in [
            &[&b"Bearer a.b.c"[..], b"Bearer a.b.c"][..],
            &[b"Bearer a.b.c", b""],
            &[b"Bearer a.b.c, Bearer d.e.f"],
            &[b"Bearer a.b.c,"],
        ] {
            assert!(matches!(read(values).err(), Some(RequestFault::AmbiguousCredentials(_))));
        }
    }

    #[test]
    fn invalid_token_characters_are_malformed() {
        for text in [
            &b"Bearer  a.b.c"[..],
            b"Bearer a.b.c d",
            b"Bearer a.b.c=",
            b"Bearer a.b+c",
            b"Bearer \xc3\xa9",
            b"Bearer a\tb",
        ] {
            assert!(matches!(read(&[text]), Ok(Credentials::Malformed(_))), "{text:?}");
        }
    }
}
