//! A request and what is to become of it, written beside the rules.

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
    /// The issuer entry whose key signs, by its place in [`super::Config::trust`].
    pub entry: usize,
    /// The request's method.
    pub method: Method,
    /// Its target in origin-form.
    pub target: Uri,
    /// Its fields but for `Authorization`, with a `Host`.
    pub fields: HeaderMap,
    /// Its body, empty where none is given.
    pub body: Box<[u8]>,
    /// Where it comes from.
    pub source_ip: IpAddr,
    /// The status of the refusal; `None`: it goes on.
    pub expect: Option<StatusCode>,
    /// The rule that decides, by its place in [`crate::policy::Policy::rules`], where the test says it.
    pub rule: Option<usize>,
}
