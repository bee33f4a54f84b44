//! Requests that two servers could read in two ways. Each is refused before anything goes upstream,
//! or what goes upstream can be read in one way only. Every case carries a good token, so that
//! it is not the token that stops it.

mod responses;
mod bodies;
mod heads;
mod targets;

use crate::support::keys::sha256_hex;
use crate::support::stage::Stage;
use crate::support::stub::Received;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, NoResponse, replace};

/// What must come of a case.
#[derive(Clone, Copy)]
enum Expect {
    /// 400, 405, 413, 414, 417, 431, 501 or 505, or a closed connection; and no request upstream.
    Refused,
    /// The body breaks off or breaks the rules after a good head: no whole request upstream, and
    /// 400 or a closed connection for the client.
    Broken,
    /// It may pass, for this reason; then one well-formed request arrives, and only one.
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

/// `TOKEN` stands for a good Authorization field, and for the mark that tells which case a request
/// came from, with their line ends.
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

/// What the client saw, in words.
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
        Expect::Tolerated("it is good"),
    );
    assert_eq!(outcome(&sound, &stage).expect("a response"), 200, "the sound request of this test");
    let outcomes: Vec<_> = cases.iter().map(|case| outcome(case, &stage)).collect();
    assert_eq!(outcome(&sound, &stage).expect("a response"), 200, "the gateway still serves");

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
    assert!(smuggled.is_empty(), "requests out of another's body or without a token: {smuggled:#?}");
}

/// What is wrong about what became of a case.
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
            (arrived.iter().any(|request| whole(request)), "a whole request reached the upstream".to_owned()),
        ],
        Expect::Tolerated(why) => {
            let problems: Vec<_> = arrived.iter().flat_map(|request| &request.head.problems).collect();
            vec![
                (!refused && status != 200, format!("neither refused nor answered, tolerated because {why}")),
                (arrived.len() > 1, format!("more than one request, tolerated because {why}")),
                (!problems.is_empty(), format!("{problems:?}, tolerated because {why}")),
            ]
        }
    };
    checks.into_iter().find(|(bad, _)| *bad).map(|(_, text)| text)
}

#[test]
fn every_case_has_a_name_of_its_own_and_a_fault_is_found() {
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
