//! Comparing field names as backends may read them.
//!
//! Servers that pass fields on as variables (CGI, WSGI) and proxies that normalize names read
//! `X_Forwarded_User`, `X--Forwarded-User` or `XForwardedUser` as `X-Forwarded-User`. Names are
//! therefore compared *folded*: only by their letters and digits, ignoring case. Two names that are
//! equal when folded are look-alikes.

use super::RequestFault;
use super::field_lines::MAX_NAME;
use super::grammar::token_len;
use crate::message::Fields;

pub(super) const NOT_A_NAME: &str = "a field name is not a token";
pub(super) const OTHER_FRAMING: &str = "a framing field is spelled in another way";

/// The letters and digits of a name, in lower case.
pub fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(u8::is_ascii_alphanumeric).map(|byte| byte.to_ascii_lowercase())
}

/// Whether some server may mistake one name for the other.
pub fn are_look_alikes(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

/// Checks the names of every field. For HTTP/1, [`super::HeadScanner`] has checked the same in the bytes; names that
/// [`http::HeaderName`] accepts could contain other bytes. Values are valid: [`crate::message::FieldValue`].
pub(super) fn check_fields(headers: &Fields) -> Result<(), RequestFault> {
    // Known names are tokens, and no look-alikes.
    for name in headers.iter().filter(|field| field.known().is_none()).map(|field| field.name()) {
        if name.len() > MAX_NAME {
            return Err(RequestFault::HeadTooLarge);
        }
        if token_len(name.as_bytes()) != name.len() {
            return Err(RequestFault::BadTarget(NOT_A_NAME));
        }
        if looks_like_framing(name) {
            return Err(RequestFault::BadTarget(OTHER_FRAMING));
        }
    }
    Ok(())
}

/// Whether a name is a look-alike of a field that says where the body ends, where the request goes
/// or which fields are hop-by-hop. Look-alikes of other fields can be removed instead.
pub(super) fn looks_like_framing(name: &str) -> bool {
    // Select by the first letter: this runs for every field of every request.
    let framing: &[&str] = match folded(name).next() {
        Some(b't') => &["transfer-encoding"],
        Some(b'c') => &["content-length", "connection"],
        Some(b'h') => &["host"],
        _ => return false,
    };
    framing.iter().any(|exact| *exact != name && are_look_alikes(exact, name))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::super::grammar::is_tchar;
    use super::*;
    use crate::test_support::fields;

    #[test]
    fn look_alikes_have_equal_letters_and_digits() {
        for other in [
            "X_Forwarded_User",
            "x--forwarded-user",
            "XForwardedUser",
            "-x.forwarded%user~",
            "x!f|o*rwardeduser",
        ] {
            assert!(are_look_alikes("x-forwarded-user", other), "{other}");
        }
        for other in ["x-forwarded-users", "x-forwarded-use", "x-forwarded-us3r", "", "-"] {
            assert!(!are_look_alikes("x-forwarded-user", other), "{other}");
        }
    }

    #[test]
    fn look_alikes_of_framing_fields_are_refused() {
        for own in ["transfer-encoding", "content-length", "host", "connection"] {
            assert_eq!(check_fields(&fields(&[(own, "x")])), Ok(()), "{own}");
            let (start, end) = own.split_at(own.len() / 2);
            let mut spellings = vec![format!("-{own}"), format!("{own}_")];
            spellings.extend(["-", "_", ".", "%", "~", "-_-"].map(|byte| format!("{start}{byte}{end}")));
            if own.contains('-') {
                spellings.extend(["", "_", ".", "--", "---", "%", "!"].map(|byte| own.replace('-', byte)));
            }
            for name in spellings {
                let found = check_fields(&fields(&[("x", "y"), (&name, "5")]));
                assert!(matches!(found, Err(RequestFault::BadTarget(_))), "{name}");
            }
        }
        for name in
            ["content-type", "content_type", "x_content_length", "transfer-encodings", "hosts", "te", "x.y"]
        {
            assert_eq!(check_fields(&fields(&[(name, "5")])), Ok(()), "{name}");
        }
    }

    /// Names as HTTP/2 builds them: `http` accepts one byte that a token cannot have (RFC 9110
    /// section 5.6.2).
    #[test]
    fn name_must_be_a_token() {
        for byte in 0..=u8::MAX {
            for name in [vec![byte], vec![byte, b'a'], vec![b'a', byte], vec![b'a', byte, b'a']] {
                let Ok(name) = HeaderName::from_lowercase(&name) else { continue };
                let good = name.as_str().bytes().all(is_tchar);
                let headers = Fields::from_iter([(name, HeaderValue::from_static("x"))]);
                let expected =
                    if good { Ok(()) } else { Err(RequestFault::BadTarget("a field name is not a token")) };
                assert_eq!(check_fields(&headers), expected, "{headers:?}");
                assert!(good || byte == b'"', "{byte:#x}");
            }
        }
        assert!(
            HeaderName::from_lowercase(b"a\"b").is_ok(),
            "http still accepts the byte that this test is about"
        );
        assert_eq!(check_fields(&fields(&[("!#$%&'*+-.^_`|~09az", "x")])), Ok(()));
    }

    #[test]
    fn name_length_limit_is_that_of_http1() {
        let long = "a".repeat(MAX_NAME);
        assert_eq!(check_fields(&fields(&[(&long, "x")])), Ok(()));
        assert_eq!(check_fields(&fields(&[(&format!("{long}a"), "x")])), Err(RequestFault::HeadTooLarge));
    }
}
