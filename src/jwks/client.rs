//! Requests to the server of one source: its TLS, its proxy and its credentials.
//!
//! Credentials (a bearer token, other fields, a client certificate) are for the origin that the configuration names. A
//! request to another one, whether a redirect or a discovery document led there, is made by another client, which has
//! none of them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderValue};
use reqwest::{Client, Proxy, Response};
use url::{Origin, Url};

use super::KeysError;
use super::fault::FetchError;
use super::fetch_policy::FetchPolicy;
use super::network_scope::NetworkScope;
use crate::client_proxies;
use crate::config::{ClientTls, Config, KeyAccess, ProxyServer, TlsVersion, TrustEntry};
use crate::tls;

/// More than any token.
const MAX_TOKEN_BYTES: u64 = 64 * 1024;

/// How the server of a source is reached.
#[derive(Clone, Copy, Debug)]
pub struct ServerAccess<'a> {
    /// The name of the source's owner in errors.
    pub name: &'a str,
    /// PEM: authorities in addition to the platform's.
    pub ca_file: Option<&'a PathBuf>,
    /// The HTTP proxy.
    pub proxy: Option<&'a Url>,
    /// Credentials.
    pub access: &'a KeyAccess,
}

impl<'a> From<&'a TrustEntry> for ServerAccess<'a> {
    fn from(entry: &'a TrustEntry) -> Self {
        Self {
            name: &entry.name,
            ca_file: entry.ca_file.as_ref(),
            proxy: entry.proxy.as_ref(),
            access: &entry.access,
        }
    }
}

/// Fetches the documents of one source.
#[derive(Debug)]
pub struct KeyClient {
    /// Without credentials.
    plain: Client,
    /// For the origin of the source, if there are credentials for it.
    own: Option<OwnClient>,
    policy: Arc<FetchPolicy>,
}

#[derive(Debug)]
struct OwnClient {
    client: Client,
    origin: Origin,
    bearer_token_file: Option<PathBuf>,
    headers: HeaderMap,
}

impl KeyClient {
    /// A client for the documents at `source`.
    pub fn new<'a>(
        server: impl Into<ServerAccess<'a>>,
        config: &Config,
        source: &Url,
    ) -> Result<Self, KeysError> {
        let entry = server.into();
        let policy = FetchPolicy::new(source);
        let access = entry.access;
        let plain = client(&entry, config, source, &policy, None)?;
        let own = match access.has_credentials() {
            false => None,
            true => Some(OwnClient {
                client: client(&entry, config, source, &policy, Some(access))?,
                origin: source.origin(),
                bearer_token_file: access.bearer_token_file.clone(),
                headers: access.headers.iter().cloned().collect(),
            }),
        };
        Ok(Self { plain, own, policy })
    }

    /// Whether a document at `from` may lead to `to`.
    pub(super) fn admit(&self, from: &Url, to: &Url) -> Result<(), &'static str> {
        self.policy.admit(from, to)
    }

    /// Requests a document. `etag` makes the request conditional.
    pub async fn get(
        &self,
        url: &Url,
        accept: &'static str,
        etag: Option<&HeaderValue>,
    ) -> Result<Response, FetchError> {
        let fields = |client: &Client, url: Url| {
            client.get(url).header(ACCEPT, accept).header(ACCEPT_ENCODING, "identity")
        };
        let conditional = |request: reqwest::RequestBuilder| match etag {
            Some(etag) => request.header(IF_NONE_MATCH, etag),
            None => request,
        };
        let Some(own) = self.own.as_ref().filter(|own| own.origin == url.origin()) else {
            return Ok(conditional(fields(&self.plain, url.clone())).send().await?);
        };
        let mut request = conditional(fields(&own.client, url.clone())).headers(own.headers.clone());
        if let Some(file) = &own.bearer_token_file {
            request = request.header(AUTHORIZATION, bearer(file).await?);
        }
        let response = request.send().await?;
        let Some(target) = leads_elsewhere(&response, &own.origin) else { return Ok(response) };
        self.admit(response.url(), &target)
            .map_err(|why| FetchError::Connection(format!("redirect not followed: {why}")))?;
        Ok(fields(&self.plain, target).send().await?)
    }
}

/// Where a response redirects to, if that is another origin. The client with the credentials does not follow it.
fn leads_elsewhere(response: &Response, origin: &Origin) -> Option<Url> {
    let is_redirect = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(LOCATION).filter(|_| is_redirect)?.to_str().ok()?;
    response.url().join(location).ok().filter(|target| target.origin() != *origin)
}

/// The field with the token in a file, which may have been replaced since the last fetch.
async fn bearer(file: &Path) -> Result<HeaderValue, FetchError> {
    let path = file.to_owned();
    let read = tokio::task::spawn_blocking(move || {
        use std::io::Read as _;
        let mut text = String::new();
        std::fs::File::open(path)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?;
        Ok::<_, std::io::Error>(text)
    });
    let read = read.await.map_err(std::io::Error::other).and_then(|read| read);
    let fault =
        |why: &dyn std::fmt::Display| FetchError::Credential(format!("the file {} {why}", file.display()));
    let text = read.map_err(|error| fault(&format_args!("cannot be read: {error}")))?;
    let token = text.trim();
    // RFC 6750 section 2.1.
    let is_token = |c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c);
    if token.is_empty() || !token.chars().all(is_token) {
        return Err(fault(&"does not hold a bearer token"));
    }
    let mut value = HeaderValue::try_from(format!("Bearer {token}"))
        .map_err(|_| fault(&"does not hold a bearer token"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// `access` is that of a client for the origin of the source only.
fn client(
    entry: &ServerAccess<'_>,
    config: &Config,
    url: &Url,
    policy: &Arc<FetchPolicy>,
    access: Option<&KeyAccess>,
) -> Result<Client, KeysError> {
    let scope = NetworkScope::of(url, config);
    let files = ClientTls {
        ca_file: scope.authorities(entry.ca_file, config),
        identity: access.and_then(|access| access.identity.clone()),
        min_version: TlsVersion::V12,
        server_name: None,
    };
    let tls = tls::client_config(&files).map_err(|error| KeysError::Tls(entry.name.into(), error))?;
    let redirects = match access {
        Some(_) => policy.redirects_within(url.origin()),
        None => policy.redirects(),
    };
    let mut builder = Client::builder()
        .tls_backend_preconfigured(tls)
        .user_agent(concat!("metagate/", env!("CARGO_PKG_VERSION")))
        .redirect(redirects)
        .dns_resolver(policy.resolver())
        .referer(false)
        .pool_max_idle_per_host(1)
        // The environment's are among those below.
        .no_proxy();
    if scope == NetworkScope::Anywhere && !entry.access.direct {
        for proxy in proxies(entry, config) {
            builder = builder.proxy(proxy);
        }
    }
    builder.build().map_err(|error| KeysError::Client(entry.name.into(), error.without_url()))
}

/// The proxies of a source: the entry's for every URL, or those of the environment.
fn proxies(entry: &ServerAccess<'_>, config: &Config) -> Vec<Proxy> {
    let own = entry
        .proxy
        .cloned()
        .map(|url| ProxyServer { url, authorization: entry.access.proxy_authorization.clone() });
    client_proxies::proxies(own.as_ref(), &config.proxies)
}
