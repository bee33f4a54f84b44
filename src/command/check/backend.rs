//! Whether the backend answers, over the connection that `run` would use, and whether it is the one of the configuration.

use std::sync::Arc;

use http::HeaderValue;
use http::uri::PathAndQuery;
use url::Url;

use crate::backend::{Backend, Identification};
use crate::budget::{Budget, Limits};
use crate::config::{self, Finding, FindingId, Loaded};
use crate::metrics::Metrics;
use crate::upstream::{ProbeError, ProbeResponse, Reachability, Target, Upstream};

const KEY: &str = "upstream.url";

/// What the backend says about itself.
pub(super) async fn findings(loaded: &Loaded) -> Vec<Finding> {
    let mut findings = Vec::new();
    for url in loaded.config.upstream.urls() {
        findings.extend(findings_at(loaded, url).await);
    }
    findings
}

/// What the backend at one of its URLs says about itself.
async fn findings_at(loaded: &Loaded, url: &Url) -> Vec<Finding> {
    // What is wrong with the files of TLS was reported before.
    let Some(asking) = Asking::new(loaded, url) else { return Vec::new() };
    let backend = loaded.config.backend;
    let Some(identification) = &backend.preset().identification else {
        return vec![match asking.ask("/").await {
            Ok(response) => Finding::info(format!("{} {}", asking.url(), answer(&response))),
            Err(error) => asking.unreachable(&error),
        }];
    };
    let response = match asking.ask(identification.path).await {
        Ok(response) => response,
        Err(error) => return vec![asking.unreachable(&error)],
    };
    if let Some(version) = identification.recognize(&response.body) {
        let remark = format!("{} is {}", asking.url(), named(identification, version));
        return vec![Finding::info(remark)];
    }
    vec![match asking.other(backend).await {
        Some((other, found)) => Finding::error(
            FindingId::BackendMismatch,
            KEY,
            format!("backend is {}, but {} is {found}", backend.as_str(), asking.url()),
        )
        .help(format!(
            "write `backend: {}`, or the URL of {} in {KEY}",
            other.as_str(),
            identification.server
        )),
        None => Finding::warning(
            FindingId::BackendUnknown,
            KEY,
            format!(
                "cannot tell whether {} is {}: GET {} {}",
                asking.url(),
                identification.server,
                asking.path(identification.path),
                answer(&response)
            ),
        )
        .help(
            "if another proxy is between them, let it forward this path; else correct the URL or `backend`",
        ),
    }]
}

/// Asks the backend of a configuration.
pub(super) struct Asking<'c> {
    url: &'c Url,
    base: String,
    upstream: Arc<Upstream>,
    budget: Arc<Budget>,
}

impl<'c> Asking<'c> {
    pub(super) fn new(loaded: &'c Loaded, url: &'c Url) -> Option<Self> {
        let config = &loaded.config;
        let metrics = Arc::<Metrics>::default();
        let only = config::Upstream { url: url.clone(), other_urls: Vec::new(), ..config.upstream.clone() };
        let target = Target::new(&only).ok()?;
        let base = config.backend.preset().base_path.and_then(|base| {
            let (section, key) = base.key;
            let (path, _) = loaded.text_at(&format!("{section}.{key}"))?;
            Some(path.trim_end_matches('/').to_owned())
        });
        Some(Self {
            url,
            base: base.unwrap_or_default(),
            upstream: Upstream::new(target, Reachability::new(metrics.clone()), metrics.clone()),
            budget: Budget::new(Limits::new(&config.limits, &config.token_cache), metrics),
        })
    }

    pub(super) fn url(&self) -> String {
        config::redacted(self.url.as_str())
    }

    fn path(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) async fn ask(&self, path: &str) -> Result<ProbeResponse, ProbeError> {
        self.send(path, None).await
    }

    /// Asks with a minted token.
    pub(super) async fn ask_as(&self, path: &str, token: HeaderValue) -> Result<ProbeResponse, ProbeError> {
        self.send(path, Some(token)).await
    }

    async fn send(&self, path: &str, token: Option<HeaderValue>) -> Result<ProbeResponse, ProbeError> {
        let failed = |cause: &str| ProbeError { cause: cause.to_owned(), is_absent: false };
        let path = PathAndQuery::try_from(self.path(path)).map_err(|_| failed("its path is not valid"))?;
        let connection = self.budget.connect(None).map_err(|_| failed("limits allow no connection"))?;
        self.upstream.probe(path, token, connection.account().clone()).await
    }

    /// Another product that answers there.
    async fn other(&self, backend: Backend) -> Option<(Backend, String)> {
        for other in Backend::ALL.into_iter().filter(|other| *other != backend) {
            let Some(identification) = &other.preset().identification else { continue };
            let response = self.ask(identification.path).await.ok()?;
            if let Some(version) = identification.recognize(&response.body) {
                return Some((other, named(identification, version)));
            }
        }
        None
    }

    fn unreachable(&self, error: &ProbeError) -> Finding {
        let new = if error.is_absent { Finding::warning } else { Finding::error };
        new(FindingId::BackendUnreachable, KEY, format!("{} does not answer: {}", self.url(), error.cause))
    }
}

fn answer(response: &ProbeResponse) -> String {
    let server = response.server.as_ref().map(|name| format!(" (Server: {name})")).unwrap_or_default();
    format!("answers {}{server}", response.status)
}

fn named(identification: &Identification, version: Option<String>) -> String {
    let version = version.map(|version| version.chars().take(40).collect::<String>());
    let version = version.map(|version| format!(" {}", crate::printable::line(&version)));
    format!("{}{}", identification.server, version.unwrap_or_default())
}
