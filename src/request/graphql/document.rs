//! A GraphQL document: its operations, and the top-level fields of each.

use apollo_parser::Parser;
use apollo_parser::cst::{Definition, OperationDefinition};

use super::MAX_OPERATIONS;
use super::selections::{Selections, SetId, Visits};

/// How deep selections and values may nest.
const MAX_DEPTH: usize = 100;
/// The most tokens of a document. A document of 64 KiB has fewer; hand-written ones have a tenth of that.
const MAX_TOKENS: usize = 40_000;

/// One operation of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphqlOperation {
    /// Query, mutation or subscription.
    pub kind: OperationKind,
    /// Its name, if it has one.
    pub name: Option<Box<str>>,
    /// The names (not aliases) of its top-level fields, including those in fragments and those that a
    /// directive may leave out. Each once, in a fixed order.
    pub fields: Vec<Box<str>>,
}

/// The kind of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

impl OperationKind {
    /// The GraphQL keyword.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }

    /// The kind with this keyword.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Query, Self::Mutation, Self::Subscription].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The operations that a server may execute: those named `name` if there are any, else all.
/// The specification lets a server refuse to choose among several (section 6.1.1), but a lax one may execute any.
pub(super) fn operations(
    text: &str,
    name: Option<&str>,
    visits: &mut Visits,
) -> Result<Vec<GraphqlOperation>, &'static str> {
    const BAD: &str = "graphql: the document cannot be parsed";
    // Servers differ in whether these characters end a line, and with it a comment.
    // graphql-java treated the last two as line ends.
    let ambiguous = |c: char| {
        (c.is_control() && !matches!(c, '\t' | '\n' | '\r'))
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
    };
    if text.contains(ambiguous) {
        return Err("graphql: the document has characters that are read in more than one way");
    }
    let tree = Parser::new(text).recursion_limit(MAX_DEPTH).token_limit(MAX_TOKENS).parse();
    if tree.errors().next().is_some() {
        return Err(BAD);
    }
    let (mut found, mut selections) = (Vec::new(), Selections::default());
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => {
                let top = operation.selection_set().and_then(|set| selections.add(set)).ok_or(BAD)?;
                found.push((operation, top));
            }
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).ok_or(BAD)?;
                let set = fragment.selection_set().and_then(|set| selections.add(set)).ok_or(BAD)?;
                if !selections.define(name.text().as_str(), set) {
                    return Err("graphql: two fragments have the same name");
                }
            }
            _ => return Err("graphql: the document defines types"),
        }
    }
    if found.len() > MAX_OPERATIONS {
        return Err("graphql: too many operations");
    }
    visits.allow(selections.len());
    let mut all = found
        .iter()
        .map(|(operation, top)| read(operation, *top, &mut selections, visits))
        .collect::<Result<Vec<_>, _>>()?;
    let chosen = |operation: &GraphqlOperation| name.is_some() && operation.name.as_deref() == name;
    if all.iter().any(chosen) {
        all.retain(chosen);
    }
    if all.is_empty() { Err("graphql: the document has no operation") } else { Ok(all) }
}

fn read(
    operation: &OperationDefinition,
    top: SetId,
    selections: &mut Selections,
    visits: &mut Visits,
) -> Result<GraphqlOperation, &'static str> {
    const UNKNOWN: &str = "graphql: the fields cannot be told";
    let kind = match operation.operation_type() {
        None => OperationKind::Query,
        Some(kind) if kind.query_token().is_some() => OperationKind::Query,
        Some(kind) if kind.mutation_token().is_some() => OperationKind::Mutation,
        Some(kind) => kind.subscription_token().map(|_| OperationKind::Subscription).ok_or(UNKNOWN)?,
    };
    let fields = selections.fields(top, visits)?;
    let name = operation.name().map(|name| name.text().as_str().into());
    Ok(GraphqlOperation { kind, name, fields })
}
