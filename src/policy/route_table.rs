//! The routes in force, in order: the first row that matches decides, and a request that none
//! matches is protected.

use std::fmt;

use http::Method;

use super::{PathPattern, PatternError, RoutePattern};
use crate::backend::{Backend, Condition, LetterCase, PresetRow, Route};
use crate::request::PathReadings;

/// A backend's rows, with those of the configuration in front. Empty, it protects everything.
#[derive(Clone, Debug, Default)]
pub struct RouteTable {
    rows: Vec<RouteRow>,
    inactive: Vec<InactiveRoute>,
}

/// One row in force.
#[derive(Clone, Debug)]
pub struct RouteRow {
    /// What the requests need.
    pub route: Route,
    /// Which requests are meant.
    pub pattern: RoutePattern,
    /// Who says so.
    pub source: RowSource,
}

/// Where a row comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowSource {
    /// A backend's preset, and where the backend says so.
    #[expect(missing_docs, reason = "the names say it")]
    Preset { backend: Backend, reference: &'static str },
    /// A key of the configuration, and where that is written, if it is known.
    #[expect(missing_docs, reason = "the names say it")]
    Configuration { key: Box<str>, origin: Option<Box<str>> },
}

/// A row of the preset that this configuration leaves out.
#[derive(Clone, Debug)]
pub struct InactiveRoute {
    /// The row.
    pub row: RouteRow,
    /// Why it is not in force.
    pub why: Box<str>,
}

/// What a preset depends on.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// What every path of the backend begins with; empty or `/x`.
    pub base_path: &'a str,
    /// OpenMetadata's name of the identity provider.
    pub provider: Option<&'a str>,
    /// The path of the upstream's URL, which goes before every request's path.
    pub upstream_path: &'a str,
}

impl Default for Place<'_> {
    fn default() -> Self {
        Self { base_path: "", provider: None, upstream_path: "/" }
    }
}

/// What a request's route asks for, and the row that its path meets as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Routed {
    /// What is asked for.
    pub route: Route,
    /// The row's place in [`RouteTable::rows`]. A row that opens decides only where the path has one
    /// reading, so this one may say less than `route`.
    pub row: Option<usize>,
}

impl RouteTable {
    /// The preset of a backend.
    ///
    /// # Errors
    /// A base path that is no path.
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
        Ok(table)
    }

    /// A table as a configuration has it, from routes and their patterns.
    ///
    /// # Errors
    /// A pattern that cannot be read.
    pub fn parse(rows: &[(Route, &str)]) -> Result<Self, PatternError> {
        let row = |(route, pattern): &(Route, &str)| {
            let key = format!("authorization.{}", route.as_str()).into();
            let source = RowSource::Configuration { key, origin: None };
            RoutePattern::parse(pattern).map(|pattern| RouteRow { route: *route, pattern, source })
        };
        Ok(Self { rows: rows.iter().map(row).collect::<Result<_, _>>()?, inactive: Vec::new() })
    }

    /// The same table with these rows in front.
    #[must_use]
    pub fn with_first(mut self, rows: Vec<RouteRow>) -> Self {
        self.rows.splice(..0, rows);
        self
    }

    /// The rows in force, in order.
    pub fn rows(&self) -> &[RouteRow] {
        &self.rows
    }

    /// Rows of the preset that are not in force.
    pub fn inactive(&self) -> &[InactiveRoute] {
        &self.inactive
    }

    /// The first row that one reading of a path meets, by its place.
    pub fn find(&self, method: &Method, path: &[u8]) -> Option<usize> {
        self.rows.iter().position(|row| row.pattern.matches(method, path))
    }

    /// What the route of a request asks for. A row opens only for a path that has a single reading;
    /// everything else is protected.
    ///
    /// There is one exception: a row that is written with a slash at its end opens for exactly that
    /// path, if the path without the slash is open in the same way. Whichever of the two a backend
    /// takes it for, it was meant to be open.
    pub fn route(&self, method: &Method, path: &PathReadings) -> Routed {
        let row = self.find(method, path.raw().as_bytes());
        let route = match row.and_then(|row| self.rows.get(row)) {
            Some(RouteRow { route: Route::Protected, .. }) | None => Route::Protected,
            Some(found) if path.is_plain() || self.opens_with_slash(found, method, path) => found.route,
            Some(_) => Route::Protected,
        };
        Routed { route, row }
    }

    fn opens_with_slash(&self, found: &RouteRow, method: &Method, path: &PathReadings) -> bool {
        let without = || path.without_last_slash().and_then(|path| self.find(method, path));
        found.pattern.path().is_written_with_slash()
            && without().and_then(|row| self.rows.get(row)).is_some_and(|row| row.route == found.route)
    }

    fn why_inactive(&self, preset: &PresetRow, row: &RouteRow, place: &Place<'_>) -> Option<Box<str>> {
        if let Some(Condition::Provider(wanted)) = preset.condition
            && !place.provider.is_some_and(|provider| provider.eq_ignore_ascii_case(wanted))
        {
            return Some(format!("only where authentication.provider is {wanted}").into());
        }
        // `upstream.url: http://openmetadata:8585/api` makes data of what looks like a page of the UI.
        let protects = |own: &&RouteRow| {
            own.route == Route::Protected && own.pattern.path().matches(place.upstream_path.as_bytes())
        };
        if row.route == Route::Protected || !row.pattern.path().is_tree() {
            return None;
        }
        let inside = self.rows.iter().find(protects)?;
        Some(format!("upstream.url leads into what is protected: {}", inside.pattern).into())
    }
}

impl RoutePattern {
    /// A preset's pattern under a base path.
    fn of_preset(row: &PresetRow, base: &str) -> Result<Self, PatternError> {
        let (methods, path) = row.pattern.split_once(' ').unwrap_or(("*", row.pattern));
        // What may stand at any depth needs no base path.
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
    /// Whether the row is in the configuration and not of the preset.
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
