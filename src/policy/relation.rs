//! How two patterns relate: whether one covers the other, and whether they overlap.
//!
//! Only warnings about a configuration use this. It decides nothing about requests.

use super::path_pattern::{PathPattern, Segment};
use super::{GraphqlMatching, Matching, Methods, Route, RoutePattern, RouteRow, RouteTable, Unreadable};

impl PathPattern {
    /// Whether this pattern matches every path that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        // Approximation: a pattern that starts at any depth, or ends within a segment, is never covered.
        if other.anywhere || other.partial {
            return false;
        }
        let depths = if self.anywhere { other.segments.len() } else { 0 };
        (0..=depths).any(|from| self.covers_from(from, other))
    }

    fn covers_from(&self, from: usize, other: &Self) -> bool {
        let others = other.segments.get(from..).unwrap_or_default();
        let same = |(at, (this, other)): (usize, (&Segment, &Segment))| match (this, other) {
            (Segment::Literal(this), Segment::Literal(text))
                if self.partial && at + 1 == self.segments.len() =>
            {
                text.get(..this.len()).is_some_and(|start| start.eq_ignore_ascii_case(this))
            }
            (Segment::Literal(this), Segment::Literal(text)) if self.ignores_case() => {
                this.eq_ignore_ascii_case(text)
            }
            _ => this.covers(other),
        };
        let each = self.segments.iter().zip(others).enumerate().all(same);
        let lengths = if self.open {
            self.segments.len() <= others.len()
        } else {
            !other.open && self.segments.len() == others.len()
        };
        each && lengths
    }

    /// Whether both match some path. Misses some if a preset's pattern begins at any depth or ends within a segment: only
    /// warnings depend on it, and only protected rows have such patterns.
    pub fn overlaps(&self, other: &Self) -> bool {
        let each = self.segments.iter().zip(&other.segments).all(|(this, other)| this.meets(other));
        let (this, others) = (self.segments.len(), other.segments.len());
        each && (this == others || (this < others && self.open) || (others < this && other.open))
    }
}

impl Segment {
    fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, Self::Any) => true,
            // `*` does not match an empty segment.
            (Self::Any, Self::Literal(text)) => !text.is_empty(),
            (Self::Literal(this), Self::Literal(text)) => this == text,
            (Self::Literal(_), Self::Any) => false,
        }
    }

    fn meets(&self, other: &Self) -> bool {
        self.covers(other) || other.covers(self)
    }
}

impl Methods {
    /// Whether this list includes every method of `other`.
    pub fn covers(&self, other: &Self) -> bool {
        self.set().covers(other.set())
    }

    /// Whether both include some method.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.set().meets(other.set())
    }
}

impl RoutePattern {
    /// Whether this route and `matching` match some request in common.
    pub fn overlaps(&self, matching: &Matching) -> bool {
        let paths = &matching.paths;
        self.methods.overlaps(&matching.methods)
            && (paths.is_empty() || paths.iter().any(|path| self.path.overlaps(path)))
    }

    /// Whether this route matches every request that `matching` matches on one of its paths.
    pub fn covers_a_path_of(&self, matching: &Matching) -> bool {
        // Skip `/**`: it matches everything and is not specific to the paths of this route.
        let mut paths = matching.paths.iter().filter(|path| !path.segments.is_empty());
        self.methods.covers(&matching.methods) && paths.any(|path| self.path.covers(path))
    }
}

impl RouteTable {
    /// The public and optional rows that match some request that `matching` matches on one of its paths,
    /// without those that come after a row that protects all of that path.
    pub fn opening<'a>(&'a self, matching: &'a Matching) -> impl Iterator<Item = &'a RouteRow> {
        let methods = &matching.methods;
        let protects = |row: &&usize, path: &PathPattern| {
            self.rows()
                .get(**row)
                .is_some_and(|row| row.pattern.methods().covers(methods) && row.pattern.path().covers(path))
        };
        let mut opening: Vec<usize> = Vec::new();
        for path in &matching.paths {
            // The rows after this one do not matter.
            let end = self.index.protected.iter().find(|row| protects(row, path)).copied();
            let opens = |at: &&usize| {
                end.is_none_or(|end| **at < end)
                    && self.rows().get(**at).is_some_and(|row| row.route != Route::Protected)
            };
            let overlaps = |at: &&usize| {
                self.rows().get(**at).is_some_and(|RouteRow { pattern, .. }| {
                    pattern.methods().overlaps(methods) && pattern.path().overlaps(path)
                })
            };
            opening.extend(self.index.others.iter().filter(overlaps).filter(opens));
            self.index.by_path.overlapping(methods.set(), path, |rows| {
                opening.extend(rows.iter().filter(opens));
            });
        }
        opening.sort_unstable();
        opening.dedup();
        opening.into_iter().filter_map(|row| self.rows().get(row))
    }
}

impl Matching {
    /// Whether this matches every request that `other` matches.
    pub fn covers(&self, other: &Self) -> bool {
        // Destructured so that a new condition does not compile until it is handled here.
        let Self { methods, paths, hosts, issuers, query, graphql } = self;
        let asks = |(name, patterns): &(Box<str>, Vec<Box<str>>)| {
            let wanted = other.query.iter().find(|(other, _)| other == name);
            wanted.is_some_and(|(_, others)| others.iter().all(|pattern| patterns.contains(pattern)))
        };
        let any_path = |wanted: &PathPattern| paths.iter().any(|this| this.covers(wanted));
        methods.covers(&other.methods)
            && (paths.is_empty() || (!other.paths.is_empty() && other.paths.iter().all(any_path)))
            && names_cover(hosts, &other.hosts, str::eq_ignore_ascii_case)
            && names_cover(issuers, &other.issuers, |this, other| this == other)
            && query.iter().all(asks)
            && match (graphql, &other.graphql) {
                (None, _) => true,
                (Some(this), Some(other)) => this.covers(other),
                (Some(_), None) => false,
            }
    }
}

impl GraphqlMatching {
    /// Whether this matches every operation that `other` matches.
    fn covers(&self, other: &Self) -> bool {
        let Self { operations, fields, unreadable } = self;
        let kinds = operations.is_empty()
            || (!other.operations.is_empty()
                && other.operations.iter().all(|kind| operations.contains(kind)));
        kinds
            && names_cover(fields, &other.fields, |this, other| this == other)
            && (*unreadable == Unreadable::Deny || other.unreadable == Unreadable::Skip)
    }
}

/// Whether a list of names includes another one. An empty list stands for all names.
fn names_cover(this: &[Box<str>], other: &[Box<str>], equal: impl Fn(&str, &str) -> bool) -> bool {
    this.is_empty()
        || (!other.is_empty() && other.iter().all(|name| this.iter().any(|this| equal(this, name))))
}

#[cfg(test)]
mod tests;
