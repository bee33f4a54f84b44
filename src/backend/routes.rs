//! The rows of a preset's routes.

/// What a route requires.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// Nothing. A token is ignored.
    Public,
    /// Nothing, but a token is verified if there is one.
    Optional,
    /// A valid token. The default.
    Protected,
}

impl Route {
    /// The word in tables and in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Optional => "optional",
            Self::Protected => "protected",
        }
    }
}

/// One row: what a backend requires for some requests, and the place in its source that shows it.
#[derive(Clone, Copy, Debug)]
pub struct PresetRow {
    /// The requirement.
    pub route: Route,
    /// `METHOD[,METHOD] /path` in the syntax of [`crate::policy::RoutePattern`]. Presets may also use two other
    /// forms: `/**/x/**` is `x` at any depth, and `/x*` is every path that begins with `/x`.
    pub pattern: &'static str,
    /// How the letters of the path are compared.
    pub case: LetterCase,
    /// The condition under which the row is active.
    pub condition: Option<Condition>,
    /// The place in the backend's source that the row is taken from.
    pub source: &'static str,
}

/// How the letters of a path are compared. A base path is always compared exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterCase {
    /// Exactly.
    Exact,
    /// The first segment exactly, the others without ASCII case.
    IgnoredAfterFirst,
    /// Without ASCII case.
    Ignored,
}

/// A condition of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// `authentication.provider` is this, without ASCII case.
    Provider(&'static str),
}

pub(super) const fn public(pattern: &'static str, source: &'static str) -> PresetRow {
    PresetRow { route: Route::Public, pattern, case: LetterCase::Exact, condition: None, source }
}

pub(super) const fn optional(pattern: &'static str, source: &'static str) -> PresetRow {
    PresetRow { route: Route::Optional, pattern, case: LetterCase::Exact, condition: None, source }
}

/// Compared without case, so that no spelling of the letters bypasses the row, whether the backend compares case
/// or not.
pub(super) const fn protected(pattern: &'static str, source: &'static str) -> PresetRow {
    PresetRow { route: Route::Protected, pattern, case: LetterCase::Ignored, condition: None, source }
}

impl PresetRow {
    pub(super) const fn compared(self, case: LetterCase) -> Self {
        Self { case, ..self }
    }

    pub(super) const fn where_provider_is(self, provider: &'static str) -> Self {
        Self { condition: Some(Condition::Provider(provider)), ..self }
    }
}
