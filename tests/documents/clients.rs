//! The tables of `docs/clients.md`, which come from what `tests/real/clients/run` has recorded.

use std::fmt::Write as _;

use metagate::decision::Reason;
use serde_json::Value;

use super::reference::assert_table;

const OBSERVED: &str = include_str!("../real/clients/observed.json");
/// The tables, each with the clients that it is about. They must behave alike.
const TABLES: [(&str, &[&str]); 5] = [
    ("openmetadata-ingestion", &["openmetadata-ingestion"]),
    ("openmetadata-java-client", &["openmetadata-java-client (model)"]),
    ("openmetadata-go-client", &["openmetadata-go-client 1.12.1"]),
    ("acryl-datahub", &["acryl-datahub"]),
    ("datahub-client", &["datahub-client 0.8.45", "datahub-client-java8 0.15.0rc20"]),
];

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} in {value}"))
}

/// One result: the case, the call, what the audit record has, what the user sees, how often it was repeated.
fn row(result: &Value) -> String {
    let requests = result["requests"].as_array().expect("requests");
    let number = |value: &Value| value.as_u64().expect("a number");
    let tries: u64 = requests.iter().map(|request| number(&request[3])).sum();
    let found = match requests.last() {
        None => "no request".to_owned(),
        Some(request) => match (number(&request[1]), request[2].as_str()) {
            (status, Some(reason)) => {
                assert!(Reason::ALL.into_iter().any(|known| known.as_str() == reason), "{reason}");
                format!("{status} `{reason}`")
            }
            (200, None) => "200".to_owned(),
            (status, None) => format!("{status}, no reason"),
        },
    };
    let tried = match (tries, number(&result["seconds"])) {
        (0 | 1, _) => "no".to_owned(),
        (tries, seconds) => format!("{} times, {seconds} s", tries - 1),
    };
    let shown = text(result, "shown").replace('|', "\\|");
    let shown = if result["works"] == true { "works".to_owned() } else { format!("`{shown}`") };
    format!("| {} | {} | {found} | {shown} | {tried} |\n", text(result, "case"), text(result, "operation"))
}

#[test]
fn clients_are_described_as_they_were_seen() {
    let observed: Value = serde_json::from_str(OBSERVED).expect("observed.json");
    let mut clients = observed.as_object().expect("clients").len();
    for (name, alike) in TABLES {
        let tables = alike.iter().map(|client| {
            let mut table = String::from(
                "| case | call | audit record | shown | retries |\n| --- | --- | --- | --- | --- |\n",
            );
            for result in observed[client].as_array().expect(client) {
                table.write_str(&row(result)).unwrap();
            }
            table
        });
        let tables: Vec<String> = tables.collect();
        assert!(tables.iter().all(|table| *table == tables[0]), "{alike:?} differ: give each its own table");
        assert_table("docs/clients.md", name, &tables[0]);
        clients -= alike.len();
    }
    assert_eq!(clients, 0, "a client without a table");
}
