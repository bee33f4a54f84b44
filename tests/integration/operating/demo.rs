//! `metagate demo`: everything that it shows is checked by `--once`.

use std::collections::BTreeSet;

use metagate::decision::Reason;

use crate::support::gateway::Setup;

/// The reasons that the demo does not show, because they need time, load, a failure, or a feature that it does not use.
const NOT_SHOWN: [Reason; 11] = [
    Reason::BadTokenRequest,
    Reason::OutsidePrefix,
    Reason::RequestTimeout,
    Reason::KeysUnavailable,
    Reason::RevocationsUnavailable,
    Reason::CredentialUnavailable,
    Reason::UpstreamUnreachable,
    Reason::UpstreamTimeout,
    Reason::UpstreamProtocol,
    Reason::Overloaded,
    Reason::RateLimited,
];

/// DataHub has no field for impersonation, and the users of its tokens have no domain.
const NOT_OF_DATAHUB: [Reason; 2] = [Reason::ImpersonationDenied, Reason::WrongDomain];

/// Runs the self-test, and returns what it printed.
#[track_caller]
fn once(arguments: &[&str]) -> String {
    let finished = Setup::command(&[&["demo", "--port", "0", "--once"], arguments].concat()).finish();
    assert_eq!(finished.code, Some(0), "{}\n{}", finished.stdout, finished.stderr);
    assert!(!finished.stdout.contains("FAILED"), "{}", finished.stdout);
    finished.stdout
}

/// The requests of the guide, and the results of the checks: every printed request was sent.
#[track_caller]
fn same_number_of_requests_and_results(output: &str) {
    let printed = output.lines().filter(|line| line.starts_with("curl -i ")).count();
    let checked = output
        .lines()
        .filter_map(|line| line.strip_prefix("ok      "))
        .filter(|name| name.starts_with(|first: char| first.is_ascii_digit()))
        .count();
    assert!(printed > 25, "{output}");
    assert_eq!(checked, printed, "{output}");
    let records = output.lines().filter(|line| line.starts_with("{\"time\"")).count();
    assert_eq!(records, printed, "one audit record for each request: {output}");
}

#[test]
fn each_refusal_is_shown_for_openmetadata() {
    let output = once(&[]);
    same_number_of_requests_and_results(&output);
    let shown: BTreeSet<_> = Reason::ALL
        .into_iter()
        .filter(|reason| output.contains(&format!("{} {}: ", reason.row().status.as_u16(), reason.as_str())))
        .collect();
    let expected: BTreeSet<_> =
        Reason::ALL.into_iter().filter(|reason| !NOT_SHOWN.contains(reason)).collect();
    assert_eq!(shown, expected);
}

#[test]
fn each_refusal_is_shown_for_datahub() {
    let output = once(&["--backend", "datahub"]);
    same_number_of_requests_and_results(&output);
    for reason in Reason::ALL {
        let line = format!("ok      {} {}: ", reason.row().status.as_u16(), reason.as_str());
        let is_shown = !NOT_SHOWN.contains(&reason) && !NOT_OF_DATAHUB.contains(&reason);
        assert_eq!(output.contains(&line), is_shown, "{}", reason.as_str());
    }
    // DataHub's own ways in.
    for part in ["PAT=", "SYSTEM=", "Basic __datahub_system:$SYSTEM", "/api/graphql", "/config"] {
        assert!(output.contains(part), "{part}: {output}");
    }
}

/// The configuration with its secrets does not outlive the demo.
#[test]
fn the_demo_leaves_no_files() {
    let output = once(&["--backend", "datahub"]);
    let (_, after) = output.split_once("--config ").expect("the configuration's path");
    let file = after.split_whitespace().next().expect("a path");
    let directory = std::path::Path::new(file).parent().expect("a directory");
    assert!(directory.file_name().is_some_and(|name| name.to_string_lossy().starts_with("metagate-demo-")));
    assert!(!directory.exists(), "{file}");
}
