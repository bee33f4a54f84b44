//! What the demo shows for one backend.

use super::case::{Case, Words};

/// Tokens and requests.
#[derive(Default)]
pub(super) struct Guide {
    /// Shell variables and the tokens that they contain.
    pub(super) tokens: Vec<(&'static str, String)>,
    pub(super) cases: Vec<Case>,
    /// A path for `metagate explain`.
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

    pub(super) fn add(&mut self, case: Case) {
        self.cases.push(case);
    }
}
