//! The HTTP proxies of our own requests.

use std::sync::Arc;

use reqwest::Proxy;

use crate::config::{EnvironmentProxies, NoProxy, ProxyServer};

/// The proxies of the environment. `own` takes the place of both, except for what the environment exempts.
pub fn proxies(own: Option<&ProxyServer>, environment: &EnvironmentProxies) -> Vec<Proxy> {
    let exempt = Arc::new(environment.exempt.clone());
    let for_scheme = |scheme: &'static str, server: &Option<ProxyServer>| {
        Some(proxy(scheme, own.or(server.as_ref())?, exempt.clone()))
    };
    [for_scheme("http", &environment.http), for_scheme("https", &environment.https)]
        .into_iter()
        .flatten()
        .collect()
}

fn proxy(scheme: &'static str, server: &ProxyServer, exempt: Arc<NoProxy>) -> Proxy {
    let through = server.url.clone();
    let proxy =
        Proxy::custom(move |url| (url.scheme() == scheme && !exempt.exempts(url)).then(|| through.clone()));
    match &server.authorization {
        Some(authorization) => proxy.custom_http_auth(authorization.clone()),
        None => proxy,
    }
}
