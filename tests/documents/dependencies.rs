//! The list of dependencies, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt::Write as _;
use std::process::Command;

use serde_json::Value;

use super::read;
use super::reference::assert_table;

const PAGE: &str = "docs/dependencies.md";
/// The list is the same for all platforms of releases but for crates that detect processors.
const PLATFORM: &str = "x86_64-unknown-linux-gnu";

/// Where a crate ends up. A crate in several places is in the first of them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Program,
    Build,
    Tests,
}

impl Place {
    fn as_str(self) -> &'static str {
        match self {
            Self::Program => "program",
            Self::Build => "build",
            Self::Tests => "tests",
        }
    }
}

struct Metadata {
    root: String,
    packages: HashMap<String, Value>,
    /// Each package with what it depends on.
    resolved: HashMap<String, Vec<Value>>,
}

fn text<'v>(value: &'v Value, member: &str) -> &'v str {
    value[member].as_str().unwrap_or_default()
}

fn list<'v>(value: &'v Value, member: &str) -> impl Iterator<Item = &'v Value> {
    value[member].as_array().into_iter().flatten()
}

impl Metadata {
    fn read() -> Self {
        let output = Command::new(env!("CARGO"))
            .args([
                "metadata",
                "--locked",
                "--format-version=1",
                "--all-features",
                "--filter-platform",
                PLATFORM,
            ])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
        let by_id = |value: &Value| (text(value, "id").to_owned(), value.clone());
        let dependencies =
            |node: &Value| (text(node, "id").to_owned(), list(node, "deps").cloned().collect());
        Self {
            root: text(&metadata["resolve"], "root").to_owned(),
            packages: list(&metadata, "packages").map(by_id).collect(),
            resolved: list(&metadata["resolve"], "nodes").map(dependencies).collect(),
        }
    }

    fn is_macro(&self, id: &str) -> bool {
        list(&self.packages[id], "targets")
            .flat_map(|target| list(target, "kind"))
            .any(|kind| kind == "proc-macro")
    }

    /// Every crate that is compiled, with its place.
    fn places(&self) -> HashMap<String, Place> {
        let mut places = HashMap::new();
        let mut waiting = vec![(self.root.clone(), Place::Program)];
        while let Some((id, place)) = waiting.pop() {
            if places.get(&id).is_some_and(|known| *known <= place) {
                continue;
            }
            let is_root = id == self.root;
            let place = if self.is_macro(&id) { place.max(Place::Build) } else { place };
            for dependency in &self.resolved[&id] {
                for kind in list(dependency, "dep_kinds") {
                    let below = match kind["kind"].as_str() {
                        None => place,
                        Some("build") => place.max(Place::Build),
                        Some(_) if is_root => Place::Tests,
                        Some(_) => continue,
                    };
                    waiting.push((text(dependency, "pkg").to_owned(), below));
                }
            }
            places.insert(id, place);
        }
        places.remove(&self.root);
        places
    }

    fn name_and_version(&self, id: &str) -> (&str, &str) {
        let package = &self.packages[id];
        (text(package, "name"), text(package, "version"))
    }
}

/// The crates that `supply-chain/audits.toml` says were read, with their versions.
fn audited() -> HashSet<(String, String)> {
    let ledger = read("supply-chain/audits.toml");
    let mut name = "";
    let mut audited = HashSet::new();
    for line in ledger.lines() {
        if let Some(heading) = line.strip_prefix("[[audits.").and_then(|line| line.strip_suffix("]]")) {
            name = heading;
        } else if let Some(version) = line.strip_prefix("version = ") {
            audited.insert((name.to_owned(), version.trim_matches('"').to_owned()));
        }
    }
    audited
}

/// The versions of each crate in the lock file.
fn locked() -> HashMap<String, String> {
    let lock = read("Cargo.lock");
    let mut versions = HashMap::new();
    for package in lock.split("[[package]]") {
        let value = |key: &str| {
            package
                .lines()
                .find_map(|line| line.strip_prefix(key))
                .map(|value| value.trim_matches('"').to_owned())
        };
        if let Some((name, version)) = value("name = ").zip(value("version = ")) {
            versions.insert(name, version);
        }
    }
    versions
}

#[test]
fn dependencies_are_listed_with_their_reasons() {
    let metadata = Metadata::read();
    let (places, audited, locked) = (metadata.places(), audited(), locked());
    let root = &metadata.packages[&metadata.root];
    let named: BTreeSet<_> = list(root, "dependencies").map(|dependency| text(dependency, "name")).collect();
    let reasons: BTreeMap<_, _> = root["metadata"]["reasons"].as_object().unwrap().iter().collect();
    let explained: BTreeSet<_> = reasons.keys().map(|name| name.as_str()).collect();
    assert_eq!(named, explained, "[package.metadata.reasons] in Cargo.toml explains each dependency");

    let is_read = |name: &str, version: &str| {
        if audited.contains(&(name.to_owned(), version.to_owned())) { "read" } else { "" }
    };
    let direct: HashMap<_, _> = metadata.resolved[&metadata.root]
        .iter()
        .map(|dependency| text(dependency, "pkg"))
        .map(|id| (metadata.name_and_version(id).0, id))
        .collect();
    let mut table =
        String::from("| crate | version | in | why | reviewed |\n| --- | --- | --- | --- | --- |\n");
    for (name, reason) in &reasons {
        let id = direct.get(name.as_str());
        let version = id.map_or(&*locked[name.as_str()], |id| metadata.name_and_version(id).1);
        let place = id.map_or("models", |id| places[*id].as_str());
        let reason = reason.as_str().unwrap();
        writeln!(table, "| {name} | {version} | {place} | {reason} | {} |", is_read(name, version)).unwrap();
    }
    assert_table(PAGE, "direct", &table);

    let mut parents: BTreeMap<(&str, &str), (Place, BTreeSet<&str>)> = BTreeMap::new();
    for (id, place) in &places {
        parents.entry(metadata.name_and_version(id)).or_insert((*place, BTreeSet::new()));
    }
    let compiled = metadata.resolved.iter().filter(|(id, _)| places.contains_key(*id));
    for (id, dependencies) in compiled {
        for dependency in dependencies {
            let is_used = list(dependency, "dep_kinds").any(|kind| kind["kind"] != "dev");
            if let Some((_, by)) =
                parents.get_mut(&metadata.name_and_version(text(dependency, "pkg"))).filter(|_| is_used)
            {
                by.insert(metadata.name_and_version(id).0);
            }
        }
    }
    let direct: HashSet<_> = direct.values().map(|id| metadata.name_and_version(id)).collect();
    let mut table = String::from(
        "| crate | version | in | brought in by | reviewed |\n| --- | --- | --- | --- | --- |\n",
    );
    for ((name, version), (place, by)) in parents.iter().filter(|(name, _)| !direct.contains(*name)) {
        let by = by.iter().copied().collect::<Vec<_>>().join(", ");
        let place = place.as_str();
        writeln!(table, "| {name} | {version} | {place} | {by} | {} |", is_read(name, version)).unwrap();
    }
    assert_table(PAGE, "indirect", &table);

    let count = |place: Place| places.values().filter(|found| **found == place).count();
    let read = |place: Place| {
        let of = places.iter().filter(|(_, found)| **found == place);
        of.filter(|(id, _)| {
            let (name, version) = metadata.name_and_version(id);
            !is_read(name, version).is_empty()
        })
        .count()
    };
    let mut table = String::from("| in | crates | read for the ledger |\n| --- | --- | --- |\n");
    for (place, what) in [
        (Place::Program, "the program"),
        (Place::Build, "its build only: macros, build scripts"),
        (Place::Tests, "tests and benchmarks only"),
    ] {
        writeln!(table, "| {what} | {} | {} |", count(place), read(place)).unwrap();
    }
    assert_table(PAGE, "counts", &table);
}
