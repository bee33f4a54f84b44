//! Which fields hold the token.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use http::HeaderValue;

use super::*;
use crate::test_support::fields;

const IAP: &str = "x-goog-iap-jwt-assertion";

fn field(name: &'static str, scheme: Option<&str>, padded: bool) -> TokenField {
    TokenField::new(HeaderName::from_static(name), scheme.map(Into::into), padded)
}

fn listed() -> TokenFields {
    TokenFields::new(
        vec![
            TokenField::authorization(),
            field(IAP, None, false),
            field("x-amzn-oidc-data", None, true),
            field("proxy-authorization", Some("Bearer"), false),
        ],
        false,
    )
}

/// The token, or what was found in its place.
fn read(fields_of: &TokenFields, lines: &[(&str, &str)]) -> Result<String, String> {
    match fields_of.read(&fields(lines)) {
        Ok(Credentials::Bearer(token)) => {
            assert_eq!(token.canonical_field(), format!("Bearer {}", token.as_str()));
            Ok(token.as_str().to_owned())
        }
        Ok(other) => Err(format!("{other:?}")),
        Err(fault) => Err(format!("{fault:?}")),
    }
}

#[test]
fn authorization_is_named_once_and_only_if_it_is_looked_at() {
    let names =
        |fields: &TokenFields| fields.names().map(HeaderName::as_str).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(names(&TokenFields::default()), ["authorization"]);
    assert_eq!(names(&listed()), ["authorization", IAP, "x-amzn-oidc-data", "proxy-authorization"]);
    for (accepts_system_credential, expected) in [(false, &[IAP][..]), (true, &["authorization", IAP])] {
        let fields = TokenFields::new(vec![field(IAP, None, false)], accepts_system_credential);
        assert_eq!(names(&fields), expected);
    }
}

#[test]
fn each_field_has_its_own_form() {
    let listed = listed();
    for (name, value, token) in [
        ("authorization", "bearer a.b.c", "a.b.c"),
        (IAP, "a.b.c", "a.b.c"),
        (IAP, " \ta.b.c ", "a.b.c"),
        ("x-amzn-oidc-data", "aa==.bbb=.c", "aa==.bbb=.c"),
        ("x-amzn-oidc-data", "a.b.c", "a.b.c"),
        ("proxy-authorization", "BEARER a.b.c", "a.b.c"),
    ] {
        assert_eq!(read(&listed, &[("x", "y"), (name, value)]), Ok(token.to_owned()), "{name}: {value}");
    }
    for (name, value, why) in [
        ("authorization", "Bearer a.b.c=", "Malformed"),
        ("authorization", "a.b.c", "OtherScheme"),
        (IAP, "Bearer a.b.c", "begins with Bearer"),
        (IAP, "a.b.c=", "no `padded: true`"),
        (IAP, "a.b.c d", "white space"),
        (IAP, "a.b.c,d.e.f", "AmbiguousCredentials"),
        (IAP, "", "Missing"),
        ("proxy-authorization", "Basic eDp5", "OtherScheme"),
        ("proxy-authorization", "a.b.c", "OtherScheme"),
        ("proxy-authorization", "Bearer", "Missing"),
        ("proxy-authorization", "", "Missing"),
        ("x-amzn-oidc-data", "a+b=.c.d", "Malformed"),
        ("x-other", "a.b.c", "Missing"),
        // A look-alike is another field here; it is removed on the way upstream.
        ("x_goog_iap_jwt_assertion", "a.b.c", "Missing"),
    ] {
        let found = read(&listed, &[(name, value)]).unwrap_err();
        assert!(found.contains(why), "{name}: {value}: {found}");
    }
    let mut headers = fields(&[]);
    headers.append(HeaderName::from_static(IAP), HeaderValue::from_bytes(b"a.\xe9.c").unwrap());
    assert!(matches!(listed.read(&headers), Ok(Credentials::Malformed(_))));
}

#[test]
fn two_fields_are_ambiguous_whatever_is_in_them() {
    let listed = listed();
    for lines in [
        &[(IAP, "a.b.c"), ("authorization", "Bearer a.b.c")][..],
        &[(IAP, "a.b.c"), (IAP, "a.b.c")],
        &[(IAP, ""), ("x-amzn-oidc-data", "a.b.c")],
        &[("authorization", ""), (IAP, "a.b.c")],
        &[("authorization", "Basic x:y"), (IAP, "a.b.c")],
    ] {
        assert!(read(&listed, lines).unwrap_err().contains("AmbiguousCredentials"), "{lines:?}");
    }
}

#[test]
fn authorization_is_no_credential_unless_it_is_listed() {
    let only = TokenFields::new(vec![field(IAP, None, false)], false);
    assert!(!only.has_authorization() && !only.is_default());
    for value in ["Bearer a.b.c", "Basic __datahub_system:x", "Bearer a, Bearer b"] {
        assert_eq!(read(&only, &[("authorization", value)]), Err("Missing".to_owned()), "{value}");
        assert_eq!(read(&only, &[("authorization", value), (IAP, "d.e.f")]), Ok("d.e.f".to_owned()));
    }
    let system = TokenFields::new(vec![field(IAP, None, false)], true);
    let basic = [("authorization", "Basic __datahub_system:x")];
    assert_eq!(read(&system, &basic), Err("Basic(BasicCredentials(..))".to_owned()));
    assert!(read(&system, &[basic[0], (IAP, "a.b.c")]).unwrap_err().contains("AmbiguousCredentials"));
    for ignored in ["Bearer a.b.c", "Bearer a.b.c,d", ",", "Bearer \u{e9}", "Basicx"] {
        assert_eq!(read(&system, &[("authorization", ignored)]), Err("Missing".to_owned()), "{ignored}");
        assert_eq!(read(&system, &[("authorization", ignored), (IAP, "a.b.c")]), Ok("a.b.c".to_owned()));
    }
    let two = [("authorization", "Bearer a.b.c"), ("authorization", "Bearer a.b.c")];
    assert_eq!(read(&system, &two), Err("Missing".to_owned()));
    assert!(read(&system, &[two[0], basic[0]]).unwrap_err().contains("AmbiguousCredentials"));
}

#[test]
fn a_list_of_authorization_is_the_default() {
    assert!(TokenFields::new(vec![TokenField::authorization()], true).is_default());
    assert!(!TokenFields::new(vec![field("authorization", Some("Bearer"), true)], true).is_default());
}

#[test]
fn a_token_is_put_into_the_first_field_that_accepts_it() {
    let listed = listed();
    assert_eq!(listed.field_for("a.b.c"), (http::header::AUTHORIZATION, "Bearer a.b.c".to_owned()));
    assert_eq!(listed.field_for("aa==.b.c").0, "x-amzn-oidc-data");
    let only = TokenFields::new(vec![field(IAP, None, false)], false);
    assert_eq!(only.field_for("a.b.c"), (HeaderName::from_static(IAP), "a.b.c".to_owned()));
    assert_eq!(TokenFields::default().field_for("a b").1, "Bearer a b");
}
