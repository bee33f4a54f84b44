//! The tables of reasons and metrics, held against the definitions in the code.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;

use metagate::config::FindingId;
use metagate::decision::Reason;
use metagate::metrics::Metrics;

use super::read;

/// Compares what stands between `<!-- name -->` and `<!-- /name -->` with the table as it should be, or
/// writes the table there.
pub fn assert_table(document: &str, name: &str, table: &str) {
    let text = read(document);
    let (start, end) = (format!("<!-- {name} -->\n"), format!("<!-- /{name} -->\n"));
    let (before, rest) = text.split_once(&start).expect("the start of the table");
    let (written, after) = rest.split_once(&end).expect("the end of the table");
    if written != table && std::env::var_os("METAGATE_WRITE_DOCUMENTATION").is_some() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/").to_owned() + document;
        fs::write(path, format!("{before}{start}{table}{end}{after}")).unwrap();
        return;
    }
    assert!(
        written == table,
        "the table of {name} in {document} has changed: run this test with METAGATE_WRITE_DOCUMENTATION=1"
    );
}

#[test]
fn the_readme_has_the_table_of_reasons() {
    let mut table = String::from("| reason | status | message |\n| --- | --- | --- |\n");
    for reason in Reason::ALL {
        let (word, row) = (reason.as_str(), reason.row());
        writeln!(table, "| `{word}` | {} | {} |", row.status.as_str(), row.message).unwrap();
    }
    assert_table("README.md", "reasons", &table);
}

#[test]
fn the_reference_has_the_table_of_warnings() {
    let mut table = String::from("| id | meaning |\n| --- | --- |\n");
    for id in FindingId::ALL {
        writeln!(table, "| `{}` | {} |", id.as_str(), id.meaning()).unwrap();
    }
    assert_table("docs/reference.md", "findings", &table);
    assert!(FindingId::ALL.is_sorted_by_key(|id| id.as_str()), "in alphabetical order");
}

#[test]
fn troubleshooting_has_rows_for_every_reason_and_nothing_else() {
    let troubleshooting = read("docs/troubleshooting.md");
    let (mut in_table, mut column) = (false, "");
    let mut seen = BTreeSet::new();
    for line in troubleshooting.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split(" | ").map(str::trim).collect();
        let [first, second, ..] = cells[..] else {
            in_table = false;
            continue;
        };
        if first == "reason" {
            (in_table, column) = (true, second);
        } else if in_table && !first.starts_with("---") {
            let word = first.trim_matches('`');
            let reason = Reason::ALL.into_iter().find(|reason| reason.as_str() == word);
            let row = reason.unwrap_or_else(|| panic!("{word} is not a reason")).row();
            match column {
                "message" => assert!(second.starts_with(row.message), "{word}: {second}"),
                _ => {
                    assert!(second.starts_with(row.status.as_str()), "{word}: {second}");
                    assert_eq!(
                        second.contains("`Retry-After"),
                        row.retry_after.is_some(),
                        "{word}: {second}"
                    );
                }
            }
            seen.insert(word.to_owned());
        }
    }
    let all: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str().to_owned()).collect();
    assert_eq!(seen, all);
}

#[test]
fn the_reference_has_a_row_for_every_metric_and_nothing_else() {
    let reference = read("docs/reference.md");
    let (_, rest) =
        reference.split_once("| metric | type | labels | meaning |\n").expect("the table of metrics");
    let (table, _) = rest.split_once("\n\n").expect("its end");
    let rows: BTreeSet<&str> = table.lines().filter(|line| !line.starts_with("| ---")).collect();
    let definitions = Metrics::definitions();
    for definition in &definitions {
        let labels: Vec<_> = definition.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { String::new() } else { format!(" {}", labels.join(", ")) };
        let start = format!("| `{}` | {} |{labels} | ", definition.exposed_name(), definition.type_name());
        assert!(rows.iter().any(|row| row.starts_with(&start)), "no row starts with {start}");
    }
    assert_eq!(rows.len(), definitions.len());
}

#[test]
fn the_audit_mapping_has_every_field_and_every_refused_token() {
    let reference = read("docs/reference.md");
    let (_, rest) = reference.split_once("| audit field | content |\n").expect("the table of audit fields");
    let (table, _) = rest.split_once("\n\n").expect("its end");
    let fields = table
        .lines()
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|names| names.split('`').skip(1).step_by(2));
    let (page, mapping) = (read("docs/audit.md"), read("deploy/logs/ocsf.vrl"));
    let mut seen = 0;
    // These two say nothing that others do not.
    for field in fields.filter(|field| !["event", "public"].contains(field)) {
        assert!(page.contains(&format!("`{field}`")), "docs/audit.md: {field}");
        assert!(mapping.contains(&format!("record.{field}")), "ocsf.vrl: {field}");
        seen += 1;
    }
    assert!(seen > 20, "only {seen} fields were found");
    let (_, list) = mapping.split_once("refused_tokens = [").expect("the list");
    let (list, _) = list.split_once(']').expect("its end");
    let listed: BTreeSet<&str> = list.split('"').skip(1).step_by(2).collect();
    let refused =
        Reason::ALL.into_iter().filter(|reason| reason.row().status == http::StatusCode::UNAUTHORIZED);
    assert_eq!(listed, refused.map(Reason::as_str).collect());
}

/// A claim whose test is gone must not stay on the page.
#[test]
fn the_tests_that_the_assurance_page_names_exist() {
    let page = read("docs/assurance.md");
    let is_path = |text: &&str| {
        ["tests/", "src/", "benches/", "fuzz/", "deploy/"].iter().any(|root| text.starts_with(root))
    };
    let named: Vec<_> = page.split('`').skip(1).step_by(2).filter(is_path).collect();
    assert!(named.len() > 20, "only {}", named.len());
    for path in named {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
        assert!(file.exists(), "{path}");
    }
    let steps = read(".ci/run");
    let named = page.split("`.ci/run ").skip(1).filter_map(|rest| rest.split('`').next());
    for step in named.flat_map(|steps| steps.split(' ')) {
        assert!(steps.contains(&format!("\nstep_{}() {{", step.replace('-', "_"))), "{step}");
    }
}

#[test]
fn the_assurance_page_has_the_listed_mutants_and_all_fuzz_targets() {
    let (page, known) = (read("docs/assurance.md"), read("tests/mutants/known.toml"));
    let (listed, reasons) = (known.matches("\"src/").count(), known.matches("[[known]]").count());
    let row =
        page.lines().find(|line| line.starts_with("| all | ") && line.ends_with(&format!("| {listed} |")));
    assert!(row.is_some(), "{listed} are listed");
    assert!(page.contains(&format!("listed with {reasons} reasons")), "{reasons} reasons");
    for name in fuzz_targets() {
        assert!(page.contains(&format!("\n| {name} | ")), "{name}");
    }
}

/// The names of the programs.
fn fuzz_targets() -> Vec<String> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    names.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}
