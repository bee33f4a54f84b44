//! The active routes, in order. The first row that matches a request decides; without one it is protected.

use std::fmt;

use http::Method;

use super::methods::MethodSet;
use super::path_index::PathIndex;
use super::{PathPattern, PatternError, RoutePattern};
use crate::backend::{Backend, Condition, LetterCase, PresetRow, Route};
use crate::request::PathReadings;

/// The rows of the configuration, followed by those of the backend's preset. An empty table protects everything.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    rows: Vec<RouteRow>,
    inactive: Vec<InactiveRoute>,
    pub(super) index: RowIndex,
}

/// The rows by path. Made from the rows whenever they change.
#[derive(Clone, Default)]
pub(super) struct RowIndex {
    pub(super) by_path: PathIndex,
    /// Rows of the preset that the index cannot hold: compared with every path. No configured row is one.
    pub(super) others: Vec<usize>,
    /// Protected rows. Only presets have them.
    pub(super) protected: Vec<usize>,
}

/// Nothing that the rows do not show.
impl fmt::Debug for RowIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RowIndex")
    }
}

impl RowIndex {
    fn new(rows: &[RouteRow]) -> Self {
        let mut index = Self::default();
        for (number, row) in rows.iter().enumerate() {
            if row.route == Route::Protected {
                index.protected.push(number);
            }
            if PathIndex::accepts(&row.pattern.path) {
                index.by_path.insert(&row.pattern.path, &row.pattern.methods, number);
            } else {
                index.others.push(number);
            }
        }
        index
    }
}

/// One active row.
#[derive(Clone, Debug)]
pub struct RouteRow {
    /// The requirement for requests that match.
    pub route: Route,
    /// Which requests match.
    pub pattern: RoutePattern,
    /// Where the row comes from.
    pub source: RowSource,
}

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSource {
    /// A backend's preset, with the place in the backend's source that it is taken from.
    #[expect(missing_docs, reason = "the names say it")]
    Preset { backend: Backend, reference: &'static str },
    /// A key of the configuration, and where it is set if that is known.
    #[expect(missing_docs, reason = "the names say it")]
    Configuration { key: Box<str>, origin: Option<Box<str>> },
}

/// A row of the preset that is inactive under this configuration.
#[derive(Clone, Debug)]
pub struct InactiveRoute {
    /// The row.
    pub row: RouteRow,
    /// Why it is inactive.
    pub why: Box<str>,
}

/// The settings that a preset depends on.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The prefix of every path of the backend; empty or `/x`.
    pub base_path: &'a str,
    /// OpenMetadata's name for the identity provider.
    pub provider: Option<&'a str>,
    /// The path of the upstream's URL, which is prepended to every request's path.
    pub upstream_path: &'a str,
}

impl Default for Place<'_> {
    fn default() -> Self {
        Self { base_path: "", provider: None, upstream_path: "/" }
    }
}

/// The requirement for a request, and the row that its raw path matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// The requirement.
    pub route: Route,
    /// The row's index in [`RouteTable::rows`]. A public or optional row decides only if the path has one
    /// reading, apart from a slash at its end, so `route` may be stricter than this row.
    pub row: Option<usize>,
}

impl RouteTable {
    /// The preset of a backend.
    ///
    /// # Errors
    /// The base path is not a valid path.
    pub fn preset(backend: Backend, place: &Place<'_>) -> Result<Self, PatternError> {
        let mut table = Self::default();
        for preset in backend.preset().routes {
            let source = RowSource::Preset { backend, reference: preset.source };
            let pattern = RoutePattern::of_preset(preset, place.base_path)?;
            let row = RouteRow { route: preset.route, pattern, source };
            match table.why_inactive(preset, &row, place) {
                Some(why) => table.inactive.push(InactiveRoute { row, why }),
                None => table.rows.push(row),
            }
        }
        table.index = RowIndex::new(&table.rows);
        Ok(table)
    }

    /// A table of configured rows, from routes and their patterns.
    ///
    /// # Errors
    /// A pattern is not valid.
    pub fn parse(rows: &[(Route, &str)]) -> Result<Self, PatternError> {
        let row = |(route, pattern): &(Route, &str)| {
            let key = format!("authorization.{}", route.as_str()).into();
            let source = RowSource::Configuration { key, origin: None };
            RoutePattern::parse(pattern).map(|pattern| RouteRow { route: *route, pattern, source })
        };
        Ok(Self::default().with_first(rows.iter().map(row).collect::<Result<_, _>>()?))
    }

    /// The same table with these rows in front.
    #[must_use]
    pub fn with_first(mut self, rows: Vec<RouteRow>) -> Self {
        self.rows.splice(..0, rows);
        self.index = RowIndex::new(&self.rows);
        self
    }

    /// The active rows, in order.
    pub fn rows(&self) -> &[RouteRow] {
        &self.rows
    }

    /// The inactive rows of the preset.
    pub fn inactive(&self) -> &[InactiveRoute] {
        &self.inactive
    }

    /// The index of the first row that matches one reading of a path.
    pub fn find(&self, method: &Method, path: &[u8]) -> Option<usize> {
        let mut first = self.rows.len();
        self.index.by_path.find(MethodSet::of(method), path, |rows| {
            first = rows.first().map_or(first, |row| first.min(*row));
        });
        let matches = |row: &usize| self.rows.get(*row).is_some_and(|row| row.pattern.matches(method, path));
        let other = self.index.others.iter().copied().take_while(|row| *row < first).find(matches);
        other.or((first < self.rows.len()).then_some(first))
    }

    /// Routes a request. A public or optional row applies only to a path with a single reading; every other
    /// path is protected.
    ///
    /// There is one exception. If the only cause of a second reading is one slash at the end, the row applies if the
    /// path without the slash has the same requirement. Whichever of the two paths the backend reads, it is meant to be
    /// open.
    pub fn route(&self, method: &Method, path: &PathReadings) -> Routed {
        let row = self.find(method, path.raw().as_bytes());
        let route = match row.and_then(|row| self.rows.get(row)) {
            Some(RouteRow { route: Route::Protected, .. }) | None => Route::Protected,
            Some(found) if path.is_plain() || self.opens_without_slash(found, method, path) => found.route,
            Some(_) => Route::Protected,
        };
        Routed { route, row }
    }

    /// Whether a path differs from an open one only by the slash at its end, and is open in the same way without it.
    fn opens_without_slash(&self, found: &RouteRow, method: &Method, path: &PathReadings) -> bool {
        let without = path.without_last_slash().and_then(|path| self.find(method, path));
        without.and_then(|row| self.rows.get(row)).is_some_and(|row| row.route == found.route)
    }

    fn why_inactive(&self, preset: &PresetRow, row: &RouteRow, place: &Place<'_>) -> Option<Box<str>> {
        if let Some(Condition::Provider(wanted)) = preset.condition
            && !place.provider.is_some_and(|provider| provider.eq_ignore_ascii_case(wanted))
        {
            return Some(format!("only if authentication.provider is {wanted}").into());
        }
        // With `upstream.url: http://openmetadata:8585/api`, paths that look like pages of the UI reach the API.
        let protects = |row: &&RouteRow| {
            row.route == Route::Protected && row.pattern.path().matches(place.upstream_path.as_bytes())
        };
        if row.route == Route::Protected || !row.pattern.path().is_tree() {
            return None;
        }
        let inside = self.rows.iter().find(protects)?;
        Some(format!("upstream.url points to a protected path: {}", inside.pattern).into())
    }
}

impl RoutePattern {
    /// A preset's pattern under a base path.
    fn of_preset(row: &PresetRow, base: &str) -> Result<Self, PatternError> {
        let (methods, path) = row.pattern.split_once(' ').unwrap_or(("*", row.pattern));
        // A pattern that starts at any depth needs no base path.
        let base = if path.starts_with("/**/") { "" } else { base };
        let first = path.get(1..).and_then(|path| path.find('/')).map_or(path.len(), |at| at + 1);
        let exact = match row.case {
            LetterCase::Exact => usize::MAX,
            LetterCase::IgnoredAfterFirst => base.len() + first,
            LetterCase::Ignored => base.len(),
        };
        let path = PathPattern::parse_preset(&format!("{base}{path}"), exact)?;
        Ok(Self { methods: super::Methods::parse(methods)?, path })
    }
}

impl RouteRow {
    /// Whether the row comes from the configuration and not from the preset.
    pub fn is_configured(&self) -> bool {
        matches!(self.source, RowSource::Configuration { .. })
    }
}

impl fmt::Display for RouteRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.route.as_str(), self.pattern, self.source)
    }
}

impl fmt::Display for RowSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Preset { backend, reference } => write!(f, "{}: {reference}", backend.as_str()),
            Self::Configuration { key, origin: Some(origin) } => write!(f, "{key}, {origin}"),
            Self::Configuration { key, origin: None } => f.write_str(key),
        }
    }
}

#[cfg(test)]
mod tests;
