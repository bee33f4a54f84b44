//! Which kinds of token are accepted (RFC 8725 sections 3.11 and 3.12): by the header's `typ`, and
//! by claims that only one kind of token has.

use super::{ClaimsFault, IssuedKind};
use crate::jose::{JsonObject, JsonValue};

/// The event that identifies a logout token.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// The kinds of token that one issuer entry accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenKinds {
    /// The accepted values of `typ`, each in its [`TokenKinds::plain`] form.
    pub types: Vec<Box<str>>,
    /// Whether a token without `typ` is refused.
    pub require_type: bool,
    /// Whether ID tokens are refused: tokens with `nonce`, `at_hash` or `c_hash` (OpenID Connect Core 1.0
    /// section 2).
    pub refuse_id_tokens: bool,
    /// Whether logout tokens are refused: tokens with the logout event in `events` (OpenID Connect
    /// Back-Channel Logout 1.0 section 2.4).
    pub refuse_logout_tokens: bool,
    /// Further members that the header must have, each with its accepted values. The signature covers them.
    pub header: Vec<(Box<str>, Vec<Box<str>>)>,
    /// Whether these are the tokens that metagate issues itself. Then the claims must name an [`IssuedKind`].
    pub own: bool,
}

impl Default for TokenKinds {
    fn default() -> Self {
        Self {
            types: vec!["jwt".into(), "at+jwt".into()],
            require_type: false,
            refuse_id_tokens: false,
            refuse_logout_tokens: true,
            header: Vec::new(),
            own: false,
        }
    }
}

impl TokenKinds {
    /// Normalizes a `typ` for comparison: a media type is case-insensitive, and `application/` may be omitted
    /// (RFC 7515 section 4.1.9).
    pub fn plain(name: &str) -> Box<str> {
        let lower = name.to_ascii_lowercase();
        lower.strip_prefix("application/").unwrap_or(&lower).into()
    }

    /// Checks a header's `typ`.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn check_type(&self, name: Option<&str>) -> Result<(), &'static str> {
        match name {
            Some(name) if self.accepts(name) => Ok(()),
            Some(_) => Err("typ is not one of the tokenTypes"),
            None if self.require_type => Err("typ is missing, and requireTokenType is set"),
            None => Ok(()),
        }
    }

    /// Compares as [`Self::plain`] does, without a copy. `JOSE` says only that this is a compact JWS or JWE
    /// (RFC 7515 section 4.1.9), which is as little as `JWT` says: SPIFFE accepts either (JWT-SVID section 2.3).
    fn accepts(&self, name: &str) -> bool {
        const PREFIX: &str = "application/";
        let is_prefixed = name.get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX));
        let name = if is_prefixed { name.get(PREFIX.len()..).unwrap_or_default() } else { name };
        let is_listed = |name: &str| self.types.iter().any(|accepted| accepted.eq_ignore_ascii_case(name));
        is_listed(name) || name.eq_ignore_ascii_case("JOSE") && is_listed("jwt")
    }

    /// What these tokens were issued for, if they are metagate's own.
    fn issued(&self, claims: &JsonObject) -> Result<Option<IssuedKind>, ClaimsFault> {
        if !self.own {
            return Ok(None);
        }
        let unknown = ClaimsFault::Malformed("tokenType is neither BOT nor EXCHANGED");
        IssuedKind::of(claims).map(Some).ok_or(unknown)
    }

    /// Checks the claims that tell kinds of token apart, and returns what metagate issued the token for.
    pub(super) fn check_claims(&self, claims: &JsonObject) -> Result<Option<IssuedKind>, ClaimsFault> {
        let has = |name: &str| claims.get_ignoring_case(name).is_some_and(|value| !value.is_null());
        // Keycloak signs these with the same key as access tokens; only this claim distinguishes them.
        let kind = claims.get("typ").and_then(JsonValue::as_str);
        if kind.is_some_and(|kind| ["Refresh", "Offline", "Logout"].contains(&kind)) {
            return Err(ClaimsFault::Malformed(
                "a refresh or logout token, which is for the issuer's clients",
            ));
        }
        if self.refuse_id_tokens && ["nonce", "at_hash", "c_hash"].into_iter().any(has) {
            return Err(ClaimsFault::Malformed("an ID token, which `refuse` names"));
        }
        // Other tokens may have an `events` claim too, so look for the event.
        let logs_out = || match claims.get_ignoring_case("events") {
            Some(JsonValue::Object(events)) => events.get(LOGOUT_EVENT).is_some(),
            _ => false,
        };
        if self.refuse_logout_tokens && logs_out() {
            return Err(ClaimsFault::Malformed("a logout token, which `refuse` names"));
        }
        self.issued(claims)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn kinds(types: &[&str]) -> TokenKinds {
        TokenKinds {
            types: types.iter().map(|name| TokenKinds::plain(name)).collect(),
            ..TokenKinds::default()
        }
    }

    #[test]
    fn typ_is_compared_as_a_media_type() {
        let usual = TokenKinds::default();
        for name in
            ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", "Application/JWT", "JOSE", "jose"]
        {
            assert_eq!(usual.check_type(Some(name)), Ok(()), "{name}");
        }
        for name in [
            "",
            "JWE",
            "logout+jwt",
            "dpop+jwt",
            "secevent+jwt",
            "application/",
            "text/jwt",
            "jwt ",
            "JWT;a=b",
        ] {
            assert!(usual.check_type(Some(name)).is_err(), "{name}");
        }
        let own = kinds(&["application/Okta-Internal-AT+jwt"]);
        assert_eq!(own.check_type(Some("okta-internal-at+jwt")), Ok(()));
        assert!(own.check_type(Some("JWT")).is_err());
        assert!(own.check_type(Some("JOSE")).is_err(), "only where JWT is accepted");
    }

    #[test]
    fn typ_may_be_missing_unless_required() {
        assert_eq!(kinds(&["at+jwt"]).check_type(None), Ok(()));
        let strict = TokenKinds { require_type: true, ..kinds(&["at+jwt"]) };
        assert!(strict.check_type(None).is_err());
        assert_eq!(strict.check_type(Some("at+jwt")), Ok(()));
    }

    #[test]
    fn id_tokens_and_logout_tokens_are_refused_by_their_claims() {
        let accepts = |id, logout, claims: Value| {
            let kinds =
                TokenKinds { refuse_id_tokens: id, refuse_logout_tokens: logout, ..TokenKinds::default() };
            kinds.check_claims(&JsonObject::parse(claims.to_string().as_bytes()).unwrap()).is_ok()
        };
        let logout = json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}});
        for claims in
            [json!({"nonce": "a"}), json!({"at_hash": "a"}), json!({"c_hash": ""}), json!({"Nonce": "a"})]
        {
            assert!(!accepts(true, false, claims.clone()), "{claims}");
            assert!(accepts(false, true, claims));
        }
        assert!(!accepts(false, true, logout.clone()));
        assert!(accepts(true, false, logout));
        for claims in [json!({}), json!({"nonce": null, "events": null}), json!({"sub": "nonce"})] {
            assert!(accepts(true, true, claims));
        }
    }

    #[test]
    fn our_own_tokens_name_their_kind_exactly() {
        let own = TokenKinds { own: true, ..TokenKinds::default() };
        let issued = |kinds: &TokenKinds, claims: Value| {
            kinds.issued(&JsonObject::parse(claims.to_string().as_bytes()).unwrap())
        };
        for (word, kind) in [("BOT", IssuedKind::Bot), ("EXCHANGED", IssuedKind::Exchanged)] {
            assert_eq!(issued(&own, json!({"tokenType": word})), Ok(Some(kind)));
            assert_eq!(issued(&TokenKinds::default(), json!({"tokenType": word})), Ok(None));
        }
        for claims in [
            json!({}),
            json!({"tokenType": "bot"}),
            json!({"TokenType": "BOT"}),
            json!({"tokenType": ["BOT"]}),
            json!({"tokenType": null}),
            json!({"tokenType": "PERSONAL_ACCESS"}),
        ] {
            assert!(issued(&own, claims.clone()).is_err(), "{claims}");
        }
    }
}
