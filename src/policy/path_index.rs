//! Finds the patterns that match a path without comparing the path with each pattern.
//!
//! A [`PathIndex`] is a tree of path segments. A pattern is stored at the node that its segments lead to, with a
//! number for its place in the policy. A lookup follows the segments of a path, and at each node the child of that
//! segment and the child of `*`. So its cost depends on the depth of the path and of the patterns, and not on the
//! number of patterns. A level with both a literal and `*` doubles the nodes that are followed.
//!
//! The index is exact: a pattern is found if and only if [`PathPattern::matches`] and its methods include the
//! request's. It holds only patterns whose segments are compared exactly. Presets have others, which the caller
//! compares one by one.

use std::collections::HashMap;

use super::methods::MethodSet;
use super::path_pattern::Segment;
use super::{Methods, PathPattern};

/// Patterns with their methods and numbers.
#[derive(Clone, Debug)]
pub(super) struct PathIndex {
    /// The root is the first.
    pub(super) nodes: Vec<Node>,
}

/// The index of the root in [`PathIndex::nodes`].
pub(super) const ROOT: usize = 0;

/// The place that a sequence of segments leads to.
#[derive(Clone, Debug, Default)]
pub(super) struct Node {
    /// The nodes of literal segments below this one.
    pub(super) literals: HashMap<Box<[u8]>, usize>,
    /// The node of `*` below this one.
    pub(super) any: Option<usize>,
    /// Patterns that end here.
    pub(super) exact: Numbers,
    /// Patterns that end here with `/**`.
    pub(super) open: Numbers,
}

/// The numbers of patterns, in ascending order for each set of methods.
#[derive(Clone, Debug, Default)]
pub(super) struct Numbers(Vec<(MethodSet, Vec<usize>)>);

impl Default for PathIndex {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl PathIndex {
    /// Whether a pattern can be stored: its segments are compared exactly, from the start of a path.
    pub(super) fn accepts(pattern: &PathPattern) -> bool {
        !pattern.anywhere && !pattern.partial && !pattern.ignores_case()
    }

    /// Stores a pattern that the index [accepts](Self::accepts). Numbers are stored in ascending order.
    pub(super) fn insert(&mut self, pattern: &PathPattern, methods: &Methods, number: usize) {
        debug_assert!(Self::accepts(pattern), "{pattern}");
        let node = pattern.segments.iter().fold(ROOT, |node, segment| self.child(node, segment));
        if let Some(node) = self.nodes.get_mut(node) {
            let numbers = if pattern.open { &mut node.open } else { &mut node.exact };
            numbers.insert(methods.set(), number);
        }
    }

    /// The child of a node for a segment, created if necessary.
    fn child(&mut self, node: usize, segment: &Segment) -> usize {
        let next = self.nodes.len();
        let Some(node) = self.nodes.get_mut(node) else { return ROOT };
        let child = match segment {
            Segment::Literal(text) => *node.literals.entry(text.as_bytes().into()).or_insert(next),
            Segment::Any => *node.any.get_or_insert(next),
        };
        if child == next {
            self.nodes.push(Node::default());
        }
        child
    }

    /// Calls `found` with lists that together have the numbers of all patterns that match. Each list is in ascending
    /// order and not empty.
    pub(super) fn find<'i>(&'i self, method: MethodSet, path: &[u8], mut found: impl FnMut(&'i [usize])) {
        let Some(below_root) = path.strip_prefix(b"/") else { return };
        // Nodes of `*` to follow later, with the rest of the path below them.
        let mut later: Vec<(usize, Option<&[u8]>)> = Vec::new();
        let mut next = Some((ROOT, Some(below_root)));
        while let Some((node, rest)) = next.take().or_else(|| later.pop()) {
            let Some(node) = self.nodes.get(node) else { continue };
            node.open.each(method, &mut found);
            let Some(rest) = rest else {
                node.exact.each(method, &mut found);
                continue;
            };
            let (segment, rest) = match rest.iter().position(|byte| *byte == b'/') {
                Some(end) => (rest.get(..end).unwrap_or_default(), rest.get(end + 1..)),
                None => (rest, None),
            };
            if let Some(any) = node.any.filter(|_| !segment.is_empty()) {
                later.push((any, rest));
            }
            // Most nodes have no literals below them; then the segment is not hashed.
            if !node.literals.is_empty() {
                next = node.literals.get(segment).map(|child| (*child, rest));
            }
        }
    }
}

impl Numbers {
    /// Adds a number. Numbers are added in ascending order.
    pub(super) fn insert(&mut self, methods: MethodSet, number: usize) {
        match self.0.iter_mut().find(|(other, _)| *other == methods) {
            // A rule may name the same path twice.
            Some((_, numbers)) if numbers.last() == Some(&number) => {}
            Some((_, numbers)) => numbers.push(number),
            None => self.0.push((methods, vec![number])),
        }
    }

    /// The lists with a method of this set.
    pub(super) fn each<'i>(&'i self, methods: MethodSet, found: &mut impl FnMut(&'i [usize])) {
        self.0.iter().filter(|(own, _)| own.meets(methods)).for_each(|(_, numbers)| found(numbers));
    }
}

/// Numbers from several ascending lists, in ascending order and each once.
#[derive(Debug, Default)]
pub(super) struct Ascending<'i> {
    lists: Vec<&'i [usize]>,
    /// Numbers of further lists, the next one last.
    merged: Vec<usize>,
}

impl<'i> Ascending<'i> {
    /// With more lists, each step would take longer than sorting them.
    const LISTS: usize = 8;

    pub(super) fn add(&mut self, list: &'i [usize]) {
        if self.lists.len() < Self::LISTS {
            self.lists.push(list);
        } else {
            self.merged.extend(list);
        }
    }

    /// Call this after the last [`add`](Self::add).
    pub(super) fn sorted(mut self) -> Self {
        self.merged.sort_unstable_by(|one, other| other.cmp(one));
        self
    }
}

impl Iterator for Ascending<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let listed = self.lists.iter().filter_map(|list| list.first()).min();
        let next = match (listed, self.merged.last()) {
            (Some(one), Some(other)) => *one.min(other),
            (one, other) => *one.or(other)?,
        };
        for list in &mut self.lists {
            if let Some((first, rest)) = list.split_first()
                && *first == next
            {
                *list = rest;
            }
        }
        while self.merged.last() == Some(&next) {
            self.merged.pop();
        }
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_merged_in_order_and_each_number_once() {
        let lists: Vec<Vec<usize>> = (0..20).map(|n| vec![n, n + 5, 60 - n, 99]).collect();
        for count in [0, 1, 2, 8, 9, 20] {
            let mut ascending = Ascending::default();
            lists.iter().take(count).for_each(|list| ascending.add(list));
            let mut expected: Vec<_> = lists.iter().take(count).flatten().copied().collect();
            expected.sort_unstable();
            expected.dedup();
            assert_eq!(ascending.sorted().collect::<Vec<_>>(), expected, "{count} lists");
        }
    }

    #[test]
    fn a_number_is_stored_once_for_each_node() {
        let pattern = PathPattern::parse("/a/**").unwrap();
        let mut index = PathIndex::default();
        index.insert(&pattern, &Methods::default(), 3);
        index.insert(&pattern, &Methods::default(), 3);
        let mut found: Vec<usize> = Vec::new();
        index.find(MethodSet::of(&http::Method::GET), b"/a/b", |list| found.extend(list));
        assert_eq!(found, [3]);
    }
}
