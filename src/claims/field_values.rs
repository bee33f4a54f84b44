//! The verified identity as field values.
//!
//! A field value is ASCII (RFC 9110 section 5.5), but a name may contain other characters. They are
//! percent-encoded as UTF-8 (RFC 3986 section 2.1). `%` is encoded too, so that different names have different
//! values.
//!
//! The values are made once for each token and kept in it, because a cached token is used for many requests. A token is
//! cached only within one configuration; values that another one made are not used.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use http::{HeaderName, HeaderValue};

use super::{ClaimPath, VerifiedToken};
use crate::backend::ActorField;
use crate::jose::{JsonArray, JsonMembers, JsonValue};

/// The longest value of a claim in a field, in bytes.
const MAX_CLAIM_BYTES: usize = 1024;

/// What of an identity becomes field values.
#[derive(Debug)]
pub struct FieldRules {
    /// The most bytes of the roles, joined by commas. Roles beyond it are left out.
    pub max_groups_bytes: usize,
    /// Further fields, each with the claims that it may carry: the first that a token has.
    pub claims: Vec<(HeaderName, Vec<ClaimPath>)>,
}

/// All roles, and no further fields.
impl Default for FieldRules {
    fn default() -> Self {
        Self { max_groups_bytes: usize::MAX, claims: Vec::new() }
    }
}

/// A token's identity as field values. Clones share their text.
#[derive(Clone, Debug)]
pub struct IdentityValues {
    /// The principal.
    pub user: HeaderValue,
    /// The email address, if there is one.
    pub email: Option<HeaderValue>,
    /// The roles, joined by commas, if there are any. A comma in a name is encoded.
    pub groups: Option<HeaderValue>,
    /// Whether roles were left out.
    pub groups_are_cut: bool,
    /// The values of [`FieldRules::claims`], in the same order; `None` for a claim that the token does not have.
    pub claims: Vec<Option<HeaderValue>>,
    rules: Arc<FieldRules>,
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
    pub fn identity_values(&self, rules: &Arc<FieldRules>) -> Option<Cow<'_, IdentityValues>> {
        match self.field_values.identity.get_or_init(|| IdentityValues::of(self, rules)) {
            Some(kept) if Arc::ptr_eq(&kept.rules, rules) => Some(Cow::Borrowed(kept)),
            // Another configuration made the kept values, or they cannot be written.
            _ => IdentityValues::of(self, rules).map(Cow::Owned),
        }
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
    fn of(token: &VerifiedToken, rules: &Arc<FieldRules>) -> Option<Self> {
        let mut text = String::with_capacity(64);
        encode(&mut text, &token.principal, b"");
        let user_end = text.len();
        if let Some(email) = &token.email {
            encode(&mut text, email, b"");
        }
        let email_end = text.len();
        // Nor the roles, which are for metagate's own rules.
        let roles = if token.mapped_user().is_some() { &[] } else { &*token.roles };
        let groups_are_cut = !add_groups(&mut text, roles, rules.max_groups_bytes);
        let claims = rules.claims.iter().map(|(_, paths)| match token.mapped_user() {
            None => claim_value(token, paths),
            // The claims are those of the workload, and not of the user that it acts as.
            Some(_) => Ok(None),
        });
        let claims = claims.collect::<Result<_, ()>>().ok()?;
        let text = shared(&text);
        let value = |range| HeaderValue::from_maybe_shared(text.slice(range)).ok();
        Some(Self {
            user: value(0..user_end)?,
            email: match &token.email {
                Some(_) => Some(value(user_end..email_end)?),
                None => None,
            },
            groups: if email_end == text.len() { None } else { Some(value(email_end..text.len())?) },
            groups_are_cut,
            claims,
            rules: rules.clone(),
        })
    }

    /// The lengths of its texts that are allocated.
    fn texts(&self) -> impl Iterator<Item = usize> {
        let shared = [Some(&self.user), self.email.as_ref(), self.groups.as_ref()];
        let shared = shared.into_iter().flatten().map(HeaderValue::len).sum::<usize>();
        let list = self.claims.capacity() * size_of::<Option<HeaderValue>>();
        let lists = (list > 0).then_some(list).into_iter();
        std::iter::once(shared).chain(lists).chain(self.claims.iter().flatten().map(HeaderValue::len))
    }
}

/// Appends whole roles, joined by commas, as long as they fit. Returns whether all do.
fn add_groups(text: &mut String, roles: &[Box<str>], max_bytes: usize) -> bool {
    let start = text.len();
    for role in roles {
        let before = text.len();
        if before > start {
            text.push(',');
        }
        encode(text, role, b",");
        if text.len() - start > max_bytes {
            text.truncate(before);
            return false;
        }
    }
    true
}

/// The first of these claims that the token has, and that is not null. `Err` if it is too long.
fn claim_value(token: &VerifiedToken, paths: &[ClaimPath]) -> Result<Option<HeaderValue>, ()> {
    let found = paths.iter().find_map(|path| path.find(&token.claims).filter(|value| !value.is_null()));
    let Some(found) = found else { return Ok(None) };
    let mut text = String::new();
    match found {
        JsonValue::String(value) if value.len() > MAX_CLAIM_BYTES => return Err(()),
        JsonValue::String(value) => encode(&mut text, value, b""),
        value => {
            let mut json = String::new();
            write_json(&mut json, value);
            encode(&mut text, &json, b"");
        }
    }
    if text.len() > MAX_CLAIM_BYTES {
        return Err(());
    }
    HeaderValue::from_maybe_shared(shared(&text)).map(Some).map_err(|_| ())
}

/// Writes a value as JSON, up to a little more than [`MAX_CLAIM_BYTES`].
fn write_json(json: &mut String, value: JsonValue<'_>) {
    match value {
        _ if json.len() > MAX_CLAIM_BYTES => {}
        JsonValue::Null => json.push_str("null"),
        JsonValue::Bool(value) => json.push_str(if value { "true" } else { "false" }),
        JsonValue::Number(number) => json.push_str(&number.to_string()),
        JsonValue::String(text) => write_string(json, text),
        JsonValue::Array(items) => write_array(json, items),
        JsonValue::Object(members) => write_object(json, members),
    }
}

fn write_array(json: &mut String, items: JsonArray<'_>) {
    json.push('[');
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_json(json, item);
    }
    json.push(']');
}

fn write_object(json: &mut String, members: JsonMembers<'_>) {
    json.push('{');
    for (at, (name, value)) in members.iter().enumerate() {
        if at > 0 {
            json.push(',');
        }
        write_string(json, name);
        json.push(':');
        write_json(json, value);
    }
    json.push('}');
}

fn write_string(json: &mut String, text: &str) {
    json.push_str(&serde_json::Value::from(text).to_string());
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
        let identity =
            self.identity.get().and_then(Option::as_ref).into_iter().flat_map(IdentityValues::texts);
        let actor = self.actor.get().and_then(|actor| actor.value.as_ref()).map(HeaderValue::len);
        identity.chain(actor)
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
        let rules = Arc::default();
        let claims = json!({"sub": "ad\u{e4}", "email": "ada@example.org", "roles": ["Data Steward", "a,b"]});
        let token = verified(claims);
        let values = token.identity_values(&rules).unwrap();
        assert_eq!(values.user.as_bytes(), encoded(token.principal(), b"").as_bytes());
        assert_eq!(values.email.as_ref().unwrap(), "ada@example.org");
        assert_eq!(values.groups.as_ref().unwrap(), "Data Steward,a%2Cb");
        let bare = verified(json!({}));
        let values = bare.identity_values(&rules).unwrap();
        assert_eq!((&values.user, &values.email, &values.groups), (&"ada".parse().unwrap(), &None, &None));
    }

    #[test]
    fn values_are_made_once_and_shared() {
        let rules = Arc::default();
        let token = verified(json!({"email": "ada@example.org", "roles": ["A"]}));
        let at = |value: &HeaderValue| value.as_bytes().as_ptr();
        let values = token.identity_values(&rules).unwrap();
        let again = token.identity_values(&rules).unwrap();
        assert_eq!(at(&values.user), at(&again.user.clone()));
        let field = Backend::DataHubGms.preset().actor.unwrap();
        let actor = token.actor_value(&field).unwrap();
        assert_eq!(at(&actor), at(&token.actor_value(&field).unwrap()));
    }

    #[test]
    fn roles_are_cut_at_a_whole_role() {
        let groups = |roles: &[&str], max_groups_bytes| {
            let token = verified(json!({"roles": roles}));
            let rules = Arc::new(FieldRules { max_groups_bytes, ..FieldRules::default() });
            let values = token.identity_values(&rules).unwrap();
            let text = values.groups.as_ref().map(|value| value.to_str().unwrap().to_owned());
            (text.unwrap_or_default(), values.groups_are_cut)
        };
        assert_eq!(groups(&["one", "two", "three"], 13), ("one,two,three".to_owned(), false));
        assert_eq!(groups(&["one", "two", "three"], 12), ("one,two".to_owned(), true));
        assert_eq!(groups(&["one", "two"], 3), ("one".to_owned(), true));
        assert_eq!(groups(&["one"], 2), (String::new(), true));
        assert_eq!(groups(&["\u{e4}"], 5), (String::new(), true), "encoded it is longer");
        assert_eq!(groups(&[], 2), (String::new(), false));
    }

    #[test]
    fn any_claim_becomes_a_value_or_the_token_is_refused() {
        let claims = json!({"text": "a\u{e9} b", "number": 5.5, "yes": true, "null": null, "empty": "",
            "list": ["a", 1, {"b": null}], "map": {"b": "\"x\"", "a": [true]}, "split": "a\r\nX-Evil: 1",
            "long": "x".repeat(MAX_CLAIM_BYTES), "longer": "x".repeat(MAX_CLAIM_BYTES + 1),
            "wide": "\u{e9}".repeat(400), "deep": vec!["x".repeat(100); 20]});
        let token = |path: &str| {
            let token = verified(claims.clone());
            let paths = path.split('|').map(ClaimPath::new).collect();
            let claims = vec![(HeaderName::from_static("x-claim"), paths)];
            let rules = Arc::new(FieldRules { claims, ..FieldRules::default() });
            let values = token.identity_values(&rules)?;
            Some(values.claims[0].as_ref().map(|value| value.to_str().unwrap().to_owned()))
        };
        for (path, value) in [
            ("text", Some("a%C3%A9 b")),
            ("number", Some("5.5")),
            ("yes", Some("true")),
            ("null", None),
            ("none", None),
            ("null|none|yes", Some("true")),
            ("empty", Some("")),
            ("list", Some(r#"["a",1,{"b":null}]"#)),
            ("map", Some(r#"{"a":[true],"b":"\"x\""}"#)),
            ("/list/0", Some("a")),
            ("split", Some("a%0D%0AX-Evil: 1")),
        ] {
            assert_eq!(token(path), Some(value.map(str::to_owned)), "{path}");
        }
        assert_eq!(token("long").unwrap().unwrap().len(), MAX_CLAIM_BYTES);
        for path in ["longer", "wide", "deep"] {
            assert_eq!(token(path), None, "{path}");
        }
    }

    /// A token may be used by a request that began before a reload and by one that began after it.
    #[test]
    fn values_of_another_configuration_are_not_used() {
        let token = verified(json!({"sub": "a,(b)", "roles": ["one", "two"]}));
        let (all, few) =
            (Arc::default(), Arc::new(FieldRules { max_groups_bytes: 3, ..FieldRules::default() }));
        for (rules, groups) in [(&all, "one,two"), (&few, "one"), (&all, "one,two")] {
            assert_eq!(token.identity_values(rules).unwrap().groups.as_ref().unwrap(), groups);
        }
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
