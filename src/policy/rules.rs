//! The rules, indexed by what they match.

use std::collections::HashMap;
use std::fmt;
use std::ops::Deref;
use std::slice;
use std::sync::Arc;

use http::Method;

use super::methods::MethodSet;
use super::path_index::{Ascending, Numbers, PathIndex};
use super::{Expression, Methods, Rule};

/// The rules in order: the first that matches decides. Cheap to clone.
///
/// Everything that a decision needs to know about all rules is computed here, once: which rules a method, host and path
/// select, which parameters rules name, and whether any is about GraphQL.
#[derive(Clone, Default)]
pub struct Rules(Arc<Indexed>);

#[derive(Default)]
struct Indexed {
    rules: Vec<Rule>,
    /// Rules about every host.
    any_host: HostRules,
    /// Rules about some hosts, by host in lower case.
    by_host: HashMap<Box<str>, HostRules>,
    /// Every parameter that a rule names, with its place in the order of first mention.
    parameters: HashMap<Box<str>, usize>,
    graphql: GraphqlRules,
}

/// The rules about one host, by path.
#[derive(Default)]
struct HostRules {
    by_path: PathIndex,
    /// Rules without paths. They match every path.
    any_path: Numbers,
    /// Rules with a path that the index cannot hold: compared with every path. Rules of a configuration have none.
    others: Vec<usize>,
}

/// What the rules ask about GraphQL.
#[derive(Default)]
struct GraphqlRules {
    /// Whether a rule asks for the operation.
    any: bool,
    /// Whether a rule asks for its fields.
    fields: bool,
}

impl Rules {
    /// Replaces the list by a changed one.
    pub fn change(&mut self, change: impl FnOnce(&mut Vec<Rule>)) {
        let mut rules = self.to_vec();
        change(&mut rules);
        *self = rules.into();
    }

    /// The indexes of the rules about this method, host and reading of a path, in order. The host is in lower case. Of
    /// [`Matching`](super::Matching), the issuers, the query and GraphQL remain to be compared.
    pub fn selected<'r>(
        &'r self,
        method: &Method,
        host: &str,
        path: &[u8],
    ) -> impl Iterator<Item = usize> + use<'r> {
        let method = MethodSet::of(method);
        let mut selected = Ascending::default();
        for rules in [Some(&self.0.any_host), self.0.of_host(host)].into_iter().flatten() {
            rules.any_path.each(method, &mut |list| selected.add(list));
            rules.by_path.find(method, path, |list| selected.add(list));
            let matches = |number: &&usize| {
                self.get(**number).map(|rule| &rule.matching).is_some_and(|matching| {
                    matching.methods.set().meets(method)
                        && matching.paths.iter().any(|pattern| pattern.matches(path))
                })
            };
            rules.others.iter().filter(matches).for_each(|number| selected.add(slice::from_ref(number)));
        }
        selected.sorted()
    }

    /// A parameter that rules name, with its place in the order in which they first name parameters.
    pub fn parameter(&self, name: &str) -> Option<(usize, &str)> {
        self.0.parameters.get_key_value(name).map(|(name, place)| (*place, &**name))
    }

    /// Whether any rule names a parameter of the query.
    pub fn name_parameters(&self) -> bool {
        !self.0.parameters.is_empty()
    }

    /// Whether any rule asks which GraphQL operation a request is.
    pub fn ask_for_graphql(&self) -> bool {
        self.0.graphql.any
    }

    /// Whether any rule asks which fields a GraphQL operation selects.
    pub fn ask_for_fields(&self) -> bool {
        self.0.graphql.fields
    }
}

impl Rule {
    /// Whether the rule asks which GraphQL operation a request is.
    pub fn asks_for_graphql(&self) -> bool {
        self.matching.graphql.is_some() || self.when.as_ref().is_some_and(Expression::asks_graphql)
    }
}

impl Indexed {
    fn of_host(&self, host: &str) -> Option<&HostRules> {
        // Most policies have no rules about hosts; then the host is not hashed.
        if self.by_host.is_empty() { None } else { self.by_host.get(host) }
    }

    fn add(&mut self, number: usize, rule: &Rule) {
        let matching = &rule.matching;
        if matching.hosts.is_empty() {
            self.any_host.add(number, rule);
        }
        for host in &matching.hosts {
            self.by_host.entry(host.to_ascii_lowercase().into()).or_default().add(number, rule);
        }
        for (name, _) in &matching.query {
            let next = self.parameters.len();
            self.parameters.entry(name.clone()).or_insert(next);
        }
        let fields = matching.graphql.as_ref().is_some_and(|graphql| !graphql.fields.is_empty());
        self.graphql.fields |= fields;
        self.graphql.any |= rule.asks_for_graphql();
    }
}

impl HostRules {
    fn add(&mut self, number: usize, rule: &Rule) {
        let (methods, paths): (&Methods, _) = (&rule.matching.methods, &rule.matching.paths);
        if paths.is_empty() {
            self.any_path.insert(methods.set(), number);
        } else if paths.iter().all(PathIndex::accepts) {
            paths.iter().for_each(|path| self.by_path.insert(path, methods, number));
        } else {
            self.others.push(number);
        }
    }
}

impl From<Vec<Rule>> for Rules {
    fn from(rules: Vec<Rule>) -> Self {
        let mut indexed = Indexed::default();
        rules.iter().enumerate().for_each(|(number, rule)| indexed.add(number, rule));
        Self(Arc::new(Indexed { rules, ..indexed }))
    }
}

impl Deref for Rules {
    type Target = [Rule];

    fn deref(&self) -> &[Rule] {
        &self.0.rules
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.rules.fmt(f)
    }
}

#[cfg(test)]
mod tests;
