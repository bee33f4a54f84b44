//! What a row of a preset's routes says.

/// What a route asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// No token; one that is there is not looked at.
    Public,
    /// A token is verified if there is one.
    Optional,
    /// A token. The default.
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

/// One row: what a backend makes of some requests, and where that can be checked.
#[derive(Clone, Copy, Debug)]
pub struct PresetRow {
    /// What the requests need.
    pub route: Route,
    /// `METHOD[,METHOD] /path` in the syntax of [`crate::policy::RoutePattern`], and two forms that
    /// are for presets alone: `/**/x/**` is `x` at any depth, and `/x*` is every path that begins so.
    pub pattern: &'static str,
    /// How the letters of the path are compared.
    pub case: LetterCase,
    /// What must be true of the configuration for the row to be in force.
    pub condition: Option<Condition>,
    /// Where the backend says so.
    pub source: &'static str,
}

/// How the letters of a path are compared. A base path in front is always compared as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterCase {
    /// As they are.
    Exact,
    /// The first segment as it is, the others without ASCII case.
    IgnoredAfterFirst,
    /// Without ASCII case.
    Ignored,
}

/// What a row may depend on.
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

/// Compared without case: whatever a backend makes of the letters, the row is not passed by.
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
