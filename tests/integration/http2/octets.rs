//! Every octet in every part of a header section: the backend receives exactly what the client
//! sent, or nothing.

use std::collections::HashMap;

use crate::support::http2::{END_HEADERS, END_STREAM, GOAWAY, HEADERS, RST_STREAM, RawClient, frame};
use crate::support::message::Head;
use crate::support::stage::Stage;
use crate::support::token::{Token, bearer};

const PLACES: usize = 3;
const PARTS: [Part; 8] = [
    Part::Method,
    Part::Scheme,
    Part::Path,
    Part::Query,
    Part::Authority,
    Part::FieldName,
    Part::FieldValue,
    Part::Length,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Method,
    Scheme,
    Path,
    Query,
    Authority,
    FieldName,
    FieldValue,
    /// The value of `content-length`. Without an octet too many it is 0, and there is no body.
    Length,
}

/// A header section with one octet inserted into one of its parts.
#[derive(Clone, Copy, Debug)]
struct Case {
    part: Part,
    octet: u8,
    /// At the beginning, in the middle or at the end.
    place: usize,
    /// The first segment of the path.
    id: usize,
}

impl Case {
    fn with(self, part: Part, text: &str) -> Vec<u8> {
        if part != self.part {
            return text.as_bytes().to_vec();
        }
        let at = [0, text.len() / 2, text.len()][self.place];
        [&text.as_bytes()[..at], &[self.octet], &text.as_bytes()[at..]].concat()
    }

    fn method(self) -> Vec<u8> {
        self.with(Part::Method, "GET")
    }

    fn target(self) -> Vec<u8> {
        let id = self.id;
        let path = self.with(Part::Path, "path");
        [format!("/{id}/").as_bytes(), &path, b"?", &self.with(Part::Query, "query")].concat()
    }

    fn head(self, token: &str) -> Vec<u8> {
        literals(&[
            (b":method", &self.method()),
            (b":scheme", &self.with(Part::Scheme, "http")),
            (b":path", &self.target()),
            (b":authority", &self.with(Part::Authority, "gateway")),
            (b"authorization", token.as_bytes()),
            (&self.with(Part::FieldName, "x-name"), &self.with(Part::FieldValue, "value")),
            (b"content-length", &self.with(Part::Length, "0")),
        ])
    }

    /// Whether the header section is well-formed. If it is not, the response is 400.
    fn is_good(self) -> bool {
        let (octet, inside) = (self.octet, self.place == 1);
        let tchar = octet.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&octet);
        match self.part {
            Part::Method => tchar,
            // A percent sign that does not begin an escape is ambiguous.
            Part::Path => octet.is_ascii_graphic() && !b"#<>\\`%".contains(&octet),
            Part::Query => octet.is_ascii_graphic() && octet != b'#',
            Part::FieldName => tchar && !octet.is_ascii_uppercase(),
            Part::FieldValue => match octet {
                b' ' | b'\t' => inside,
                _ => octet > b' ' && octet != 0x7f,
            },
            // A port follows the colon, or nothing. Labels are not empty, except the last one.
            Part::Authority => match octet {
                b':' => self.place == 2,
                b'.' => self.place != 0,
                _ => octet.is_ascii_alphanumeric() || b"-_~!$&'()*+;=".contains(&octet),
            },
            Part::Scheme => octet == b's' && self.place == 2,
            Part::Length => false,
        }
    }
}

/// Literals without indexing, of at most 16,000 octets.
fn literals(fields: &[(&[u8], &[u8])]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            match text.len().checked_sub(127) {
                None => block.push(text.len() as u8),
                Some(rest) => block.extend([127, rest as u8 | 0x80, (rest >> 7) as u8]),
            }
            block.extend(*text);
        }
    }
    block
}

/// The outcome of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Answered(u16),
    Reset,
}

/// Sends these requests on one connection, a few at a time.
#[track_caller]
fn outcomes(stage: &Stage, token: &str, cases: &[Case]) -> Vec<Outcome> {
    let mut client = RawClient::with_settings(stage.gateway.proxy, &[(1, 0)]);
    let mut found = HashMap::new();
    for (batch, cases) in cases.chunks(20).enumerate() {
        let first = batch * 20;
        let mut frames = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let stream = 2 * (first + number) as u32 + 1;
            frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &case.head(token)));
        }
        client.send(&frames);
        while found.len() < first + cases.len() {
            let arrived = client.next().expect("the connection stays open");
            assert_ne!(arrived.kind, GOAWAY, "{:?}", arrived.code());
            let outcome = match arrived.kind {
                HEADERS => Outcome::Answered(status(&arrived.payload)),
                RST_STREAM => Outcome::Reset,
                _ => continue,
            };
            found.entry(arrived.stream as usize / 2).or_insert(outcome);
        }
    }
    (0..cases.len()).map(|number| found[&number]).collect()
}

/// `:status` of a field block without dynamic table references.
fn status(block: &[u8]) -> u16 {
    match block {
        [0x88, ..] => 200,
        [0x8c, ..] => 400,
        [0x20, rest @ ..] => status(rest),
        // A literal with the name `:status` and the Huffman-coded value 405.
        _ => 405,
    }
}

/// One character per octet, as the stub parses heads.
fn latin1(text: &[u8]) -> String {
    text.iter().copied().map(char::from).collect()
}

#[track_caller]
fn is_what_was_sent(head: &Head, case: Case) {
    assert_eq!(
        head.start,
        latin1(&[&case.method()[..], b" ", &case.target(), b" HTTP/1.1"].concat()),
        "{case:?}"
    );
    assert!(head.problems.is_empty(), "{case:?}: {:?}", head.problems);
    // A dot at the end is not forwarded.
    let host = latin1(&case.with(Part::Authority, "gateway"));
    assert_eq!(head.value("host"), Some(host.strip_suffix('.').unwrap_or(&host)), "{case:?}");
    let name = latin1(&case.with(Part::FieldName, "x-name"));
    assert_eq!(head.value(&name), Some(&*latin1(&case.with(Part::FieldValue, "value"))), "{case:?}");
}

#[test]
fn every_octet_arrives_unchanged_or_is_refused() {
    let stage = Stage::plain(|setup| setup);
    let token = bearer(&Token::bot());
    let mut id = 0;
    for part in PARTS {
        let places = (0..=u8::MAX).flat_map(|octet| (0..PLACES).map(move |place| (octet, place)));
        let cases: Vec<Case> = places
            .map(|(octet, place)| {
                id += 1;
                Case { part, octet, place, id }
            })
            .collect();
        let outcomes = outcomes(&stage, &token, &cases);
        let mut requests: HashMap<String, Head> = HashMap::new();
        for request in stage.upstream.requests() {
            let id = request.head.target().split('/').nth(1).unwrap_or_default().to_owned();
            assert!(requests.insert(id, request.head).is_none(), "a request arrived twice");
        }
        for (case, outcome) in cases.into_iter().zip(outcomes) {
            let arrived = requests.get(&case.id.to_string());
            if outcome == Outcome::Answered(200) {
                assert!(case.part != Part::Method && case.is_good(), "{case:?}");
                is_what_was_sent(arrived.expect("a request"), case);
                continue;
            }
            assert!(arrived.is_none(), "{case:?} is refused and reaches the backend: {arrived:?}");
            let expected = if case.is_good() && part == Part::Method { 405 } else { 400 };
            assert!(part == Part::Method || !case.is_good(), "{case:?} is refused: {outcome:?}");
            // A length that the body does not have is seen only at its end.
            let is_number = part == Part::Length && case.octet.is_ascii_digit();
            assert!(
                outcome == Outcome::Answered(expected) || is_number && outcome == Outcome::Reset,
                "{case:?}: {outcome:?}"
            );
        }
    }
}
