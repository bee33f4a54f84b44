//! Finds related patterns in a [`PathIndex`]: those that cover a pattern, and those that overlap with it. Without the
//! index, the warnings about thousands of rules and routes would compare each with all others.

use super::PathPattern;
use super::methods::MethodSet;
use super::path_index::{Node, PathIndex, ROOT};
use super::path_pattern::Segment;

impl PathIndex {
    /// Calls `found` with the numbers of all patterns that [cover](PathPattern::covers) this one and include one of
    /// these methods.
    pub(super) fn covering<'i>(
        &'i self,
        methods: MethodSet,
        pattern: &PathPattern,
        mut found: impl FnMut(&'i [usize]),
    ) {
        if !Self::accepts(pattern) {
            return;
        }
        self.follow(pattern, false, |node, ends| {
            node.open.each(methods, &mut found);
            if ends && !pattern.open {
                node.exact.each(methods, &mut found);
            }
        });
    }

    /// Calls `found` with the numbers of all patterns that [overlap](PathPattern::overlaps) with this one and include
    /// one of these methods.
    pub(super) fn overlapping<'i>(
        &'i self,
        methods: MethodSet,
        pattern: &PathPattern,
        mut found: impl FnMut(&'i [usize]),
    ) {
        let mut below: Vec<&Node> = Vec::new();
        self.follow(pattern, true, |node, ends| {
            node.open.each(methods, &mut found);
            if ends {
                node.exact.each(methods, &mut found);
                if pattern.open {
                    below.extend(self.children(node));
                }
            }
        });
        while let Some(node) = below.pop() {
            node.open.each(methods, &mut found);
            node.exact.each(methods, &mut found);
            below.extend(self.children(node));
        }
    }

    /// Visits the nodes that the beginnings of a pattern lead to, and says which the whole pattern leads to. A literal
    /// leads to its own node and to that of `*`. `*` leads to that of `*`, and, if `any_literal`, to every literal.
    fn follow<'i>(&'i self, pattern: &PathPattern, any_literal: bool, mut visit: impl FnMut(&'i Node, bool)) {
        let mut later = vec![(ROOT, pattern.segments.as_slice())];
        while let Some((number, segments)) = later.pop() {
            let Some(node) = self.nodes.get(number) else { continue };
            visit(node, segments.is_empty());
            let Some((segment, rest)) = segments.split_first() else { continue };
            match segment {
                Segment::Literal(text) => {
                    later.extend(node.literals.get(text.as_bytes()).map(|child| (*child, rest)));
                    // `*` does not match an empty segment.
                    later.extend(node.any.filter(|_| !text.is_empty()).map(|child| (child, rest)));
                }
                Segment::Any => {
                    later.extend(node.any.map(|child| (child, rest)));
                    let literals = node.literals.iter().filter(|(text, _)| any_literal && !text.is_empty());
                    later.extend(literals.map(|(_, child)| (*child, rest)));
                }
            }
        }
    }

    fn children<'i>(&'i self, node: &'i Node) -> impl Iterator<Item = &'i Node> {
        node.literals.values().chain(&node.any).filter_map(|child| self.nodes.get(*child))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Methods;

    /// Compares with the definitions, for every pair of these patterns.
    #[test]
    fn the_index_finds_what_comparing_each_pattern_finds() {
        let words = ["", "a", "b", "*"];
        let mut texts = vec!["/**".to_owned()];
        for one in words {
            texts.push(format!("/{one}"));
            texts.push(format!("/{one}/**"));
            for two in words {
                texts.push(format!("/{one}/{two}"));
                texts.push(format!("/{one}/{two}/**"));
            }
        }
        let patterns: Vec<_> = texts.iter().map(|text| PathPattern::parse(text).unwrap()).collect();
        let mut index = PathIndex::default();
        let any = Methods::default();
        patterns.iter().enumerate().for_each(|(number, pattern)| index.insert(pattern, &any, number));
        let numbers = |holds: &dyn Fn(&PathPattern) -> bool| {
            (0..patterns.len()).filter(|number| holds(&patterns[*number])).collect::<Vec<_>>()
        };
        for pattern in &patterns {
            let (mut covering, mut overlapping) = (Vec::<usize>::new(), Vec::<usize>::new());
            index.covering(any.set(), pattern, |numbers| covering.extend(numbers));
            index.overlapping(any.set(), pattern, |numbers| overlapping.extend(numbers));
            for found in [&mut covering, &mut overlapping] {
                found.sort_unstable();
            }
            assert_eq!(covering, numbers(&|other| other.covers(pattern)), "{pattern}");
            assert_eq!(overlapping, numbers(&|other| other.overlaps(pattern)), "{pattern}");
        }
    }
}
