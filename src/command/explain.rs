//! `metagate explain`: the steps of one decision, by the code that decides.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderMap, HeaderValue};
use http::{Method, Uri, Version};
use serde_json::json;

use super::routes::describe;
use super::{ConfigArguments, Failure, load, runtime};
use crate::challenge::{self, Wording};
use crate::claims::VerifiedToken;
use crate::config::Flags;
use crate::decision::{Caller, Denial, Gate, NextStep, Permit, Routed, RuleOutcome, RuleTrace};
use crate::gateway::{gate, system_clock};
use crate::jose::{KeyChoice, UnverifiedToken};
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::request::{BearerToken, Graphql, GraphqlOperation, RequestFacts};
use crate::revocation::Revocations;
use crate::tls;
use crate::trust::{self, TokenFault};

/// More than any token may have.
const MAX_INPUT_BYTES: u64 = 1024 * 1024;
/// More than `limits.graphqlBytes` may be.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// A file with the token; standard input if left out. Never an argument: those are seen by others.
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

/// One step, and whether it went well.
struct Step {
    name: &'static str,
    passed: bool,
    detail: String,
}

#[derive(Default)]
struct Steps(Vec<Step>);

impl Steps {
    fn pass(&mut self, name: &'static str, detail: impl Into<String>) {
        self.0.push(Step { name, passed: true, detail: detail.into() });
    }

    fn fail(&mut self, name: &'static str, denial: &Denial) {
        let detail = match denial.detail {
            Some(detail) => format!("{}: {detail}", denial.reason.as_str()),
            None => denial.reason.as_str().to_owned(),
        };
        self.0.push(Step { name, passed: false, detail });
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = load(&arguments.config, Flags::default())?;
    let token = read_token(arguments.token_file.as_ref())?;
    tls::install_crypto_provider();
    let keys = Keys::new(&loaded.config, &Arc::new(Metrics::new()))?;
    runtime()?.block_on(keys.fetch_all());
    let gate = gate(&loaded.config);
    let mut steps = Steps::default();
    let revocations = loaded.config.revocations.as_ref().map(|(_, version)| &*version.list);
    let body = read_body(arguments)?;
    let graphql_bytes = loaded.config.limits.graphql_bytes;
    let judges = Judges { gate: &gate, keys: &keys, revocations, body, graphql_bytes };
    let decided = decide(&judges, arguments, &token, &mut steps);
    let wording = Wording::new(gate.backend, &gate.trust);
    print(&steps, &decided, &wording, arguments.json);
    if decided.is_ok() { Ok(()) } else { Err(Failure::Code(1)) }
}

pub(super) fn read_token(file: Option<&PathBuf>) -> Result<String, Failure> {
    let mut text = String::new();
    match file {
        Some(path) => std::fs::File::open(path)?.take(MAX_INPUT_BYTES).read_to_string(&mut text)?,
        None => std::io::stdin().take(MAX_INPUT_BYTES).read_to_string(&mut text)?,
    };
    let text = text.trim();
    // As it stands in a request, or alone.
    Ok(text.strip_prefix("Bearer ").unwrap_or(text).to_owned())
}

/// The request's body, as far as any `limits.graphqlBytes` reaches.
fn read_body(arguments: &Arguments) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    if let Some(path) = &arguments.body_file {
        std::fs::File::open(path)?.take(MAX_BODY_BYTES).read_to_end(&mut body)?;
    }
    Ok(body)
}

/// What a token is held against.
struct Judges<'a> {
    gate: &'a Gate,
    keys: &'a Keys,
    revocations: Option<&'a Revocations>,
    body: Vec<u8>,
    graphql_bytes: usize,
}

fn decide(
    judges: &Judges<'_>,
    arguments: &Arguments,
    token: &str,
    steps: &mut Steps,
) -> Result<Permit, Denial> {
    let gate = judges.gate;
    let mut facts = facts(gate, arguments, token).inspect_err(|denial| steps.fail("request", denial))?;
    steps.pass("request", format!("{} {}", facts.method, facts.path.raw()));
    let (Routed { route, .. }, meaning) = describe(gate, &facts);
    steps.pass("route", meaning);
    let caller = match gate.next_step(&facts, route) {
        NextStep::Decide(caller) => caller.inspect_err(|denial| steps.fail("credentials", denial)),
        NextStep::Verify(token) => verify(judges, token, steps),
    };
    let known = caller.is_ok();
    if gate.asks_graphql(&facts, &caller) {
        read_graphql(judges, arguments, &mut facts, steps);
    }
    let unmet = caller.as_ref().map_or_else(|_| String::new(), |caller| unmet(gate, &facts, caller));
    let decided = gate.decide(&facts, route, caller);
    match &decided {
        Ok(permit) => steps.pass(
            "rules",
            rule_name(gate, permit.rule())
                .map_or_else(|| "no rule matches: the default".to_owned(), |rule| format!("rule {rule}")),
        ),
        Err(denial) if known => {
            steps.fail("rules", denial);
            if let Some(rule) = rule_name(gate, denial.rule) {
                steps
                    .0
                    .last_mut()
                    .into_iter()
                    .for_each(|step| step.detail = format!("{}: rule {rule}{unmet}", step.detail));
            }
        }
        Err(_) => {}
    }
    decided
}

/// What the rule that refuses asks for and does not get.
fn unmet(gate: &Gate, facts: &RequestFacts, caller: &Caller) -> String {
    let Caller::Token(token) = caller else { return String::new() };
    match gate.trace(facts, Some(token)).rules.pop() {
        Some(RuleTrace { outcome: RuleOutcome::Denied(keys), .. }) if !keys.is_empty() => {
            format!(" refuses by {}", keys.join(", "))
        }
        _ => String::new(),
    }
}

/// What the body, or the query, asks of GraphQL.
fn read_graphql(judges: &Judges<'_>, arguments: &Arguments, facts: &mut RequestFacts, steps: &mut Steps) {
    let fields = HeaderMap::from_iter([(CONTENT_TYPE, arguments.content_type.clone())]);
    let graphql = match judges.body.len() <= judges.graphql_bytes {
        true => Graphql::read(facts, &fields, &judges.body),
        false => Graphql::TOO_LONG,
    };
    match &graphql {
        Graphql::Operations(operations) => {
            let told =
                |one: &GraphqlOperation| format!("{} {{ {} }}", one.kind.as_str(), one.fields.join(" "));
            steps.pass("graphql", operations.iter().map(told).collect::<Vec<_>>().join(", "));
        }
        Graphql::Unreadable(why) => {
            let detail = why.trim_start_matches("graphql: ").to_owned();
            steps.0.push(Step { name: "graphql", passed: false, detail });
        }
    }
    facts.graphql = Some(graphql);
}

fn facts(gate: &Gate, arguments: &Arguments, token: &str) -> Result<RequestFacts, Denial> {
    let mut fields = HeaderMap::new();
    if !token.is_empty() {
        let value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| bad_target("the token has characters that no field has"))?;
        fields.insert(AUTHORIZATION, value);
    }
    read_request(gate, &arguments.method, &arguments.path, fields)
}

/// A request as the proxy would read it, from this machine.
pub(super) fn read_request(
    gate: &Gate,
    method: &Method,
    path: &str,
    mut fields: HeaderMap,
) -> Result<RequestFacts, Denial> {
    let target: Uri = path.parse().map_err(|_| bad_target("the path is no request target"))?;
    fields.insert(HOST, HeaderValue::from_static("localhost"));
    let source = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let habits = gate.backend.habits();
    Ok(RequestFacts::read(method, &target, Version::HTTP_11, &fields, habits, source)?)
}

fn bad_target(why: &'static str) -> Denial {
    Denial { detail: Some(why), ..Denial::new(crate::decision::Reason::BadTarget) }
}

fn verify(judges: &Judges<'_>, token: &BearerToken, steps: &mut Steps) -> Result<Caller, Denial> {
    let Judges { gate, keys, .. } = judges;
    let refuse = |steps: &mut Steps, name, fault: TokenFault, entry| {
        let denial = Denial::of_token(fault, entry);
        steps.fail(name, &denial);
        denial
    };
    let parsed = UnverifiedToken::parse(token.as_str(), gate.token_bytes)
        .map_err(|fault| refuse(steps, "token", fault.into(), None))?;
    let header = parsed.header().clone();
    let kid = header.kid.as_deref();
    steps.pass("token", shape(&parsed, token.as_str().len()));
    let index =
        trust::entry_for(&parsed, &gate.trust).map_err(|fault| refuse(steps, "issuer", fault, None))?;
    let Some(entry) = gate.trust.get(index) else {
        return Err(refuse(steps, "issuer", TokenFault::UntrustedIssuer, None));
    };
    let claimed = parsed.issuer_hint().ok().flatten().unwrap_or("none").to_owned();
    let claimed = claimed.escape_debug();
    steps.pass("issuer", format!("iss {claimed} is judged by the entry {}", entry.name));
    let ring = keys.ring();
    let set = ring.sets.get(index).and_then(Option::as_deref);
    let found = set.map(|set| set.choose(kid, header.algorithm));
    if let Some(KeyChoice::Named(found) | KeyChoice::Unnamed(found)) = &found {
        steps.pass(
            "key",
            found.iter().map(|key| sources(keys, key.material())).collect::<Vec<_>>().join("; "),
        );
    } else if let Some(KeyChoice::Only(key)) = &found {
        steps.pass("key", format!("the only one that fits, {}", sources(keys, key.material())));
    }
    match trust::verify(parsed, entry, set, system_clock()) {
        Ok(verified) => {
            let verified = Arc::new(verified);
            passed(&verified, steps);
            judge_revocation(judges, token, &verified, Some(index), steps)?;
            Ok(Caller::Token(verified))
        }
        Err(fault) => {
            let step = match fault {
                TokenFault::Claims(_) => {
                    steps.pass("signature", format!("{} by that key", header.algorithm));
                    "claims"
                }
                TokenFault::InvalidSignature => "signature",
                TokenFault::Malformed(_) => "type",
                _ => "key",
            };
            let denial = refuse(steps, step, fault, Some(index));
            if matches!(fault, TokenFault::KeysUnavailable | TokenFault::UnknownKey) {
                state_of_sources(keys, &entry.name, steps);
            }
            Err(denial)
        }
    }
}

fn shape(token: &UnverifiedToken<'_>, length: usize) -> String {
    let header = token.header();
    // Whoever made the token chose these: nothing in them reaches the terminal as it is.
    let safe = |text: &Option<Box<str>>| text.as_deref().unwrap_or("none").escape_debug().to_string();
    format!(
        "{length} bytes, alg {}, kid {}, typ {}, fingerprint {}",
        header.algorithm,
        safe(&header.kid),
        safe(&header.token_type),
        token.fingerprint().short()
    )
}

/// Why there may be no key: what each source of the entry has.
fn state_of_sources(keys: &Keys, entry: &str, steps: &mut Steps) {
    for source in keys.status().iter().filter(|source| &*source.entry == entry) {
        let state = source.failure.clone().unwrap_or_else(|| format!("{} keys", source.usable.len()));
        steps.0.push(Step {
            name: "source",
            passed: source.failure.is_none(),
            detail: format!("{}: {state}", source.name),
        });
    }
}

fn passed(token: &VerifiedToken, steps: &mut Steps) {
    steps.pass("signature", format!("{} by that key", token.algorithm()));
    let (class, roles) = (token.class().as_str(), token.roles().join(", "));
    let principal = token.principal().escape_debug();
    let ignored = match token.claimed_class() {
        claimed if claimed == token.class() => String::new(),
        claimed => format!(
            "; that it is of class {} is ignored: it is not one of the backend's own tokens",
            claimed.as_str()
        ),
    };
    steps.pass("claims", format!("{class} {principal}, roles [{}]{ignored}", roles.escape_debug()));
}

fn judge_revocation(
    judges: &Judges<'_>,
    token: &BearerToken,
    verified: &VerifiedToken,
    entry: Option<usize>,
    steps: &mut Steps,
) -> Result<(), Denial> {
    let Some(list) = judges.revocations else {
        steps.pass("revocation", "there is no revocation list");
        return Ok(());
    };
    if let Some(by) = list.find(verified, token.as_str()) {
        let denial = Denial::of_token(TokenFault::Revoked(by), entry);
        steps.fail("revocation", &denial);
        return Err(denial);
    }
    steps.pass("revocation", format!("none of the {} entries is about it", list.len()));
    Ok(())
}

/// Where a key comes from.
fn sources(keys: &Keys, material: &[u8; 32]) -> String {
    let holds =
        |source: &&crate::keys::SourceStatus| source.usable.iter().any(|key| key.material() == material);
    let names: Vec<_> = keys.status().iter().filter(holds).map(|source| source.name.clone()).collect();
    if names.is_empty() { "the shared secret".to_owned() } else { format!("from {}", names.join(" and ")) }
}

fn rule_name(gate: &Gate, rule: Option<usize>) -> Option<&str> {
    gate.policy.rules.get(rule?).map(|rule| &*rule.name)
}

fn print(steps: &Steps, decided: &Result<Permit, Denial>, wording: &Wording, as_json: bool) {
    let refused = decided.as_ref().err().map(|denial| {
        let row = challenge::row(denial.reason);
        (denial, row, challenge::body(row.status, wording.message(denial)))
    });
    let reported = decided.as_ref().ok().and_then(Permit::would_deny);
    let reported = reported.map(|denial| (denial, challenge::row(denial.reason)));
    if as_json {
        let steps: Vec<_> = steps
            .0
            .iter()
            .map(|step| json!({"step": step.name, "passed": step.passed, "detail": step.detail}))
            .collect();
        let answer = refused.map(|(denial, row, body)| json!({"status": row.status.as_u16(), "reason": denial.reason.as_str(), "body": body}));
        let would_deny = reported
            .map(|(denial, row)| json!({"status": row.status.as_u16(), "reason": denial.reason.as_str()}));
        say!(
            "{:#}",
            json!({"steps": steps, "allowed": decided.is_ok(), "answer": answer, "wouldDeny": would_deny})
        );
        return;
    }
    for Step { name, passed, detail } in &steps.0 {
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
