//! The demo in front of OpenMetadata: its tokens, a few of its paths, and a configuration as it is in use.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::backend::Reply;
use super::case::{Case, Expected, Words};
use super::files::{Files, quoted};
use super::guide::{BadToken, Guide};
use super::issuer::{self, CLUSTER, Issuer, JOB, LOGIN, OPENMETADATA, but};
use super::requests::{self, BODY_BYTES};
use super::{At, Tokens};
use crate::decision::Reason;

const TABLES: &str = "/api/v1/tables";

/// `limits.targetBytes` by default.
const TARGET_BYTES: usize = 8 * 1024;

pub(super) fn configuration(At { issuer, backend }: At, files: &Files) -> String {
    let (mint, revocations) = (quoted(&files.mint_key()), quoted(&files.revocations()));
    format!(
        "backend: openmetadata
upstream: {{url: 'http://{backend}'}}
authentication:
  issuers:
    - {{name: openmetadata, issuer: {OPENMETADATA}, publicKeyUrls: ['http://{issuer}/jwks']}}
    - name: login
      issuer: {LOGIN}
      publicKeyUrls: ['http://{issuer}/jwks']
      audiences: [openmetadata]
      maxLifetime: 24h
    - {{name: cluster, issuer: '{CLUSTER}', publicKeyUrls: ['http://{issuer}/jwks'], audiences: [metagate]}}
  enforcePrincipalDomain: true
  allowedDomains: [example.org]
  revocations: {{file: {revocations}}}
mint: {{issuer: 'https://metagate.demo/backend', keyFiles: [{mint}]}}
exchange:
  - name: ingestion
    from: {{issuer: cluster, subjects: ['{JOB}']}}
    as: {{user: ingestion-bot, email: ingestion-bot@open-metadata.org}}
authorization:
  rules:
    - name: only-admins-delete
      match: {{methods: [DELETE], paths: ['/api/v1/**']}}
      require: {{anyRole: [Admin]}}
limits: {{bodyBytes: {BODY_BYTES}}}
workers: 1
log: {{level: warn, format: text}}
"
    )
}

/// The example in OpenMetadata's documentation.
fn bot_claims() -> Value {
    json!({
        "iss": OPENMETADATA,
        "sub": "ingestion-bot",
        "roles": ["IngestionBotRole"],
        "email": "ingestion-bot@open-metadata.org",
        "isBot": true,
        "tokenType": "BOT",
        "iat": 1_704_067_200,
        "exp": null,
    })
}

fn user_claims(issued: i64, expires: i64) -> Value {
    json!({
        "iss": OPENMETADATA,
        "sub": "ada",
        "roles": ["DataConsumer"],
        "email": "ada@example.org",
        "isBot": false,
        "tokenType": "OM_USER",
        "iat": issued,
        "exp": expires,
    })
}

pub(super) fn guide(Tokens { issuer, now, revoked, .. }: &Tokens<'_>) -> Guide {
    let mut guide = Guide { path: TABLES, ..Guide::default() };
    let (now, later) = (*now, now + 3600);
    let ada = user_claims(now, later);
    let user = guide.token("ADA", issuer.token(&ada));
    forwarded(&mut guide, issuer, &user, now);
    for case in requests::refused(TABLES, &user, TARGET_BYTES) {
        guide.add(case);
    }
    let ada = user_claims(now, now + 3600);
    let foreign = issuer.token_with_foreign_key(&ada);
    guide.refuse([("EVE", foreign, "a token signed with another key", Reason::InvalidSignature)]);
    guide.refuse(requests::untrusted(issuer, &ada));
    guide.refuse(requests::unsuitable(issuer, "openmetadata", now));
    guide.refuse(unsuitable(issuer, now, revoked));
    let delete =
        Case::get("a user who may not delete", "/api/v1/tables/1", refused(Reason::InsufficientPermissions));
    guide.add(delete.method("DELETE").as_(&user));
    let other = Case::get("a user who acts as another", TABLES, refused(Reason::ImpersonationDenied));
    guide.add(other.as_(&user).with("X-Impersonate-User", Words::plain("admin")));
    let title = "a token signed with the new key, which is fetched when it is seen first";
    let next = issuer.next_token(&ada);
    let case = Case::get(title, TABLES, Expected::Forwarded(Some("ada"))).as_(&Words::bearer("NEW", &next));
    guide.rotated = Some(("NEW", next, case));
    guide
}

fn refused(reason: Reason) -> Expected {
    Expected::Refused(reason)
}

fn forwarded(guide: &mut Guide, issuer: &Issuer, user: &Words, now: i64) {
    let later = now + 3600;
    let get = |title, user| Case::get(title, TABLES, Expected::Forwarded(user));
    let version = "/api/v1/system/version";
    guide.add(Case::get("a public route, without a token", version, Expected::Forwarded(None)));
    let bot = guide.token("BOT", issuer.token(&bot_claims()));
    guide.add(get("a bot, whose token never expires", Some("ingestion-bot")).as_(&bot));
    guide.add(get("a user", Some("ada")).as_(user));
    let forged = get("a user who claims to be another user; the backend sees who it is", Some("ada"));
    guide.add(forged.as_(user).with("X-Forwarded-User", Words::plain("admin")));
    let login = guide.token("LOGIN", issuer.token(&issuer::login_claims("openmetadata", now, later)));
    guide.add(get("a user who signed in with the identity provider", Some("ada")).as_(&login));
    let job = guide.token("JOB", issuer.token(&issuer::workload_claims(JOB, now, later)));
    guide.add(
        get("a job with the token of its pod, which acts as ingestion-bot", Some("ingestion-bot")).as_(&job),
    );
}

/// Genuine tokens with claims that are refused.
fn unsuitable(issuer: &Issuer, now: i64, revoked: &str) -> Vec<BadToken> {
    let ada = user_claims(now, now + 3600);
    let login = issuer::login_claims("openmetadata", now, now + 3600);
    let nameless = but(&but(&login, "sub", Value::Null), "email", Value::Null);
    vec![
        ("OLD", issuer.token(&user_claims(now - 7200, now - 3600)), "an expired token", Reason::Expired),
        (
            "EARLY",
            issuer.token(&but(&ada, "nbf", json!(now + 3600))),
            "a token that is not valid yet",
            Reason::NotYetValid,
        ),
        (
            "ENDLESS",
            issuer.token(&but(&ada, "exp", Value::Null)),
            "a user whose token never expires",
            Reason::MissingExpiry,
        ),
        ("NAMELESS", issuer.token(&nameless), "a token that names no user", Reason::MissingPrincipal),
        (
            "GUEST",
            issuer.token(&but(&login, "email", json!("guest@elsewhere.example"))),
            "a user of another domain",
            Reason::WrongDomain,
        ),
        (
            "STOLEN",
            issuer.token(&but(&ada, "jti", json!(revoked))),
            "a token that was revoked",
            Reason::Revoked,
        ),
    ]
}

/// A few paths of OpenMetadata.
pub(super) fn reply(method: &Method, path: &str) -> Reply {
    let table = |id: &str, name: &str| json!({"id": id, "name": name, "fullyQualifiedName": format!("warehouse.shop.public.{name}")});
    match (method, path) {
        (&Method::GET, "/api/v1/system/version") => (StatusCode::OK, json!({"version": "1.13.1"})),
        (&Method::GET, TABLES) => {
            let data = [table("1", "orders"), table("2", "customers")];
            (StatusCode::OK, json!({"data": data, "paging": {"total": 2}}))
        }
        (&Method::DELETE, path) if path.starts_with("/api/v1/tables/") => {
            (StatusCode::OK, json!({"deleted": true}))
        }
        _ => (StatusCode::NOT_FOUND, json!({"code": 404, "message": format!("no such path: {path}")})),
    }
}
