//! The backend endpoints that are known to write, as listed in `tests/data/endpoints`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::{Value, json};

const WRITING: [&str; 4] = ["DELETE", "PATCH", "POST", "PUT"];
/// The paths to try at and below a collection.
const BELOW: [&str; 4] = ["", "/x", "/name/x", "/x/y/z"];

/// A request to one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    /// The method, or `MUTATION`.
    pub method: String,
    /// The path, and the query of a Rest.li action; or the name of the mutation.
    pub path: String,
    /// The collection that it belongs to, if any.
    collection: Option<String>,
}

impl Endpoint {
    /// `METHOD /path`, and the body.
    pub fn request(&self) -> (String, Option<Value>) {
        match &*self.method {
            "MUTATION" => {
                let query = format!("mutation {{ {}(input: {{}}) }}", self.path);
                ("POST /api/graphql".to_owned(), Some(json!({ "query": query })))
            }
            method => (format!("{method} {}", self.path), None),
        }
    }
}

/// Every endpoint in the list of this backend.
pub fn of(backend: &str) -> Vec<Endpoint> {
    let file = format!("{}/tests/data/endpoints/{backend}.tsv", env!("CARGO_MANIFEST_DIR"));
    let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}"));
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let cells: Vec<&str> = line.split('\t').collect();
        let [method, path, source, version] = cells[..] else { panic!("{backend}: {line}") };
        assert!(!source.is_empty() && !version.is_empty(), "{backend}: {line}");
        assert!(WRITING.contains(&method) || ["*", "MUTATION"].contains(&method), "{backend}: {line}");
        (method, path)
    });
    let rows: Vec<(&str, &str)> = rows.collect();
    assert_eq!(rows.iter().collect::<BTreeSet<_>>().len(), rows.len(), "{backend}: a duplicate row");
    let collections: Vec<&str> = rows.iter().filter(|row| row.0 == "*").map(|row| row.1).collect();
    let endpoint = |method: &str, path: String| {
        let is_below = |root: &&&str| {
            path.strip_prefix(**root).is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?']))
        };
        let collection = collections.iter().filter(is_below).max_by_key(|root| root.len());
        Endpoint { method: method.to_owned(), collection: collection.map(|root| (*root).to_owned()), path }
    };
    let mut all = BTreeSet::new();
    for (method, path) in rows {
        let path = filled_in(path);
        if method == "*" {
            for (method, below) in WRITING.iter().flat_map(|method| BELOW.map(|below| (*method, below))) {
                all.insert(endpoint(method, format!("{path}{below}")));
            }
        } else {
            all.insert(endpoint(method, path));
        }
    }
    all.into_iter().collect()
}

/// Replaces every `{parameter}` with `x`.
fn filled_in(path: &str) -> String {
    let mut parts = path.split('{');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| text + "x" + part.split_once('}').map_or("", |(_, rest)| rest))
}

/// Describes what is open: whole collections if a method is open in all of one, and the rest one by
/// one.
pub fn summary(all: &[Endpoint], open: &BTreeSet<Endpoint>) -> Vec<String> {
    let mutations = |of: &mut dyn Iterator<Item = &Endpoint>| -> Vec<String> {
        of.filter(|endpoint| endpoint.method == "MUTATION").map(|endpoint| endpoint.path.clone()).collect()
    };
    let mut lines = Vec::new();
    let (known, granted) = (mutations(&mut all.iter()), mutations(&mut open.iter()));
    let refused = mutations(&mut all.iter().filter(|endpoint| !open.contains(*endpoint)));
    if !known.is_empty() && refused.is_empty() {
        lines.push("every mutation of GraphQL".to_owned());
    } else if !granted.is_empty() && refused.len() <= granted.len() {
        lines.extend(wrapped("every mutation of GraphQL but", &refused));
    } else if !granted.is_empty() {
        lines.extend(wrapped("of GraphQL", &granted));
    }
    let http: Vec<&Endpoint> = all.iter().filter(|endpoint| endpoint.method != "MUTATION").collect();
    let mut whole: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut single: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for method in WRITING {
        let of_method: Vec<&&Endpoint> = http.iter().filter(|endpoint| endpoint.method == method).collect();
        let is_whole = |root: &str| {
            of_method.iter().filter(|e| e.collection.as_deref() == Some(root)).all(|e| open.contains(**e))
        };
        for endpoint in of_method.iter().filter(|endpoint| open.contains(***endpoint)) {
            match endpoint.collection.as_deref() {
                Some(root) if is_whole(root) => {
                    let methods = whole.entry(root).or_default();
                    if methods.last() != Some(&method) {
                        methods.push(method);
                    }
                }
                _ => single.entry(method).or_default().push(endpoint.path.clone()),
            }
        }
    }
    let mut by_methods: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (root, methods) in whole {
        by_methods.entry(methods.join(" ")).or_default().push(format!("{root}/**"));
    }
    for (method, paths) in single {
        by_methods.entry(method.to_owned()).or_default().extend(paths);
    }
    for (methods, paths) in by_methods {
        lines.extend(wrapped(&methods, &paths));
    }
    if lines.is_empty() {
        lines.push("nothing".to_owned());
    }
    lines
}

/// A heading and its items, wrapped.
fn wrapped(heading: &str, items: &[String]) -> Vec<String> {
    let mut lines = vec![format!("{heading}:")];
    for item in items {
        let last = lines.last_mut().expect("a line");
        if last.len() + item.len() < 104 {
            last.push_str(&format!(" {item}"));
        } else {
            lines.push(format!("  {item}"));
        }
    }
    lines
}
