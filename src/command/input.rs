//! Requests described on the command line.

use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Method, Uri, Version};

use super::Failure;
use crate::admission::{RequestHead, Via};
use crate::decision::{Denial, Reason};
use crate::message::Fields;

/// More than `limits.tokenBytes` allows.
const MAX_TOKEN_BYTES: u64 = 1024 * 1024;
/// More than `limits.graphqlBytes` allows.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;

/// A token from a file, or from standard input, which `-` also names.
pub(super) fn read_token(file: Option<&PathBuf>) -> Result<String, Failure> {
    let mut text = String::new();
    match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => std::fs::File::open(path)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?,
        None => std::io::stdin().take(MAX_TOKEN_BYTES).read_to_string(&mut text)?,
    };
    let text = text.trim();
    // With or without the scheme.
    Ok(text.strip_prefix("Bearer ").unwrap_or(text).to_owned())
}

/// A request's body, up to [`MAX_BODY_BYTES`].
pub(super) fn read_body(file: Option<&PathBuf>) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    if let Some(path) = file {
        std::fs::File::open(path)?.take(MAX_BODY_BYTES).read_to_end(&mut body)?;
    }
    Ok(body)
}

/// A request from this machine, as the proxy would receive it.
pub(super) struct LocalRequest {
    method: Method,
    target: Uri,
    headers: Fields,
}

impl LocalRequest {
    /// # Errors
    /// The path is not a request target.
    pub(super) fn new(method: &Method, path: &str, mut headers: HeaderMap) -> Result<Self, Denial> {
        let target = path.parse().map_err(|_| bad_request("the path is not a valid request target"))?;
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        Ok(Self { method: method.clone(), target, headers: headers.into() })
    }

    pub(super) fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: &self.target,
            version: Version::HTTP_11,
            headers: &self.headers,
            source: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            content_length: None,
            via: Via::Proxy,
        }
    }
}

pub(super) fn bad_request(why: &'static str) -> Denial {
    Denial::new(Reason::BadTarget).with(why)
}
