//! What the demo shows for one backend.

use super::case::{Case, Expected, Words};
use crate::decision::Reason;

/// A shell variable, its token, what it is, and why it is refused.
pub(super) type BadToken = (&'static str, String, &'static str, Reason);

/// Tokens and requests.
#[derive(Default)]
pub(super) struct Guide {
    /// Shell variables and the tokens that they contain.
    pub(super) tokens: Vec<(&'static str, String)>,
    pub(super) cases: Vec<Case>,
    /// A path that needs a token.
    pub(super) path: &'static str,
    /// The request for which the issuer's next key must be published, with its token.
    pub(super) rotated: Option<(&'static str, String, Case)>,
}

impl Guide {
    /// Adds a token, and returns the credentials.
    pub(super) fn token(&mut self, name: &'static str, token: String) -> Words {
        let words = Words::bearer(name, &token);
        self.tokens.push((name, token));
        words
    }

    /// Adds requests for `path` with these tokens.
    pub(super) fn refuse(&mut self, tokens: impl IntoIterator<Item = BadToken>) {
        for (name, token, title, reason) in tokens {
            let words = self.token(name, token);
            self.add(Case::get(title, self.path, Expected::Refused(reason)).as_(&words));
        }
    }

    pub(super) fn add(&mut self, case: Case) {
        self.cases.push(case);
    }
}
