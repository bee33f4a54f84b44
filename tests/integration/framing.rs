//! Request smuggling: requests that two servers could parse differently. Each is refused before
//! anything goes upstream, or what goes upstream is unambiguous. Every case carries a valid token,
//! so that the token is never the reason for a refusal.

mod responses;
mod bodies;
mod heads;
mod queries;
mod targets;

use crate::support::keys::sha256_hex;
use crate::support::stage::Stage;
use crate::support::stub::Received;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, NoResponse, replace};

/// The expected outcome of a case.
#[derive(Clone, Copy)]
enum Expect {
    /// One of 400, 405, 413, 414, 417, 431, 501 and 505, or a closed connection; and no request
    /// upstream.
    Refused,
    /// The body is truncated or malformed after a valid head: no complete request upstream, and 400
    /// or a closed connection for the client.
    Broken,
    /// It may pass, for this reason. Then exactly one well-formed request arrives.
    Tolerated(&'static str),
}

struct Case {
    name: String,
    bytes: Vec<u8>,
    expect: Expect,
    /// The client stops sending after these bytes.
    half_close: bool,
}

impl Case {
    fn half_closed(mut self) -> Self {
        self.half_close = true;
        self
    }
}

/// In the bytes, `TOKEN` stands for two field lines: a valid Authorization and a mark that
/// identifies the case of a request.
fn case(name: impl Into<String>, bytes: impl AsRef<[u8]>, expect: Expect) -> Case {
    let name = name.into();
    let fields = format!("Authorization: {}\r\n{MARK}: {}\r\n", bearer(&Token::bot()), mark(&name));
    let bytes = replace(bytes.as_ref(), b"TOKEN", fields.as_bytes());
    Case { name, bytes, expect, half_close: false }
}

const MARK: &str = "X-Case";

fn mark(name: &str) -> String {
    sha256_hex(name.as_bytes())[..16].to_owned()
}

/// The status or the error that the client sees.
fn outcome(case: &Case, stage: &Stage) -> Result<u16, NoResponse> {
    let mut client = Client::connect(stage.gateway.proxy);
    client.send(&case.bytes);
    if case.half_close {
        client.half_close();
    }
    client.response().map(|response| response.status)
}

#[track_caller]
fn assert_all(cases: &[Case]) {
    let stage = Stage::plain(|setup| setup);
    let sound = case(
        "sound",
        "POST /sound HTTP/1.1\r\nHost: a\r\nTOKENContent-Length: 2\r\n\r\nhi",
        Expect::Tolerated("it is valid"),
    );
    assert_eq!(outcome(&sound, &stage).expect("a response"), 200, "a valid request before the cases");
    let outcomes: Vec<_> = cases.iter().map(|case| outcome(case, &stage)).collect();
    assert_eq!(outcome(&sound, &stage).expect("a response"), 200, "a valid request after the cases");

    let all = stage.upstream.requests();
    let wrong: Vec<String> = std::iter::zip(cases, &outcomes)
        .filter_map(|(case, outcome)| {
            let from_case = |request: &&Received| request.head.value(MARK) == Some(&mark(&case.name));
            let arrived: Vec<&Received> = all.iter().filter(from_case).collect();
            let fault = fault(case.expect, outcome, &arrived)?;
            Some(format!("{}: {fault} ({outcome:?}, {} upstream)", case.name, arrived.len()))
        })
        .collect();
    let tolerated = cases.iter().filter(|case| matches!(case.expect, Expect::Tolerated(_))).count();
    println!("{} cases, {tolerated} of them tolerated with a reason", cases.len());
    assert!(wrong.is_empty(), "{} of {}: {wrong:#?}", wrong.len(), cases.len());
    let smuggled: Vec<_> = all.iter().filter(|request| request.head.value(MARK).is_none()).collect();
    assert!(smuggled.is_empty(), "requests smuggled in another's body or without a token: {smuggled:#?}");
}

/// How the outcome of a case deviates from the expected one, if it does.
fn fault(expect: Expect, outcome: &Result<u16, NoResponse>, arrived: &[&Received]) -> Option<String> {
    let status = outcome.as_ref().map_or(0, |status| *status);
    let closed = matches!(outcome, Err(NoResponse::Closed | NoResponse::Cut(_)));
    let refused = closed || [400, 405, 413, 414, 417, 431, 501, 505].contains(&status);
    let whole = |request: &Received| request.complete && !request.body.is_empty();
    let checks = match expect {
        Expect::Refused => {
            vec![
                (!refused, "not refused".to_owned()),
                (!arrived.is_empty(), "reached the upstream".to_owned()),
            ]
        }
        Expect::Broken => vec![
            (!closed && status != 400, "neither 400 nor closed".to_owned()),
            (
                arrived.iter().any(|request| whole(request)),
                "a complete request reached the upstream".to_owned(),
            ),
        ],
        Expect::Tolerated(why) => {
            let problems: Vec<_> = arrived.iter().flat_map(|request| &request.head.problems).collect();
            vec![
                (!refused && status != 200, format!("neither refused nor 200, tolerated because {why}")),
                (arrived.len() > 1, format!("more than one request, tolerated because {why}")),
                (!problems.is_empty(), format!("{problems:?}, tolerated because {why}")),
            ]
        }
    };
    checks.into_iter().find(|(bad, _)| *bad).map(|(_, text)| text)
}

#[test]
fn cases_are_told_apart_and_wrong_outcomes_are_reported() {
    let (one, other) = (case("a", "TOKEN", Expect::Refused), case("b", "TOKEN", Expect::Refused));
    assert_ne!(one.bytes, other.bytes);
    for (expect, outcome, bad) in [
        (Expect::Refused, Ok(400), false),
        (Expect::Refused, Ok(200), true),
        (Expect::Refused, Err(NoResponse::Closed), false),
        (Expect::Refused, Err(NoResponse::Silent), true),
        (Expect::Broken, Ok(502), true),
        (Expect::Broken, Ok(400), false),
        (Expect::Tolerated("x"), Ok(200), false),
        (Expect::Tolerated("x"), Ok(502), true),
        (Expect::Tolerated("x"), Err(NoResponse::Silent), true),
    ] {
        assert_eq!(fault(expect, &outcome, &[]).is_some(), bad, "{outcome:?}");
    }
}
