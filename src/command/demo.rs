//! `metagate demo`: an issuer, a backend and the proxy on one machine, without other software.
//!
//! The issuer and the backend are small stand-ins. The proxy between them is the real one, with a configuration file that
//! the real loader reads.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};

use super::run::ended;
use super::{Failure, runtime};
use crate::config::{self, Listen, Loaded, Sources};
use crate::gateway::system_clock;
use crate::server::{self, Listeners, ProxySocket, RunOptions, Socket};
use crate::telemetry;

mod backend;
mod case;
mod checks;
mod client;
mod datahub;
mod files;
mod guide;
mod issuer;
mod openmetadata;
mod requests;

use case::Case;
use checks::Checks;
use datahub::Secrets;
use files::Files;
use guide::Guide;
use issuer::Issuer;

/// The ports that the README uses.
const PROXY_PORT: u16 = 8685;
const ADMIN_PORT: u16 = 8687;

/// When the issuer's next key is published.
const ROTATION: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// What the sample backend is.
    #[arg(long, value_enum, default_value_t = Product::Openmetadata)]
    backend: Product,
    /// The port of the proxy on 127.0.0.1; if it is taken, another free port.
    #[arg(long, default_value_t = PROXY_PORT)]
    port: u16,
    /// Self-test: print the curl commands, send their requests to the proxy, check the responses, the metrics and the
    /// status page, and exit. 1 if a check fails.
    #[arg(long)]
    once: bool,
}

/// What stands behind the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Product {
    /// OpenMetadata: RS256 tokens, verified with published keys.
    Openmetadata,
    /// DataHub's metadata service (GMS): HS256 tokens, verified with a shared secret, and the system credential.
    Datahub,
}

/// Where the stand-ins listen.
#[derive(Clone, Copy)]
struct At {
    issuer: SocketAddr,
    backend: SocketAddr,
}

/// What tokens are made of.
struct Tokens<'t> {
    issuer: &'t Issuer,
    now: i64,
    /// The `jti` on the list of revoked tokens.
    revoked: &'t str,
    secrets: &'t Secrets,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let issuer = Issuer::new().map_err(|error| Failure::Other(format!("cannot make demo keys: {error}")))?;
    let issuer = Arc::new(issuer);
    let (issuer_listener, backend_listener) = (loopback(0)?, loopback(0)?);
    let stand_ins = At { issuer: issuer_listener.local_addr()?, backend: backend_listener.local_addr()? };
    let secrets = Secrets { signing_key: files::random()?, system: files::random()? };
    let revoked = files::random()?;
    let files = Files::make(&revoked)?;
    let loaded = arguments.backend.configuration(stand_ins, &files, &secrets)?;
    telemetry::start(&loaded.config.log)?;
    let (listeners, at) = listeners(arguments.port)?;
    let now = system_clock().as_secs();
    let guide =
        arguments.backend.guide(&Tokens { issuer: &issuer, now, revoked: &revoked, secrets: &secrets });
    let reply = arguments.backend.reply();
    runtime()?.block_on(async {
        let signals = ended()?;
        tokio::spawn(issuer::serve(issuer_listener, issuer.clone()));
        tokio::spawn(backend::serve(backend_listener, reply));
        guide.print(&at, &files);
        let (done, checking) = tokio::sync::oneshot::channel();
        let once = arguments.once;
        let shutdown = async move {
            if once {
                let _ = done.send(check(&at, &guide, &issuer).await);
            } else {
                tokio::select! {
                    () = signals => {}
                    () = rotation(&at, &guide, &issuer) => {}
                }
            }
        };
        server::run(loaded, RunOptions::default(), listeners, io::stdout(), system_clock, shutdown).await?;
        match checking.await {
            Ok(failed) if failed > 0 => Err(Failure::Other(format!("{failed} of the checks failed"))),
            _ => Ok(()),
        }
    })
}

/// Publishes the issuer's next key while the demo is watched. Never ends.
async fn rotation(at: &Addresses, guide: &Guide, issuer: &Issuer) {
    tokio::time::sleep(ROTATION).await;
    issuer.rotate();
    guide.print_rotation(at);
    pending::<()>().await;
}

/// Checks everything, and returns how many checks failed.
async fn check(at: &Addresses, guide: &Guide, issuer: &Issuer) -> usize {
    let mut checks = Checks::default();
    checks.readiness(at).await;
    checks.requests(at, &guide.cases).await;
    issuer.rotate();
    guide.print_rotation(at);
    checks.requests(at, guide.rotated.iter().map(|(_, _, case)| case)).await;
    checks.listeners(at, issuer::NEXT_KEY_ID).await;
    checks.end()
}

impl Product {
    fn configuration(self, at: At, files: &Files, secrets: &Secrets) -> Result<Loaded, Failure> {
        files.write_configuration(&match self {
            Self::Openmetadata => openmetadata::configuration(at, files),
            Self::Datahub => datahub::configuration(at, files, secrets),
        })?;
        let sources = Sources { files: vec![files.configuration()], ..Sources::default() };
        config::load(&sources).map_err(Failure::Config)
    }

    fn guide(self, tokens: &Tokens<'_>) -> Guide {
        match self {
            Self::Openmetadata => openmetadata::guide(tokens),
            Self::Datahub => datahub::guide(tokens),
        }
    }

    fn reply(self) -> fn(&http::Method, &str) -> backend::Reply {
        match self {
            Self::Openmetadata => openmetadata::reply,
            Self::Datahub => datahub::reply,
        }
    }
}

/// Where the demo listens.
struct Addresses {
    proxy: SocketAddr,
    health: SocketAddr,
    admin: SocketAddr,
}

fn listeners(port: u16) -> io::Result<(Listeners, Addresses)> {
    let proxy = loopback(port).or_else(|_| loopback(0))?;
    let address = proxy.local_addr()?;
    let admin = loopback(ADMIN_PORT).or_else(|_| loopback(0))?;
    let health = loopback(0)?;
    let at = Addresses { proxy: address, health: health.local_addr()?, admin: admin.local_addr()? };
    let proxy = vec![ProxySocket { listen: Listen::Tcp(address), socket: Socket::Tcp(proxy) }];
    Ok((Listeners { proxy, health, admin: vec![admin], forward_auth: None }, at))
}

fn loopback(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

impl Guide {
    fn print(&self, at: &Addresses, files: &Files) {
        say!(
            "metagate listens on http://{} in front of a sample backend. Paste into another terminal:\n",
            at.proxy
        );
        for (name, value) in &self.tokens {
            say!("{name}={value}");
        }
        self.cases.iter().for_each(|case| print_case(at, case));
        let config = files.configuration();
        let config = config.display();
        say!("\n# each step of a decision; the configuration is there while the demo runs");
        say!("echo $ADA | metagate explain --config {config} --path {}", self.path);
        say!("\n# metrics\ncurl -s http://{}/metrics | grep requests_total", at.health);
        say!("\n# the status page, for a browser: keys, the last refusals and why\nhttp://{}/", at.admin);
        let seconds = ROTATION.as_secs();
        say!(
            "\nEvery request writes one audit record here. In {seconds} seconds the issuer gets a new key. Press Ctrl-C to stop.\n"
        );
    }

    fn print_rotation(&self, at: &Addresses) {
        let Some((name, token, case)) = &self.rotated else { return };
        say!(
            "\n# The issuer has published a new key, and goes on publishing the old one. See Keys on the status page."
        );
        say!("{name}={token}");
        print_case(at, case);
        say!("");
    }
}

fn print_case(at: &Addresses, case: &Case) {
    say!("\n# {}: {}", case.title, case.expected.shown());
    say!("{}", case.curl(&at.proxy.to_string()));
}
