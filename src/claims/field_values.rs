//! The verified identity as field values.
//!
//! A field value is ASCII (RFC 9110 section 5.5), but a name may contain other characters. They are
//! percent-encoded as UTF-8 (RFC 3986 section 2.1). `%` is encoded too, so that different names have different
//! values.
//!
//! The values are made once for each token and kept in it, because a cached token is used for many requests. They
//! depend only on the token and on what the caller passes, so they stay right when the configuration changes.

use std::sync::OnceLock;

use bytes::Bytes;
use http::HeaderValue;

use super::VerifiedToken;
use crate::backend::ActorField;

/// A token's identity as field values. Clones share their text.
#[derive(Debug)]
pub struct IdentityValues {
    /// The principal.
    pub user: HeaderValue,
    /// The email address, if there is one.
    pub email: Option<HeaderValue>,
    /// The roles, joined by commas, if there are any. A comma in a name is encoded.
    pub groups: Option<HeaderValue>,
}

/// The values of one token, each made when it is first needed. `None` is a value that cannot be written.
#[derive(Debug, Default)]
pub(super) struct FieldValues {
    identity: OnceLock<Option<IdentityValues>>,
    actor: OnceLock<ActorValue>,
    /// The members of an audit record that name the token.
    pub(super) audit_members: OnceLock<Box<str>>,
}

/// The principal as the value of one actor field.
#[derive(Debug)]
struct ActorValue {
    prefix: &'static str,
    encoded: &'static [u8],
    value: Option<HeaderValue>,
}

impl VerifiedToken {
    /// The identity as field values; `None` if it cannot be written.
    pub fn identity_values(&self) -> Option<&IdentityValues> {
        self.field_values.identity.get_or_init(|| IdentityValues::of(self)).as_ref()
    }

    /// The principal as the value of a backend's actor field; `None` if it cannot be written.
    pub fn actor_value(&self, field: &ActorField) -> Option<HeaderValue> {
        let kept = self.field_values.actor.get_or_init(|| ActorValue::new(&self.principal, field));
        if (kept.prefix, kept.encoded) == (field.prefix, field.encoded) {
            kept.value.clone()
        } else {
            // Another configuration made the kept value.
            ActorValue::new(&self.principal, field).value
        }
    }
}

impl IdentityValues {
    fn of(token: &VerifiedToken) -> Option<Self> {
        let mut text = String::with_capacity(64);
        encode(&mut text, &token.principal, b"");
        let user_end = text.len();
        if let Some(email) = &token.email {
            encode(&mut text, email, b"");
        }
        let email_end = text.len();
        for (at, role) in token.roles.iter().enumerate() {
            if at > 0 {
                text.push(',');
            }
            encode(&mut text, role, b",");
        }
        let text = shared(&text);
        let value = |range| HeaderValue::from_maybe_shared(text.slice(range)).ok();
        Some(Self {
            user: value(0..user_end)?,
            email: match &token.email {
                Some(_) => Some(value(user_end..email_end)?),
                None => None,
            },
            groups: match &token.roles[..] {
                [] => None,
                _ => Some(value(email_end..text.len())?),
            },
        })
    }

    fn len(&self) -> usize {
        let others = [&self.email, &self.groups].into_iter().flatten();
        self.user.len() + others.map(HeaderValue::len).sum::<usize>()
    }
}

impl ActorValue {
    fn new(principal: &str, field: &ActorField) -> Self {
        let mut text = field.prefix.to_owned();
        encode(&mut text, principal, field.encoded);
        let value = HeaderValue::from_maybe_shared(shared(&text)).ok();
        Self { prefix: field.prefix, encoded: field.encoded, value }
    }
}

impl FieldValues {
    /// The lengths of the texts that are kept.
    pub(super) fn texts(&self) -> impl Iterator<Item = usize> {
        let identity = self.identity.get().and_then(Option::as_ref).map(IdentityValues::len);
        let actor = self.actor.get().and_then(|actor| actor.value.as_ref()).map(HeaderValue::len);
        identity.into_iter().chain(actor)
    }
}

/// A text in an allocation of its own length, which no clone copies. The count that clones share is made by the first
/// clone: here, and not by the first request.
fn shared(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes()).clone()
}

/// Appends a name. `also` are characters that are percent-encoded although they are valid in a field value.
fn encode(text: &mut String, name: &str, also: &[u8]) {
    let digit = |value: u8| char::from_digit(value.into(), 16).unwrap_or_default().to_ascii_uppercase();
    let last = name.len().saturating_sub(1);
    for (at, byte) in name.bytes().enumerate() {
        // A space at either end would be trimmed.
        let edge = (at == 0 || at == last) && byte == b' ';
        if (byte.is_ascii_graphic() || byte == b' ') && byte != b'%' && !also.contains(&byte) && !edge {
            text.push(char::from(byte));
        } else {
            text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::backend::Backend;
    use crate::test_support::verified;

    fn encoded(name: &str, also: &[u8]) -> String {
        let mut text = String::new();
        encode(&mut text, name, also);
        text
    }

    #[test]
    fn names_become_ascii_and_stay_distinct() {
        for (name, value) in [
            ("ada", "ada"),
            ("Ada Lovelace", "Ada Lovelace"),
            ("ada@example.org", "ada@example.org"),
            ("jos\u{e9}", "jos%C3%A9"),
            ("100%", "100%25"),
            (" ada ", "%20ada%20"),
            ("a\r\nb", "a%0D%0Ab"),
        ] {
            assert_eq!(encoded(name, b""), value);
        }
        assert_eq!(encoded("a,b", b","), "a%2Cb");
    }

    #[test]
    fn values_are_made_of_principal_email_and_roles() {
        let claims = json!({"sub": "ad\u{e4}", "email": "ada@example.org", "roles": ["Data Steward", "a,b"]});
        let token = verified(claims);
        let values = token.identity_values().unwrap();
        assert_eq!(values.user.as_bytes(), encoded(token.principal(), b"").as_bytes());
        assert_eq!(values.email.as_ref().unwrap(), "ada@example.org");
        assert_eq!(values.groups.as_ref().unwrap(), "Data Steward,a%2Cb");
        let bare = verified(json!({}));
        let values = bare.identity_values().unwrap();
        assert_eq!((&values.user, &values.email, &values.groups), (&"ada".parse().unwrap(), &None, &None));
    }

    #[test]
    fn values_are_made_once_and_shared() {
        let token = verified(json!({"email": "ada@example.org", "roles": ["A"]}));
        let at = |value: &HeaderValue| value.as_bytes().as_ptr();
        let values = token.identity_values().unwrap();
        let again = token.identity_values().unwrap();
        assert_eq!(at(&values.user), at(&again.user.clone()));
        let field = Backend::DataHubGms.preset().actor.unwrap();
        let actor = token.actor_value(&field).unwrap();
        assert_eq!(at(&actor), at(&token.actor_value(&field).unwrap()));
    }

    /// A token may be used by a request that began before a reload and by one that began after it.
    #[test]
    fn an_actor_value_of_another_configuration_is_not_used() {
        let token = verified(json!({"sub": "a,(b)"}));
        let field = Backend::DataHubGms.preset().actor.unwrap();
        assert_eq!(token.actor_value(&field).unwrap(), "urn:li:corpuser:a%2C%28b%29");
        assert_eq!(token.actor_value(&ActorField { prefix: "user:", ..field }).unwrap(), "user:a%2C%28b%29");
        assert_eq!(
            token.actor_value(&ActorField { encoded: b"", ..field }).unwrap(),
            "urn:li:corpuser:a,(b)"
        );
        assert_eq!(token.actor_value(&field).unwrap(), "urn:li:corpuser:a%2C%28b%29");
    }
}
