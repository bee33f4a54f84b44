//! Parses `cors`: which web applications of other origins may send requests.

use http::{HeaderName, HeaderValue, Method};
use url::Url;

use super::super::values;
use super::section::Section;
use crate::cors::{Cors, OriginPattern};
use crate::request::METHODS;

const ORIGINS: &str = "allowOrigins";

/// `None` if no origin is allowed.
pub(super) fn cors(root: &Section<'_>) -> Option<Cors> {
    let section = root.section("cors");
    let origins = section.need_list(ORIGINS, origin);
    let methods = section.need_list("allowMethods", method);
    let headers = section.need_list("allowHeaders", field);
    let exposed = section.need_list("exposeHeaders", field);
    let credentials = section.boolean("allowCredentials");
    let max_age = section.duration("maxAge");
    if origins.is_empty() {
        if credentials && !section.in_error(ORIGINS) {
            let help = "name the origins of the pages, like https://app.corp.example";
            section.error_with_help(
                "allowCredentials",
                "requires cors.allowOrigins: without it CORS is off",
                help,
            );
        }
        return None;
    }
    if origins.contains(&OriginPattern::Any) {
        if origins.len() > 1 {
            section.error(ORIGINS, "has `*` beside other origins; write either");
        }
        if credentials {
            let message = "cannot be true with cors.allowOrigins [\"*\"]: every page could use the cookies of its visitors";
            section.error_with_help("allowCredentials", message, "name the origins, or leave it out");
        }
    }
    Some(Cors {
        origins,
        methods: joined(&methods),
        headers: joined(&headers),
        exposed: joined(&exposed),
        credentials,
        max_age: max_age.as_secs().into(),
    })
}

/// The value of a field that lists these names.
fn joined<T: AsRef<str>>(names: &[T]) -> HeaderValue {
    let text = names.iter().map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    // Names of methods and fields contain only bytes that are valid in a field.
    HeaderValue::try_from(text).unwrap_or(HeaderValue::from_static(""))
}

fn method(text: &str) -> Result<Method, String> {
    match METHODS.iter().find(|method| method.as_str() == text) {
        Some(method) => Ok(method.clone()),
        None => Err(format!(
            "{} is none of {}",
            values::quote(text),
            METHODS.map(|method| method.to_string()).join(", ")
        )),
    }
}

/// The name of a field, as it is written.
fn field(text: &str) -> Result<Box<str>, String> {
    if text == "*" {
        return Err(
            "`*` is not accepted: browsers do not count Authorization in it; write the names".to_owned()
        );
    }
    match HeaderName::try_from(text) {
        Ok(_) => Ok(text.into()),
        Err(_) => Err(format!("{} is not the name of a field", values::quote(text))),
    }
}

/// An origin as browsers send it, `*`, or one with `*.` in place of sub-domains.
fn origin(text: &str) -> Result<OriginPattern, String> {
    if text == "*" {
        return Ok(OriginPattern::Any);
    }
    if text == "null" {
        return Err("`null` is the origin of every sandboxed and local page and cannot be allowed".to_owned());
    }
    let (scheme, host) = text.split_once("://").unwrap_or_default();
    if let Some(domain) = host.strip_prefix("*.") {
        let serialized = serialized(&format!("{scheme}://{domain}"), text)?;
        let (scheme, domain) = serialized.split_once("://").unwrap_or_default();
        let name = domain.split(':').next().unwrap_or_default();
        if !name.contains('.') || name.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
            return Err(format!(
                "{} allows more than the sub-domains of one organization",
                values::quote(text)
            ));
        }
        let (scheme, domain) = (format!("{scheme}://").into(), format!(".{domain}").into());
        return Ok(OriginPattern::Subdomains { scheme, domain });
    }
    serialized(text, text).map(|origin| OriginPattern::Exact(origin.into()))
}

/// The serialization of an origin, which must be written in this form, apart from upper case and a default port.
fn serialized(origin: &str, written: &str) -> Result<String, String> {
    let wrong = || {
        format!(
            "{} is not an origin; write scheme, host and port as a browser does, like https://app.corp.example or \
             https://*.corp.example, without a path",
            values::quote(written)
        )
    };
    let url = Url::parse(origin).map_err(|_| wrong())?;
    let serialized = url.origin().ascii_serialization();
    let default_port = match url.scheme() {
        "http" => ":80",
        "https" => ":443",
        _ => return Err(wrong()),
    };
    let lower = origin.to_ascii_lowercase();
    let same = lower == serialized || lower.strip_suffix(default_port) == Some(&*serialized);
    if same && !serialized.contains('*') { Ok(serialized) } else { Err(wrong()) }
}
