//! The access policy as plain data: which routes are open, and what an authenticated request must have.
//!
//! - A [`RouteTable`] classifies every request as public, optional or protected. The first row that matches
//!   decides; without one the request is protected.
//! - [`Rule`]s decide about authenticated requests. The first rule that matches decides; without one
//!   [`Policy::default`] does.
//!
//! Nothing is evaluated here. [`crate::decision`] applies the policy, to every reading of a path.
//!
//! A policy may have thousands of rows and rules. [`RouteTable`] and [`Rules`] index them by path when they are made, so
//! that a request is compared only with those that its path and method select.

use std::net::IpAddr;

use http::Method;
use ipnet::IpNet;

use crate::claims::ClaimPath;
use crate::request::OperationKind;

mod expression;
mod methods;
mod path_index;
mod path_pattern;
mod related;
mod relation;
mod route_table;
mod rules;
mod shadow;

pub use crate::backend::Route;
pub use expression::{Budget, Expression, Fault, Subject};
pub use methods::Methods;
pub use path_pattern::{PathPattern, PatternError};
pub use route_table::{InactiveRoute, Place, RouteRow, RouteTable, Routed, RowSource};
pub use rules::Rules;
pub use shadow::shadows;

/// Routes and rules: what decides about a request, apart from its token.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Whether denials are enforced or only reported.
    pub mode: Mode,
    /// Which routes need no token, and on which a token is optional.
    pub routes: RouteTable,
    /// The rules; the first that matches decides.
    pub rules: Rules,
    /// The effect for an authenticated request that no rule matches.
    pub default: Effect,
    /// Principals that a token must not have if metagate sets DataHub's actor field, in lower case: DataHub's
    /// administrators and its system user.
    pub reserved_actors: Vec<Box<str>>,
    /// Which bots may act as another user of OpenMetadata; `None` if none may.
    pub impersonation: Option<Impersonation>,
    /// The `iss` of the tokens that metagate mints for the backend. It accepts none of them itself, whatever key
    /// verifies them.
    pub minted_issuer: Option<Box<str>>,
    /// The path of the token endpoint, if there is one. No request for exactly this path is forwarded.
    pub token_endpoint: Option<Box<str>>,
    /// The path of the revocation endpoint, likewise.
    pub revocation_endpoint: Option<Box<str>>,
}

/// Which bots may act as another user of OpenMetadata with `X-Impersonate-User`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Impersonation {
    /// The `iss` of OpenMetadata's own tokens. Tokens of other issuers may not impersonate.
    pub issuer: Box<str>,
    /// The principals of these bots, in lower case.
    pub bots: Vec<Box<str>>,
}

/// Whether denials are enforced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mode {
    /// Denied requests are refused.
    #[default]
    Enforce,
    /// Denials are logged and counted, and the request is forwarded.
    Report,
}

/// The effect of a rule or of the default.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Effect {
    /// The request is allowed.
    #[default]
    Allow,
    /// The request is refused with 403.
    Deny,
}

/// `METHOD[,METHOD] /path`: the methods and paths of a route. Without methods it applies to all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoutePattern {
    methods: Methods,
    path: PathPattern,
}

impl RoutePattern {
    /// Reads `GET,PUT /docs/**`, or `/docs/**` for every method.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let text = text.trim();
        let (methods, path) = match text.split_once(char::is_whitespace) {
            Some((methods, path)) => (Methods::parse(methods)?, path.trim_start()),
            None => (Methods::default(), text),
        };
        Ok(Self { methods, path: PathPattern::parse(path)? })
    }

    /// Whether `method` on this reading of a path matches.
    pub fn matches(&self, method: &Method, path: &[u8]) -> bool {
        // Path first: for most routes, comparing the length is enough.
        self.path.matches(path) && self.methods.contain(method)
    }

    /// The methods.
    pub fn methods(&self) -> &Methods {
        &self.methods
    }

    /// The paths.
    pub fn path(&self) -> &PathPattern {
        &self.path
    }
}

impl std::fmt::Display for RoutePattern {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.methods.is_any() {
            let names: Vec<_> = self.methods.names().collect();
            write!(f, "{} ", names.join(","))?;
        }
        write!(f, "{}", self.path)
    }
}

/// One authorization rule.
#[derive(Clone, Debug)]
pub struct Rule {
    /// The name in metrics of refusals and in the audit record.
    pub name: Box<str>,
    /// Which requests the rule applies to.
    pub matching: Matching,
    /// An additional condition. With `Allow` and `Deny` it is part of the match; with `Require` it is one
    /// more requirement.
    pub when: Option<Expression>,
    /// What the rule does with these requests.
    pub verdict: Verdict,
    /// Whether a denial by this rule is enforced.
    pub mode: Mode,
}

/// What a rule does with a request that it matches.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// Allow every caller.
    Allow,
    /// Deny every caller.
    Deny,
    /// Allow a token that meets the requirement and deny every other caller.
    Require(Box<Requirement>),
}

/// Which requests a rule applies to. An empty list matches everything.
#[derive(Clone, Debug, Default)]
pub struct Matching {
    /// The request's method.
    pub methods: Methods,
    /// The request's path, in any of its readings.
    pub paths: Vec<PathPattern>,
    /// The request's host, without port, ignoring case.
    pub hosts: Vec<Box<str>>,
    /// The name of the token's issuer entry, or the token's `iss`.
    pub issuers: Vec<Box<str>>,
    /// Each name must be a parameter of the query with one of these values; `*` stands for any run of
    /// characters. Each value of a repeated parameter is evaluated separately.
    pub query: Vec<(Box<str>, Vec<Box<str>>)>,
    /// The GraphQL operations that the rule applies to.
    pub graphql: Option<GraphqlMatching>,
}

/// Which GraphQL operations a rule applies to. An empty list matches everything.
#[derive(Clone, Debug, Default)]
pub struct GraphqlMatching {
    /// The kinds of operation.
    pub operations: Vec<OperationKind>,
    /// The top-level fields; `*` stands for any run of characters. Each field is evaluated separately.
    pub fields: Vec<Box<str>>,
    /// What happens to a request whose operations are unknown.
    pub unreadable: Unreadable,
}

/// What a rule about GraphQL does if the operations cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Unreadable {
    /// The rule denies the request.
    #[default]
    Deny,
    /// The rule does not match; the rules after it decide.
    Skip,
}

/// What a token must have. Every list that is not empty must be met.
#[derive(Clone, Debug, Default)]
pub struct Requirement {
    /// At least one of these roles.
    pub any_role: Vec<Box<str>>,
    /// All of these roles.
    pub all_roles: Vec<Box<str>>,
    /// At least one of these scopes.
    pub any_scope: Vec<Box<str>>,
    /// All of these scopes.
    pub all_scopes: Vec<Box<str>>,
    /// One of these token classes, or the token's own `tokenType` or `type` word.
    pub token_types: Vec<Box<str>>,
    /// A principal matching one of these; `*` stands for any run of characters.
    pub principals: Vec<Box<str>>,
    /// One of these issuer entries or `iss` values.
    pub issuers: Vec<Box<str>>,
    /// One of these in `aud`.
    pub audiences: Vec<Box<str>>,
    /// For each claim, one of these values.
    pub claims: Vec<(ClaimPath, Vec<Box<str>>)>,
    /// A source address in one of these networks.
    pub source_ips: Vec<IpNet>,
}

/// Whether `ip` is in one of `networks`. An IPv4-mapped IPv6 address counts as IPv4.
pub fn contains_address(networks: &[IpNet], ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    networks.iter().any(|network| network.contains(&ip))
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub fn wildcard_matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let Some(last) = parts.next_back() else { return rest.is_empty() };
    for part in parts {
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_run_of_characters() {
        for (pattern, text, matches) in [
            ("ab", "ab", true),
            ("ab", "abc", false),
            ("a*", "a", true),
            ("a*b", "ab", true),
            ("a*b", "axb", true),
            ("a*b", "axc", false),
            ("a*b*c", "a-b-c", true),
            ("a*b*c", "a-c", false),
            // What one part has matched is not matched again.
            ("*ab*b", "ab", false),
            ("*ab*b", "abb", true),
            ("x*ab*ab", "x-ab", false),
            ("x*ab*ab", "x-ab-ab", true),
            ("ab*b", "ab", false),
        ] {
            assert_eq!(wildcard_matches(pattern, text), matches, "{pattern} {text}");
        }
    }

    #[test]
    fn route_patterns_name_methods_and_a_path() {
        let route = RoutePattern::parse("GET,PUT /docs/**").unwrap();
        assert!(route.matches(&Method::GET, b"/docs/a/b"));
        assert!(route.matches(&Method::HEAD, b"/docs/a"));
        assert!(route.matches(&Method::PUT, b"/docs/a"));
        assert!(!route.matches(&Method::POST, b"/docs/a"));
        assert!(!route.matches(&Method::GET, b"/doc"));
        assert!(RoutePattern::parse("/docs").unwrap().matches(&Method::DELETE, b"/docs"));
        assert_eq!(route.to_string(), "GET,PUT /docs/**");
    }

    #[test]
    fn unknown_methods_are_errors() {
        for text in ["get /docs", "GET,FOO /docs", "CONNECT /docs", "TRACE /docs", "GET, /docs"] {
            assert!(RoutePattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn wildcards_stand_for_any_run() {
        for (pattern, text) in [
            ("*", ""),
            ("*", "ada"),
            ("svc-*", "svc-etl"),
            ("*-bot", "ingestion-bot"),
            ("a*b*c", "a1b2c"),
            ("ada", "ada"),
        ] {
            assert!(wildcard_matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in
            [("svc-*", "svc"), ("ada", "adam"), ("ab*ba", "aba"), ("a*b*c", "acb"), ("", "ada")]
        {
            assert!(!wildcard_matches(pattern, text), "{pattern} {text}");
        }
    }

    #[test]
    fn mapped_addresses_are_read_as_ipv4() {
        let networks = ["10.0.0.0/8".parse().unwrap()];
        assert!(contains_address(&networks, "::ffff:10.1.2.3".parse().unwrap()));
        assert!(!contains_address(&networks, "11.1.2.3".parse().unwrap()));
    }
}
