//! Where revocations come from, and how the store that replicas share is reached.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::uri::PathAndQuery;
use secrecy::SecretString;
use url::Url;

use crate::rate_limiter::RateLimit;
use crate::revocation::RevocationLists;

use super::{ClientTls, ListFormat, RevocationFile, Version};

/// The sources of revocations. The lists of all of them are in force together.
#[derive(Clone, Debug, Default)]
pub struct RevocationSources {
    /// The file, and its list as read when this configuration was loaded.
    pub file: Option<(RevocationFile, Version)>,
    /// Lists that are fetched.
    pub urls: Vec<Url>,
    /// How they are fetched.
    pub fetching: ListFetching,
    /// The store that replicas share.
    pub store: Option<Arc<StoreAccess>>,
    /// Where the holder of a token can revoke it.
    pub endpoint: Option<RevocationEndpointConfig>,
    /// The path at which the backend is asked about tokens of its bots, if it is.
    pub introspection: Option<PathAndQuery>,
    /// How lists are made of their entries.
    pub format: ListFormat,
}

/// The section `revocations.endpoint`.
#[derive(Clone, Debug)]
pub struct RevocationEndpointConfig {
    /// The path, below `stripPrefix`.
    pub path: Box<str>,
    /// How many requests of one client network are answered.
    pub rate: RateLimit,
}

/// How the lists of `revocations.urls` are fetched.
#[derive(Clone, Debug, Default)]
pub struct ListFetching {
    /// How often.
    pub interval: Duration,
    /// How long a list that cannot be renewed is trusted; without limit if not set.
    pub max_stale: Option<Duration>,
    /// A file with the bearer token to send, read for each fetch.
    pub bearer_token_file: Option<PathBuf>,
    /// PEM: authorities in addition to the platform's.
    pub ca_file: Option<PathBuf>,
}

/// How a Redis or Valkey server is reached.
#[derive(Clone, Debug)]
pub struct StoreAccess {
    /// The servers, `redis` or `rediss`: the nodes of a cluster, the sentinels, or one server.
    pub urls: Vec<Url>,
    /// The name of the master that the sentinels are asked for.
    pub sentinel_master: Option<Box<str>>,
    /// A part of the names of all keys.
    pub namespace: Box<str>,
    /// The ACL user.
    pub username: Option<Box<str>>,
    /// The password of the servers.
    pub password: Option<SecretString>,
    /// The password of the sentinels.
    pub sentinel_password: Option<SecretString>,
    /// TLS of `rediss`.
    pub tls: ClientTls,
    /// How often the server is asked for changes.
    pub poll: Duration,
    /// How long a list that cannot be renewed is trusted; without limit if not set.
    pub max_stale: Option<Duration>,
}

impl RevocationSources {
    /// The list of the file alone.
    pub fn of_file(&self) -> RevocationLists {
        self.file.as_ref().map(|(_, version)| version.list.clone().into()).unwrap_or_default()
    }

    /// Whether there is any source.
    pub fn is_configured(&self) -> bool {
        self.file.is_some() || !self.urls.is_empty() || self.store.is_some()
    }
}

#[cfg(test)]
impl StoreAccess {
    /// One server, and otherwise the defaults, in the namespace `test`.
    pub(crate) fn of_url(url: Url) -> Self {
        Self {
            urls: vec![url],
            sentinel_master: None,
            namespace: "test".into(),
            username: None,
            password: None,
            sentinel_password: None,
            tls: ClientTls::default(),
            poll: Duration::from_secs(1),
            max_stale: None,
        }
    }
}

impl StoreAccess {
    /// What identifies the store, without anything secret: the servers, the master and the namespace. The same sentinels may
    /// know several masters.
    pub fn display_name(&self) -> String {
        let server = |url: &Url| {
            let port = url.port().map_or_else(String::new, |port| format!(":{port}"));
            format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
        };
        let servers: Vec<_> = self.urls.iter().map(server).collect();
        let master = self.sentinel_master.as_ref().map(|master| format!(" master {master}"));
        format!("{}{} ({})", servers.join(" "), master.unwrap_or_default(), self.namespace)
    }

    /// The number of the database.
    pub fn database(&self) -> i64 {
        let path = self.urls.first().map(Url::path).unwrap_or_default();
        path.trim_matches('/').parse().unwrap_or_default()
    }

    /// Whether the connection is encrypted.
    pub fn is_encrypted(&self) -> bool {
        self.urls.first().is_some_and(|url| url.scheme() == "rediss")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_with_other_masters_have_other_names() {
        let urls =
            ["redis://u:s3cr3t@one:26379/1?a=b", "redis://[::1]/1"].map(|url| Url::parse(url).unwrap());
        let access = |master: Option<&str>| StoreAccess {
            urls: urls.clone().into(),
            sentinel_master: master.map(Into::into),
            ..StoreAccess::of_url(urls[0].clone())
        };
        assert_eq!(access(None).display_name(), "redis://one:26379/1 redis://[::1]/1 (test)");
        let named = access(Some("main")).display_name();
        assert_eq!(named, "redis://one:26379/1 redis://[::1]/1 master main (test)");
    }
}
