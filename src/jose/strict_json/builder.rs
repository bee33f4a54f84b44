//! Builds an object while serde_json parses its text.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{JsonObject, Node, Span, by_name};

/// How deep objects and arrays may nest.
const MAX_DEPTH: usize = 32;

pub(super) fn parse(text: &[u8]) -> Option<JsonObject> {
    let text = str::from_utf8(text).ok()?;
    let mut builder = Builder::for_text_of(text.len());
    let mut deserializer = serde_json::Deserializer::from_str(text);
    Value { builder: &mut builder, depth: 0 }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    matches!(builder.object.nodes.first(), Some(Node::Object(_))).then_some(builder.object)
}

struct Builder {
    object: JsonObject,
    /// The children of the arrays and objects that are not complete, the innermost last.
    open: Vec<u32>,
}

impl Builder {
    fn for_text_of(bytes: usize) -> Self {
        // Enough for most claims, so that the lists seldom grow.
        let values = bytes / 12 + 4;
        Self {
            object: JsonObject {
                text: String::with_capacity(bytes),
                nodes: Vec::with_capacity(values),
                children: Vec::with_capacity(values / 2),
            },
            open: Vec::with_capacity(values / 2),
        }
    }

    fn push<E: Error>(&mut self, node: Node) -> Result<u32, E> {
        let at = index(self.object.nodes.len())?;
        self.object.nodes.push(node);
        Ok(at)
    }

    fn push_string<E: Error>(&mut self, text: &str) -> Result<u32, E> {
        let span = Span { start: index(self.object.text.len())?, len: index(text.len())? };
        self.object.text.push_str(text);
        self.push(Node::String(span))
    }

    /// Moves the open children from `first` on to those that are complete.
    fn close<E: Error>(&mut self, first: usize) -> Result<Span, E> {
        let children = &mut self.object.children;
        let start = children.len();
        children.extend(self.open.drain(first..));
        Ok(Span { start: index(start)?, len: index(children.len() - start)? })
    }

    /// Sorts the open names from `first` on. Returns whether one is repeated.
    fn sort_names(&mut self, first: usize) -> bool {
        let Self { object, open } = self;
        let Some(names) = open.get_mut(first..) else { return false };
        names.sort_unstable_by(|one, other| by_name(object.name(*one), object.name(*other)));
        names.windows(2).any(|pair| matches!(pair, [one, other] if object.name(*one) == object.name(*other)))
    }

    fn set(&mut self, at: u32, node: Node) {
        if let Some(slot) = self.object.nodes.get_mut(at as usize) {
            *slot = node;
        }
    }
}

fn index<E: Error>(at: usize) -> Result<u32, E> {
    u32::try_from(at).map_err(|_| E::custom("too long"))
}

/// Reads one value.
struct Value<'b> {
    builder: &'b mut Builder,
    depth: usize,
}

impl Value<'_> {
    fn deeper<E: Error>(&self) -> Result<usize, E> {
        if self.depth == MAX_DEPTH { Err(E::custom("nested too deeply")) } else { Ok(self.depth + 1) }
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without duplicate members")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.builder.push(Node::Bool(value)).map(drop)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.builder.push(Node::Number(value.into())).map(drop)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.builder.push(Node::Number(value.into())).map(drop)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a finite number"))?;
        self.builder.push(Node::Number(number)).map(drop)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        self.builder.push_string(value).map(drop)
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.builder.push(Node::Null).map(drop)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let builder = self.builder;
        let (at, first) = (builder.push(Node::Null)?, builder.open.len());
        loop {
            let next = index(builder.object.nodes.len())?;
            if items.next_element_seed(Value { builder: &mut *builder, depth })?.is_none() {
                break;
            }
            builder.open.push(next);
        }
        let span = builder.close(first)?;
        builder.set(at, Node::Array(span));
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let depth = self.deeper()?;
        let builder = self.builder;
        let (at, first) = (builder.push(Node::Null)?, builder.open.len());
        while let Some(name) = members.next_key_seed(Name(&mut *builder))? {
            builder.open.push(name);
            members.next_value_seed(Value { builder: &mut *builder, depth })?;
        }
        if builder.sort_names(first) {
            return Err(A::Error::custom("duplicate member"));
        }
        let span = builder.close(first)?;
        builder.set(at, Node::Object(span));
        Ok(())
    }
}

/// Reads the name of a member.
struct Name<'b>(&'b mut Builder);

impl<'de> DeserializeSeed<'de> for Name<'_> {
    type Value = u32;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<u32, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name<'_> {
    type Value = u32;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a member")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<u32, E> {
        self.0.push_string(name)
    }
}
