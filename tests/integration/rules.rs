//! Authorization rules over sockets: what is refused, and that permitted requests are forwarded
//! unchanged.

mod bodies;
mod examples;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::eventually;
use crate::support::gateway::{Finished, Setup, text};
use crate::support::issuer::Issuer;
use crate::support::keys;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};
use crate::support::wire::{self, Response};

/// Mutations are for editors; creating tokens is for admins.
const RULES: &str = "
authentication: {publicKeyUrls: [ISSUER/jwks]}
limits: {graphqlBytes: 4KiB}
authorization:
  rules:
    - name: admins-mint
      match: {paths: [/api/graphql], graphql: {operations: [mutation], fields: [createAccessToken, 'remove*']}}
      require: {anyRole: [Admin]}
    - name: editors-write
      match: {paths: [/api/graphql], graphql: {operations: [mutation]}}
      require: {anyRole: [Admin, Editor]}
    - name: no-ingestion
      match: {paths: [/aspects], query: {action: ['ingest*']}}
      require: {anyRole: [Admin]}
    - name: no-policy-edits-by-bots
      match: {methods: [PUT, PATCH, POST], paths: [/api/v1/policies/**]}
      when: '!claims.isBot'
";

fn stage() -> Stage {
    Stage::configured(Issuer::of(keys::rsa()), RULES)
}

fn reader() -> Token {
    Token::user().claim("roles", json!(["Reader"]))
}

fn editor() -> Token {
    Token::user().claim("roles", json!(["Editor"]))
}

fn admin() -> Token {
    Token::user().claim("roles", json!(["Admin"]))
}

#[track_caller]
fn post(stage: &Stage, token: &Token, target: &str, body: &[u8]) -> Response {
    let headers = [("Authorization", &*bearer(token)), ("Content-Type", "application/json")];
    wire::send(stage.gateway.proxy, "POST", target, &headers, body)
}

fn query(document: &str) -> Value {
    json!({"query": document, "variables": {"input": {"type": "PERSONAL"}}})
}

/// Waits for the first audit record that matches.
#[track_caller]
fn audited(stage: &Stage, is: impl Fn(&Value) -> bool) -> Value {
    eventually("an audit record", || stage.gateway.audit().into_iter().find(|record| is(record)))
}

/// Sends a GraphQL request, checks that it is forwarded only if permitted, and returns the status.
#[track_caller]
fn graphql(stage: &Stage, token: &Token, body: &Value) -> u16 {
    let before = stage.upstream.requests().len();
    let body = body.to_string();
    let response = post(stage, token, "/api/graphql", body.as_bytes());
    let after = stage.upstream.requests();
    match response.status {
        200 => {
            assert_eq!(after.len(), before + 1);
            assert_eq!(after[before].body, body.as_bytes());
        }
        403 => assert_eq!(after.len(), before, "a refused request went upstream: {body}"),
        status => panic!("{status} {}", response.text()),
    }
    response.status
}

#[test]
fn disguised_mutations_by_a_reader_are_refused() {
    let stage = stage();
    assert_eq!(graphql(&stage, &reader(), &query("query me { me { corpUser { urn } } }")), 200);
    let mint = "createAccessToken(input: $input) { accessToken }";
    for body in [
        query(&format!("mutation {{ {mint} }}")),
        query(&format!("mutation me {{ me: {mint} }}")),
        query(&format!("query a {{ me }} mutation b {{ {mint} }}")),
        query(&format!("mutation {{ ...f }} fragment f on Mutation {{ ... on Mutation {{ {mint} }} }}")),
        json!([query("{ me }"), query(&format!("mutation {{ {mint} }}"))]),
        json!({"query": format!("query a {{ me }} mutation b {{ {mint} }}"), "operationName": "b"}),
        json!({"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "00"}}}),
        json!({"documentId": "x", "query": "{ me }"}),
        query("{ me"),
        json!({}),
    ] {
        assert_eq!(graphql(&stage, &reader(), &body), 403, "{body}");
    }
    let record = audited(&stage, |record| text(record, "decision") == Some("deny"));
    let detail = "anyRole: token has [\"Reader\"] in roles, wanted one of [Admin]";
    assert_eq!((text(&record, "rule"), text(&record, "detail")), (Some("admins-mint"), Some(detail)));
    let labels = [("rule", "admins-mint"), ("reason", "insufficient_permissions")];
    assert!(stage.gateway.metric("metagate_requests_total", &labels) >= 8.0);
}

#[test]
fn each_graphql_field_is_checked() {
    let stage = stage();
    assert_eq!(graphql(&stage, &editor(), &query("mutation { addTag }")), 200);
    assert_eq!(graphql(&stage, &editor(), &query("mutation { addTag removeTag }")), 403);
    assert_eq!(graphql(&stage, &editor(), &query("mutation { addTag: removeTag }")), 403);
    assert_eq!(graphql(&stage, &admin(), &query("mutation { addTag removeTag createAccessToken }")), 200);
}

#[test]
fn graphql_in_the_query_string_is_checked() {
    let stage = stage();
    let get = |target: &str| stage.gateway.get_as(&reader(), target).status;
    assert_eq!(get("/api/graphql?query=%7Bme%7D"), 200);
    assert_eq!(get("/api/graphql?query=mutation%7BcreateAccessToken%7D"), 403);
    assert_eq!(get("/api/graphql?qu%65ry=mutation%7BcreateAccessToken%7D"), 403);
    assert_eq!(get("/api/graphql?query=%7Bme%7D&query=mutation%7Ba%7D"), 403);
    assert_eq!(get("/api/graphql"), 403);
    assert_eq!(get("/api//graphql?query=mutation%7Ba%7D"), 403);
    let mixed = "/api/graphql?query=mutation%7BcreateAccessToken%7D";
    assert_eq!(post(&stage, &reader(), mixed, query("{ me }").to_string().as_bytes()).status, 403);
}

#[test]
fn rest_li_actions_are_checked() {
    let stage = stage();
    let ask = |token: &Token, target: &str| post(&stage, token, target, b"{}").status;
    assert_eq!(ask(&reader(), "/aspects?action=ingestProposal"), 403);
    assert_eq!(ask(&reader(), "/aspects?action=read&%61ction=ingestProposalBatch"), 403);
    assert_eq!(ask(&reader(), "/aspects?action=read"), 200);
    assert_eq!(ask(&admin(), "/aspects?action=ingestProposal"), 200);
}

#[test]
fn when_distinguishes_bots_from_users() {
    let stage = stage();
    let ask = |token: &Token| post(&stage, token, "/api/v1/policies/x", b"{}").status;
    assert_eq!(ask(&Token::user().claim("isBot", json!(false))), 200);
    assert_eq!(ask(&Token::bot().claim("isBot", json!(true))), 403);
    assert_eq!(stage.gateway.get_as(&Token::bot(), "/api/v1/policies/x").status, 200);
    // A token without the claim is refused, and the record has the cause.
    assert_eq!(ask(&Token::user().without("isBot")), 403);
    let why = "when: a member that it asks for is missing";
    let record = audited(&stage, |record| text(record, "detail") == Some(why));
    assert_eq!(text(&record, "rule"), Some("no-policy-edits-by-bots"));
}

/// Runs `metagate explain` for a reader with this body.
#[track_caller]
fn explained(stage: &Stage, body: &str) -> Finished {
    let files = TempDir::new().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = files.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a path").to_owned()
    };
    let (token, body) = (file("token", &reader().encode()), file("body", body));
    let words = [
        "explain",
        "--token-file",
        &token,
        "--method",
        "POST",
        "--path",
        "/api/graphql",
        "--body-file",
        &body,
    ];
    Setup::command(&words)
        .env("METAGATE_UPSTREAM__URL", stage.upstream.url())
        .config(RULES.replace("ISSUER", &stage.issuer.url("")))
        .finish()
}

#[test]
fn explain_interprets_the_body_like_the_proxy() {
    let stage = stage();
    let allowed = explained(&stage, &query("query me { me search }").to_string());
    assert_eq!(allowed.code, Some(0), "{}", allowed.stderr);
    assert!(allowed.stdout.contains("ok     graphql: query { me search }"), "{}", allowed.stdout);
    let refused = explained(&stage, &query("mutation { me: removeTag }").to_string());
    assert_eq!(refused.code, Some(1));
    for line in
        ["ok     graphql: mutation { removeTag }", "FAILED rules: insufficient_permissions: rule admins-mint"]
    {
        assert!(refused.stdout.contains(line), "{}", refused.stdout);
    }
    let unreadable = explained(&stage, "{");
    assert_eq!(unreadable.code, Some(1));
    assert!(unreadable.stdout.contains("FAILED graphql: the body is not JSON"), "{}", unreadable.stdout);
}

#[test]
fn rule_tests_interpret_bodies_like_the_proxy() {
    let stage = stage();
    let tests = "
  tests:
    - {name: readers query, claims: {sub: ada, roles: [Reader]}, request: POST /api/graphql, body: {query: '{ me }'}, expect: allow}
    - {name: readers mint nothing, claims: {sub: ada, roles: [Reader]}, request: POST /api/graphql, body: {query: 'mutation { me: createAccessToken }'}, expect: 403, rule: admins-mint}
    - {name: editors write, claims: {sub: ada, roles: [Editor]}, request: POST /api/graphql, body: {query: 'mutation { addTag }'}, expect: allow, rule: editors-write}
    - {name: a body is needed, claims: {sub: ada, roles: [Admin]}, request: POST /api/graphql, expect: 403}
    - {name: bots edit no policies, claims: {sub: bot, isBot: true}, request: POST /api/v1/policies/x, expect: 403, rule: no-policy-edits-by-bots}
";
    let check = |tests: &str| {
        Setup::command(&["check", "--offline"])
            .env("METAGATE_UPSTREAM__URL", stage.upstream.url())
            .config(format!("{}{tests}", RULES.replace("ISSUER", &stage.issuer.url(""))))
            .finish()
    };
    let finished = check(tests);
    assert_eq!(finished.code, Some(0), "{}{}", finished.stdout, finished.stderr);
    let finished = check(&tests.replace("createAccessToken", "addTag"));
    assert_eq!(finished.code, Some(1), "another rule decides: {}{}", finished.stdout, finished.stderr);
}
