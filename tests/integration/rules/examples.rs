//! The rule sets of `docs/rules.md`, read from the document.

use std::fs;

use serde_json::json;

use super::{admin, post, query, reader};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::Token;

/// Starts a gateway with the rule set of this name in front of a recording backend.
#[track_caller]
fn stage(name: &str) -> Stage {
    let document =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/rules.md")).expect("the document");
    let start = format!("<!-- rules: {name} -->\n```yaml\n");
    let (_, rest) = document.split_once(&start).unwrap_or_else(|| panic!("no rules {name} in the document"));
    let (rules, _) = rest.split_once("```").expect("an end of the block");
    let (_, rules) = rules.split_once("authorization:\n").expect("rules");
    let config = format!("authentication: {{publicKeyUrls: [ISSUER/jwks]}}\nauthorization:\n{rules}");
    Stage::configured(Issuer::of(keys::rsa()), &config)
}

#[track_caller]
fn asked(stage: &Stage, token: &Token, document: &str) -> u16 {
    post(stage, token, "/api/graphql", query(document).to_string().as_bytes()).status
}

#[test]
fn datahub_tokens_are_created_only_by_admins() {
    let stage = stage("datahub-only-admins-mint-tokens");
    for (document, by_reader) in [
        ("{ me { corpUser { urn } } }", 200),
        ("mutation { addTag(input: 1) }", 200),
        ("mutation { createAccessToken(input: 1) { accessToken } }", 403),
        ("mutation { addTag: createServiceAccount(input: 1) { urn } }", 403),
        ("mutation { addTag(input: 1) revokeAccessToken(tokenId: 1) }", 403),
    ] {
        assert_eq!(asked(&stage, &reader(), document), by_reader, "{document}");
        assert_eq!(asked(&stage, &admin(), document), 200, "{document}");
    }
    assert_eq!(
        post(
            &stage,
            &reader(),
            "/api/v2/graphql",
            query("mutation { createAccessToken }").to_string().as_bytes()
        )
        .status,
        403
    );
    assert_eq!(post(&stage, &reader(), "/aspects?action=ingestProposal", b"{}").status, 200);
}

#[test]
fn read_only_tokens_may_only_query_graphql() {
    let stage = stage("datahub-read-only-tokens");
    let scoped = Token::user().claim("scope", json!("datahub.read"));
    let other = Token::user().claim("scope", json!("datahub.read datahub.write"));
    for (token, document, status) in [
        (&scoped, "{ me }", 200),
        (&scoped, "query a { me } query b { search }", 200),
        (&scoped, "mutation { addTag }", 403),
        (&scoped, "subscription { changes }", 403),
        (&scoped, "query a { me } mutation b { addTag }", 403),
        (&other, "mutation { addTag }", 200),
        (&Token::user(), "mutation { addTag }", 403),
    ] {
        assert_eq!(asked(&stage, token, document), status, "{document}");
    }
    for (token, status) in [(&scoped, 403), (&other, 200)] {
        let target = "/api/graphql?query=mutation%7BaddTag%7D";
        assert_eq!(stage.gateway.get_as(token, target).status, status);
        assert_eq!(post(&stage, token, "/api/graphql", &[b' '; 100_000]).status, status, "unreadable");
    }
    assert_eq!(post(&stage, &scoped, "/aspects?action=ingestProposal", b"{}").status, 403);
    assert_eq!(post(&stage, &other, "/aspects?action=ingestProposal", b"{}").status, 200);
    assert_eq!(stage.gateway.get_as(&scoped, "/entities/urn").status, 200);
}

#[test]
fn bots_may_not_edit_policies() {
    let stage = stage("no-policy-edits-by-bots");
    let by = |token: &Token| post(&stage, token, "/api/v1/policies/x", b"{}").status;
    assert_eq!(by(&Token::bot()), 403);
    assert_eq!(by(&Token::user()), 200);
    assert_eq!(by(&Token::user().without("isBot")), 200, "a token from an identity provider");
    assert_eq!(by(&Token::user().claim("isBot", json!("yes"))), 403, "a token with isBot of another type");
}
