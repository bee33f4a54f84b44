//! Rules that never decide, because an earlier rule matches all of their requests.

use std::collections::HashMap;

use super::path_index::{Ascending, Numbers, PathIndex};
use super::{Matching, Rule};

/// For each rule, the first earlier rule that covers it: see [`Matching::covers`]. Only rules that `decide` count.
pub fn shadows(rules: &[Rule], decide: impl Fn(&Rule) -> bool) -> Vec<Option<usize>> {
    let mut earlier = Earlier::default();
    let mut shadows = Vec::with_capacity(rules.len());
    for (number, rule) in rules.iter().enumerate() {
        let covers =
            |other: &usize| rules.get(*other).is_some_and(|other| other.matching.covers(&rule.matching));
        shadows.push(earlier.candidates(&rule.matching).find(covers));
        if decide(rule) {
            earlier.add(number, &rule.matching);
        }
    }
    shadows
}

/// The earlier rules, by host and path.
#[derive(Default)]
struct Earlier {
    any_host: ByPath,
    by_host: HashMap<Box<str>, ByPath>,
}

#[derive(Default)]
struct ByPath {
    paths: PathIndex,
    any_path: Numbers,
}

impl Earlier {
    fn add(&mut self, number: usize, matching: &Matching) {
        if matching.hosts.is_empty() {
            self.any_host.add(number, matching);
        }
        for host in &matching.hosts {
            self.by_host.entry(host.to_ascii_lowercase().into()).or_default().add(number, matching);
        }
    }

    /// Every rule that may cover this one. A rule that covers it covers its first host and its first path.
    fn candidates(&self, matching: &Matching) -> Ascending<'_> {
        let host = matching.hosts.first().and_then(|host| self.by_host.get(&*host.to_ascii_lowercase()));
        let mut candidates = Ascending::default();
        for rules in [Some(&self.any_host), host].into_iter().flatten() {
            rules.any_path.each(matching.methods.set(), &mut |list| candidates.add(list));
            if let Some(path) = matching.paths.first() {
                rules.paths.covering(matching.methods.set(), path, |list| candidates.add(list));
            }
        }
        candidates.sorted()
    }
}

impl ByPath {
    fn add(&mut self, number: usize, matching: &Matching) {
        if matching.paths.is_empty() {
            self.any_path.insert(matching.methods.set(), number);
        }
        for path in matching.paths.iter().filter(|path| PathIndex::accepts(path)) {
            self.paths.insert(path, &matching.methods, number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{Methods, Mode, PathPattern, Verdict};

    #[test]
    fn the_first_earlier_rule_that_covers_is_found() {
        let mut rules = Vec::new();
        for (methods, paths, hosts) in [
            ("GET", &["/a/**"][..], &[][..]),
            ("*", &["/a/b", "/c"], &["a.example"]),
            ("GET", &["/a/b", "/a/c"], &[]),
            ("GET", &["/a/b", "/d"], &[]),
            ("*", &["/c"], &["A.example"]),
            ("*", &["/c"], &["a.example", "b.example"]),
            ("*", &[], &["b.example"]),
            ("HEAD", &["/a/*"], &["b.example"]),
            ("*", &[], &[]),
            ("POST", &["/x"], &["c.example"]),
            ("*", &[], &[]),
        ] {
            let matching = Matching {
                methods: Methods::parse(methods).unwrap(),
                paths: paths.iter().map(|text| PathPattern::parse(text).unwrap()).collect(),
                hosts: hosts.iter().map(|host| (*host).into()).collect(),
                ..Matching::default()
            };
            let (verdict, mode) = (Verdict::Deny, Mode::Enforce);
            rules.push(Rule { name: "rule".into(), matching, when: None, verdict, mode });
        }
        let compared = |decides: &dyn Fn(usize) -> bool| {
            let covers = |at: usize, before: usize| rules[before].matching.covers(&rules[at].matching);
            (0..rules.len())
                .map(|at| (0..at).find(|before| decides(*before) && covers(at, *before)))
                .collect::<Vec<_>>()
        };
        let expected = compared(&|_| true);
        assert_eq!(expected.iter().flatten().count(), 5, "{expected:?}");
        assert_eq!(shadows(&rules, |_| true), expected);
        let any_host = |rule: &Rule| rule.matching.hosts.is_empty();
        assert_eq!(shadows(&rules, any_host), compared(&|at| any_host(&rules[at])));
    }
}
