//! `metagate explain`: prints the steps of one decision, made by the same code as in the proxy.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use http::header::HeaderValue;
use http::{Method, StatusCode};
use serde_json::Value;
use url::Url;

use super::input::{read_body, read_token, refuse_arguments};
use super::running::{self, Ask};
use super::{ConfigArguments, Failure, load, runtime};
use crate::backend_credentials::BackendCredentials;
use crate::bot_list::BotList;
use crate::challenge::Wording;
use crate::config::Flags;
use crate::explanation::{self, Context, Question};
use crate::gateway::{admission, system_clock};
use crate::jwks::Keys;
use crate::metrics::Metrics;
use crate::numeric_date::NumericDate;
use crate::printable;
use crate::revocation_list::RevocationList;
use crate::server::RunError;
use crate::tls;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A file with the token; standard input if left out. A token is not an argument, because other users can see
    /// those.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// Refused: see --token-file.
    #[arg(hide = true)]
    token: Vec<OsString>,
    /// The request's path. Without it, the token itself is judged, whatever the route.
    #[arg(long)]
    path: Option<String>,
    /// The request's method; GET if left out.
    #[arg(long, requires = "path")]
    method: Option<Method>,
    /// A file with the request's body, for rules about GraphQL.
    #[arg(long, value_name = "FILE", requires = "path")]
    body_file: Option<PathBuf>,
    /// The body's Content-Type.
    #[arg(long, default_value = "application/json", requires = "body_file")]
    content_type: HeaderValue,
    /// Judge as of this time (RFC 3339, or seconds since 1970) and not as of now. The keys are those of now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Ask the running proxy, which judges with its own configuration, keys and clock.
    #[arg(long)]
    running: bool,
    /// The URL of that proxy's admin listener, on this machine; by default the one of the configuration.
    #[arg(long, value_name = "URL", requires = "running")]
    url: Option<Url>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    refuse_arguments(&arguments.token)?;
    let question = question(arguments)?;
    let answer = if arguments.running {
        ask(arguments, &question)?
    } else {
        let loaded = load(&arguments.config, Flags::default())?;
        let question = Question { token: read_token(arguments.token_file.as_ref())?, ..question };
        judge(&loaded.config, &question)?
    };
    if arguments.json {
        say!("{answer:#}");
    } else {
        print(&answer);
    }
    if answer["allowed"] == true { Ok(()) } else { Err(Failure::Code(1)) }
}

/// What is asked, without the token.
fn question(arguments: &Arguments) -> Result<Question, Failure> {
    let at = arguments.at.as_deref().map(|text| {
        // Not repeated: it may be a token.
        NumericDate::from_text(text).ok_or_else(|| {
            Failure::Usage("--at takes a time like 2026-11-22T06:30:00Z, or seconds since 1970".to_owned())
        })
    });
    let body = arguments.body_file.as_ref().map(|file| read_body(file)).transpose()?;
    let content_type = arguments.content_type.to_str().unwrap_or_default().to_owned();
    Ok(Question {
        token: String::new(),
        method: arguments.method.as_ref().map(ToString::to_string),
        path: arguments.path.clone(),
        content_type: body.is_some().then_some(content_type),
        body: body.map(|body| STANDARD.encode(body)),
        at: at.transpose()?,
    })
}

/// Judges with the keys as they are now: every source is fetched once.
fn judge(config: &crate::config::Config, question: &Question) -> Result<Value, Failure> {
    tls::install_crypto_provider();
    let keys = Keys::new(config, &Arc::new(Metrics::new()))?;
    keys.want_keys_of(&question.token);
    let revocations = RevocationList::new(config, None, &Arc::new(Metrics::new()), &Arc::default())
        .map_err(RunError::from)?;
    let bots = BotList::new(config, None, &Arc::new(Metrics::new()), &Arc::default(), SystemTime::now());
    runtime()?.block_on(async {
        tokio::join!(keys.fetch_all(), revocations.fetch_missing(), bots.fetch_missing())
    });
    let revocations = revocations.current();
    let admission = admission(config);
    let wording = Wording::new(admission.authorizer.backend, &admission.authorizer.trust);
    let credentials = BackendCredentials::new(config, Arc::default());
    let now = system_clock();
    let status = bots.status();
    if let Some((source, fault)) = status.and_then(|status| Some((status.source, status.failure?))) {
        eprintln!("warning: issuer.bots.{source}: {}", printable::line(&fault));
    }
    let bots = bots.current();
    let context = Context {
        admission: &admission,
        wording: &wording,
        keys: keys.ring().clone(),
        sources: keys.status(),
        credentials: &credentials,
        revocations: config.revocations.is_configured().then_some(&**revocations),
        bots: Some(&**bots),
        graphql_bytes: config.limits.graphql_bytes,
        now,
    };
    Ok(explanation::explain(question, &context))
}

/// Asks the running proxy. The token is in the body of a request over loopback.
fn ask(arguments: &Arguments, question: &Question) -> Result<Value, Failure> {
    let url = running::url(&arguments.config, arguments.url.as_ref(), "/explain")?;
    running::check_is_local(&url)?;
    let question = Question { token: read_token(arguments.token_file.as_ref())?, ..question.clone() };
    let body = serde_json::to_value(&question)?;
    match running::ask(&url, &Ask::Post(Some(body)))? {
        (StatusCode::OK, answer) if answer["steps"].is_array() => Ok(answer),
        (status, answer) => Err(running::unexpected(&url, status, &answer)),
    }
}

fn print(answer: &Value) {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for step in answer["steps"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let passed = if step["passed"] == true { "ok    " } else { "FAILED" };
        say!("{passed} {}: {}", text(&step["step"]), text(&step["detail"]));
    }
    let (refused, reported) = (&answer["answer"], &answer["would_deny"]);
    if !refused.is_null() {
        say!(
            "refused: {} {}  reason={}",
            refused["status"],
            text(&refused["body"]),
            text(&refused["reason"])
        );
    } else if !reported.is_null() {
        say!(
            "allowed only because refusals are reported and not carried out: it would be refused: {}  reason={}",
            reported["status"],
            text(&reported["reason"])
        );
    } else if answer["request"].is_null() {
        say!("accepted: the token is valid; --path judges a request with it");
    } else if answer["token_endpoint"] == true {
        say!("allowed: a token is issued for it; nothing is forwarded");
    } else if answer["revocation_endpoint"] == true {
        say!("answered with 200: the token is revoked if it verifies; nothing is forwarded");
    } else {
        say!("allowed: the request is forwarded");
    }
}
