//! Explains a decision with the configuration, the keys and the clock of the running process.

use serde_json::Value;

use super::Gateway;
use crate::explanation::{self, Context, Question};

impl Gateway {
    /// About how many bytes the cache of verified tokens takes.
    pub fn token_cache_bytes(&self) -> usize {
        usize::try_from(self.cache.used_bytes()).unwrap_or(usize::MAX)
    }

    /// Answers a question about a token, without making a request and without fetching keys for it.
    pub fn explain(&self, question: &Question) -> Value {
        let (revocations, bots) = (self.revocations.current(), self.bots.current());
        explanation::explain(
            question,
            &Context {
                admission: &self.admission,
                wording: &self.wording,
                keys: self.keys.ring().clone(),
                sources: self.keys.status(),
                credentials: &self.credentials,
                revocations: Some(&*revocations),
                bots: Some(&*bots),
                graphql_bytes: self.graphql_limit,
                now: (self.clock)(),
            },
        )
    }
}
