//! A trace of `tests/real`: one JSON object a line. The first says which server it is of, then come the tokens, then the
//! exchanges.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::gateway::text;
use crate::support::keys::{Key, url64};
use crate::support::token::{Token, now, tampered};

/// In place of what differs between two runs.
const UUID: &str = "00000000-0000-4000-8000-000000000000";

pub struct Trace {
    pub name: String,
    /// The names of the keys in `publicKeyUrls`, in order.
    pub key_urls: Vec<String>,
    tokens: Vec<Value>,
    pub exchanges: Vec<Recorded>,
}

/// A request, what metagate decided, and what came back through it.
pub struct Recorded {
    check: String,
    step: String,
    /// Which configuration it was sent to.
    pub gateway: String,
    pub method: String,
    pub path: String,
    token: Option<String>,
    fields: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Members of the audit record.
    record: [(&'static str, Option<String>); 4],
    pub answer: Answer,
}

/// A response, from metagate or passed on by it.
#[derive(Clone, Default)]
pub struct Answer {
    pub status: u16,
    pub fields: BTreeMap<String, String>,
    pub body: String,
}

/// The traces of a server, one for each version.
pub fn traces(server: &str) -> Vec<Trace> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/real").join(server).join("traces");
    let mut files: Vec<_> =
        fs::read_dir(directory).expect("traces").flatten().map(|file| file.path()).collect();
    files.sort();
    assert!(!files.is_empty(), "no trace of {server}");
    files.iter().map(|file| Trace::read(file)).collect()
}

fn owned(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text, not {value}")).to_owned()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_else(|| panic!("a list, not {value}"))
}

/// The octets of a recorded body: text as it is, anything else as JSON.
fn content(body: &Value) -> String {
    match body {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        document => document.to_string(),
    }
}

impl Trace {
    fn read(file: &Path) -> Self {
        let content = fs::read_to_string(file).expect("a trace");
        let mut lines =
            content.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line of JSON"));
        let about = lines.next().expect("a first line");
        let (exchanges, tokens): (Vec<_>, Vec<_>) = lines.partition(|line| line.get("check").is_some());
        Self {
            name: format!("{} {}", owned(&about["server"]), owned(&about["version"])),
            key_urls: list(&about["publicKeyUrls"]).iter().map(owned).collect(),
            tokens,
            // Not those with a server that was down.
            exchanges: exchanges.iter().filter(|line| line["down"] != true).map(Recorded::read).collect(),
        }
    }

    /// Tokens with the recorded headers and claims, by name.
    pub fn tokens(&self, key: fn(&str) -> &'static Key) -> BTreeMap<String, String> {
        self.tokens.iter().map(|line| (owned(&line["token"]), token(line, key))).collect()
    }
}

fn token(line: &Value, key: fn(&str) -> &'static Key) -> String {
    let mut claims = line["claims"].clone();
    for name in ["iat", "exp", "nbf"] {
        if let Some(seconds) = claims[name].as_i64() {
            claims[name] = (now() + seconds).into();
        }
    }
    let signer = owned(&line["key"]);
    let header = &line["header"];
    if header["alg"] == "none" {
        return format!("{}.{}.", url64(header.to_string()), url64(claims.to_string()));
    }
    // Without a valid signature, of anybody.
    let signed = signer != "none";
    let mut token = Token::of(claims).signed("RS256", key(if signed { &signer } else { "own" }));
    token = token.without_header("kid").without_header("typ");
    for (name, value) in header.as_object().expect("an object") {
        token = token.header(name, value.clone());
    }
    if signed { token.encode() } else { tampered(&token.encode()) }
}

impl Recorded {
    fn read(line: &Value) -> Self {
        let request = &line["request"];
        let optional = |value: &Value| value.as_str().map(str::to_owned);
        let fields = list(&request["fields"]).iter().map(|field| (owned(&field[0]), owned(&field[1])));
        let answer = &line["metagate"];
        let answer_fields = answer["fields"].as_object().expect("fields");
        Self {
            check: owned(&line["check"]),
            step: owned(&line["step"]),
            gateway: owned(&line["gateway"]),
            method: owned(&request["method"]),
            path: owned(&request["path"]).replace("<uuid>", UUID),
            token: optional(&request["token"]),
            fields: fields.collect(),
            body: content(&request["body"]).into_bytes(),
            record: [
                ("decision", optional(&line["decision"])),
                ("reason", optional(&line["reason"])),
                ("principal", optional(&line["principal"])),
                ("token_class", optional(&line["class"])),
            ],
            answer: Answer {
                status: answer["status"]
                    .as_u64()
                    .and_then(|status| status.try_into().ok())
                    .expect("a status"),
                fields: answer_fields.iter().map(|(name, value)| (name.clone(), owned(value))).collect(),
                body: content(&answer["body"]),
            },
        }
    }

    pub fn name(&self) -> String {
        format!("{}: {}", self.check, self.step)
    }

    pub fn is_forwarded(&self) -> bool {
        matches!(self.record[0].1.as_deref(), Some("allow" | "public"))
    }

    /// The fields to send, with the tokens of this run.
    pub fn fields(&self, tokens: &BTreeMap<String, String>) -> Vec<(String, String)> {
        let bearer =
            self.token.iter().map(|name| ("Authorization".to_owned(), format!("Bearer {}", tokens[name])));
        let insert = |value: &str| {
            let Some((before, rest)) = value.split_once("<token ") else { return value.to_owned() };
            let (name, after) = rest.split_once('>').expect("an end of the token's name");
            format!("{before}{}{after}", tokens[name])
        };
        let fields = self.fields.iter().map(|(name, value)| (name.clone(), insert(value)));
        bearer.chain(fields).collect()
    }

    /// The members of the audit record that differ.
    pub fn differences_of_record(&self, found: &Value) -> Vec<String> {
        let differing =
            self.record.iter().filter(|(name, recorded)| text(found, name) != recorded.as_deref());
        differing
            .map(|(name, recorded)| format!("{name} {:?}, recorded is {recorded:?}", text(found, name)))
            .collect()
    }
}
