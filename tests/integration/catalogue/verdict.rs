//! Runs cases and holds what came of them against what must.

use std::collections::BTreeMap;

use serde_json::Value;

use super::cast::{Scene, trap};
use super::{Attack, Case, Expect, PATH, Seen};
use crate::support::gateway::text;
use crate::support::issuer::JWKS;
use crate::support::stage::Stage;
use crate::support::stub::Received;
use crate::support::wire::{Client, NoResponse, Response, replace};

/// What came of a number of cases.
#[derive(Default)]
pub struct Tally {
    pub hostile: usize,
    /// Hostile cases of which anything reached an upstream, or that were answered with 200.
    pub let_in: Vec<String>,
    pub good: usize,
    pub kept_out: Vec<String>,
    /// Everything that is not as it must be, those two among them.
    pub faults: Vec<String>,
}

#[track_caller]
pub fn judge_all(cases: &[&Case]) -> Tally {
    let mut tally = Tally::default();
    for scene in Scene::ALL {
        let own: Vec<(&Case, &[u8])> = cases
            .iter()
            .filter(|case| case.scene == scene)
            .filter_map(|case| match &case.attack {
                Attack::Request(bytes) => Some((*case, bytes.as_slice())),
                Attack::Story(_) => None,
            })
            .collect();
        if !own.is_empty() {
            judge_scene(&scene.set(), &own, &mut tally);
        }
    }
    for case in cases {
        if let Attack::Story(play) = case.attack {
            let seen = play();
            let fault = fault(case, Ok(seen.status), seen.reason.as_deref(), seen.let_through);
            tally.add(case, Some(seen.status), seen.let_through, fault);
        }
    }
    tally
}

impl Tally {
    fn add(&mut self, case: &Case, status: Option<u16>, arrived: usize, fault: Option<String>) {
        let name = format!("{} {}", case.id, case.name);
        if let Expect::Passes(expected) = case.expect {
            self.good += 1;
            if status != Some(expected) {
                self.kept_out.push(name.clone());
            }
        } else {
            self.hostile += 1;
            if arrived > 0 || status == Some(200) {
                self.let_in.push(name.clone());
            }
        }
        self.faults.extend(fault.map(|fault| format!("{name}: {fault}")));
    }
}

fn judge_scene(stage: &Stage, cases: &[(&Case, &[u8])], tally: &mut Tally) {
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
        if outcome.as_ref().is_ok_and(|response| !(case.responses)(response)) {
            fault.get_or_insert_with(|| "the answer is not as it should be".to_owned());
        }
        if own.iter().any(|request| !(case.arrives)(request)) {
            fault.get_or_insert_with(|| format!("arrived otherwise: {own:?}"));
        }
        tally.add(case, outcome.as_ref().ok().map(|response| response.status), own.len(), fault);
    }
    if arrived.len() != expected {
        tally.let_in.push("a request out of another's bytes".to_owned());
        tally.faults.push("a request out of another's bytes".to_owned());
    }
    tally.faults.extend(disturbances(stage));
}

/// What must hold for a gateway after any number of attacks.
fn disturbances(stage: &Stage) -> Vec<String> {
    let broken =
        stage.gateway.stderr().into_iter().find(|line| !line.starts_with('{') || !line.ends_with('}'));
    let checks = [
        // At the start, and at most a burst for all the unknown keys and bad signatures within the cooldown.
        (stage.issuer.hits(JWKS) <= 1 + 3, format!("{} fetches of the keys", stage.issuer.hits(JWKS))),
        (trap().connections() == 0, "a URL inside a token was fetched".to_owned()),
        (stage.gateway.probe("/readyz").status == 200, "not ready any more".to_owned()),
        (broken.is_none(), format!("a log line was broken: {broken:?}")),
    ];
    checks.into_iter().filter(|(good, _)| !good).map(|(_, fault)| fault).collect()
}

/// The audit records by path; waits for those of the `asked` cases. Each is a line of JSON, which
/// reading them checks.
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

/// What is wrong about what came of a case.
fn fault(case: &Case, status: Result<u16, String>, reason: Option<&str>, arrived: usize) -> Option<String> {
    let as_expected = match (case.expect, &status) {
        (Expect::Refused(expected, word), Ok(status)) => {
            *status == expected && reason == Some(word) && arrived == 0
        }
        (Expect::NotHttp, Ok(status)) => [400, 431].contains(status) && arrived == 0,
        (Expect::NotHttp, Err(why)) => why.starts_with("closed") && arrived == 0,
        (Expect::Passes(expected), Ok(status)) => {
            let told = matches!(case.attack, Attack::Story(_));
            *status == expected && reason.is_none() && (told || arrived == 1)
        }
        (Expect::Refused(..) | Expect::Passes(_), Err(_)) => false,
    };
    (!as_expected).then(|| format!("{status:?} {reason:?}, {arrived} upstream, not {:?}", case.expect))
}

impl Seen {
    /// What a gateway made of the request for that path.
    #[track_caller]
    pub fn at(stage: &Stage, path: &str, response: &Response, let_through: usize) -> Self {
        let record = stage.gateway.audit_of(path);
        Self { status: response.status, reason: text(&record, "reason").map(str::to_owned), let_through }
    }
}
