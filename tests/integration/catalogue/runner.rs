//! Runs cases and compares their outcomes with the expected ones.

use std::collections::BTreeMap;

use serde_json::Value;

use super::environments::{Environment, trap};
use super::{Attack, Case, Expect, PATH, Seen};
use crate::support::gateway::text;
use crate::support::issuer::JWKS;
use crate::support::stage::Stage;
use crate::support::stub::Received;
use crate::support::wire::{Client, NoResponse, Response, replace};

/// The outcomes of a number of cases.
#[derive(Default)]
pub struct Results {
    pub hostile: usize,
    /// Hostile cases that reached an upstream or got a 200.
    pub admitted: Vec<String>,
    pub good: usize,
    pub rejected: Vec<String>,
    /// Every deviation from the expected outcome, including `admitted` and `rejected`.
    pub faults: Vec<String>,
}

#[track_caller]
pub fn run_all(cases: &[&Case]) -> Results {
    let mut results = Results::default();
    for environment in Environment::ALL {
        let own: Vec<(&Case, &[u8])> = cases
            .iter()
            .filter(|case| case.environment == environment)
            .filter_map(|case| match &case.attack {
                Attack::Request(bytes) => Some((*case, bytes.as_slice())),
                Attack::Scenario(_) => None,
            })
            .collect();
        if !own.is_empty() {
            run_in(&environment.start(), &own, &mut results);
        }
    }
    for case in cases {
        if let Attack::Scenario(run) = case.attack {
            let seen = run();
            let fault = fault(case, Ok(seen.status), seen.reason.as_deref(), seen.forwarded);
            results.add(case, Some(seen.status), seen.forwarded, fault);
        }
    }
    results
}

impl Results {
    fn add(&mut self, case: &Case, status: Option<u16>, arrived: usize, fault: Option<String>) {
        let name = format!("{} {}", case.id, case.name);
        if let Expect::Passes(expected) = case.expect {
            self.good += 1;
            if status != Some(expected) {
                self.rejected.push(name.clone());
            }
        } else {
            self.hostile += 1;
            if arrived > 0 || status == Some(200) {
                self.admitted.push(name.clone());
            }
        }
        self.faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
}

fn run_in(stage: &Stage, cases: &[(&Case, &[u8])], results: &mut Results) {
    let path = |index: usize| format!("/case/{index}");
    let outcomes: Vec<Result<Response, NoResponse>> = cases
        .iter()
        .enumerate()
        .map(|(index, (_, bytes))| {
            let mut client = Client::connect(stage.gateway.proxy);
            client.send(replace(bytes, PATH.as_bytes(), path(index).as_bytes()));
            client.response()
        })
        .collect();

    let arrived = stage.upstream.requests();
    let records = records(stage, cases.len(), |index| {
        cases[index].0.expect != Expect::NotHttp && outcomes[index].is_ok()
    });
    let mut expected = 0;
    for (index, ((case, _), outcome)) in std::iter::zip(cases, &outcomes).enumerate() {
        let own: Vec<&Received> =
            arrived.iter().filter(|request| bare(request.head.target()) == path(index)).collect();
        expected += own.len();
        let reason = records.get(&path(index)).and_then(|record| text(record, "reason"));
        let mut fault = fault(
            case,
            outcome.as_ref().map(|response| response.status).map_err(ToString::to_string),
            reason,
            own.len(),
        );
        if outcome.as_ref().is_ok_and(|response| !(case.response_check)(response)) {
            fault.get_or_insert_with(|| "the response fails its check".to_owned());
        }
        if own.iter().any(|request| !(case.request_check)(request)) {
            fault.get_or_insert_with(|| format!("the forwarded request fails its check: {own:?}"));
        }
        results.add(case, outcome.as_ref().ok().map(|response| response.status), own.len(), fault);
    }
    if arrived.len() != expected {
        results.admitted.push("a request smuggled in another's bytes".to_owned());
        results.faults.push("a request smuggled in another's bytes".to_owned());
    }
    results.faults.extend(side_effects(stage));
}

/// Side effects that no number of attacks may have on a gateway.
fn side_effects(stage: &Stage) -> Vec<String> {
    let broken =
        stage.gateway.stderr().into_iter().find(|line| !line.starts_with('{') || !line.ends_with('}'));
    let checks = [
        // One at the start, and at most one burst for all unknown keys and bad signatures within
        // the cooldown.
        (stage.issuer.hits(JWKS) <= 1 + 3, format!("{} fetches of the keys", stage.issuer.hits(JWKS))),
        (trap().connections() == 0, "a URL inside a token was fetched".to_owned()),
        (stage.gateway.probe("/readyz").status == 200, "no longer ready".to_owned()),
        (broken.is_none(), format!("a log line was broken: {broken:?}")),
    ];
    checks.into_iter().filter(|(good, _)| !good).map(|(_, fault)| fault).collect()
}

/// The audit records by path. Waits for those of the `asked` cases. Reading them also checks that
/// each line is JSON.
fn records(stage: &Stage, count: usize, asked: impl Fn(usize) -> bool) -> BTreeMap<String, Value> {
    let path = |index: usize| format!("/case/{index}");
    if let Some(last) = (0..count).rev().find(|index| asked(*index)) {
        stage.gateway.audit_of(&path(last));
    }
    let mut records: BTreeMap<String, Value> = stage
        .gateway
        .audit()
        .into_iter()
        .filter_map(|record| Some((text(&record, "path").map(bare)?.to_owned(), record)))
        .collect();
    for index in (0..count).filter(|index| asked(*index)) {
        let path = path(index);
        records.entry(path.clone()).or_insert_with(|| stage.gateway.audit_of(&path));
    }
    records
}

fn bare(target: &str) -> &str {
    target.split('?').next().unwrap_or_default()
}

/// How the outcome of a case deviates from the expected one, if it does.
fn fault(case: &Case, status: Result<u16, String>, reason: Option<&str>, arrived: usize) -> Option<String> {
    let as_expected = match (case.expect, &status) {
        (Expect::Refused(expected, word), Ok(status)) => {
            *status == expected && reason == Some(word) && arrived == 0
        }
        (Expect::NotHttp, Ok(status)) => [400, 431].contains(status) && arrived == 0,
        (Expect::NotHttp, Err(why)) => why.starts_with("closed") && arrived == 0,
        (Expect::Passes(expected), Ok(status)) => {
            let is_scenario = matches!(case.attack, Attack::Scenario(_));
            *status == expected && reason.is_none() && (is_scenario || arrived == 1)
        }
        (Expect::Refused(..) | Expect::Passes(_), Err(_)) => false,
    };
    (!as_expected).then(|| format!("{status:?} {reason:?}, {arrived} upstream, not {:?}", case.expect))
}

impl Seen {
    /// The outcome of the request for that path.
    #[track_caller]
    pub fn at(stage: &Stage, path: &str, response: &Response, forwarded: usize) -> Self {
        let record = stage.gateway.audit_of(path);
        Self { status: response.status, reason: text(&record, "reason").map(str::to_owned), forwarded }
    }
}
