//! `kubernetes: {}` in an issuer entry: tokens of the cluster's service accounts, with the files that every pod has.
//!
//! The keys come from the API server itself, at the path that it always has. The `jwks_uri` of its discovery document is
//! not used: it often names the server by an address that its certificate or the pod's network does not know, and the
//! pod's own token must not be sent there.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use url::Url;

use super::super::files::read_limited;
use super::super::key_access::KeyAccess;
use super::super::redaction::redacted;
use super::super::secret::AbsentSecrets;
use super::super::sources::Sources;
use super::super::values;
use super::section::Section;
use crate::loopback::is_on_this_machine;

/// The API server's name in every cluster.
const API_SERVER: &str = "https://kubernetes.default.svc";
/// Where the API server publishes the keys of service account tokens.
const KEYS: &str = "/openid/v1/jwks";
const TOKEN_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
const CA_FILE: &str = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt";
/// The `iss` of tokens that are kept in a Secret and never expire.
const LEGACY_ISSUER: &str = "kubernetes/serviceaccount";
/// More than any token.
const MAX_BYTES: u64 = 64 * 1024;

/// Keys that say what `kubernetes` says already.
const EXCLUDED: [&str; 12] = [
    "publicKeyUrls",
    "publicKeys",
    "sharedSecret",
    "sharedSecretFile",
    "bearerTokenFile",
    "clientCertFile",
    "clientKeyFile",
    "headers",
    "caFile",
    "proxy",
    "proxyCredentials",
    "proxyCredentialsFile",
];

/// What an entry with `kubernetes` takes from the cluster.
pub(super) struct Cluster {
    /// The `iss` of its tokens.
    pub(super) issuer: Option<Box<str>>,
    pub(super) keys: Url,
    pub(super) ca_file: Option<PathBuf>,
    pub(super) access: KeyAccess,
}

/// The claims of the pod's own token that are read. The token is not verified: it is in a file that only the kubelet
/// writes.
#[derive(Default, Deserialize)]
struct OwnToken {
    iss: Option<String>,
    #[serde(default)]
    aud: Audiences,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audiences {
    One(String),
    Several(Vec<String>),
}

impl Default for Audiences {
    fn default() -> Self {
        Self::Several(Vec::new())
    }
}

/// The URL of the API server from the variables that every container of a cluster has.
pub(in crate::config) fn api_server(sources: &Sources) -> Option<String> {
    let (host, port) =
        (sources.variable("KUBERNETES_SERVICE_HOST")?, sources.variable("KUBERNETES_SERVICE_PORT")?);
    let url = if host.contains(':') {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    };
    Url::parse(&url).ok().filter(Url::has_host).map(|_| url)
}

/// Reads the section; `None` if there is none, or if it has an error.
pub(super) fn cluster(entry: &Section<'_>) -> Option<Cluster> {
    if !entry.has("kubernetes") {
        return None;
    }
    let section = entry.section("kubernetes");
    if let Some(name) = EXCLUDED.into_iter().find(|name| entry.has(name)) {
        entry.error(
            name,
            "is set together with kubernetes, which says where the keys are and how to fetch them",
        );
    }
    let server = section.text("apiServer").or(section.report.api_server.as_deref()).unwrap_or(API_SERVER);
    let mut keys = match values::url(server, &["https", "http"]) {
        Ok(url) => url,
        Err(message) => {
            section.error("apiServer", message);
            return None;
        }
    };
    if keys.scheme() != "https" && !is_on_this_machine(&keys) {
        let url = redacted(keys.as_str());
        let message = format!("the pod's token would be sent to {url} without encryption");
        section.error_with_help("apiServer", message, "use https://");
    }
    let https = keys.scheme() == "https";
    keys.set_path(&format!("{}{KEYS}", keys.path().trim_end_matches('/')));
    let token_file = section.file("tokenFile").unwrap_or_else(|| TOKEN_FILE.into());
    let own = own_token(&section, &token_file, entry.has("issuer"));
    let issuer = own.iss.map(Into::into);
    check_audiences(entry, issuer.as_deref(), &own.aud);
    Some(Cluster {
        issuer,
        keys,
        ca_file: https.then(|| section.file("caFile").unwrap_or_else(|| CA_FILE.into())),
        access: KeyAccess { bearer_token_file: Some(token_file), direct: true, ..KeyAccess::default() },
    })
}

/// The claims of the pod's own token. An issuer in the entry makes the file unnecessary here.
fn own_token(section: &Section<'_>, file: &Path, has_issuer: bool) -> OwnToken {
    let shown = file.display();
    let fault = match read_limited(file, MAX_BYTES) {
        Ok(bytes) => match claims(&bytes) {
            Some(OwnToken { iss: Some(issuer), .. }) if issuer == LEGACY_ISSUER && !has_issuer => {
                "is a token that never expires, with another issuer than the tokens of pods".to_owned()
            }
            Some(OwnToken { iss: None, .. }) | None if !has_issuer => {
                "is not a token with an issuer (iss)".to_owned()
            }
            Some(own) => return own,
            None => return OwnToken::default(),
        },
        Err(_) if has_issuer => return OwnToken::default(),
        Err(_) if section.report.absent_secrets == AbsentSecrets::Replaced && !file.exists() => {
            section
                .report
                .info(format!("skipped: {}: the file {shown} is not here", section.path("tokenFile")));
            return OwnToken { iss: Some(API_SERVER.to_owned()), aud: Audiences::default() };
        }
        Err(error) => format!("cannot be read: {error}"),
    };
    let help = "write `issuer` (`kubectl get --raw /.well-known/openid-configuration` shows it), or run in a pod with the \
                token of a service account";
    section.error_with_help("tokenFile", format!("the file {shown} {fault}"), help);
    OwnToken::default()
}

fn claims(token: &[u8]) -> Option<OwnToken> {
    let payload = str::from_utf8(token).ok()?.trim().split('.').nth(1)?;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()
}

/// Every pod has a token for the API server. Without an audience of its own, an entry would accept all of them, and a
/// token that a client sends here would give access to the cluster.
fn check_audiences(entry: &Section<'_>, issuer: Option<&str>, own: &Audiences) {
    let (audiences, configured) = (entry.texts("audiences"), entry.texts("issuer"));
    let help = "write an audience of your own, like `audiences: [metagate]`, and the same in the `audience` of the clients' \
                serviceAccountToken volume";
    if audiences.is_empty() {
        entry.missing(
            "audiences",
            "an entry with kubernetes needs audiences: every pod has a token for the API server",
            help,
        );
    }
    let configured = configured.iter().map(AsRef::as_ref).collect::<Vec<&str>>();
    let is_servers = |audience: &str| {
        let named = match own {
            Audiences::One(own) => own == audience,
            Audiences::Several(own) => own.iter().any(|own| own == audience),
        };
        named
            || issuer == Some(audience)
            || configured.contains(&audience)
            || audience.starts_with(API_SERVER)
    };
    if let Some(audience) = audiences.iter().find(|audience| is_servers(audience)) {
        let message = format!(
            "{} is the audience of the API server: every pod has such a token",
            values::quote(audience)
        );
        entry.error_with_help("audiences", message, help);
    }
}
