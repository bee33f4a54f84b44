//! The cases over HTTP/1: in the parsers of the core, and over sockets through the built program.

use std::collections::HashMap;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Version};
use metagate::request::{
    BodyTracker, Framing, HeadLimits, HeadScanner, RequestFacts, RequestFault, uri_of, written,
};

use super::parts::{Case, Part};
use crate::support::stage::Stage;
use crate::support::stub::Received;
use crate::support::token::{Token, bearer};
use crate::support::wire::{Client, NoResponse};

const MARK: &str = "X-Case";

/// The whole message, with these additional fields.
fn message(case: &Case, fields: &str) -> Vec<u8> {
    let pick = |part: Part, otherwise: &'static [u8]| {
        if case.part == part { case.text.clone() } else { otherwise.to_vec() }
    };
    let host = [b"Host: ", &case.host()[..], b"\r\n"].concat();
    let mut message = [&case.line()[..], &host, fields.as_bytes()].concat();
    message.extend(format!("{MARK}: {}\r\n", case.mark()).as_bytes());
    if case.part == Part::Length {
        message.extend([b"Content-Length: ", &case.text[..], b"\r\n\r\n", &body(case)].concat());
        return message;
    }
    if !case.part.has_body() {
        let line_end = pick(Part::LineEnd, b"\r\n");
        message.extend([&case.field()[..], &line_end, b"X-After: value\r\n\r\n"].concat());
        return message;
    }
    message.extend([b"Transfer-Encoding: ", &pick(Part::Coding, b"chunked")[..], b"\r\n\r\n"].concat());
    let extension = match case.part {
        Part::ExtensionName => [b";", &case.text[..], b"=c"].concat(),
        Part::ExtensionValue => [b";a=", &case.text[..]].concat(),
        Part::ExtensionQuoted => [b";a=\"", &case.text[..], b"\""].concat(),
        _ => Vec::new(),
    };
    message
        .extend([&pick(Part::ChunkSize, b"2")[..], &extension, b"\r\n", &body(case), b"\r\n0\r\n"].concat());
    if matches!(case.part, Part::TrailerName | Part::TrailerValue) {
        message.extend([&case.field()[..], b"\r\n"].concat());
    }
    message.extend(b"\r\n");
    message
}

/// The body, as long as the chunk size or the length if that is a number.
fn body(case: &Case) -> Vec<u8> {
    let text = str::from_utf8(&case.text).unwrap_or_default();
    let size = match case.part {
        Part::Length => text.trim_matches([' ', '\t']).parse().ok(),
        _ => usize::from_str_radix(text, 16).ok(),
    };
    match (case.part, case.is_good(), size) {
        (Part::ChunkSize | Part::Length, true, Some(size)) => vec![b'x'; size],
        (Part::Length, ..) => Vec::new(),
        _ if case.part.has_body() => b"hi".to_vec(),
        _ => Vec::new(),
    }
}

/// Parses the bytes with the core: the request as it is authorized and forwarded, or the status.
fn read(message: &[u8], piece: usize) -> Result<RequestFacts, u16> {
    let status = |fault| match fault {
        RequestFault::MethodNotAllowed => 405_u16,
        _ => 400,
    };
    let mut scanner = HeadScanner::new(HeadLimits { bytes: 64 * 1024, target: 8192, fields: 100 });
    let mut end = 0;
    let head = loop {
        assert!(end < message.len(), "the head has no end");
        end = (end + piece).min(message.len());
        if let Some(head) = scanner.scan(&message[..end]).map_err(status)? {
            break head;
        }
    };
    let mut parsed = [httparse::EMPTY_HEADER; 16];
    let mut request = httparse::Request::new(&mut parsed);
    request.parse(&message[..head.len]).expect("hyper's parser accepts what the scanner accepts");
    let mut fields = HeaderMap::new();
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).expect("a name");
        fields.append(name, HeaderValue::from_bytes(field.value).expect("a value"));
    }
    let method = Method::from_bytes(scanner.method_of(message)).expect("a method");
    let target = uri_of(scanner.target_of(message)).expect("a target");
    let version = if request.version == Some(1) { Version::HTTP_11 } else { Version::HTTP_10 };
    let facts = RequestFacts::read(&method, &target, version, &fields.into(), Default::default(), None);
    let facts = facts.map_err(status)?;
    let mut tracker = BodyTracker::new(head.framing);
    let mut followed = head.len;
    for bytes in message[head.len..].chunks(piece) {
        followed += tracker.follow(bytes).map_err(|_| 400_u16)?;
    }
    assert!(tracker.is_done() && followed == message.len(), "{:?}: the body ends elsewhere", head.framing);
    assert_eq!(head.framing != Framing::None, method == Method::POST);
    Ok(facts)
}

#[test]
fn core_accepts_exactly_what_the_rules_allow() {
    let mut wrong = Vec::new();
    for case in Case::all(&Part::ALL) {
        let message = message(&case, "");
        for piece in [message.len(), 1] {
            let found = read(&message, piece);
            let status = found.as_ref().map_or_else(|status| *status, |_| 200);
            let same = found.map_or(true, |facts| {
                written(facts.path.path_and_query()).as_bytes() == case.target()
                    && *facts.host == *case.requested_host()
            });
            if status != case.status() || !same {
                wrong.push(format!("{}: {status}, not {}", case.mark(), case.status()));
            }
        }
    }
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// The status (400 if the connection ends without one), and the connection if it can be reused.
fn ask(client: Option<Client>, stage: &Stage, message: &[u8]) -> (u16, Option<Client>) {
    let mut client = client.unwrap_or_else(|| Client::connect(stage.gateway.proxy));
    client.send(message);
    match client.response() {
        Ok(response) if response.status == 200 && response.head.value("connection") != Some("close") => {
            (200, Some(client))
        }
        Ok(response) => (response.status, None),
        Err(NoResponse::Closed | NoResponse::Cut(_)) => (400, None),
        Err(NoResponse::Silent) => (0, None),
    }
}

#[test]
fn only_allowed_messages_arrive_and_they_arrive_unchanged() {
    let stage = Stage::plain(|setup| setup);
    let token = format!("Authorization: {}\r\n", bearer(&Token::bot()));
    let mut client = None;
    let mut wrong = Vec::new();
    for case in Case::all(&Part::ALL) {
        let (status, again) = ask(client.take(), &stage, &message(&case, &token));
        client = again;
        if status != case.status() {
            wrong.push(format!("{}: {status}, not {}", case.mark(), case.status()));
        }
    }
    let requests = stage.upstream.requests();
    let mut arrived: HashMap<&str, Vec<&Received>> = HashMap::new();
    for request in &requests {
        arrived.entry(request.head.value(MARK).unwrap_or_default()).or_default().push(request);
    }
    for case in Case::all(&Part::ALL) {
        let all = arrived.remove(&*case.mark()).unwrap_or_default();
        let whole: Vec<_> = all.iter().filter(|request| request.complete).collect();
        // The head of a request with a broken body may have been forwarded already.
        if !case.is_good() && (!whole.is_empty() || (!case.part.has_body() && !all.is_empty())) {
            wrong.push(format!("{}: reached the backend: {all:?}", case.mark()));
        }
        match &whole[..] {
            [request] if case.is_good() => wrong.extend(changed(&case, request)),
            _ if case.is_good() => wrong.push(format!("{}: arrived {} times", case.mark(), whole.len())),
            _ => {}
        }
    }
    assert!(arrived.is_empty(), "requests that belong to no case: {arrived:#?}");
    assert!(wrong.is_empty(), "{} wrong: {wrong:#?}", wrong.len());
}

/// What differs between the request as sent and as received.
fn changed(case: &Case, request: &Received) -> Option<String> {
    // The stub has a character for each byte.
    let text = |bytes: &[u8]| bytes.iter().copied().map(char::from).collect::<String>();
    let line = text(&case.field());
    let (name, value) = line.split_once(':').expect("a field");
    let value = value.trim_matches([' ', '\t']);
    let values = if case.part.has_body() { Vec::new() } else { vec![value] };
    let host = request.head.values("host");
    let found =
        (request.head.target(), host, request.head.values(name), &request.body, &request.head.problems);
    let (target, host) = (text(&case.target()), text(&case.host()));
    // The dot of an absolute name is not forwarded.
    let host = host.trim_matches([' ', '\t']).trim_end_matches('.');
    let expected = (&*target, vec![host], values, &body(case), &Vec::new());
    (found != expected).then(|| format!("{}: {found:?}, not {expected:?}", case.mark()))
}
