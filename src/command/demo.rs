//! `metagate demo`: an issuer, a backend and the proxy on one machine, without other software.
//!
//! The issuer and the backend are small stand-ins. The proxy between them is the real one, with a configuration from
//! the real loader.

use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use super::run::ended;
use super::{Failure, runtime};
use crate::config::{self, Listen, Loaded, Sources};
use crate::digest::hex;
use crate::gateway::system_clock;
use crate::policy::{Matching, Methods, Mode, PathPattern, PatternError, Requirement, Rule, Verdict};
use crate::server::{self, Listeners, ProxySocket, RunOptions, Socket};
use crate::telemetry;

mod backend;
mod issuer;

use issuer::Issuer;

/// The ports that the README uses.
const PROXY_PORT: u16 = 8685;
const ADMIN_PORT: u16 = 8687;

/// When the issuer's next key is published.
const ROTATION: Duration = Duration::from_secs(30);

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The port of the proxy on 127.0.0.1; if it is taken, another free port.
    #[arg(long, default_value_t = PROXY_PORT)]
    port: u16,
    /// Self-test: print the curl commands, send their requests to the proxy, and exit.
    #[arg(long)]
    once: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let issuer = Issuer::new().map_err(|error| Failure::Other(format!("cannot make demo keys: {error}")))?;
    let issuer = Arc::new(issuer);
    let issuer_listener = loopback(0)?;
    let backend_listener = loopback(0)?;
    let loaded = configuration(issuer_listener.local_addr()?, backend_listener.local_addr()?)?;
    telemetry::start(&loaded.config.log)?;
    let proxy = loopback(arguments.port).or_else(|_| loopback(0))?;
    let address = proxy.local_addr()?;
    let admin = loopback(ADMIN_PORT).or_else(|_| loopback(0))?;
    let listeners = Listeners {
        proxy: vec![ProxySocket { listen: Listen::Tcp(address), socket: Socket::Tcp(proxy) }],
        health: loopback(0)?,
        admin: vec![admin.try_clone()?],
        forward_auth: None,
    };
    let at = Addresses { proxy: address, health: listeners.health.local_addr()?, admin: admin.local_addr()? };
    runtime()?.block_on(async {
        let signals = ended()?;
        tokio::spawn(issuer::serve(issuer_listener, issuer.clone()));
        tokio::spawn(backend::serve(backend_listener));
        let (cases, rotated) = cases(&issuer);
        print_guide(&at, &cases);
        let (done, checking) = tokio::sync::oneshot::channel();
        let once = arguments.once;
        let shutdown = async move {
            if once {
                let failed = try_each(&at, &cases).await;
                issuer.rotate();
                print_rotation(&at, &rotated);
                let _ = done.send(failed + try_each(&at, &[rotated]).await);
            } else {
                let rotation = async {
                    tokio::time::sleep(ROTATION).await;
                    issuer.rotate();
                    print_rotation(&at, &rotated);
                    pending::<()>().await
                };
                tokio::select! {
                    () = signals => {}
                    () = rotation => {}
                }
            }
        };
        server::run(loaded, RunOptions::default(), listeners, io::stdout(), system_clock, shutdown).await?;
        match checking.await {
            Ok(failed) if failed > 0 => {
                Err(Failure::Other(format!("{failed} of the requests did not get the expected response")))
            }
            _ => Ok(()),
        }
    })
}

/// Where the demo listens.
struct Addresses {
    proxy: SocketAddr,
    health: SocketAddr,
    admin: SocketAddr,
}

fn loopback(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port))
}

/// A typical configuration in front of OpenMetadata, with one rule.
fn configuration(issuer: SocketAddr, backend: SocketAddr) -> Result<Loaded, Failure> {
    let cluster = format!(
        "[{{name: cluster, issuer: {}, publicKeyUrls: ['http://{issuer}/jwks'], audiences: [metagate]}}]",
        issuer::CLUSTER
    );
    let exchange = format!(
        "[{{name: ingestion, from: {{issuer: cluster, subjects: ['{}']}}, as: {{user: ingestion-bot}}, \
         credential: mintDatahub}}]",
        issuer::JOB
    );
    let variables = [
        ("AUTHENTICATION_PUBLIC_KEYS", format!("[http://{issuer}/jwks]")),
        ("METAGATE_AUTHENTICATION__ISSUERS", cluster),
        ("METAGATE_EXCHANGE", exchange),
        ("METAGATE_MINT__ISSUER", "https://metagate.demo/backend".to_owned()),
        ("METAGATE_MINT__DATAHUB__SIGNING_KEY", signing_key()?),
        ("METAGATE_UPSTREAM__URL", format!("http://{backend}")),
        ("METAGATE_LOG__FORMAT", "text".to_owned()),
        ("METAGATE_LOG__LEVEL", "warn".to_owned()),
        ("METAGATE_WORKERS", "1".to_owned()),
    ];
    let environment = variables.map(|(name, value)| (name.to_owned(), value)).to_vec();
    let mut loaded = config::load(&Sources { environment, ..Sources::default() }).map_err(Failure::Config)?;
    let rule = only_admins_delete()?;
    loaded.config.policy.rules.change(|rules| rules.push(rule));
    Ok(loaded)
}

/// A new key, as DataHub's token service would have one.
fn signing_key() -> Result<String, Failure> {
    let mut bytes = [0; 32];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|error| Failure::Other(format!("cannot make demo keys: {error}")))?;
    Ok(hex(&bytes))
}

fn only_admins_delete() -> Result<Rule, PatternError> {
    let matching = Matching {
        methods: Methods::from_names(["DELETE"])?,
        paths: vec![PathPattern::parse("/api/v1/**")?],
        ..Matching::default()
    };
    let requirement = Requirement { any_role: vec!["Admin".into()], ..Requirement::default() };
    Ok(Rule {
        name: "only-admins-delete".into(),
        matching,
        when: None,
        verdict: Verdict::Require(Box::new(requirement)),
        mode: Mode::Enforce,
    })
}

/// One request with its expected status.
struct Case {
    title: &'static str,
    method: &'static str,
    path: &'static str,
    /// The name of a shell variable and the token that it contains.
    token: Option<(&'static str, String)>,
    status: u16,
}

/// The requests to try, and the one for which the issuer's next key must be published.
fn cases(issuer: &Issuer) -> (Vec<Case>, Case) {
    let now = system_clock().as_secs();
    let bot = issuer.token(&issuer::bot_claims());
    let user = issuer.token(&issuer::user_claims(now, now + 3600));
    let expired = issuer.token(&issuer::user_claims(now - 7200, now - 3600));
    let job = issuer.token(&issuer::workload_claims(issuer::JOB, now, now + 3600));
    let other_job = issuer.token(&issuer::workload_claims(issuer::OTHER_JOB, now, now + 3600));
    let foreign = issuer.token_with_foreign_key(&issuer::user_claims(now, now + 3600));
    let next = issuer.next_token(&issuer::user_claims(now, now + 3600));
    let get = |title, token, status| Case { title, method: "GET", path: "/api/v1/tables", token, status };
    let rotated = get(
        "a token signed with the new key, which is fetched when it is seen first",
        Some(("NEW", next)),
        200,
    );
    let cases = vec![
        get("a bot, whose token never expires", Some(("BOT", bot)), 200),
        Case {
            path: "/entities/urn%3Ali%3Acorpuser%3Adatahub",
            ..get("a user", Some(("ADA", user.clone())), 200)
        },
        get("a job with the token of its pod, which acts as ingestion-bot", Some(("JOB", job)), 200),
        get("a job of the same cluster that is not mapped to a user", Some(("OTHER", other_job)), 403),
        get("no token", None, 401),
        get("an expired token", Some(("OLD", expired)), 401),
        get("a token signed with another key", Some(("EVE", foreign)), 401),
        Case {
            method: "DELETE",
            path: "/api/v1/tables/1",
            ..get("a user who may not delete", Some(("ADA", user)), 403)
        },
    ];
    (cases, rotated)
}

fn print_guide(at: &Addresses, cases: &[Case]) {
    say!(
        "metagate listens on http://{} in front of a sample backend. Paste into another terminal:\n",
        at.proxy
    );
    let mut printed = Vec::new();
    for (name, token) in cases.iter().filter_map(|case| case.token.as_ref()) {
        if !printed.contains(name) {
            say!("{name}={token}");
            printed.push(name);
        }
    }
    cases.iter().for_each(|case| print_case(at, case));
    say!("\n# metrics\ncurl -s http://{}/metrics | grep requests_total", at.health);
    say!("\n# the status page, for a browser\nhttp://{}/", at.admin);
    let seconds = ROTATION.as_secs();
    say!(
        "\nEvery request writes one audit record here. In {seconds} seconds the issuer gets a new key. Press Ctrl-C to stop.\n"
    );
}

fn print_case(at: &Addresses, Case { title, method, path, token, status }: &Case) {
    say!("\n# {title}: {status}");
    let method = if *method == "GET" { String::new() } else { format!("-X {method} ") };
    let header =
        token.as_ref().map(|(name, _)| format!("-H \"Authorization: Bearer ${name}\" ")).unwrap_or_default();
    say!("curl -i {method}{header}http://{}{path}", at.proxy);
}

fn print_rotation(at: &Addresses, case: &Case) {
    say!(
        "\n# The issuer has published a new key, and goes on publishing the old one. See Keys on the status page."
    );
    if let Some((name, token)) = &case.token {
        say!("{name}={token}");
    }
    print_case(at, case);
    say!("");
}

/// Sends every request and counts those with an unexpected status.
async fn try_each(Addresses { proxy, health, .. }: &Addresses, cases: &[Case]) -> usize {
    let Ok(client) = reqwest::Client::builder().no_proxy().build() else { return cases.len() };
    wait_until_ready(&client, *health).await;
    let mut failed = 0;
    for Case { title, method, path, token, status } in cases {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap_or_default();
        let mut request = client.request(method, format!("http://{proxy}{path}"));
        if let Some((_, token)) = token {
            request = request.bearer_auth(token);
        }
        let received = request.send().await.map(|response| response.status().as_u16());
        let good = matches!(received, Ok(received) if received == *status);
        say!("{}: {title}: {received:?}", if good { "ok" } else { "FAILED" });
        failed += usize::from(!good);
    }
    failed
}

/// Waits until the proxy is ready. Without this the first request would wait until the keys are loaded.
async fn wait_until_ready(client: &reqwest::Client, health: SocketAddr) {
    for _ in 0..100 {
        match client.get(format!("http://{health}/readyz")).send().await {
            Ok(response) if response.status().is_success() => return,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}
