//! Tests of rules: a request with its expected outcome.

use std::net::IpAddr;

use http::{HeaderMap, Method, StatusCode, Uri};
use serde_json::{Map, Value};

/// One of `authorization.tests`.
#[derive(Clone, Debug)]
pub struct RuleTest {
    /// What it shows.
    pub name: Box<str>,
    /// The path of its key: `authorization.tests[0]`.
    pub path: String,
    /// The claims as they are written; `None` for a request without a token.
    pub claims: Option<Map<String, Value>>,
    /// The issuer entry whose key signs the token: an index into [`super::Config::trust`].
    pub entry: usize,
    /// The request's method.
    pub method: Method,
    /// Its target in origin-form.
    pub target: Uri,
    /// Its fields, with a `Host` and without `Authorization`.
    pub fields: HeaderMap,
    /// Its body; empty if none is given.
    pub body: Box<[u8]>,
    /// The address that it comes from.
    pub source_ip: IpAddr,
    /// The expected status of the refusal; `None` if the request must be allowed.
    pub expect: Option<StatusCode>,
    /// The rule that must decide, if the test names one: an index into [`crate::policy::Policy::rules`].
    pub rule: Option<usize>,
}
