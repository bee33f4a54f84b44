//! YAML as a small tree of nodes with positions.
//!
//! Scalars keep their text: the table of keys, not YAML, decides whether `007`, `no` or `1.50` is a number. YAML
//! features that a configuration does not need (tags, several documents) are refused with an error that names them.
//! Aliases are expanded while reading and count towards the same limits as other text. So does the copy that is kept of
//! an anchored value.

mod yaml_help;

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, ScalarStyle, StrInput};

/// The maximum length of a text: 20,000 rules of 200 bytes.
pub(super) const MAX_BYTES: usize = 4 * 1024 * 1024;
/// The maximum nesting of lists and maps.
const MAX_DEPTH: usize = 32;
/// The maximum number of values of all kinds: 20,000 rules of 12 values. Each takes about a hundred bytes.
const MAX_NODES: usize = 250_000;
/// The maximum text that anchors and aliases may add.
const MAX_ALIAS_BYTES: usize = MAX_BYTES;

/// A place in a text; both numbers count from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The line.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
}

impl Position {
    /// The beginning of a text.
    pub const START: Self = Self { line: 1, column: 1 };

    fn of(marker: &Marker) -> Self {
        Self { line: marker.line().max(1), column: marker.col() + 1 }
    }
}

/// A value and where it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Where it begins.
    pub at: Position,
    /// Its content.
    pub value: Value,
}

/// The content of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// An absent value, `~`, or `null` without quotes.
    Null,
    /// Any other scalar.
    Scalar {
        /// Its text with escapes resolved.
        text: String,
        /// Whether it was written in quotes or as a block scalar.
        quoted: bool,
    },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order of the text.
    Map(Vec<Entry>),
}

/// One key of a map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where it is written.
    pub key_at: Position,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// A scalar as a map with this single key; `None` for any other value.
    pub(super) fn as_member(&self, key: &str) -> Option<Self> {
        let is_scalar = matches!(self.value, Value::Scalar { .. });
        let entry = || Entry { key: key.to_owned(), key_at: self.at, node: self.clone() };
        is_scalar.then(|| Self { at: self.at, value: Value::Map(vec![entry()]) })
    }

    /// A quoted scalar.
    pub fn text(text: impl Into<String>, at: Position) -> Self {
        Self { at, value: Value::Scalar { text: text.into(), quoted: true } }
    }

    /// The value of `key`, if this is a map that contains it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key).map(|entry| &entry.node),
            _ => None,
        }
    }

    /// Converts to JSON. Here YAML's types apply to scalars without quotes: a number in JSON's syntax is a number,
    /// `true` and `false` are booleans, everything else is text.
    pub fn json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Scalar { text, quoted: false } => match text.as_str() {
                "true" | "True" | "TRUE" => true.into(),
                "false" | "False" | "FALSE" => false.into(),
                _ => {
                    let number = text.parse::<serde_json::Number>();
                    number.map_or_else(|_| text.as_str().into(), serde_json::Value::Number)
                }
            },
            Value::Scalar { text, quoted: true } => text.as_str().into(),
            Value::List(items) => items.iter().map(Self::json).collect(),
            Value::Map(entries) => {
                let members = entries.iter().map(|entry| (entry.key.clone(), entry.node.json()));
                serde_json::Value::Object(members.collect())
            }
        }
    }

    /// The kind of this node for messages.
    pub const fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "nothing",
            Value::Scalar { .. } => "a single value",
            Value::List(_) => "a list",
            Value::Map(_) => "a map",
        }
    }
}

/// A problem in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where it is.
    pub at: Position,
    /// What is wrong.
    pub message: String,
    /// How to fix it.
    pub help: Option<String>,
}

/// The result of reading a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The tree, without second values of a duplicate key; `Null` if reading had to stop.
    pub root: Node,
    /// All problems in the text.
    pub problems: Vec<Problem>,
    /// Whether the whole text was read.
    pub complete: bool,
}

/// Reads one YAML document. Never panics, whatever the text.
pub fn parse(text: &str) -> Document {
    let mut problems = Vec::new();
    match Reader::new(text, &mut problems).document() {
        Ok(root) => Document { root, problems, complete: true },
        Err(problem) => {
            problems.push(problem);
            let root = Node { at: Position::START, value: Value::Null };
            Document { root, problems, complete: false }
        }
    }
}

struct Reader<'a> {
    text: &'a str,
    parser: Parser<'a, StrInput<'a>>,
    text_bytes: usize,
    nodes: usize,
    alias_bytes: usize,
    anchors: HashMap<usize, (Node, Size)>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, problems: &'a mut Vec<Problem>) -> Self {
        // The parser's own limits are higher than ours, so that our limits produce the message.
        let options = granit_parser::options! {
            emit_comments: false,
            flow_nesting_limit: MAX_DEPTH + 8,
            block_nesting_limit: MAX_DEPTH + 8,
        };
        let text_bytes = text.len();
        let text = if text_bytes > MAX_BYTES { "" } else { text };
        let parser = Parser::new_from_str_with_options(text, options);
        Self { text, parser, text_bytes, nodes: 0, alias_bytes: 0, anchors: HashMap::new(), problems }
    }

    fn document(mut self) -> Result<Node, Problem> {
        if self.text_bytes > MAX_BYTES {
            let message = format!("the text is longer than {} KiB", MAX_BYTES / 1024);
            return Err(problem(Position::START, message));
        }
        let mut root = None;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentEnd => {}
                Event::DocumentStart(..) if root.is_some() => {
                    let help = Some("take the `---` out, or write two files and name both".to_owned());
                    let message = "a second document; a configuration is one document";
                    return Err(Problem { help, ..problem(at, message) });
                }
                Event::DocumentStart(..) => {
                    let (event, at) = self.next()?;
                    root = Some(self.node(event, at, 0)?);
                }
                _ => return Err(problem(at, "this is not YAML")),
            }
        }
        Ok(root.unwrap_or(Node { at: Position::START, value: Value::Null }))
    }

    fn next(&mut self) -> Result<(Event<'a>, Position), Problem> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, Position::of(&span.start))),
            Some(Err(error)) => {
                let at = Position::of(error.marker());
                let help = yaml_help::of(self.text, at, &error.info());
                Err(Problem { help, ..problem(at, format!("not YAML: {}", error.info())) })
            }
            None => Ok((Event::StreamEnd, Position::START)),
        }
    }

    fn node(&mut self, event: Event<'a>, at: Position, depth: usize) -> Result<Node, Problem> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(problem(at, format!("more than {MAX_NODES} values")));
        }
        if depth > MAX_DEPTH {
            return Err(problem(at, format!("nested deeper than {MAX_DEPTH} levels")));
        }
        refuse_tag(&event, at)?;
        let (value, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar(&text, style), anchor),
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, at, depth),
            _ => return Err(problem(at, "this is not YAML")),
        };
        let node = Node { at, value };
        if anchor != 0 {
            // Anchors may be nested, so their copies may be many times the text.
            let size = Size::of(&node);
            self.count_copy(&size, at, depth)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    /// A copy of the anchored node, counted as if it were written here.
    fn alias(&mut self, anchor: usize, at: Position, depth: usize) -> Result<Node, Problem> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(problem(at, "the alias refers to a value that contains it"));
        };
        let (size, node) = (*size, node.clone());
        self.count_copy(&size, at, depth)?;
        Ok(node)
    }

    fn count_copy(&mut self, size: &Size, at: Position, depth: usize) -> Result<(), Problem> {
        self.nodes += size.nodes;
        self.alias_bytes += size.bytes;
        if self.nodes > MAX_NODES || self.alias_bytes > MAX_ALIAS_BYTES || depth + size.depth > MAX_DEPTH {
            return Err(problem(at, "aliases make the text too long or too deep"));
        }
        Ok(())
    }

    fn list(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Value::List(items)),
                (event, at) => items.push(self.node(event, at, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Problem> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut lines = HashMap::new();
        loop {
            let (event, key_at) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(entries));
            }
            refuse_tag(&event, key_at)?;
            let Event::Scalar(key, ..) = event else {
                let help = yaml_help::of(self.text, key_at, "");
                return Err(Problem { help, ..problem(key_at, "a key must be a single word") });
            };
            let key = key.into_owned();
            let (event, at) = self.next()?;
            let node = self.node(event, at, depth + 1)?;
            if let Some(first) = lines.insert(key.clone(), key_at.line) {
                let help = yaml_help::of_second(&key, first, &node);
                let message = format!("`{key}` is written twice, first in line {first}");
                self.problems.push(Problem { help, ..problem(key_at, message) });
                lines.insert(key, first);
                continue;
            }
            entries.push(Entry { key, key_at, node });
        }
    }
}

/// The size of a node that an alias repeats.
#[derive(Clone, Copy)]
struct Size {
    nodes: usize,
    bytes: usize,
    depth: usize,
}

impl Size {
    fn of(node: &Node) -> Self {
        let mut size = Self { nodes: 1, bytes: 0, depth: 0 };
        let mut add = |key: &str, node: &Node| {
            let below = Self::of(node);
            size.nodes += below.nodes;
            size.bytes += below.bytes + key.len();
            size.depth = size.depth.max(below.depth + 1);
        };
        match &node.value {
            Value::Null => {}
            Value::Scalar { text, .. } => size.bytes = text.len(),
            Value::List(items) => items.iter().for_each(|item| add("", item)),
            Value::Map(entries) => entries.iter().for_each(|entry| add(&entry.key, &entry.node)),
        }
        size
    }
}

/// Refuses tags, because a tag could change the meaning of a text.
fn refuse_tag(event: &Event<'_>, at: Position) -> Result<(), Problem> {
    let tag = match event {
        Event::Scalar(.., tag) | Event::SequenceStart(.., tag) | Event::MappingStart(.., tag) => {
            tag.is_some()
        }
        _ => false,
    };
    match tag {
        true => Err(problem(at, "YAML tags are not supported; quote the value if it begins with `!`")),
        false => Ok(()),
    }
}

fn scalar(text: &str, style: ScalarStyle) -> Value {
    let plain = style == ScalarStyle::Plain;
    match text {
        "" | "~" | "null" | "Null" | "NULL" if plain => Value::Null,
        _ => Value::Scalar { text: text.to_owned(), quoted: !plain },
    }
}

fn problem(at: Position, message: impl Into<String>) -> Problem {
    Problem { at, message: message.into(), help: None }
}
