//! What one request may come to.
//!
//! A path has several readings, a parameter may be there twice, a GraphQL request asks for several
//! fields. A rule about one of them must neither miss it nor let the others through with it: every
//! combination is an interpretation of the request, and each is judged as if it were the only one.

use std::borrow::Cow;

use crate::policy::{Expression, Policy};
use crate::request::{Graphql, GraphqlOperation, RequestFacts, parameters};

/// The most combinations of parameters that rules ask for.
const MAX_COMBINATIONS: usize = 16;

/// The most interpretations of one request. Its parts multiply: 2 KiB of GraphQL, a path with parameters and
/// a query can have a million, and every rule is asked for each.
const MAX_INTERPRETATIONS: usize = 4096;

/// One way to read a request.
pub(in crate::decision) struct Interpretation<'v> {
    /// Which of the paths, of the combinations of parameters and of what is asked it has.
    pub(super) place: PartIndexes,
    pub(in crate::decision) path: &'v [u8],
    /// The parameters that rules ask for, each name once; `None` where they cannot be told.
    pub(super) parameters: Option<&'v [(&'v str, Cow<'v, str>)]>,
    pub(super) asked: RequestedOperation<'v>,
}

/// The parts of an interpretation by their places, so that a rule is held against each part once and not once
/// for every combination.
#[derive(Clone, Copy)]
pub(super) struct PartIndexes {
    pub(super) path: usize,
    pub(super) parameters: usize,
    pub(super) asked: usize,
}

/// What it asks of a GraphQL endpoint.
#[derive(Clone, Copy)]
pub(super) enum RequestedOperation<'v> {
    /// No rule wants to know.
    Nothing,
    /// An operation, and one of the fields at its top.
    Operation(&'v GraphqlOperation, &'v str),
    /// It cannot be told, and why.
    Unreadable(&'static str),
}

/// Parameters that rules ask for; `None` where they cannot be told.
type Parameters<'v> = Option<Vec<(&'v str, Cow<'v, str>)>>;

/// All ways to read a request.
pub(in crate::decision) struct Interpretations<'v> {
    paths: usize,
    /// Mostly one that is empty.
    parameters: Vec<Parameters<'v>>,
    asked: Vec<RequestedOperation<'v>>,
}

impl<'v> Interpretations<'v> {
    /// # Errors
    /// There are too many, which no client has a reason for.
    pub(in crate::decision) fn of(policy: &'v Policy, facts: &'v RequestFacts) -> Result<Self, &'static str> {
        let interpretations = Self {
            paths: facts.path.all().count(),
            parameters: combinations(policy, facts)?,
            asked: asked(policy, facts),
        };
        match interpretations.len() <= MAX_INTERPRETATIONS {
            true => Ok(interpretations),
            false => Err("it can be read in too many ways"),
        }
    }

    fn len(&self) -> usize {
        self.paths.saturating_mul(self.parameters.len()).saturating_mul(self.asked.len())
    }

    /// How many there are of each part; none where there is a single interpretation: nothing is asked twice.
    pub(super) fn parts(&self) -> PartIndexes {
        match self.len() {
            0 | 1 => PartIndexes { path: 0, parameters: 0, asked: 0 },
            _ => PartIndexes { path: self.paths, parameters: self.parameters.len(), asked: self.asked.len() },
        }
    }

    pub(in crate::decision) fn all<'a>(
        &'a self,
        facts: &'a RequestFacts,
    ) -> impl Iterator<Item = Interpretation<'a>> {
        facts.path.all().enumerate().flat_map(move |(at_path, path)| {
            self.parameters.iter().enumerate().flat_map(move |(at_parameters, parameters)| {
                let parameters = parameters.as_deref();
                self.asked.iter().enumerate().map(move |(at_asked, asked)| {
                    let place = PartIndexes { path: at_path, parameters: at_parameters, asked: at_asked };
                    Interpretation { place, path, parameters, asked: *asked }
                })
            })
        })
    }
}

/// For each parameter that a rule names one of its values, in every combination.
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
        for (_, value) in all.iter().filter(|(own, _)| own == name) {
            if !values.contains(&Some(value)) {
                values.push(Some(value));
            }
            // Here and not at the end: a query has room for thousands, each compared with the others.
            if values.len() > MAX_COMBINATIONS {
                return Err(TOO_MANY);
            }
        }
        // Not there at all: for a server that does not split at `;`, or always.
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

fn asked<'v>(policy: &Policy, facts: &'v RequestFacts) -> Vec<RequestedOperation<'v>> {
    let by_field = policy
        .rules
        .iter()
        .any(|rule| rule.matching.graphql.as_ref().is_some_and(|own| !own.fields.is_empty()));
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
