//! The interpretations of one request.
//!
//! A path may have several readings, a parameter may be repeated, and a GraphQL request may select several
//! fields. A rule about one of them must neither miss it nor allow the others with it. So every combination
//! is an interpretation of the request, and each is evaluated as if it were the only one.

use std::borrow::Cow;

use crate::policy::{Expression, Policy};
use crate::request::{Graphql, GraphqlOperation, RequestFacts, parameters};

/// The most combinations of values of the parameters that rules name.
const MAX_COMBINATIONS: usize = 16;

/// The most interpretations of one request. The parts multiply: 2 KiB of GraphQL, a path with parameters and
/// a query can have a million, and every rule is evaluated for each.
const MAX_INTERPRETATIONS: usize = 4096;

/// One way to read a request.
pub(in crate::decision) struct Interpretation<'v> {
    pub(super) indexes: PartIndexes,
    pub(in crate::decision) path: &'v [u8],
    /// The parameters that rules name, each name once; `None` if the query cannot be decoded.
    pub(super) parameters: Option<&'v [(&'v str, Cow<'v, str>)]>,
    pub(super) operation: RequestedOperation<'v>,
}

/// The indexes of an interpretation's parts, so that a rule is evaluated once for each part and not once for
/// each combination.
#[derive(Clone, Copy)]
pub(super) struct PartIndexes {
    pub(super) path: usize,
    pub(super) parameters: usize,
    pub(super) operation: usize,
}

/// What the request asks of a GraphQL endpoint.
#[derive(Clone, Copy)]
pub(super) enum RequestedOperation<'v> {
    /// No rule is about GraphQL.
    Nothing,
    /// An operation, and one of its top-level fields.
    Operation(&'v GraphqlOperation, &'v str),
    /// The operations are unknown, and why.
    Unreadable(&'static str),
}

/// The parameters that rules name; `None` if the query cannot be decoded.
type Parameters<'v> = Option<Vec<(&'v str, Cow<'v, str>)>>;

/// All interpretations of a request.
pub(in crate::decision) struct Interpretations<'v> {
    paths: usize,
    /// Usually a single empty combination.
    parameters: Vec<Parameters<'v>>,
    operations: Vec<RequestedOperation<'v>>,
}

impl<'v> Interpretations<'v> {
    /// # Errors
    /// There are too many. No legitimate client needs that many.
    pub(in crate::decision) fn of(policy: &'v Policy, facts: &'v RequestFacts) -> Result<Self, &'static str> {
        let interpretations = Self {
            paths: facts.path.all().count(),
            parameters: combinations(policy, facts)?,
            operations: operations(policy, facts),
        };
        if interpretations.len() > MAX_INTERPRETATIONS {
            return Err("it can be read in too many ways");
        }
        Ok(interpretations)
    }

    fn len(&self) -> usize {
        self.paths.saturating_mul(self.parameters.len()).saturating_mul(self.operations.len())
    }

    /// The number of each part; zero for a single interpretation, which evaluates nothing twice.
    pub(super) fn parts(&self) -> PartIndexes {
        match self.len() {
            0 | 1 => PartIndexes { path: 0, parameters: 0, operation: 0 },
            _ => PartIndexes {
                path: self.paths,
                parameters: self.parameters.len(),
                operation: self.operations.len(),
            },
        }
    }

    pub(in crate::decision) fn all<'a>(
        &'a self,
        facts: &'a RequestFacts,
    ) -> impl Iterator<Item = Interpretation<'a>> {
        facts.path.all().enumerate().flat_map(move |(at_path, path)| {
            self.parameters.iter().enumerate().flat_map(move |(at_parameters, parameters)| {
                let parameters = parameters.as_deref();
                self.operations.iter().enumerate().map(move |(at_operation, operation)| {
                    let indexes =
                        PartIndexes { path: at_path, parameters: at_parameters, operation: at_operation };
                    Interpretation { indexes, path, parameters, operation: *operation }
                })
            })
        })
    }
}

/// Every combination of one value for each parameter that a rule names.
fn combinations<'v>(
    policy: &'v Policy,
    facts: &'v RequestFacts,
) -> Result<Vec<Parameters<'v>>, &'static str> {
    const TOO_MANY: &str = "query: too many values of parameters that rules ask for";
    let mut combinations = vec![Vec::new()];
    let query = facts.path.path_and_query().query().unwrap_or_default();
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in policy.rules.iter().flat_map(|rule| &rule.matching.query) {
        if !query.is_empty() && !names.contains(&&**name) {
            names.push(name);
        }
    }
    if names.is_empty() {
        return Ok(vec![Some(Vec::new())]);
    }
    let Some(all) = parameters(query) else { return Ok(vec![None]) };
    for name in names {
        let mut values: Vec<Option<&Cow<'_, str>>> = Vec::new();
        for (_, value) in all.iter().filter(|(key, _)| key == name) {
            if !values.contains(&Some(value)) {
                values.push(Some(value));
            }
            // Checked inside the loop: a query has room for thousands, each compared with the others.
            if values.len() > MAX_COMBINATIONS {
                return Err(TOO_MANY);
            }
        }
        // The parameter may be absent: always, or for a server that does not split at `;`.
        if values.is_empty() || query.contains(';') {
            values.push(None);
        }
        let with = |value: Option<&Cow<'v, str>>, others: &[(&'v str, Cow<'v, str>)]| {
            others.iter().cloned().chain(value.map(|value| (name, value.clone()))).collect::<Vec<_>>()
        };
        combinations = combinations
            .iter()
            .flat_map(|others| values.iter().map(move |value| with(*value, others)))
            .take(MAX_COMBINATIONS + 1)
            .collect();
        if combinations.len() > MAX_COMBINATIONS {
            return Err(TOO_MANY);
        }
    }
    Ok(combinations.into_iter().map(Some).collect())
}

fn operations<'v>(policy: &Policy, facts: &'v RequestFacts) -> Vec<RequestedOperation<'v>> {
    let by_field = policy
        .rules
        .iter()
        .any(|rule| rule.matching.graphql.as_ref().is_some_and(|graphql| !graphql.fields.is_empty()));
    let at_all = by_field
        || policy.rules.iter().any(|rule| {
            rule.matching.graphql.is_some() || rule.when.as_ref().is_some_and(Expression::asks_graphql)
        });
    match &facts.graphql {
        _ if !at_all => vec![RequestedOperation::Nothing],
        None => vec![RequestedOperation::Unreadable("graphql: the body was not read")],
        Some(Graphql::Unreadable(why)) => vec![RequestedOperation::Unreadable(why)],
        Some(Graphql::Operations(operations)) => operations
            .iter()
            .flat_map(|operation| {
                let fields = operation.fields.iter().take(if by_field { usize::MAX } else { 1 });
                fields.map(move |field| RequestedOperation::Operation(operation, field))
            })
            .collect(),
    }
}
