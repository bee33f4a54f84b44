//! `metagate health`: asks a running proxy whether it is ready.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use clap::Args;
use url::Url;

use super::http_client::client_builder;
use super::{ConfigArguments, Failure, runtime};
use crate::config::{self, Flags, Sources, redacted};
use crate::tls;

const TIMEOUT: Duration = Duration::from_secs(2);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// The URL to request, /readyz if it has no path; by default the configuration's health listener.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let url = match &arguments.url {
        Some(url) => with_probe(url.clone()),
        None => listener_url(&arguments.config, Listener::Health, "/readyz")?,
    };
    tls::install_crypto_provider();
    let response = runtime()?.block_on(ask(url.clone()));
    match response {
        Ok((true, text)) => {
            say!("{}", text.trim());
            Ok(())
        }
        Ok((false, text)) => {
            say!("{}", text.trim());
            Err(Failure::Code(1))
        }
        Err(error) => Err(Failure::Other(format!("{}: {}", redacted(url.as_str()), error.without_url()))),
    }
}

/// The same URL, or the readiness probe there if it names only a host.
fn with_probe(mut url: Url) -> Url {
    if url.path() == "/" {
        url.set_path("/readyz");
    }
    url
}

/// A listener of the proxy other than the one for clients.
#[derive(Clone, Copy)]
pub(super) enum Listener {
    Health,
    Admin,
}

/// The URL of a path on a listener of the proxy that runs with this configuration.
pub(super) fn listener_url(
    arguments: &ConfigArguments,
    listener: Listener,
    path: &str,
) -> Result<Url, Failure> {
    let sources = Sources::from_process(arguments.config.clone(), Flags::default());
    let address = reachable(listens_on(&sources, listener));
    Url::parse(&format!("http://{address}{path}")).map_err(|error| Failure::Other(error.to_string()))
}

/// The address of a listener. If the configuration cannot be loaded, because a command inside a container often lacks
/// parts of the proxy's environment, the listener's own variable or its default is used.
fn listens_on(sources: &Sources, listener: Listener) -> SocketAddr {
    let (variable, port) = match listener {
        Listener::Health => ("METAGATE_HEALTH__LISTEN", 8686),
        Listener::Admin => ("METAGATE_ADMIN__LISTEN", 8687),
    };
    if let Ok(loaded) = config::load(sources) {
        return match listener {
            Listener::Health => loaded.config.health_listen,
            Listener::Admin => loaded.config.admin_listen,
        };
    }
    let named = sources.environment.iter().find(|(name, _)| name == variable);
    let named = named.and_then(|(_, value)| value.trim_matches('"').parse().ok());
    named.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port))
}

/// The version of a metagate whose health listener has this address, if one runs.
pub(super) async fn running_version(listener: SocketAddr) -> Option<String> {
    let url = Url::parse(&format!("http://{}/metrics", reachable(listener))).ok()?;
    let (_, metrics) = ask(url).await.ok()?;
    let (_, rest) = metrics.split_once("metagate_build_info{version=\"")?;
    let version = rest.split('"').next()?;
    Some(version.chars().filter(|c| c.is_ascii_graphic()).take(40).collect())
}

async fn ask(url: Url) -> Result<(bool, String), reqwest::Error> {
    let client = client_builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let response = client.get(url).send().await?;
    let good = response.status().is_success();
    Ok((good, response.text().await?))
}

/// Replaces an unspecified address by loopback.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}
