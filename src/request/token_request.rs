//! The body of a request to the token endpoint, read strictly (RFC 8693 section 2.1).
//!
//! 1. It is a form with at most 64 parameters. No name occurs twice, except `audience` and `resource` (RFC 6749
//!    section 3.2); a parameter without a value counts as left out.
//! 2. It asks for one thing: a bearer token for metagate, in exchange for one token that is in the form itself. A second
//!    credential, another target or a scope refuses it. Unknown parameters are ignored (RFC 6749 section 3.2).
//! 3. The subject token is only found here. It is verified like the token of every other request.
//!
//! No text of the form gets into a fault.

use std::borrow::Cow;

use super::bearer::Credentials;
use super::parameters::decode;

/// The `grant_type` of an exchange.
const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// More than any client sends. Names are compared with one another.
const MAX_PARAMETERS: usize = 64;
/// The only names that may occur more than once (RFC 8693 section 2.1).
const REPEATABLE: [&str; 2] = ["audience", "resource"];
/// Further credentials: of an actor (RFC 8693 section 1.1), or of the client (RFC 6749 section 2.3, RFC 7521
/// section 4.2).
const FURTHER_CREDENTIALS: [&str; 5] =
    ["actor_token", "actor_token_type", "client_secret", "client_assertion", "client_assertion_type"];

/// What a form asks for.
#[derive(Clone, Debug)]
pub struct TokenRequest {
    /// The token to exchange: [`Credentials::Bearer`], or [`Credentials::Malformed`].
    pub subject: Credentials,
    /// How the issued token is to be described.
    pub requested: TokenType,
}

/// How an issued token is described to the client. It is the same token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// An OAuth access token. The default.
    AccessToken,
    /// A JWT (RFC 8693 section 3).
    Jwt,
}

impl TokenType {
    /// The identifier, for `issued_token_type`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AccessToken => ACCESS_TOKEN,
            Self::Jwt => JWT,
        }
    }
}

/// Why a form is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenRequestFault {
    /// What the client is told in `error`.
    pub error: TokenError,
    /// What is wrong, and what would be accepted. For the client, too.
    pub why: &'static str,
}

/// The values of `error` (RFC 6749 section 5.2, RFC 8693 section 2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the RFCs")]
pub enum TokenError {
    InvalidRequest,
    InvalidScope,
    InvalidTarget,
    TemporarilyUnavailable,
    UnsupportedGrantType,
}

impl TokenError {
    /// The value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidScope => "invalid_scope",
            Self::InvalidTarget => "invalid_target",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::UnsupportedGrantType => "unsupported_grant_type",
        }
    }
}

impl TokenRequestFault {
    /// The request is not what this endpoint reads.
    pub const fn invalid(why: &'static str) -> Self {
        Self { error: TokenError::InvalidRequest, why }
    }
}

pub(super) const NOT_A_FORM: TokenRequestFault =
    TokenRequestFault::invalid("the body is not a form: a percent sign without two hex digits, or not UTF-8");
const TOO_MANY: TokenRequestFault = TokenRequestFault::invalid("the form has more than 64 parameters");
pub(super) const REPEATED: TokenRequestFault = TokenRequestFault::invalid("the form has a parameter twice");
const NO_GRANT_TYPE: TokenRequestFault = TokenRequestFault::invalid(
    "grant_type is missing; the only accepted value is urn:ietf:params:oauth:grant-type:token-exchange",
);
const OTHER_GRANT_TYPE: TokenRequestFault = TokenRequestFault {
    error: TokenError::UnsupportedGrantType,
    why: "the only accepted grant_type is urn:ietf:params:oauth:grant-type:token-exchange",
};
const NO_SUBJECT: TokenRequestFault =
    TokenRequestFault::invalid("subject_token is missing, which is the token to exchange");
const NO_SUBJECT_TYPE: TokenRequestFault = TokenRequestFault::invalid(
    "subject_token_type is missing; accepted are urn:ietf:params:oauth:token-type:jwt, :id_token and :access_token",
);
const OTHER_SUBJECT_TYPE: TokenRequestFault = TokenRequestFault::invalid(
    "subject_token_type is another one than urn:ietf:params:oauth:token-type:jwt, :id_token and :access_token",
);
const OTHER_REQUESTED_TYPE: TokenRequestFault = TokenRequestFault::invalid(
    "requested_token_type is another one than urn:ietf:params:oauth:token-type:access_token and :jwt",
);
const TWO_CREDENTIALS: TokenRequestFault = TokenRequestFault::invalid(
    "subject_token is the only credential that is read; an actor token, a client secret and a client assertion are refused",
);
const OTHER_TARGET: TokenRequestFault = TokenRequestFault {
    error: TokenError::InvalidTarget,
    why: "audience or resource is another one than issuer.audience; leave it out",
};
const SCOPED: TokenRequestFault = TokenRequestFault {
    error: TokenError::InvalidScope,
    why: "no scope can be granted; leave scope out: the exchange entry names the user, whose rights the token has",
};

impl TokenRequest {
    /// Reads a form. `audience` is the one that issued tokens have.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn read(form: &[u8], audience: &str) -> Result<Self, TokenRequestFault> {
        let form = str::from_utf8(form).map_err(|_| NOT_A_FORM)?;
        let parameters = Parameters::read(form, &REPEATABLE)?;
        match parameters.value("grant_type") {
            Some(TOKEN_EXCHANGE) => {}
            Some(_) => return Err(OTHER_GRANT_TYPE),
            None => return Err(NO_GRANT_TYPE),
        }
        if FURTHER_CREDENTIALS.into_iter().any(|name| parameters.value(name).is_some()) {
            return Err(TWO_CREDENTIALS);
        }
        let subject = parameters.value("subject_token").ok_or(NO_SUBJECT)?;
        match parameters.value("subject_token_type") {
            Some(JWT | ID_TOKEN | ACCESS_TOKEN) => {}
            Some(_) => return Err(OTHER_SUBJECT_TYPE),
            None => return Err(NO_SUBJECT_TYPE),
        }
        let requested = match parameters.value("requested_token_type") {
            None | Some(ACCESS_TOKEN) => TokenType::AccessToken,
            Some(JWT) => TokenType::Jwt,
            Some(_) => return Err(OTHER_REQUESTED_TYPE),
        };
        if REPEATABLE.into_iter().any(|name| parameters.values(name).any(|target| target != audience)) {
            return Err(OTHER_TARGET);
        }
        if parameters.value("scope").is_some() {
            return Err(SCOPED);
        }
        Ok(Self { subject: Credentials::in_form(subject), requested })
    }
}

/// The parameters of a form that have a value.
pub(super) struct Parameters<'f>(Vec<(Cow<'f, str>, Cow<'f, str>)>);

impl<'f> Parameters<'f> {
    /// Reads a form in which only the names `repeatable` may occur more than once.
    pub(super) fn read(form: &'f str, repeatable: &[&str]) -> Result<Self, TokenRequestFault> {
        let mut found: Vec<(Cow<'f, str>, Cow<'f, str>)> = Vec::new();
        for part in form.split('&').filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let (name, value) = decode(name).zip(decode(value)).ok_or(NOT_A_FORM)?;
            if found.len() >= MAX_PARAMETERS {
                return Err(TOO_MANY);
            }
            if found.iter().any(|(known, _)| *known == name) && !repeatable.contains(&&*name) {
                return Err(REPEATED);
            }
            found.push((name, value));
        }
        found.retain(|(_, value)| !value.is_empty());
        Ok(Self(found))
    }

    fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// The first value of this name.
    pub(super) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }
}

#[cfg(test)]
mod tests;
