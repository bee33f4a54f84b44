//! The bots of an allow-list.

use std::collections::HashSet;

use ipnet::IpNet;

use super::super::document::{self, Node, Problem, Value};
use super::super::values;
use super::super::words::nearest;
use super::MAX_BOT_TOKENS;
use crate::bots::{Bot, BotToken, check_name};
use crate::numeric_date::NumericDate;

/// The most problems that are collected.
const MAX_PROBLEMS: usize = 20;
/// The longest text of a role, an id or a note, in bytes.
const MAX_TEXT_BYTES: usize = 256;
/// The most roles and networks of one bot.
const MAX_ITEMS: usize = 100;

const BOT_KEYS: [&str; 5] = ["name", "roles", "created", "sourceIps", "tokens"];
const TOKEN_KEYS: [&str; 4] = ["jti", "created", "expires", "note"];

/// Reads all bots.
///
/// # Errors
/// The problems; the first 20 of them if there are more.
pub(super) fn read(text: &str) -> Result<Vec<Bot>, Vec<Problem>> {
    let document = document::parse(text);
    let mut reader = Reader { problems: document.problems, names: HashSet::new(), ids: HashSet::new() };
    let bots = match &document.root.value {
        Value::List(items) => items.iter().filter_map(|item| reader.bot(item)).collect(),
        _ if !reader.problems.is_empty() => Vec::new(),
        // A file that is just being written may be empty for a moment. Accepting it would lock out every bot.
        Value::Null => {
            reader.problem(&document.root, "is empty; write a list without bots as `[]`");
            Vec::new()
        }
        Value::Scalar { .. } | Value::Map(_) => {
            reader.problem(&document.root, "is not a list of bots");
            Vec::new()
        }
    };
    if reader.ids.len() > MAX_BOT_TOKENS {
        reader.problem(&document.root, format!("has more than {MAX_BOT_TOKENS} tokens"));
    }
    reader.problems.truncate(MAX_PROBLEMS);
    if reader.problems.is_empty() { Ok(bots) } else { Err(reader.problems) }
}

/// Reads bots that are each written as one JSON object.
///
/// # Errors
/// The first problem.
pub(super) fn read_each<'t>(texts: impl IntoIterator<Item = &'t str>) -> Result<Vec<Bot>, Problem> {
    let mut reader = Reader { problems: Vec::new(), names: HashSet::new(), ids: HashSet::new() };
    let mut bots = Vec::new();
    for text in texts {
        // JSON is YAML.
        let document = document::parse(text);
        reader.problems.extend(document.problems);
        bots.extend(reader.bot(&document.root));
        if reader.ids.len() > MAX_BOT_TOKENS {
            reader.problem(&document.root, format!("there are more than {MAX_BOT_TOKENS} tokens"));
        }
        if !reader.problems.is_empty() {
            return Err(reader.problems.swap_remove(0));
        }
    }
    Ok(bots)
}

struct Reader {
    problems: Vec<Problem>,
    names: HashSet<String>,
    ids: HashSet<String>,
}

impl Reader {
    fn problem(&mut self, node: &Node, message: impl Into<String>) {
        self.problems.push(Problem { at: node.at, message: message.into(), help: None });
    }

    /// Whether a node is a map with these keys only.
    fn is_map(&mut self, node: &Node, what: &str, keys: &[&'static str]) -> bool {
        let Value::Map(entries) = &node.value else {
            self.problem(node, format!("{what} is not a map"));
            return false;
        };
        for entry in entries {
            if entry.key == "user" && keys.contains(&"roles") {
                let help = "the list names no user of the backend; write it as `as.user` in exchange";
                self.problem(&entry.node, format!("unknown key `user`: {help}"));
            } else if !keys.contains(&&*entry.key) {
                let near = nearest(&entry.key, keys.iter().copied());
                let hint = near.map_or_else(String::new, |near| format!("; did you mean `{near}`?"));
                self.problem(&entry.node, format!("unknown key {}{hint}", values::quote(&entry.key)));
            }
        }
        true
    }

    fn bot(&mut self, node: &Node) -> Option<Bot> {
        if !self.is_map(node, "a bot", &BOT_KEYS) {
            return None;
        }
        let name = self.text(node, "name")?;
        if let Err(message) = check_name(&name) {
            self.problem(node, format!("name: {} {message}", values::quote(&name)));
        } else if !self.names.insert(name.clone()) {
            self.problem(node, format!("name: `{name}` is written twice"));
        }
        let roles = self.items(node, "roles");
        let networks = self.items(node, "sourceIps");
        let mut source_ips: Vec<IpNet> = Vec::new();
        for text in &networks {
            match values::network(text) {
                Ok(network) => source_ips.push(network),
                Err(message) => self.problem(node, format!("sourceIps: {message}")),
            }
        }
        let created = self.time(node, "created")?;
        let tokens = match node.get("tokens").map(|tokens| (&tokens.value, tokens)) {
            Some((Value::List(items), _)) => items.iter().filter_map(|item| self.token(item)).collect(),
            None | Some((Value::Null, _)) => Vec::new(),
            Some((_, other)) => {
                self.problem(other, "tokens is not a list");
                Vec::new()
            }
        };
        let roles = roles.into_iter().map(Into::into).collect();
        Some(Bot { name: name.into(), roles, created, source_ips, tokens })
    }

    fn token(&mut self, node: &Node) -> Option<BotToken> {
        if !self.is_map(node, "a token", &TOKEN_KEYS) {
            return None;
        }
        let id = self.text(node, "jti")?;
        if !self.ids.insert(id.clone()) {
            self.problem(node, format!("jti: {} is written twice", values::quote(&id)));
        }
        let created = self.time(node, "created")?;
        let expires = self.time(node, "expires")?;
        let note = match node.get("note") {
            None => None,
            Some(_) => Some(self.text(node, "note")?.into()),
        };
        Some(BotToken { id: id.into(), created, expires, note })
    }

    /// A text that is required.
    fn text(&mut self, node: &Node, key: &str) -> Option<String> {
        match node.get(key).map(|node| &node.value) {
            Some(Value::Scalar { text, .. }) if is_plain(text) => Some(text.clone()),
            Some(_) => {
                self.problem(
                    node,
                    format!("{key} is not a text of 1 to {MAX_TEXT_BYTES} bytes without control characters"),
                );
                None
            }
            None => {
                self.problem(node, format!("{key} is required"));
                None
            }
        }
    }

    fn time(&mut self, node: &Node, key: &str) -> Option<NumericDate> {
        let text = self.text(node, key)?;
        let time = NumericDate::from_text(&text);
        if time.is_none() {
            let quoted = values::quote(&text);
            self.problem(node, format!("{key}: {quoted} is not a time like 2026-01-31T12:00:00Z"));
        }
        time
    }

    /// A list of texts; empty if it is not set.
    fn items(&mut self, node: &Node, key: &str) -> Vec<String> {
        let Some(list) = node.get(key) else { return Vec::new() };
        let items = match &list.value {
            Value::Null => return Vec::new(),
            Value::List(items) if items.len() <= MAX_ITEMS => items,
            _ => {
                self.problem(list, format!("{key} is not a list of at most {MAX_ITEMS} texts"));
                return Vec::new();
            }
        };
        let mut texts = Vec::new();
        for item in items {
            match &item.value {
                Value::Scalar { text, .. } if is_plain(text) => texts.push(text.clone()),
                _ => self.problem(item, format!("{key} has an item that is not a text")),
            }
        }
        texts
    }
}

fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_TEXT_BYTES && !text.chars().any(char::is_control)
}
