//! The interpretations of one request.
//!
//! A path may have several readings, a parameter may be repeated, and a GraphQL request may select several
//! fields. A rule about one of them must neither miss it nor allow the others with it. So every combination
//! is an interpretation of the request, and each is evaluated as if it were the only one.

use std::borrow::Cow;

use crate::policy::{Policy, Rules};
use crate::request::{Graphql, GraphqlOperation, RequestFacts, parameters};

/// The most combinations of values of the parameters that rules name.
const MAX_COMBINATIONS: usize = 16;

/// The most interpretations of one request. The parts multiply: 2 KiB of GraphQL, a path with parameters and
/// a query can have a million, and every rule is evaluated for each.
const MAX_INTERPRETATIONS: usize = 4096;

/// The most interpretations times rules that may apply to one of them, so that one request cannot take longer the more
/// rules there are.
const MAX_EVALUATIONS: usize = 5 << 20;

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
    /// The rules for each path; `None` if there is only one interpretation.
    pub(super) selected: Option<SelectedRules>,
}

/// The rules that the method, the host and some reading of the path select.
pub(super) struct SelectedRules {
    /// Their indexes in [`Rules`], in order.
    pub(super) rules: Vec<usize>,
    /// The positions in `rules` of those that each path selects, in order.
    by_path: Vec<Vec<usize>>,
}

impl SelectedRules {
    fn of(rules: &Rules, facts: &RequestFacts) -> Self {
        let selected = |path| rules.selected(&facts.method, &facts.host, path).collect::<Vec<_>>();
        let mut by_path: Vec<_> = facts.path.all().map(selected).collect();
        let mut all = by_path.concat();
        all.sort_unstable();
        all.dedup();
        for index in by_path.iter_mut().flatten() {
            *index = all.partition_point(|other| *other < *index);
        }
        Self { rules: all, by_path }
    }

    /// The rules that a path selects: the position in [`Self::rules`] and the index in [`Rules`].
    pub(super) fn of_path(&self, path: usize) -> impl Iterator<Item = (usize, usize)> {
        let positions = self.by_path.get(path).map(Vec::as_slice).unwrap_or_default();
        positions.iter().filter_map(|position| Some((*position, *self.rules.get(*position)?)))
    }
}

impl<'v> Interpretations<'v> {
    /// # Errors
    /// There are too many. No legitimate client needs that many.
    pub(in crate::decision) fn of(policy: &'v Policy, facts: &'v RequestFacts) -> Result<Self, &'static str> {
        const TOO_MANY: &str = "it can be read in too many ways";
        let mut interpretations = Self {
            paths: facts.path.all().count(),
            parameters: combinations(&policy.rules, facts)?,
            operations: operations(&policy.rules, facts),
            selected: None,
        };
        let count = interpretations.len();
        if count > MAX_INTERPRETATIONS {
            return Err(TOO_MANY);
        }
        if count > 1 {
            let selected = SelectedRules::of(&policy.rules, facts);
            if selected.rules.len().saturating_mul(count) > MAX_EVALUATIONS {
                return Err(TOO_MANY);
            }
            interpretations.selected = Some(selected);
        }
        Ok(interpretations)
    }

    fn len(&self) -> usize {
        self.paths.saturating_mul(self.parameters.len()).saturating_mul(self.operations.len())
    }

    /// The number of each part.
    pub(super) fn parts(&self) -> PartIndexes {
        PartIndexes { path: self.paths, parameters: self.parameters.len(), operation: self.operations.len() }
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
fn combinations<'v>(rules: &'v Rules, facts: &'v RequestFacts) -> Result<Vec<Parameters<'v>>, &'static str> {
    const TOO_MANY: &str = "query: too many values of parameters that rules ask for";
    let query = facts.path.query();
    if query.is_empty() || !rules.name_parameters() {
        return Ok(vec![Some(Vec::new())]);
    }
    let Some(all) = parameters(query) else { return Ok(vec![None]) };
    let mut named: Vec<_> = all
        .into_iter()
        .filter_map(|(name, value)| rules.parameter(&name).map(|(place, name)| (place, name, value)))
        .collect();
    // Stable: the values of a parameter stay in the order of the query.
    named.sort_by_key(|(place, ..)| *place);
    let mut combinations = vec![Vec::new()];
    for same in named.chunk_by(|(one, ..), (other, ..)| one == other) {
        let Some((_, name, _)) = same.first() else { continue };
        let mut values: Vec<Option<&Cow<'_, str>>> = Vec::new();
        for (.., value) in same {
            if !values.contains(&Some(value)) {
                values.push(Some(value));
            }
            // Checked inside the loop: a query has room for thousands, each compared with the others.
            if values.len() > MAX_COMBINATIONS {
                return Err(TOO_MANY);
            }
        }
        // The parameter may be absent for a server that does not split at `;`.
        if query.contains(';') {
            values.push(None);
        }
        if combinations.len() * values.len() > MAX_COMBINATIONS {
            return Err(TOO_MANY);
        }
        combinations = multiplied(combinations, name, &values);
    }
    Ok(combinations.into_iter().map(Some).collect())
}

/// Each combination with each of these values; `None` leaves it as it is.
fn multiplied<'v>(
    combinations: Vec<Vec<(&'v str, Cow<'v, str>)>>,
    name: &'v str,
    values: &[Option<&Cow<'v, str>>],
) -> Vec<Vec<(&'v str, Cow<'v, str>)>> {
    let mut multiplied = Vec::with_capacity(combinations.len() * values.len());
    let Some((last, before)) = values.split_last() else { return combinations };
    let parameter = |value: &Option<&Cow<'v, str>>| value.map(|value| (name, value.clone()));
    for mut combination in combinations {
        for value in before {
            multiplied.push(combination.iter().cloned().chain(parameter(value)).collect());
        }
        // Usually the only value, so that a long combination is not copied for each further parameter.
        combination.extend(parameter(last));
        multiplied.push(combination);
    }
    multiplied
}

fn operations<'v>(rules: &Rules, facts: &'v RequestFacts) -> Vec<RequestedOperation<'v>> {
    match &facts.graphql {
        _ if !rules.ask_for_graphql() => vec![RequestedOperation::Nothing],
        None => vec![RequestedOperation::Unreadable("graphql: the body was not read")],
        Some(Graphql::Unreadable(why)) => vec![RequestedOperation::Unreadable(why)],
        Some(Graphql::Operations(operations)) => operations
            .iter()
            .flat_map(|operation| {
                let fields =
                    operation.fields.iter().take(if rules.ask_for_fields() { usize::MAX } else { 1 });
                fields.map(move |field| RequestedOperation::Operation(operation, field))
            })
            .collect(),
    }
}
