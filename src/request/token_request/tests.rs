//! Forms that are accepted, and every way in which one is refused.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use proptest::prelude::*;

use super::*;

const SUBJECT: &str = "subject_token=a.b.c";
const GRANT: &str = "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange";
const TYPE: &str = "subject_token_type=urn:ietf:params:oauth:token-type:jwt";

fn read(form: &str) -> Result<TokenRequest, TokenRequestFault> {
    TokenRequest::read(form.as_bytes(), "metagate")
}

/// The usual form, and more.
fn with(more: &str) -> String {
    format!("{GRANT}&{SUBJECT}&{TYPE}{more}")
}

#[track_caller]
fn accepted(form: &str) -> TokenRequest {
    read(form).unwrap_or_else(|fault| panic!("{form}: {fault:?}"))
}

#[test]
fn rfc8693_section_2_1_required_parameters() {
    let request = accepted(&with(""));
    let Credentials::Bearer(token) = &request.subject else { panic!("{:?}", request.subject) };
    assert_eq!((token.as_str(), request.requested), ("a.b.c", TokenType::AccessToken));
    assert!(!token.may_be_padded() && !format!("{request:?}").contains("a.b.c"));
    for kind in ["jwt", "id_token", "access_token"] {
        accepted(&format!("{GRANT}&{SUBJECT}&subject_token_type=urn:ietf:params:oauth:token-type:{kind}"));
    }
    for (form, fault) in [
        (format!("{SUBJECT}&{TYPE}"), NO_GRANT_TYPE),
        (format!("{GRANT}&{TYPE}"), NO_SUBJECT),
        (format!("{GRANT}&{SUBJECT}"), NO_SUBJECT_TYPE),
        (String::new(), NO_GRANT_TYPE),
        // RFC 6749 section 3.2: without a value it counts as left out.
        (format!("{GRANT}&subject_token=&{TYPE}"), NO_SUBJECT),
        (format!("{GRANT}&subject_token&{TYPE}"), NO_SUBJECT),
        (format!("grant_type=client_credentials&{SUBJECT}&{TYPE}"), OTHER_GRANT_TYPE),
        (
            format!("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&{SUBJECT}&{TYPE}"),
            OTHER_GRANT_TYPE,
        ),
        (format!("{GRANT}&{SUBJECT}&subject_token_type=jwt"), OTHER_SUBJECT_TYPE),
        (
            format!("{GRANT}&{SUBJECT}&subject_token_type=urn:ietf:params:oauth:token-type:saml2"),
            OTHER_SUBJECT_TYPE,
        ),
        (format!("{GRANT}&{SUBJECT}&{TYPE}x"), OTHER_SUBJECT_TYPE),
        (format!("Grant_Type=x&{SUBJECT}&{TYPE}"), NO_GRANT_TYPE),
    ] {
        assert_eq!(read(&form).unwrap_err(), fault, "{form}");
    }
}

#[test]
fn optional_parameters_ask_for_nothing_else() {
    let access = "urn:ietf:params:oauth:token-type:access_token";
    for (more, requested) in [
        ("&scope=&audience=&resource=&actor_token=&requested_token_type=".to_owned(), TokenType::AccessToken),
        ("&audience=metagate".to_owned(), TokenType::AccessToken),
        ("&audience=metagate&resource=metagate&audience=metagate".to_owned(), TokenType::AccessToken),
        (format!("&requested_token_type={access}"), TokenType::AccessToken),
        ("&requested_token_type=urn:ietf:params:oauth:token-type:jwt".to_owned(), TokenType::Jwt),
        ("&client_id=ci&unknown=1&&".to_owned(), TokenType::AccessToken),
        ("&as=admin&user=admin&exchange=other&roles=Admin".to_owned(), TokenType::AccessToken),
    ] {
        assert_eq!(accepted(&with(&more)).requested, requested, "{more}");
        // RFC 8693 section 3.
        let name = if requested == TokenType::Jwt { "jwt" } else { "access_token" };
        assert_eq!(requested.as_str(), format!("urn:ietf:params:oauth:token-type:{name}"));
    }
    for (more, fault) in [
        ("&audience=openmetadata", OTHER_TARGET),
        ("&audience=metagate&audience=openmetadata", OTHER_TARGET),
        ("&audience=Metagate", OTHER_TARGET),
        ("&resource=https://openmetadata.example", OTHER_TARGET),
        ("&scope=openid", SCOPED),
        ("&requested_token_type=urn:ietf:params:oauth:token-type:refresh_token", OTHER_REQUESTED_TYPE),
        ("&actor_token=a.b.c", TWO_CREDENTIALS),
        ("&actor_token_type=urn:ietf:params:oauth:token-type:jwt", TWO_CREDENTIALS),
        ("&client_secret=x", TWO_CREDENTIALS),
        ("&client_assertion=a.b.c", TWO_CREDENTIALS),
        ("&client_assertion_type=x", TWO_CREDENTIALS),
    ] {
        assert_eq!(read(&with(more)).unwrap_err(), fault, "{more}");
    }
}

#[test]
fn rfc6749_section_3_2_parameters_occur_once() {
    for more in [
        "&subject_token=d.e.f",
        "&subject%5Ftoken=d.e.f",
        "&subject_token=",
        "&x=1&x=1",
        "&=&=",
        &format!("&{GRANT}"),
    ] {
        assert_eq!(read(&with(more)).unwrap_err(), REPEATED, "{more}");
    }
    let many: String = (0..MAX_PARAMETERS).map(|number| format!("&x{number}=1")).collect();
    assert_eq!(read(&with(&many)).unwrap_err(), TOO_MANY);
}

#[test]
fn what_is_not_a_form_is_refused() {
    for more in ["&x=%", "&x=%4", "&x=%zz", "&x=%ff", "&%=1", "&x=%C0%AE"] {
        assert_eq!(read(&with(more)).unwrap_err(), NOT_A_FORM, "{more}");
    }
    assert_eq!(TokenRequest::read(b"grant_type=\xff", "metagate").unwrap_err(), NOT_A_FORM);
    // JSON is one parameter with a strange name.
    assert_eq!(read("{\"grant_type\":\"x\"}").unwrap_err(), NO_GRANT_TYPE);
}

#[test]
fn a_subject_token_has_only_the_octets_of_a_token() {
    for text in ["a b.c", "a.b.c%0A", "%22a.b.c%22", "a%2Bb.c", "a.b.c%3D", "a,b", "%E9a", "a.b.c%00"] {
        let form = format!("{GRANT}&subject_token={text}&{TYPE}");
        match read(&form) {
            Ok(request) => assert!(matches!(request.subject, Credentials::Malformed(_)), "{text}"),
            Err(fault) => assert_eq!((text, fault), ("%E9a", NOT_A_FORM)),
        }
    }
}

/// `error` must be one of the RFCs' words, and both texts are of the characters of RFC 6749 section 5.2.
#[test]
fn rfc6749_section_5_2_characters() {
    let faults = [
        NOT_A_FORM,
        TOO_MANY,
        REPEATED,
        NO_GRANT_TYPE,
        OTHER_GRANT_TYPE,
        NO_SUBJECT,
        NO_SUBJECT_TYPE,
        OTHER_SUBJECT_TYPE,
        OTHER_REQUESTED_TYPE,
        TWO_CREDENTIALS,
        OTHER_TARGET,
        SCOPED,
    ];
    for fault in faults {
        for text in [fault.error.as_str(), fault.why] {
            assert!(
                text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\')),
                "{text}"
            );
        }
    }
}

proptest! {
    /// Whatever is around it: an accepted form says exactly once which grant and which subject it means.
    #[test]
    fn an_accepted_form_has_one_meaning(
        parts in prop::collection::vec(
            prop_oneof![
                Just(GRANT.to_owned()), Just(SUBJECT.to_owned()), Just(TYPE.to_owned()),
                Just("subject_token=d.e.f".to_owned()), Just("scope=".to_owned()), "[a-c%&=+;_0-9]{0,8}",
            ],
            0..8,
        ),
    ) {
        let form = parts.join("&");
        if let Ok(request) = read(&form) {
            let count = |text: &str| form.split('&').filter(|part| part == &text).count();
            prop_assert_eq!((count(GRANT), count(TYPE), count(SUBJECT) + count("subject_token=d.e.f")), (1, 1, 1));
            let Credentials::Bearer(token) = request.subject else { panic!("a token") };
            prop_assert_eq!(token.as_str(), if count(SUBJECT) == 1 { "a.b.c" } else { "d.e.f" });
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(form in prop::collection::vec(any::<u8>(), 0..200)) {
        let _either = TokenRequest::read(&form, "metagate");
    }
}
