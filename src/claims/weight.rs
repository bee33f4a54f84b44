//! How much memory a verified token uses, for a cache that is bounded by weight.
//!
//! `tests/token_cache_memory.rs` compares it with what the process really uses.

use super::{Mapping, VerifiedToken};

/// What a shared text uses in addition to its bytes: pointer, capacity and count.
const SHARED_BYTES: usize = 24;
/// The bytes of a token's members in an audit record, without principal, issuer entry and key ID.
const AUDIT_MEMBERS_BYTES: usize = 128;
/// The counts of an `Arc`.
const ARC_BYTES: usize = 16;

impl VerifiedToken {
    /// How many bytes this value uses in an `Arc`, with everything that it owns. The values that every request with it
    /// needs must have been made before, so that they are counted.
    pub fn weight(&self) -> usize {
        // Names every field, so that a new one is not forgotten.
        let Self {
            entry,
            issuer,
            binds_issuer: _,
            is_backends_own: _,
            issued: _,
            principal,
            email,
            roles,
            scopes,
            class: _,
            kid,
            key_id,
            key_has_id: _,
            algorithm: _,
            fingerprint: _,
            times: _,
            claims,
            // Shared with the configuration.
            mapping,
            derived,
            field_values,
            sightings: _,
        } = self;
        let texts =
            [Some(entry), issuer.as_ref(), Some(principal), email.as_ref(), kid.as_ref(), key_id.as_ref()];
        let texts = texts.into_iter().flatten().map(|text| allocated(text.len())).sum::<usize>();
        let prepared =
            field_values.texts().map(|len| allocated(len) + allocated(SHARED_BYTES)).sum::<usize>();
        let mapped = match mapping {
            Mapping::User(user) => user.entry.len() + self.subject().map_or(0, str::len),
            Mapping::None | Mapping::Missing => 0,
        };
        let named = principal.len() + entry.len() + kid.as_ref().map_or(0, |kid| kid.len()) + mapped;
        let audit_members =
            field_values.audit_members.get().map_or(AUDIT_MEMBERS_BYTES + named, |members| members.len());
        let derived = derived.iter().flat_map(|derived| derived.allocations()).map(allocated).sum::<usize>();
        allocated(size_of::<Self>() + ARC_BYTES)
            + derived
            + allocated(audit_members)
            + texts
            + of_list(roles)
            + of_list(scopes)
            + claims.allocations().into_iter().map(allocated).sum::<usize>()
            + prepared
    }
}

fn of_list(names: &Vec<Box<str>>) -> usize {
    let texts = names.iter().map(|name| allocated(name.len())).sum::<usize>();
    allocated(names.capacity() * size_of::<Box<str>>()) + texts
}

/// What mimalloc uses for this many bytes: 8 or a multiple of 16, and above 128 bytes one of four sizes for each power of
/// two.
fn allocated(bytes: usize) -> usize {
    let step = if bytes <= 8 { 8 } else { (bytes.next_power_of_two() / 8).max(16) };
    bytes.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http::{HeaderName, HeaderValue};
    use serde_json::{Map, Value, json};

    use super::*;
    use crate::backend::Backend;
    use crate::claims::{ClaimPath, FieldRules, MappedUser, Origin, validate};
    use crate::numeric_date::NumericDate;
    use crate::test_support::{NOW, good_claims, open_rules, signed, verified, with};

    #[test]
    fn allocations_have_the_allocators_sizes() {
        for (bytes, used) in [
            (0, 0),
            (1, 8),
            (8, 8),
            (9, 16),
            (16, 16),
            (17, 32),
            (65, 80),
            (128, 128),
            (129, 160),
            (513, 640),
            (1024, 1024),
        ] {
            assert_eq!(allocated(bytes), used, "{bytes}");
        }
    }

    #[test]
    fn weight_grows_with_the_claims() {
        let small = verified(json!({})).weight();
        let large = verified(json!({"filler": ["x".repeat(1000), {"nested": "y".repeat(1000)}]})).weight();
        assert!((size_of::<VerifiedToken>()..size_of::<VerifiedToken>() + 2048).contains(&small), "{small}");
        assert!(large >= small + 2000, "{small} {large}");
        let many: Value = (0..100).map(|at| (format!("claim-{at}"), json!(1))).collect::<Map<_, _>>().into();
        assert!(verified(many).weight() >= small + 100 * ("claim-00".len() + size_of::<u64>()));
    }

    #[test]
    fn a_list_takes_its_texts_and_a_place_for_each() {
        let names = vec!["12345678"; 64];
        for (list, other) in [("roles", "rules"), ("scope", "score")] {
            let as_list = verified(json!({list: names})).weight();
            let only_in_the_claims = verified(json!({other: names})).weight();
            let least = names.len() * (8 + size_of::<Box<str>>());
            assert!((least..=2 * least).contains(&(as_list - only_in_the_claims)), "{list}");
        }
    }

    #[test]
    fn what_audit_records_say_of_a_token_is_counted() {
        let weight = |entry: &str, subject: &str| {
            let signed = signed(&with(good_claims(), json!({"sub": subject})));
            validate(signed, entry, &open_rules(), NumericDate::from_secs(NOW)).unwrap().weight()
        };
        let small = weight("issuer", "subject");
        // By itself and in the record.
        let entry = weight(&"e".repeat(512), "subject") - small;
        assert!((2 * 480..3 * 512).contains(&entry), "{entry}");
        // In the claims too.
        let subject = weight("issuer", &"s".repeat(240)) - small;
        assert!((3 * 200..8 * 240).contains(&subject), "{subject}");
    }

    #[test]
    fn what_audit_records_say_of_a_mapped_user_is_counted() {
        let user = |entry: &str| MappedUser { index: 0, entry: entry.into(), user: "u".into(), email: None };
        let weight = |entry: &str, subject: &str| {
            let token = verified(json!({"sub": subject, "email": "ada@a.example"}));
            token.mapped(Mapping::User(user(entry).into())).weight()
        };
        let small = weight("e", "s");
        assert!(weight(&"e".repeat(512), "s") >= small + 400);
        // In the claims and in the record.
        assert!(weight("e", &"s".repeat(512)) >= small + 2 * 400);
        assert!(weight(&"e".repeat(512), &"s".repeat(512)) < small + 4 * 1024);
    }

    #[test]
    fn what_an_issued_token_says_of_its_origin_is_counted() {
        let weight = |key_ids: usize| {
            let origin = Origin {
                issuer: "https://idp.example".into(),
                id: None,
                key_ids: vec!["key".into(); key_ids],
                fingerprint: "0".repeat(64).into(),
                issued_at: None,
            };
            verified(json!({})).derived_from("own", origin).weight()
        };
        let without = verified(json!({})).weight();
        assert!(weight(0) >= without + size_of::<Origin>() + 64);
        // Each takes eight bytes for its text, and a place in the list.
        let many = 1024 * (8 + size_of::<Box<str>>());
        assert_eq!(weight(1024), weight(0) + many);
    }

    #[test]
    fn every_text_of_the_prepared_values_is_counted() {
        let texts = |claims: &[&str]| {
            let token =
                verified(json!({"email": "ada@a.example", "roles": ["A"], "org": "data", "site": "north"}));
            let field = |name: &&str| (HeaderName::from_static("x-claim"), vec![ClaimPath::new(name)]);
            let rules =
                Arc::new(FieldRules { claims: claims.iter().map(field).collect(), ..FieldRules::default() });
            token.identity_values(&rules).unwrap();
            token.field_values.texts().collect::<Vec<_>>()
        };
        let identity = "ada@a.example".len() * 2 + "A".len();
        assert_eq!(texts(&[]), [identity], "user, email and groups share one text");
        let found = texts(&["org", "none", "none", "site"]);
        let [first, list, org, site] = found[..] else { panic!("{found:?}") };
        assert_eq!((first, org, site), (identity, "data".len(), "north".len()));
        // A claim that the token does not have takes a place in the list too.
        let value = size_of::<Option<HeaderValue>>();
        assert!((4 * value..=8 * value).contains(&list), "{list}");
    }

    #[test]
    fn prepared_values_are_counted() {
        let rules = Arc::default();
        let weight = |role: &str| {
            let token = verified(json!({"roles": [role]}));
            token.identity_values(&rules).unwrap();
            token.weight()
        };
        // In the claims, in the roles and in the field value.
        assert!(weight(&"r".repeat(256)) >= weight("r") + 3 * 240);
        let token = verified(json!({}));
        let before = token.weight();
        token.actor_value(&Backend::DataHubGms.preset().actor.unwrap()).unwrap();
        let value = "urn:li:corpuser:ada".len() + SHARED_BYTES;
        assert!((value..2 * value).contains(&(token.weight() - before)));
    }
}
