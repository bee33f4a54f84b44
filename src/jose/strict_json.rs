//! Strict JSON for tokens and keys: one object, no duplicate members at any depth, bounded depth.
//!
//! RFC 7515 section 4 and RFC 7519 section 4 allow a parser to use the last of two members with
//! the same name. The backend may use the first, so duplicates are refused.
//!
//! A whole object is kept in three lists. Most claims of a token are never read, so they should not cost an
//! allocation each.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Number;

mod builder;

/// A JSON object without duplicate members. Its `Debug` output does not contain them.
#[derive(Clone)]
pub struct JsonObject {
    /// All names and strings, one after the other.
    text: String,
    /// Every value. The value of a member follows its name. The first is the object itself.
    nodes: Vec<Node>,
    /// The values in each array and the names in each object, as indexes of nodes. Names are sorted by [`by_name`].
    children: Vec<u32>,
}

/// A value, or the name of a member.
#[derive(Clone, Debug)]
enum Node {
    Null,
    Bool(bool),
    Number(Number),
    /// A part of [`JsonObject::text`].
    String(Span),
    /// A part of [`JsonObject::children`].
    Array(Span),
    /// A part of [`JsonObject::children`].
    Object(Span),
}

#[derive(Clone, Copy, Debug)]
struct Span {
    start: u32,
    len: u32,
}

impl Span {
    fn range(self) -> std::ops::Range<usize> {
        let start = self.start as usize;
        start..start + self.len as usize
    }
}

/// A value in a [`JsonObject`].
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "the names are those of RFC 8259 section 3")]
pub enum JsonValue<'a> {
    Null,
    Bool(bool),
    Number(&'a Number),
    String(&'a str),
    Array(JsonArray<'a>),
    Object(JsonMembers<'a>),
}

/// The items of an array.
#[derive(Clone, Copy)]
pub struct JsonArray<'a> {
    object: &'a JsonObject,
    items: &'a [u32],
}

/// The members of an object.
#[derive(Clone, Copy)]
pub struct JsonMembers<'a> {
    object: &'a JsonObject,
    names: &'a [u32],
}

impl JsonObject {
    /// Parses one JSON object from UTF-8 text with nothing after it.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        builder::parse(text)
    }

    /// Its members.
    pub fn members(&self) -> JsonMembers<'_> {
        match self.value(0) {
            JsonValue::Object(members) => members,
            _ => JsonMembers { object: self, names: &[] },
        }
    }

    /// The value of a member.
    pub fn get(&self, name: &str) -> Option<JsonValue<'_>> {
        self.members().get(name)
    }

    /// The value of the member with this name in any ASCII case. At most one has it, unless there are
    /// case twins.
    pub fn get_ignoring_case(&self, name: &str) -> Option<JsonValue<'_>> {
        let members = self.members();
        let found = members.names.binary_search_by(|at| ignoring_case(self.name(*at), name));
        members.value(found.ok()?)
    }

    /// Whether two members have names that differ only in ASCII case. OpenMetadata ignores the case of claim names,
    /// so it could read either of them.
    pub(super) fn has_case_twins(&self) -> bool {
        let is_pair = |pair: &[u32]| match pair {
            [one, other] => ignoring_case(self.name(*one), self.name(*other)).is_eq(),
            _ => false,
        };
        self.members().names.windows(2).any(is_pair)
    }

    /// The sizes of its allocations in bytes.
    pub fn allocations(&self) -> [usize; 3] {
        let (nodes, children) = (size_of::<Node>(), size_of::<u32>());
        [self.text.capacity(), self.nodes.capacity() * nodes, self.children.capacity() * children]
    }

    fn value(&self, at: u32) -> JsonValue<'_> {
        match self.nodes.get(at as usize) {
            None | Some(Node::Null) => JsonValue::Null,
            Some(Node::Bool(value)) => JsonValue::Bool(*value),
            Some(Node::Number(number)) => JsonValue::Number(number),
            Some(Node::String(span)) => JsonValue::String(self.string(*span)),
            Some(Node::Array(span)) => {
                JsonValue::Array(JsonArray { object: self, items: self.children(*span) })
            }
            Some(Node::Object(span)) => {
                JsonValue::Object(JsonMembers { object: self, names: self.children(*span) })
            }
        }
    }

    fn name(&self, at: u32) -> &str {
        match self.nodes.get(at as usize) {
            Some(Node::String(span)) => self.string(*span),
            _ => "",
        }
    }

    fn string(&self, span: Span) -> &str {
        self.text.get(span.range()).unwrap_or_default()
    }

    fn children(&self, span: Span) -> &[u32] {
        self.children.get(span.range()).unwrap_or_default()
    }
}

/// Without names and values: they are a part of a token.
impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonObject").field("members", &self.members().len()).finish_non_exhaustive()
    }
}

impl<'a> JsonValue<'a> {
    /// The text of a string.
    pub fn as_str(self) -> Option<&'a str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is `null`.
    pub fn is_null(self) -> bool {
        matches!(self, Self::Null)
    }
}

impl<'a> JsonArray<'a> {
    /// The items in their order.
    pub fn iter(self) -> impl ExactSizeIterator<Item = JsonValue<'a>> {
        self.items.iter().map(move |at| self.object.value(*at))
    }
}

impl fmt::Debug for JsonArray<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonArray").field("items", &self.items.len()).finish_non_exhaustive()
    }
}

impl<'a> JsonMembers<'a> {
    /// The value of a member.
    pub fn get(self, name: &str) -> Option<JsonValue<'a>> {
        let found = self.names.binary_search_by(|at| by_name(self.object.name(*at), name));
        self.value(found.ok()?)
    }

    /// How many there are.
    pub fn len(self) -> usize {
        self.names.len()
    }

    /// Whether there are none.
    pub fn is_empty(self) -> bool {
        self.names.is_empty()
    }

    /// Their names and values.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'a str, JsonValue<'a>)> + Clone {
        self.names.iter().map(move |at| (self.object.name(*at), self.object.value(at.saturating_add(1))))
    }

    fn value(self, index: usize) -> Option<JsonValue<'a>> {
        self.names.get(index).map(|at| self.object.value(at.saturating_add(1)))
    }
}

impl fmt::Debug for JsonMembers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JsonMembers").field("len", &self.names.len()).finish_non_exhaustive()
    }
}

/// The order of members: names that differ only in case are neighbours, and no two are equal.
fn by_name(one: &str, other: &str) -> Ordering {
    ignoring_case(one, other).then_with(|| one.cmp(other))
}

/// Shorter names first: most comparisons then need only the lengths.
fn ignoring_case(one: &str, other: &str) -> Ordering {
    let lower = |byte: u8| byte.to_ascii_lowercase();
    one.len().cmp(&other.len()).then_with(|| one.bytes().map(lower).cmp(other.bytes().map(lower)))
}

#[cfg(test)]
mod tests;
