//! `metagate explain`: prints the steps of one decision, made by the same code as in the proxy.

mod steps;

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use http::Method;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::json;

use super::input::{LocalRequest, bad_request, read_body, read_token};
use super::{ConfigArguments, Failure, load, runtime};
use crate::admission::{Admission, Observer as _, Snapshot, Step};
use crate::challenge::{self, Wording};
use crate::config::Flags;
use crate::decision::{Denial, Permit};
use crate::gateway::{admission, system_clock};
use crate::jwks::Keys;
use crate::metrics::Metrics;
use crate::tls;
use steps::Steps;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A file with the token; standard input if left out. A token is not an argument, because other users can see
    /// those.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The request's method.
    #[arg(long, default_value = "GET")]
    method: Method,
    /// The request's path.
    #[arg(long, default_value = "/")]
    path: String,
    /// A file with the request's body, for rules about GraphQL.
    #[arg(long, value_name = "FILE")]
    body_file: Option<PathBuf>,
    /// The body's Content-Type.
    #[arg(long, default_value = "application/json", requires = "body_file")]
    content_type: HeaderValue,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = load(&arguments.config, Flags::default())?;
    let token = read_token(arguments.token_file.as_ref())?;
    let body = read_body(arguments.body_file.as_ref())?;
    tls::install_crypto_provider();
    let keys = Keys::new(&loaded.config, &Arc::new(Metrics::new()))?;
    runtime()?.block_on(keys.fetch_all());
    let admission = admission(&loaded.config);
    let mut snapshot = Snapshot::new(system_clock(), keys.ring().clone());
    snapshot.unreachable = unreachable(&admission, &keys);
    snapshot.revocations = loaded.config.revocations.as_ref().map(|(_, version)| &*version.list);
    snapshot.body = &body;
    snapshot.graphql_bytes = loaded.config.limits.graphql_bytes;
    let mut steps = Steps::new(&admission.authorizer, &keys, snapshot.revocations, token.len());
    let decided = match request(arguments, &token) {
        Ok(request) => admission
            .admit_offline(&request.head(), &mut snapshot, &mut steps)
            .map(|admitted| admitted.permit),
        Err(denial) => {
            steps.refused(Step::Request, &denial);
            Err(denial)
        }
    };
    let wording = Wording::new(admission.authorizer.backend, &admission.authorizer.trust);
    print(&steps, &decided, &wording, arguments.json);
    if decided.is_ok() { Ok(()) } else { Err(Failure::Code(1)) }
}

fn request(arguments: &Arguments, token: &str) -> Result<LocalRequest, Denial> {
    let mut headers = HeaderMap::new();
    if !token.is_empty() {
        let value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| bad_request("the token has characters that no field has"))?;
        headers.insert(AUTHORIZATION, value);
    }
    if arguments.body_file.is_some() {
        headers.insert(CONTENT_TYPE, arguments.content_type.clone());
    }
    LocalRequest::new(&arguments.method, &arguments.path, headers)
}

/// The indexes of issuer entries with a source that could not be fetched.
fn unreachable(admission: &Admission, keys: &Keys) -> Vec<usize> {
    let status = keys.status();
    let fails = |name: &str| status.iter().any(|source| *source.entry == *name && source.failure.is_some());
    let entries = admission.authorizer.trust.iter().enumerate();
    entries.filter(|(_, entry)| fails(&entry.name)).map(|(index, _)| index).collect()
}

fn print(steps: &Steps, decided: &Result<Permit, Denial>, wording: &Wording, as_json: bool) {
    let refused = decided.as_ref().err().map(|denial| {
        let row = denial.reason.row();
        (denial, row, challenge::body(row.status, wording.message(denial)))
    });
    let reported = decided.as_ref().ok().and_then(Permit::would_deny);
    let reported = reported.map(|denial| (denial, denial.reason.row()));
    if as_json {
        let steps: Vec<_> = steps
            .list()
            .iter()
            .map(|step| json!({"step": step.name, "passed": step.passed, "detail": step.detail}))
            .collect();
        let response = refused.map(|(denial, row, body)| json!({"status": row.status.as_u16(), "reason": denial.reason.as_str(), "body": body}));
        let would_deny = reported
            .map(|(denial, row)| json!({"status": row.status.as_u16(), "reason": denial.reason.as_str()}));
        say!(
            "{:#}",
            json!({"steps": steps, "allowed": decided.is_ok(), "answer": response, "wouldDeny": would_deny})
        );
        return;
    }
    for steps::CompletedStep { name, passed, detail } in steps.list() {
        say!("{} {name}: {detail}", if *passed { "ok    " } else { "FAILED" });
    }
    match (refused, reported) {
        (None, None) => say!("allowed: the request is forwarded"),
        (None, Some((denial, row))) => say!(
            "allowed only because refusals are reported and not carried out: it would be refused: {}  reason={}",
            row.status.as_u16(),
            denial.reason.as_str()
        ),
        (Some((denial, row, body)), _) => {
            say!("refused: {} {body}  reason={}", row.status.as_u16(), denial.reason.as_str())
        }
    }
}
