//! Requests that only commands make, described on the command line.

use std::net::{IpAddr, Ipv4Addr};

use http::{HeaderValue, Method, Uri, Version};

use crate::admission::{RequestHead, Via};
use crate::decision::Denial;
use crate::message::Fields;
use crate::message::field_name::HOST;
use crate::request::{FaultPlace, uri_of};

/// A request from this machine, as the proxy would receive it.
pub struct LocalRequest {
    method: Method,
    target: Uri,
    headers: Fields,
}

impl LocalRequest {
    /// # Errors
    /// The path is not a request target.
    pub fn new(method: &Method, path: &str, mut headers: Fields) -> Result<Self, Denial> {
        let target = uri_of(path.as_bytes())
            .map_err(|why| Denial::of_request(why, FaultPlace::in_target(path.as_bytes())))?;
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        Ok(Self { method: method.clone(), target, headers })
    }

    /// Its head.
    pub fn head(&self) -> RequestHead<'_> {
        RequestHead {
            method: &self.method,
            target: &self.target,
            version: Version::HTTP_11,
            headers: &self.headers,
            source: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            content_length: None,
            via: Via::Proxy,
            token_fields: None,
        }
    }
}
