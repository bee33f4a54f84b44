//! Tokens at the size limit. See the catalogue for attacks.

use serde_json::json;

use crate::support::gateway::text;
use crate::support::stage::Stage;
use crate::support::token::Token;

#[test]
fn token_size_limit_is_exact() {
    let limit = 2000;
    let stage = Stage::plain(|setup| setup.env("METAGATE_LIMITS__TOKEN_BYTES", limit.to_string()));
    let of_length = |length: usize| {
        (0..length)
            .map(|filler| Token::bot().claim("x", json!("x".repeat(filler))).encode())
            .find(|token| token.len() >= length)
            .expect("a filler grows")
    };
    let fits = of_length(limit - 1);
    assert!(fits.len() <= limit, "{}", fits.len());
    assert_eq!(stage.gateway.get_with(&fits, "/fits").status, 200);
    let long = of_length(limit + 1);
    assert_eq!(stage.gateway.get_with(&long, "/long").status, 401);
    assert_eq!(text(&stage.gateway.audit_of("/long"), "reason"), Some("malformed_token"));
}
