//! The demo in front of DataHub's metadata service (GMS): its tokens, which only a shared secret verifies, its system
//! credential, and a few paths of GraphQL, Rest.li and OpenAPI.

use http::{Method, StatusCode};
use serde_json::{Value, json};

use super::backend::Reply;
use super::case::{Case, Expected, Words};
use super::files::{Files, quoted};
use super::guide::{BadToken, Guide};
use super::issuer::{self, CLUSTER, Issuer, JOB, LOGIN, but, datahub_token};
use super::requests::{self, BODY_BYTES};
use super::{At, Tokens};
use crate::decision::Reason;

const ENTITY: &str = "/entities/urn%3Ali%3Acorpuser%3Adatahub";
const DATASETS: &str = "/openapi/v3/entity/dataset";

/// `limits.targetBytes` for DataHub.
const TARGET_BYTES: usize = 32 * 1024;

/// The secrets that DataHub and metagate share.
pub(super) struct Secrets {
    pub(super) signing_key: String,
    pub(super) system: String,
}

pub(super) fn configuration(At { issuer, backend }: At, files: &Files, secrets: &Secrets) -> String {
    let revocations = quoted(&files.revocations());
    let Secrets { signing_key, system } = secrets;
    format!(
        "backend: datahub-gms
upstream: {{url: 'http://{backend}'}}
datahub:
  tokenServiceSigningKey: '{signing_key}'
  systemClientSecret: '{system}'
authentication:
  issuers:
    - name: login
      issuer: {LOGIN}
      publicKeyUrls: ['http://{issuer}/jwks']
      audiences: [datahub]
      maxLifetime: 24h
    - {{name: cluster, issuer: '{CLUSTER}', publicKeyUrls: ['http://{issuer}/jwks'], audiences: [metagate]}}
  revocations: {{file: {revocations}}}
mint: {{issuer: 'https://metagate.demo/backend'}}
exchange:
  - name: ingestion
    from: {{issuer: cluster, subjects: ['{JOB}']}}
    as: {{user: service_ingestion}}
authorization:
  rules:
    - name: only-datahub-deletes
      match: {{methods: [DELETE], paths: ['/openapi/**']}}
      require: {{principals: [datahub]}}
limits: {{bodyBytes: {BODY_BYTES}}}
workers: 1
log: {{level: warn, format: text}}
"
    )
}

/// The claims of DataHub's token service.
fn claims(user: &str, kind: &str, expires: Option<i64>) -> Value {
    let mut claims = json!({
        "iss": "datahub-metadata-service",
        "sub": user,
        "actorType": "USER",
        "actorId": user,
        "type": kind,
        "version": "2",
        "jti": "7c0a4b1e-1c57-4d0b-9c6e-2f1d3c4b5a69",
    });
    if let Some(expires) = expires {
        claims["exp"] = json!(expires);
    }
    claims
}

pub(super) fn guide(Tokens { issuer, now, revoked, secrets }: &Tokens<'_>) -> Guide {
    let mut guide = Guide { path: ENTITY, ..Guide::default() };
    let now = *now;
    let session =
        guide.token("ADA", datahub_token(&secrets.signing_key, &claims("ada", "SESSION", Some(now + 3600))));
    forwarded(&mut guide, issuer, now, secrets, &session);
    for case in requests::refused(ENTITY, &session, TARGET_BYTES) {
        guide.add(case);
    }
    guide.refuse(untrusted(issuer, now));
    guide.refuse(requests::untrusted(issuer, &issuer::login_claims("datahub", now, now + 3600)));
    guide.refuse(unsuitable(now, revoked, secrets));
    guide.refuse(requests::unsuitable(issuer, "datahub", now));
    let delete = Case::get(
        "a user who may not delete",
        "/openapi/v3/entity/dataset/1",
        refused(Reason::InsufficientPermissions),
    );
    guide.add(delete.method("DELETE").as_(&session));
    let check = "a health check that GMS would answer as the system user";
    guide.add(Case::get(check, "/openapi/check/elastic", refused(Reason::MissingToken)));
    let title = "a token of the identity provider's new key, which is fetched when it is seen first";
    let next = issuer.next_token(&issuer::login_claims("datahub", now, now + 3600));
    let case = Case::get(title, ENTITY, Expected::Forwarded(Some("ada@example.org")));
    let case = case.as_(&Words::bearer("NEW", &next));
    guide.rotated = Some(("NEW", next, case));
    guide
}

fn refused(reason: Reason) -> Expected {
    Expected::Refused(reason)
}

fn forwarded(guide: &mut Guide, issuer: &Issuer, now: i64, secrets: &Secrets, session: &Words) {
    let by = |user| Expected::Forwarded(Some(user));
    guide.add(Case::get("the health check, without a token", "/health", Expected::Forwarded(None)));
    guide.add(Case::get(
        "the configuration that clients ask for, without a token",
        "/config",
        Expected::Forwarded(None),
    ));
    let personal = datahub_token(&secrets.signing_key, &claims("datahub", "PERSONAL", None));
    let personal = guide.token("PAT", personal);
    guide.add(
        Case::get("Rest.li with a personal access token that never expires", ENTITY, by("datahub"))
            .as_(&personal),
    );
    let graphql = Case::get("GraphQL with the session of a user", "/api/graphql", by("ada"));
    let query = Words::plain(r#"{"query":"{ me { corpUser { urn } } }"}"#);
    guide.add(graphql.method("POST").as_(session).body(query));
    let forged = Case::get(
        "a user who claims to be the administrator; the backend sees who it is",
        DATASETS,
        by("ada"),
    );
    guide.add(forged.as_(session).with("X-DataHub-Actor", Words::plain("urn:li:corpuser:datahub")));
    // Not base64: DataHub's own services send it like this.
    let system = Words {
        sent: format!("Basic __datahub_system:{}", secrets.system),
        shell: "Basic __datahub_system:$SYSTEM".to_owned(),
    };
    guide.tokens.push(("SYSTEM", secrets.system.clone()));
    let ingest = Case::get(
        "a service of DataHub with the system credential",
        "/aspects?action=ingestProposal",
        Expected::Forwarded(None),
    );
    guide.add(ingest.method("POST").as_(&system).body(Words::plain(r#"{"proposal":{}}"#)));
    let login = guide.token("LOGIN", issuer.token(&issuer::login_claims("datahub", now, now + 3600)));
    let title = "a user who signed in with the identity provider";
    guide.add(Case::get(title, DATASETS, by("ada@example.org")).as_(&login));
    let job = guide.token("JOB", issuer.token(&issuer::workload_claims(JOB, now, now + 3600)));
    let title = "a job with the token of its pod, which acts as a service account";
    guide.add(Case::get(title, DATASETS, by("service_ingestion")).as_(&job));
}

/// Tokens in DataHub's name that its key has not signed.
fn untrusted(issuer: &Issuer, now: i64) -> Vec<BadToken> {
    let session = claims("ada", "SESSION", Some(now + 3600));
    vec![
        (
            "EVE",
            datahub_token("another-secret-of-32-bytes-or-more", &session),
            "a token signed with another secret",
            Reason::InvalidSignature,
        ),
        (
            "RS256",
            issuer.token(&session),
            "a token in DataHub's name, signed with the identity provider's key",
            Reason::AlgorithmNotAllowed,
        ),
    ]
}

/// Genuine tokens with claims that are refused.
fn unsuitable(now: i64, revoked: &str, secrets: &Secrets) -> Vec<BadToken> {
    let ours = |claims: &Value| datahub_token(&secrets.signing_key, claims);
    let session = claims("ada", "SESSION", Some(now + 3600));
    let nameless = but(&but(&session, "sub", Value::Null), "actorId", Value::Null);
    vec![
        ("OLD", ours(&claims("ada", "SESSION", Some(now - 3600))), "an expired session", Reason::Expired),
        (
            "ENDLESS",
            ours(&claims("ada", "SESSION", None)),
            "a session that never expires",
            Reason::MissingExpiry,
        ),
        (
            "EARLY",
            ours(&but(&session, "nbf", json!(now + 3600))),
            "a token that is not valid yet",
            Reason::NotYetValid,
        ),
        ("NAMELESS", ours(&nameless), "a token that names no user", Reason::MissingPrincipal),
        ("STOLEN", ours(&but(&session, "jti", json!(revoked))), "a token that was revoked", Reason::Revoked),
    ]
}

/// A few paths of GMS.
pub(super) fn reply(method: &Method, path: &str) -> Reply {
    let body = match (method, path) {
        (&Method::GET, "/health") => json!({"status": "UP"}),
        (&Method::GET, "/config") => {
            json!({"noCode": "true", "versions": {"acryldata/datahub": {"version": "v1.7.0"}}})
        }
        (&Method::POST, "/api/graphql") => {
            json!({"data": {"me": {"corpUser": {"urn": "urn:li:corpuser:ada"}}}})
        }
        (&Method::POST, "/aspects") => json!({"value": "urn:li:dataset:1"}),
        (&Method::GET, DATASETS) => json!({"entities": [{"urn": "urn:li:dataset:1"}]}),
        (&Method::DELETE, path) if path.starts_with(DATASETS) => json!({"deleted": true}),
        (&Method::GET, path) if path.starts_with("/entities/") => {
            let urn = path.trim_start_matches("/entities/").replace("%3A", ":");
            json!({"value": {"com.linkedin.metadata.snapshot.CorpUserSnapshot": {"urn": urn}}})
        }
        _ => {
            return (
                StatusCode::NOT_FOUND,
                json!({"status": 404, "message": format!("no such path: {path}")}),
            );
        }
    };
    (StatusCode::OK, body)
}
