//! Documentation generated from the table of keys: the reference, the example configuration, and the help of flags.

use std::fmt::Write;

use super::settings::{self, KEYS, Key, Kind, environment_name};

/// The maximum line length of the example's comments.
const WIDTH: usize = 110;

const HEAD: &str = "\
# Every configuration key of metagate, as printed by `metagate config example`.
#
# A line with `#` and no blank after it is a setting with an example value: remove the `#` to use it.
# Every other value is the default, except upstream.url and authentication.publicKeyUrls, which have no
# default. Your own file needs only what differs from the defaults. These four lines are a working proxy
# in front of OpenMetadata:
#
#   backend: openmetadata
#   upstream: {url: \"http://127.0.0.1:8585\"}
#   authentication:
#     publicKeyUrls: [\"http://127.0.0.1:8585/api/v1/system/config/jwks\"]
#
# Durations: 250ms, 30s, 5m, 1h30m, 7d. Sizes: 64KiB, 16MiB, or a number of bytes.
# Each key, except those within lists, has an environment variable: METAGATE_UPSTREAM__CONNECT_TIMEOUT.
";

/// A Markdown table with a row for each key: the form of its value, its default, its description, and its environment
/// variable.
pub fn reference() -> String {
    let cell = |text: &str| if text.is_empty() { String::new() } else { format!("`{text}`") };
    let mut table =
        String::from("| key | value | default | meaning | environment |\n| --- | --- | --- | --- | --- |\n");
    for key in KEYS {
        let (kind, text) = (key.kind.describe(), key.text().replace('|', "\\|"));
        let name = cell(&environment_name(key).unwrap_or_default());
        line(&mut table, &format!("| `{}` | {kind} | {} | {text} | {name} |", key.path, cell(key.default)));
    }
    table
}

/// A configuration file with every key: its default, or an example value in a comment.
pub fn example() -> String {
    let mut example = Example { text: HEAD.to_owned(), seen: Vec::new() };
    example.section("", 0);
    example.text
}

/// The description of a key for `--help`.
pub(crate) fn help(path: &str) -> String {
    let Some(key) = settings::find(path) else { return String::new() };
    match key.default {
        "" | "[]" => with_words(key),
        default => format!("{} [default: {default}]", with_words(key)),
    }
}

/// The description, followed by the accepted words unless it already names all of them.
fn with_words(key: &Key) -> String {
    let text = key.text();
    match key.kind {
        Kind::Word(words) if !words.accepted.iter().all(|word| text.contains(word)) => {
            format!("{text} One of: {}.", words.accepted.join(", "))
        }
        _ => text,
    }
}

fn line(text: &mut String, line: &str) {
    // Writing to a string does not fail.
    let _ = writeln!(text, "{line}");
}

struct Example {
    text: String,
    /// The paths that already have their comment.
    seen: Vec<String>,
}

impl Example {
    fn section(&mut self, path: &str, indent: usize) {
        let mut after_block = path.is_empty();
        for name in settings::children(path) {
            let below = settings::join(path, name);
            let key = settings::find(&below);
            let block = key.is_none_or(|key| matches!(key.kind, Kind::Entries));
            let first = self.text.ends_with(":\n");
            if (block || after_block) && !first {
                self.text.push('\n');
            }
            after_block = block;
            self.comment(&below, indent);
            match key {
                Some(key) => self.setting(key, name, indent),
                None => {
                    self.line(indent, &format!("{name}:"));
                    self.section(&below, indent + 2);
                }
            }
        }
    }

    fn setting(&mut self, key: &Key, name: &str, indent: usize) {
        match (key.example, key.kind) {
            (sample, Kind::Entries | Kind::Listen) => {
                self.line(indent, &format!("{name}:"));
                self.elements(key.path, sample, indent + 2);
            }
            ("", kind) => self.line(indent, &format!("{name}: {}", written(kind, key.default))),
            (example, _) => {
                let mark = if key.set_in_example { "" } else { "#" };
                self.line(indent, &format!("{mark}{name}: {example}"));
            }
        }
    }

    /// The elements of a list of maps, as comments. A key is described where it first occurs.
    fn elements(&mut self, path: &str, sample: &str, indent: usize) {
        // The parent keys of the current line, each with its column.
        let mut parents: Vec<(usize, String)> = Vec::new();
        for line in sample.lines() {
            let content = line.trim_start();
            let column = line.len() - content.len();
            if let Some(comment) = content.strip_prefix("# ") {
                self.wrapped(comment, indent + column);
                continue;
            }
            let name = content.trim_start_matches("- ").split(':').next().unwrap_or_default();
            let at = column + content.len() - content.trim_start_matches("- ").len();
            parents.retain(|(before, _)| *before < at);
            // An element of a list within the element.
            if let Some((_, parent)) =
                parents.last_mut().filter(|(_, parent)| content.starts_with("- ") && !parent.ends_with("[]"))
            {
                parent.push_str("[]");
            }
            parents.push((at, name.to_owned()));
            let names: Vec<&str> = parents.iter().map(|(_, name)| name.as_str()).collect();
            self.comment(&format!("{path}[].{}", names.join(".")), indent + column);
            self.line(indent + column, &format!("#{content}"));
        }
    }

    fn comment(&mut self, path: &str, indent: usize) {
        if self.seen.iter().any(|seen| seen == path) {
            return;
        }
        self.seen.push(path.to_owned());
        let text =
            settings::find(path).map(with_words).or_else(|| settings::section_doc(path).map(str::to_owned));
        if let Some(text) = text {
            self.wrapped(&text, indent);
        }
    }

    fn wrapped(&mut self, text: &str, indent: usize) {
        let mut current = String::from("#");
        for word in text.split(' ') {
            if indent + current.chars().count() + 1 + word.chars().count() > WIDTH {
                self.line(indent, &current);
                current = String::from("#");
            }
            current.push(' ');
            current.push_str(word);
        }
        self.line(indent, &current);
    }

    fn line(&mut self, indent: usize, text: &str) {
        line(&mut self.text, &format!("{:indent$}{text}", ""));
    }
}

/// A default in YAML. `1.2` is quoted because other YAML parsers would read it as a number.
fn written(kind: Kind, default: &str) -> String {
    match kind {
        Kind::Word(_) if default.parse::<f64>().is_ok() => format!("\"{default}\""),
        _ => default.to_owned(),
    }
}
