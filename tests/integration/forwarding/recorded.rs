//! Recorded requests of real clients, with tokens replaced by `<token>`.

use serde_json::Value;

use crate::support::stage::Stage;
use crate::support::stub::Received;
use crate::support::token::Token;
use crate::support::wire::Client;

const PYTHON: &str = include_str!("../../data/client-requests.jsonl");
/// Written by `tests/real/clients/run --trace`; `Host` is where the client puts it.
const JAVA: &str = include_str!("../../data/java-requests.jsonl");

const PYTHON_REQUESTS: usize = 15;
const JAVA_REQUESTS: usize = 11;

/// Fields of a single connection, and those that the gateway sets.
const NOT_END_TO_END: [&str; 3] = ["connection", "host", "keep-alive"];
const FRAMING: [&str; 2] = ["content-length", "transfer-encoding"];
const OURS: [&str; 9] = [
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-user",
    "x-forwarded-email",
    "x-forwarded-groups",
    "x-request-id",
    "x-datahub-actor",
    "x-datahub-request-source",
];

pub(crate) struct Recorded {
    pub(crate) client: String,
    pub(crate) method: String,
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    is_chunked: bool,
}

impl Recorded {
    pub(crate) fn read(line: &str, token: &str) -> Self {
        let value: Value = serde_json::from_str(line).expect("a recorded request");
        let text = |value: &Value| value.as_str().expect("text").to_owned();
        let headers = value["headers"].as_array().expect("fields").iter();
        let headers = headers.map(|field| (text(&field[0]), text(&field[1]).replace("<token>", token)));
        let mut body = text(&value["body_head"]).into_bytes();
        // Longer bodies were recorded only in part.
        body.resize(value["body_len"].as_u64().expect("a length") as usize, b' ');
        Self {
            client: value["client"].as_str().unwrap_or_default().to_owned(),
            method: text(&value["method"]),
            target: text(&value["path"]),
            headers: headers.collect(),
            body,
            is_chunked: value["framing"] == "chunked",
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} HTTP/1.1\r\n", self.method, self.target);
        if !self.has("host") {
            text.push_str("Host: metadata.test:8585\r\n");
        }
        for (name, value) in &self.headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut bytes = [text.as_bytes(), b"\r\n"].concat();
        if self.is_chunked {
            for chunk in self.body.chunks(2048) {
                bytes.extend([format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(&self.body);
        }
        bytes
    }

    fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name))
    }

    /// The end-to-end fields in order, with lower-case names. The gateway writes the framing itself, at the end.
    pub(crate) fn end_to_end(&self) -> Vec<(String, String)> {
        let fields = self.headers.iter().map(lower);
        let mut fields: Vec<_> =
            fields.filter(|(name, _)| !NOT_END_TO_END.contains(&name.as_str())).collect();
        fields.sort_by_key(|(name, _)| FRAMING.contains(&name.as_str()));
        fields
    }
}

fn lower((name, value): &(String, String)) -> (String, String) {
    (name.to_ascii_lowercase(), value.clone())
}

pub(crate) fn arrived(request: &Received) -> Vec<(String, String)> {
    let fields = request.head.headers.iter().map(lower);
    fields
        .filter(|(name, _)| !NOT_END_TO_END.contains(&name.as_str()) && !OURS.contains(&name.as_str()))
        .collect()
}

#[test]
fn recorded_requests_of_real_clients_arrive_unchanged() {
    let token = Token::bot().encode();
    let backend = |name: &'static str| Stage::plain(move |setup| setup.env("METAGATE_BACKEND", name));
    let (openmetadata, datahub) = (backend("openmetadata"), backend("datahub-gms"));
    let mut count = 0;
    for line in PYTHON.lines().chain(JAVA.lines()) {
        let recorded = Recorded::read(line, &token);
        let of_datahub = recorded.headers.iter().any(|(_, value)| value.starts_with("DataHub-"));
        let stage = if of_datahub { &datahub } else { &openmetadata };
        let mut client = Client::connect(stage.gateway.proxy);
        client.send(recorded.bytes());
        let what = format!("{} {}", recorded.method, recorded.target);
        let response = client.response_to(&recorded.method).unwrap_or_else(|error| panic!("{what}: {error}"));
        count += 1;
        if recorded.target.ends_with("/versions") {
            // OpenMetadata's Java client sends no token there.
            assert_eq!(response.status, 401, "{what}: {}", response.text());
            assert!(response.text().contains("No Authorization header provided"), "{what}");
            continue;
        }
        assert_eq!(response.status, 200, "{what}: {}", response.text());
        let request = stage.upstream.request_to(&recorded.target);
        assert_eq!(request.head.start, format!("{what} HTTP/1.1"));
        assert_eq!(request.head.problems, Vec::<String>::new(), "{what}");
        assert_eq!(request.body, recorded.body, "{what}");
        assert_eq!(request.head.value("host"), Some("metadata.test:8585"), "{what}: the client's own Host");
        assert_eq!(arrived(&request), recorded.end_to_end(), "{what}");
    }
    assert_eq!(count, PYTHON_REQUESTS + JAVA_REQUESTS, "recorded requests");
}
