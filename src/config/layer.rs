//! The settings of one source, checked against the table of keys. Values stay text until the merged configuration is
//! parsed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::panic::Location;
use std::path::{Path, PathBuf};

use figment::Metadata;
use figment::value::{Dict, Empty, Tag, Value as Merging};

use super::document::{Entry, Node, Position, Value};
use super::error::{ConfigError, Origin};
use super::fragment;
use super::settings::{self, Key, Kind};
use super::substitution::Substituted;
use super::values::quote;
use super::variables::Variables;

mod key_set;
mod lists;
mod resolved;
mod unknown_key;

use lists::{has_entries, is_list_of_urls, join_methods};

/// The source of a layer.
pub(super) enum Source<'a> {
    Default,
    File { path: PathBuf, substituted: Option<&'a Substituted>, variables: Variables<'a> },
    Environment(&'a str),
    Flag(&'static str),
}

/// The name of figment's metadata for flags.
pub(super) const FLAG: &str = "flag";

impl Source<'_> {
    pub(super) fn at(&self, position: Position) -> Origin {
        match self {
            Self::Default => Origin::Default,
            Self::File { path, .. } => {
                let Position { line, column } = self.position(position);
                Origin::File { path: path.clone(), line, column }
            }
            Self::Environment(name) => Origin::Environment((*name).to_owned()),
            Self::Flag(name) => Origin::Flag((*name).to_owned()),
        }
    }

    /// A position in the file as it was before substitution.
    fn position(&self, position: Position) -> Position {
        match self {
            Self::File { substituted: Some(substituted), .. } => substituted.original(position),
            _ => position,
        }
    }

    /// Whether the value there is the content of a variable, replaced before the text was parsed.
    fn is_replaced(&self, position: Position) -> bool {
        match self {
            Self::File { substituted: Some(substituted), .. } => substituted.is_replaced(position),
            _ => false,
        }
    }

    fn metadata(&self) -> Metadata {
        let custom = |name: &str| figment::Source::Custom(name.to_owned());
        match self {
            Self::Default => Metadata::from("table of keys", Location::caller()),
            Self::File { path, .. } => Metadata::from("configuration file", path.as_path()),
            Self::Environment(name) => Metadata::from("environment variable", custom(name)),
            Self::Flag(name) => Metadata::from(FLAG, custom(name)),
        }
    }
}

/// The settings of one source: a file, the table of keys, one variable or one flag.
pub(super) struct Layer {
    pub(super) settings: Dict,
    pub(super) metadata: Metadata,
    /// The positions of values in the file, by path.
    pub(super) positions: BTreeMap<String, Position>,
    /// The keys whose secret is written in the file itself.
    pub(super) literal_secrets: Vec<String>,
}

impl Layer {
    pub(super) fn new(source: &Source<'_>) -> Self {
        let metadata = source.metadata();
        Self { settings: Dict::new(), metadata, positions: BTreeMap::new(), literal_secrets: Vec::new() }
    }

    /// The file that it was read from, if it is a file's.
    pub(super) fn file(&self) -> Option<&Path> {
        self.metadata.source.as_ref()?.file_path()
    }

    /// Adds a document in our own format.
    pub(super) fn document(&mut self, source: &Source<'_>, root: &Node, errors: &mut Vec<ConfigError>) {
        self.settings = self.walk(source, errors).section("", "", root);
    }

    /// Adds the value of one key.
    pub(super) fn put(&mut self, key: &Key, node: &Node, source: &Source<'_>, errors: &mut Vec<ConfigError>) {
        let mut walk = self.walk(source, errors);
        let value = walk.resolved(key.path, key, node).and_then(|node| walk.value(key.path, key, &node));
        if let Some(value) = value {
            insert(&mut self.settings, key.path, value);
        }
    }

    fn walk<'a>(&'a mut self, source: &'a Source<'a>, errors: &'a mut Vec<ConfigError>) -> Walk<'a> {
        let Self { positions, literal_secrets, .. } = self;
        Walk { source, positions, literal_secrets, errors, added: 0 }
    }
}

fn insert(dict: &mut Dict, path: &str, value: Merging) {
    match path.split_once('.') {
        None => drop(dict.insert(path.to_owned(), value)),
        Some((first, rest)) => {
            let section = dict.entry(first.to_owned()).or_insert_with(|| Merging::from(Dict::new()));
            if let Merging::Dict(_, section) = section {
                insert(section, rest, value);
            }
        }
    }
}

/// Walks through a document along the table of keys.
struct Walk<'a> {
    source: &'a Source<'a>,
    positions: &'a mut BTreeMap<String, Position>,
    literal_secrets: &'a mut Vec<String>,
    errors: &'a mut Vec<ConfigError>,
    /// How many bytes variables have added.
    added: usize,
}

impl Walk<'_> {
    /// `path` is the position in the document (`issuers[0]`), `schema` the one in the table (`issuers[]`).
    fn section(&mut self, path: &str, schema: &str, node: &Node) -> Dict {
        let mut dict = Dict::new();
        let entries = match &node.value {
            Value::Null => return dict,
            Value::Map(entries) => entries,
            _ => {
                let names = settings::children(schema).join(", ");
                let message = format!("is {}, not a map with the keys {names}", node.kind());
                let mut error = ConfigError::new(path, Some(self.source.at(node.at)), message);
                error.help = unknown_key::help_for_section(path, node);
                self.errors.push(error);
                return dict;
            }
        };
        for entry in entries {
            let nested = entry.key.contains(['.', '[']);
            let below = settings::join(path, &entry.key);
            let below_schema = settings::join(schema, &entry.key);
            let known = settings::find(&below_schema);
            // The elements of a list of maps are resolved key by key.
            let node = match known.filter(|key| !nested && !has_entries(key.kind, &entry.node.value)) {
                Some(key) => self.resolved(&below, key, &entry.node),
                None => Some(Cow::Borrowed(&entry.node)),
            };
            let Some(node) = node else { continue };
            if let Some(message) = missing_value(&below_schema, &node).filter(|_| !nested) {
                self.error(&below, entry.key_at, message.to_owned());
                continue;
            }
            let value = match known {
                Some(key) if !nested => self.value(&below, key, &node),
                None if !nested && settings::is_section(&below_schema) => {
                    let section = self.section(&below, &below_schema, &node);
                    let is_set = !section.is_empty() || MEANINGFUL.contains(&&*below_schema) && is_map(&node);
                    is_set.then(|| Merging::from(section))
                }
                _ => {
                    let origin = Some(self.source.at(entry.key_at));
                    self.errors.push(unknown_key::error(path, schema, &entry.key, origin));
                    None
                }
            };
            if let Some(value) = value {
                dict.insert(entry.key.clone(), value);
            }
        }
        dict
    }

    /// `None` if there is no value or an invalid one.
    fn value(&mut self, path: &str, key: &Key, node: &Node) -> Option<Merging> {
        if node.value == Value::Null && !matches!(key.kind, Kind::OptionalHeader) {
            return None;
        }
        self.note_position(path, node);
        if node.value == Value::Null {
            // Here null is a value: the field is not set at all.
            return Some(Merging::from("off"));
        }
        match key.kind {
            kind if has_entries(kind, &node.value) => self.entries(path, key, node),
            Kind::Claims => self.claims(path, node),
            Kind::Free => self.free(path, key, node),
            Kind::KeySet => self.key_set(path, node),
            Kind::Body => match &node.value {
                Value::Scalar { text, .. } => Some(Merging::from(text.as_str())),
                _ => self.free(path, key, node),
            },
            kind if kind.is_list() => self.list(path, kind, node).map(Merging::from),
            kind @ Kind::UrlOrUrls(_) if is_list_of_urls(&node.value) => {
                self.list(path, kind, node).map(Merging::from)
            }
            kind => self.scalar(path, key, kind, node),
        }
    }

    fn scalar(&mut self, path: &str, key: &Key, kind: Kind, node: &Node) -> Option<Merging> {
        let Value::Scalar { text, .. } = &node.value else {
            self.error(path, node.at, format!("is {}; accepted: {}", node.kind(), kind.describe()));
            return None;
        };
        if text.is_empty() && key.default.is_empty() {
            return Some(Merging::Empty(Tag::Default, Empty::Unit));
        }
        let checked = match text.is_empty() {
            true => Err(format!("is empty; accepted: {}", kind.describe())),
            false => kind.check(text),
        };
        match checked {
            Ok(()) => Some(Merging::from(text.as_str())),
            Err(message) => {
                self.error(path, node.at, message);
                None
            }
        }
    }

    fn list(&mut self, path: &str, kind: Kind, node: &Node) -> Option<Vec<Merging>> {
        let items = self.items(path, kind, node)?;
        let items = if matches!(kind, Kind::Routes) { join_methods(items) } else { items };
        let before = self.errors.len();
        for (index, (text, at)) in items.iter().enumerate() {
            let checked = if text.is_empty() { Err("is empty".to_owned()) } else { kind.check(text) };
            if let Err(message) = checked {
                // One address of `listen` is usually not written as a list.
                let is_alone = matches!(kind, Kind::Listen) && items.len() == 1;
                let item = if is_alone { String::new() } else { format!("item {}: ", index + 1) };
                self.error(path, *at, format!("{item}{message}"));
            }
        }
        let fine = self.errors.len() == before;
        fine.then(|| items.into_iter().map(|(text, _)| Merging::from(text)).collect())
    }

    /// The items of a list, written as a YAML list or as one string.
    fn items(&mut self, path: &str, kind: Kind, node: &Node) -> Option<Vec<(String, Position)>> {
        let texts = match &node.value {
            Value::List(nodes) => return self.texts(path, nodes),
            Value::Scalar { text, .. } if text.trim().is_empty() && matches!(kind, Kind::Listen) => {
                Err(format!("is empty; accepted: {}", kind.describe()))
            }
            Value::Scalar { text, .. } if text.trim().is_empty() => {
                Err("is empty; write an empty list as []".to_owned())
            }
            Value::Scalar { text, quoted: true } if !kind.splits_words() && !text.trim().starts_with('[') => {
                Ok(vec![text.clone()])
            }
            Value::Scalar { text, .. } => fragment::list(text, kind.splits_words()),
            Value::Map(_) | Value::Null => Err(format!("is {}; accepted: {}", node.kind(), kind.describe())),
        };
        match texts {
            Ok(texts) => Some(texts.into_iter().map(|text| (text, node.at)).collect()),
            Err(message) => {
                self.error(path, node.at, message);
                None
            }
        }
    }

    fn texts(&mut self, path: &str, nodes: &[Node]) -> Option<Vec<(String, Position)>> {
        let mut texts = Vec::new();
        let mut fine = true;
        for (index, node) in nodes.iter().enumerate() {
            match &node.value {
                Value::Scalar { text, .. } => texts.push((text.clone(), node.at)),
                _ => {
                    let message = format!("item {} is {}, not a single value", index + 1, node.kind());
                    self.error(path, node.at, message);
                    fine = false;
                }
            }
        }
        fine.then_some(texts)
    }

    fn entries(&mut self, path: &str, key: &Key, node: &Node) -> Option<Merging> {
        let whole = std::slice::from_ref(node);
        let nodes = match (&node.value, key.short_form) {
            (Value::List(nodes), _) => nodes.as_slice(),
            (Value::Scalar { .. } | Value::Map(_), Some(_)) => whole,
            _ => {
                let message = format!("is {}, not a list of maps", node.kind());
                let help = "write [{name: ...}, {name: ...}], or begin each entry with `- `";
                self.errors.push(ConfigError::new(path, Some(self.source.at(node.at)), message).help(help));
                return None;
            }
        };
        let schema = format!("{}[]", key.path);
        let mut entries = Vec::new();
        for (index, node) in nodes.iter().enumerate() {
            let path = format!("{path}[{index}]");
            self.note_position(&path, node);
            if node.value == Value::Null {
                self.error(&path, node.at, "is empty".to_owned());
            }
            let long_form = key.short_form.and_then(|name| node.as_member(name));
            entries.push(Merging::from(self.section(&path, &schema, long_form.as_ref().unwrap_or(node))));
        }
        Some(Merging::from(entries))
    }

    fn claims(&mut self, path: &str, node: &Node) -> Option<Merging> {
        let Value::Map(entries) = &node.value else {
            let message = format!("is {}, not a map from names to lists of values", node.kind());
            self.error(path, node.at, message);
            return None;
        };
        let mut claims = Dict::new();
        for entry in entries {
            let path = settings::join(path, &shown(&entry.key));
            if entry.node.value == Value::Null {
                self.error(&path, entry.key_at, "has no values".to_owned());
            } else if let Some(values) = self.list(&path, Kind::Texts, &entry.node) {
                claims.insert(entry.key.clone(), Merging::from(values));
            }
        }
        Some(Merging::from(claims))
    }

    /// A map with any content, as its JSON text. It is a single value: sources replace it as a whole.
    fn free(&mut self, path: &str, key: &Key, node: &Node) -> Option<Merging> {
        if !matches!(node.value, Value::Map(_)) {
            self.error(path, node.at, format!("is {}; accepted: {}", node.kind(), key.kind.describe()));
            return None;
        }
        Some(Merging::from(node.json().to_string()))
    }

    fn note_position(&mut self, path: &str, node: &Node) {
        if let Source::File { .. } = self.source {
            self.positions.insert(path.to_owned(), self.source.position(node.at));
        }
    }

    fn error(&mut self, path: &str, at: Position, message: String) {
        self.errors.push(ConfigError::new(path, Some(self.source.at(at)), message));
    }
}

/// Sections that mean something even if they are empty: all of their keys have defaults outside the table.
const MEANINGFUL: [&str; 1] = ["authentication.issuers[].kubernetes"];

fn is_map(node: &Node) -> bool {
    matches!(node.value, Value::Map(_))
}

/// An error for a key of a rule, or for an issuer entry's audiences, that has no value. Other keys get their default;
/// here a template that renders nothing would silently allow more.
fn missing_value(schema: &str, node: &Node) -> Option<&'static str> {
    let part = schema.strip_prefix("authorization.rules[].");
    let message = match part {
        Some(_) if settings::find(schema).is_some() || settings::is_section(schema) => {
            "has no value, so the rule would match more or require less; leave it out"
        }
        None if schema.starts_with("exchange[].from.") && settings::find(schema).is_some() => {
            "has no value, so the entry would take more tokens; leave it out"
        }
        None if schema == "authentication.issuers[].audiences" => {
            "has no value, so tokens issued for any other service would be accepted; leave it out"
        }
        _ => return None,
    };
    let nothing = match &node.value {
        Value::Null => true,
        Value::Scalar { text, .. } => text.is_empty(),
        // `match: {}` explicitly matches everything.
        Value::Map(entries) => entries.is_empty() && part != Some("match"),
        Value::List(_) => false,
    };
    nothing.then_some(message)
}

/// A key from a file, safe to show.
pub(super) fn shown(name: &str) -> String {
    let plain = name.len() <= 80 && !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic());
    if plain { name.to_owned() } else { quote(name) }
}
