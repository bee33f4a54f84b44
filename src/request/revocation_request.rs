//! The body of a request to the revocation endpoint, read strictly (RFC 7009 section 2.1).
//!
//! It is a form with at most 64 parameters, none of which occurs twice (RFC 6749 section 3.2). `token` is the token, and the only
//! credential. `token_type_hint` and unknown parameters are ignored. No text of the form gets into a fault.

use super::bearer::Credentials;
use super::token_request::{NOT_A_FORM, Parameters, TokenRequestFault};

/// Credentials of a client (RFC 6749 section 2.3, RFC 7521 section 4.2). None is known here.
const FURTHER_CREDENTIALS: [&str; 3] = ["client_secret", "client_assertion", "client_assertion_type"];

const NO_TOKEN: TokenRequestFault =
    TokenRequestFault::invalid("token is missing, which is the token to revoke");
const TWO_CREDENTIALS: TokenRequestFault = TokenRequestFault::invalid(
    "token is the only credential that is read; a client secret and a client assertion are refused",
);

/// What a form asks for.
#[derive(Clone, Debug)]
pub struct RevocationRequest {
    /// The token to revoke: [`Credentials::Bearer`], or [`Credentials::Malformed`].
    pub token: Credentials,
}

impl RevocationRequest {
    /// Reads a form.
    ///
    /// # Errors
    /// What is wrong with it. A token that cannot be one is no error (section 2.2).
    pub fn read(form: &[u8]) -> Result<Self, TokenRequestFault> {
        let form = str::from_utf8(form).map_err(|_| NOT_A_FORM)?;
        let parameters = Parameters::read(form, &[])?;
        if FURTHER_CREDENTIALS.into_iter().any(|name| parameters.value(name).is_some()) {
            return Err(TWO_CREDENTIALS);
        }
        let token = parameters.value("token").ok_or(NO_TOKEN)?;
        Ok(Self { token: Credentials::in_form(token) })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

    use proptest::prelude::*;

    use super::super::token_request::REPEATED;
    use super::*;

    fn read(form: &str) -> Result<RevocationRequest, TokenRequestFault> {
        RevocationRequest::read(form.as_bytes())
    }

    #[test]
    fn rfc7009_section_2_1_parameters() {
        for form in [
            "token=a.b.c",
            "token=a%2Eb%2Ec&token_type_hint=access_token",
            "token_type_hint=refresh_token&token=a.b.c",
            "token=a.b.c&token_type_hint=unknown&client_id=ci&&x=1",
            "token=a.b.c&client_secret=&token_type_hint=",
        ] {
            let request = read(form).unwrap();
            let Credentials::Bearer(token) = &request.token else { panic!("{form}") };
            assert_eq!(token.as_str(), "a.b.c", "{form}");
            assert!(!format!("{request:?}").contains("a.b.c"));
        }
        for (form, fault) in [
            ("", NO_TOKEN),
            ("token", NO_TOKEN),
            ("token=", NO_TOKEN),
            ("Token=a.b.c", NO_TOKEN),
            ("access_token=a.b.c", NO_TOKEN),
            ("{\"token\":\"a.b.c\"}", NO_TOKEN),
            ("token=a.b.c&token=d.e.f", REPEATED),
            ("token=a.b.c&t%6Fken=", REPEATED),
            ("token=a.b.c&audience=x&audience=y", REPEATED),
            ("token=a.b.c&x=%zz", NOT_A_FORM),
            ("token=%ff", NOT_A_FORM),
            ("token=a.b.c&client_secret=x", TWO_CREDENTIALS),
            ("token=a.b.c&client_assertion=a.b.c", TWO_CREDENTIALS),
            ("token=a.b.c&client_assertion_type=x", TWO_CREDENTIALS),
        ] {
            assert_eq!(read(form).unwrap_err(), fault, "{form}");
        }
        assert_eq!(RevocationRequest::read(b"token=\xff").unwrap_err(), NOT_A_FORM);
    }

    #[test]
    fn what_cannot_be_a_token_is_malformed() {
        for form in ["token=a+b", "token=a.b.c%0A", "token=%22a%22", "token=a,b"] {
            assert!(matches!(read(form).unwrap().token, Credentials::Malformed(_)), "{form}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(form in prop::collection::vec(any::<u8>(), 0..200)) {
            let _either = RevocationRequest::read(&form);
        }
    }
}
