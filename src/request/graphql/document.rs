//! A GraphQL document: its operations, and the fields at the top of each.

use std::collections::HashMap;

use apollo_parser::Parser;
use apollo_parser::cst::{Definition, OperationDefinition, Selection, SelectionSet};

use super::MAX_OPERATIONS;

/// How deep selections and values may nest, and how many tokens there may be: a document of 64 KiB
/// has fewer, those that people write have a tenth.
const MAX_DEPTH: usize = 100;
const MAX_TOKENS: usize = 40_000;
/// The most fields at the top of one operation that differ.
const MAX_FIELDS: usize = 128;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GraphqlOperation {
    /// What it does.
    pub kind: OperationKind,
    /// Its name, where it has one.
    pub name: Option<Box<str>>,
    /// The fields at its top by their own names, not by their aliases; those in fragments too,
    /// and those that a directive may leave out. Each once, in the order of the document.
    pub fields: Vec<Box<str>>,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the words say it")]
pub enum OperationKind {
    Query,
    Mutation,
    Subscription,
}

impl OperationKind {
    /// GraphQL's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Query => "query",
            Self::Mutation => "mutation",
            Self::Subscription => "subscription",
        }
    }

    /// The kind of this word.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Query, Self::Mutation, Self::Subscription].into_iter().find(|kind| kind.as_str() == name)
    }
}

/// The operations that a server may carry out: those named `name` if there are any, else all.
/// A server refuses to choose among several (section 6.1.1); one that does not may take any.
pub(super) fn operations(text: &str, name: Option<&str>) -> Result<Vec<GraphqlOperation>, &'static str> {
    const BAD: &str = "graphql: the document cannot be parsed";
    // Servers differ in whether these end a line, and with it a comment: graphql-java took the
    // last two for line ends.
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
    let (mut found, mut fragments) = (Vec::new(), HashMap::new());
    for definition in tree.document().definitions() {
        match definition {
            Definition::OperationDefinition(operation) => found.push(operation),
            Definition::FragmentDefinition(fragment) => {
                let name = fragment.fragment_name().and_then(|name| name.name()).ok_or(BAD)?;
                let selections = fragment.selection_set().ok_or(BAD)?;
                if fragments.insert(name.text().to_string(), selections).is_some() {
                    return Err("graphql: two fragments have the same name");
                }
            }
            _ => return Err("graphql: the document defines types"),
        }
    }
    if found.len() > MAX_OPERATIONS {
        return Err("graphql: too many operations");
    }
    let mut all = found
        .iter()
        .map(|operation| read(operation, &fragments).ok_or("graphql: the fields cannot be told"))
        .collect::<Result<Vec<_>, _>>()?;
    let chosen = |operation: &GraphqlOperation| name.is_some() && operation.name.as_deref() == name;
    if all.iter().any(chosen) {
        all.retain(chosen);
    }
    if all.is_empty() { Err("graphql: the document has no operation") } else { Ok(all) }
}

fn read(
    operation: &OperationDefinition,
    fragments: &HashMap<String, SelectionSet>,
) -> Option<GraphqlOperation> {
    let kind = match operation.operation_type() {
        None => OperationKind::Query,
        Some(kind) if kind.query_token().is_some() => OperationKind::Query,
        Some(kind) if kind.mutation_token().is_some() => OperationKind::Mutation,
        Some(kind) => kind.subscription_token().map(|_| OperationKind::Subscription)?,
    };
    let fields = fields(operation.selection_set()?, fragments)?;
    let name = operation.name().map(|name| name.text().as_str().into());
    Some(GraphqlOperation { kind, name, fields })
}

/// Every field that may stand at the top. A fragment is looked into once, so cycles end.
fn fields(top: SelectionSet, fragments: &HashMap<String, SelectionSet>) -> Option<Vec<Box<str>>> {
    let mut fields: Vec<Box<str>> = Vec::new();
    let (mut waiting, mut seen) = (vec![top], Vec::new());
    while let Some(selections) = waiting.pop() {
        for selection in selections.selections() {
            match selection {
                Selection::Field(field) => {
                    let name = field.name()?;
                    let name = name.text();
                    if !fields.iter().any(|own| **own == *name.as_str()) {
                        fields.push(name.as_str().into());
                    }
                    if fields.len() > MAX_FIELDS {
                        return None;
                    }
                }
                Selection::InlineFragment(inline) => waiting.push(inline.selection_set()?),
                Selection::FragmentSpread(spread) => {
                    let name = spread.fragment_name()?.name()?.text().to_string();
                    if !seen.contains(&name) {
                        waiting.push(fragments.get(&name)?.clone());
                        seen.push(name);
                    }
                }
            }
        }
    }
    if fields.is_empty() { None } else { Some(fields) }
}
