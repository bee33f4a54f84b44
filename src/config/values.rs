//! Parses single values from text. Each error message says what is accepted.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use http::{HeaderName, Method, StatusCode, Uri};
use ipnet::IpNet;
use url::Url;

mod rate;

pub(super) use rate::rate;

use super::Listen;
use super::redaction::redacted;
use super::suggestion::{self, did_you_mean};
use crate::claims::ClaimPath;
use crate::jose::Algorithm;
use crate::policy::{Expression, PathPattern, RoutePattern};
use crate::request::{canonical_host, uri_of};

/// A value for a message: in quotes, on one line, truncated.
pub(super) fn quote(text: &str) -> String {
    let short: String = text.chars().take(80).collect();
    let more = if short.len() < text.len() { "..." } else { "" };
    format!("{:?}{more}", short)
}

/// Checks that a text has no placeholder like `<client ID>` or `{tenant}`, as documents and advice have them.
pub(super) fn filled_in(text: &str) -> Result<(), String> {
    let within = |open: char, close: char| {
        let start = text.find(open)?;
        let length = text.get(start..)?.find(close)?;
        text.get(start..=start + length).filter(|found| found.len() > 2)
    };
    match within('<', '>').or_else(|| within('{', '}')) {
        Some(found) => Err(format!("{} has a placeholder in it; write your value for {found}", quote(text))),
        None => Ok(()),
    }
}

/// `true` or `false`. `yes`, `on` and `1` are not accepted.
pub(super) fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "true" | "True" | "TRUE" => Ok(true),
        "false" | "False" | "FALSE" => Ok(false),
        _ => {
            let hint = match text.to_ascii_lowercase().as_str() {
                "yes" | "on" | "y" | "1" | "enabled" => "; write true",
                "no" | "off" | "n" | "0" | "disabled" => "; write false",
                _ => "",
            };
            Err(format!("{} is neither true nor false{hint}", quote(text)))
        }
    }
}

/// A whole number without a sign.
pub(super) fn integer(text: &str) -> Result<u64, String> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let number = if digits { text.parse().ok() } else { None };
    number.ok_or_else(|| format!("{} is not a whole number", quote(text)))
}

/// One or more of `<number><unit>`: `30s`, `1h30m`, `250ms`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let error = || {
        let hint = did_you_mean(suggestion::duration(text));
        format!("{} is not a duration; write it like 30s, 5m, 250ms{hint}", quote(text))
    };
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, after) = leading_number(rest).ok_or_else(error)?;
        let letters = after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let part = match unit {
            "ms" => Some(Duration::from_millis(number)),
            "s" => Some(Duration::from_secs(number)),
            "m" => number.checked_mul(60).map(Duration::from_secs),
            "h" => number.checked_mul(3600).map(Duration::from_secs),
            "d" => number.checked_mul(86_400).map(Duration::from_secs),
            _ => None,
        };
        total = part.and_then(|part| total.checked_add(part)).ok_or_else(error)?;
        rest = after;
    }
    if text.is_empty() { Err(error()) } else { Ok(total) }
}

/// A number of bytes: `64KiB`, `1GiB`, `100kB`, `512`.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let error = || {
        let hint = did_you_mean(suggestion::size(text));
        format!("{} is not a size; write it like 64KiB, 16MiB, or a number of bytes{hint}", quote(text))
    };
    let (number, unit) = leading_number(text).ok_or_else(error)?;
    let factor: u64 = match unit.trim_start() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        "kB" | "KB" => 1_000,
        "MB" => 1_000_000,
        "GB" => 1_000_000_000,
        _ => return Err(error()),
    };
    number.checked_mul(factor).ok_or_else(error)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

/// The size of `sun_path`, including the terminating zero.
const MAX_SOCKET_PATH: usize = 108;

/// An IP address and a port.
pub(super) fn address(text: &str) -> Result<SocketAddr, String> {
    let help = "write an IP address and a port, like 0.0.0.0:8685 or [::]:8685";
    let hint = || did_you_mean(suggestion::address(text));
    text.parse().map_err(|_| format!("{} is not an address; {help}{}", quote(text), hint()))
}

/// An IP address and a port, or `unix:` and the path of a socket.
pub(super) fn listen(text: &str) -> Result<Listen, String> {
    match unix_path(text) {
        Some(path) if path.starts_with('/') && path.len() < MAX_SOCKET_PATH => Ok(Listen::Unix(path.into())),
        Some(_) => Err(format!(
            "{} is not unix: and an absolute path of less than {MAX_SOCKET_PATH} bytes",
            quote(text)
        )),
        None => {
            let or = "like 0.0.0.0:8685 or [::]:8685, or unix:/run/metagate.sock";
            let both = |error: String| error.replace("like 0.0.0.0:8685 or [::]:8685", or);
            address(text).map(Listen::Tcp).map_err(both)
        }
    }
}

/// The path after `unix:`, which may also be written as a URL, `unix:///path`.
fn unix_path(text: &str) -> Option<&str> {
    let rest = text.strip_prefix("unix:")?;
    Some(rest.strip_prefix("//").unwrap_or(rest))
}

/// A network; `None` for `unix`, which stands for the peers on a Unix socket.
pub(super) fn proxy(text: &str) -> Result<Option<IpNet>, String> {
    match text {
        "unix" => Ok(None),
        _ => network(text).map(Some),
    }
}

/// A URL of one of `schemes`, with a host (except for `file` and `unix`) and without user information or fragment.
pub(super) fn url(text: &str, schemes: &[&str]) -> Result<Url, String> {
    let accepted = schemes.iter().map(|scheme| format!("{scheme}://")).collect::<Vec<_>>().join(" or ");
    let before_query = text.split('?').next().unwrap_or_default();
    if filled_in(before_query).is_err() || text.contains('<') && filled_in(text).is_err() {
        let shown = quote(&redacted(text));
        return Err(format!("{shown} has a placeholder in it; write the URL with your own values"));
    }
    // `Url::parse` would silently drop or encode them.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("a URL must not contain blanks".to_owned());
    }
    let shown = quote(&redacted(text));
    let url = match Url::parse(text) {
        Ok(url) if schemes.contains(&url.scheme()) && has_authority(text) => url,
        Ok(_) | Err(url::ParseError::RelativeUrlWithoutBase) => {
            let hint = match text.strip_prefix('-') {
                Some(_) => "; an item of a list begins with `- `, with a space".to_owned(),
                None => did_you_mean(suggestion::url(text, schemes)),
            };
            return Err(format!("{shown} is not a URL that begins with {accepted}{hint}"));
        }
        Err(error) => return Err(format!("{shown} is not a URL: {error}")),
    };
    if !url.username().is_empty() || url.password().is_some() {
        return Err("a URL with a user name or a password in it is not accepted; leave them out".to_owned());
    }
    if url.fragment().is_some() {
        return Err(format!("{shown} has a fragment (`#...`), which would never be sent"));
    }
    if url.scheme() == "unix"
        && (url.host_str().is_some_and(|host| !host.is_empty())
            || url.path().len() >= MAX_SOCKET_PATH
            || url.path().contains('%'))
    {
        return Err(format!("{shown} does not name a socket; write unix:/run/backend.sock"));
    }
    if url.scheme() == "file" && url.to_file_path().is_err() {
        return Err(format!("{shown} does not name a file; write file:///path/to/jwks.json"));
    }
    Ok(url)
}

/// The schemes of key URLs.
pub(super) const KEY_URLS: &[&str] = &["http", "https", "file"];

/// The place for the kid in a URL of keys, as a parsed URL has it.
pub(crate) const KID_IN_URL: &str = "%7Bkid%7D";

/// A URL of keys. It may end in `/{kid}`, which becomes [`KID_IN_URL`].
pub(super) fn key_url(text: &str) -> Result<Url, String> {
    let misplaced = || {
        let text = quote(&redacted(text));
        Err(format!("{text} must have {{kid}} once, as the whole last segment of its path"))
    };
    let has_place = |text: &str| text.contains("{kid}") || text.contains(KID_IN_URL);
    match text.strip_suffix("/{kid}") {
        None if has_place(text) => misplaced(),
        None => url(text, KEY_URLS),
        Some(before) if has_place(before) => misplaced(),
        Some(before) => {
            let url = url(&format!("{before}/{KID_IN_URL}"), &["http", "https"])?;
            let is_last = url.query().is_none() && url.path().ends_with(&format!("/{KID_IN_URL}"));
            if is_last { Ok(url) } else { misplaced() }
        }
    }
}

/// `Url::parse` reads `http:a/b` as `http://a/b`, which is probably not intended.
fn has_authority(text: &str) -> bool {
    text.trim_start()
        .split_once(':')
        .is_some_and(|(scheme, rest)| rest.starts_with("//") || scheme == "unix" && rest.starts_with('/'))
}

/// A network, or a single address.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    let error = || format!("{} is not a network; write it like 10.0.0.0/8 or fd00::/8", quote(text));
    match text.parse::<IpAddr>() {
        Ok(address) => Ok(address.into()),
        Err(_) => text.parse::<IpNet>().map_err(|_| error()),
    }
}

/// A signature algorithm with public keys.
pub(super) fn algorithm(text: &str) -> Result<Algorithm, String> {
    let names = || Algorithm::ASYMMETRIC.map(Algorithm::name).join(", ");
    match Algorithm::from_name(text) {
        Some(Algorithm::HS256) => Err(
            "HS256 is only for an issuer entry with a sharedSecret: with key URLs, public keys would be used \
             as secrets"
                .to_owned(),
        ),
        Some(algorithm) => Ok(algorithm),
        None if text.eq_ignore_ascii_case("none") => {
            Err(format!("{} would accept unsigned tokens", quote(text)))
        }
        None => Err(format!("{} is not an algorithm that can be verified; accepted: {}", quote(text), names())),
    }
}

/// A name of a claim, or a path to it.
pub(super) fn claim_path(text: &str) -> Result<ClaimPath, String> {
    ClaimPath::parse(text).map_err(|why| format!("{} is not a claim path: {why}", quote(text)))
}

/// The name of a request field.
pub(super) fn header_name(text: &str) -> Result<HeaderName, String> {
    HeaderName::from_bytes(text.as_bytes()).map_err(|_| format!("{} is not a header name", quote(text)))
}

/// The name of a field for a part of the identity; `None` if it is off.
pub(super) fn identity_header(text: &str) -> Result<Option<HeaderName>, String> {
    match text.to_ascii_lowercase().as_str() {
        "off" | "false" | "no" | "null" => Ok(None),
        "on" | "true" | "yes" | "none" | "disabled" | "n" | "y" | "0" | "1" | "~" => {
            Err(format!("{} is not the name of a field; write one, or off", quote(text)))
        }
        _ => header_name(text).map(Some),
    }
}

/// The pattern of a public or optional route.
pub(super) fn route(text: &str) -> Result<RoutePattern, String> {
    RoutePattern::parse(text).map_err(|error| {
        format!("{error}; write a route like `GET,PUT /docs/**`, or `/docs/**` for every method")
    })
}

/// A pattern over paths.
pub(super) fn path_pattern(text: &str) -> Result<PathPattern, String> {
    PathPattern::parse(text).map_err(|error| error.to_string())
}

/// A CEL expression about a request.
pub(super) fn expression(text: &str) -> Result<Expression, String> {
    Expression::parse(text)
}

/// `/`, or an absolute path like `/catalog` without wildcards. A trailing slash is removed.
pub(super) fn base_path(text: &str) -> Result<String, String> {
    if text == "/" {
        return Ok("/".to_owned());
    }
    let path = text.strip_suffix('/').unwrap_or(text);
    if text.contains('*') || text.contains("//") {
        return Err(format!("{} is not a path like /catalog", quote(text)));
    }
    path_pattern(path).map(|_| path.to_owned())
}

/// Reads `info`, or `info,hyper=warn`. A misspelled level would be taken for the name of a target.
///
/// # Errors
/// What is wrong with it, and what would be accepted.
pub fn log_level(text: &str) -> Result<Box<str>, String> {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let target = |c: char| c.is_ascii_alphanumeric() || "_-:".contains(c);
    for directive in text.split(',').map(str::trim) {
        let (name, level) = directive.split_once('=').unwrap_or(("metagate", directive));
        if name.is_empty() || !name.chars().all(target) || !LEVELS.contains(&level) {
            let accepted = LEVELS.join(", ");
            return Err(format!(
                "{} is not a log level; write one of {accepted}, or target=level",
                quote(directive)
            ));
        }
    }
    Ok(text.into())
}

/// The statuses of refusals that a rule test may expect.
pub(super) const REFUSALS: [StatusCode; 4] =
    [StatusCode::BAD_REQUEST, StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN, StatusCode::PAYLOAD_TOO_LARGE];

/// What a rule test expects: `None` if the request is allowed, else the status of the refusal.
pub(super) fn expectation(text: &str) -> Result<Option<StatusCode>, String> {
    if text == "allow" {
        return Ok(None);
    }
    if let Some(status) = REFUSALS.into_iter().find(|status| status.as_str() == text) {
        return Ok(Some(status));
    }
    if text.starts_with('2') || text == "deny" {
        let statuses = one_of(&REFUSALS.map(|status| status.as_str().to_owned()));
        return Err(format!(
            "{} is not accepted; write `allow` for an allowed request, or the status of a refusal: {statuses}",
            quote(text)
        ));
    }
    Err(format!("{} is not accepted; write {}", quote(text), expectations()))
}

/// The accepted values of [`expectation`].
pub(super) fn expectations() -> String {
    let statuses = REFUSALS.iter().map(StatusCode::as_str);
    one_of(&std::iter::once("allow").chain(statuses).map(str::to_owned).collect::<Vec<_>>())
}

/// `a, b or c`
fn one_of(words: &[String]) -> String {
    match words {
        [before @ .., last] if !before.is_empty() => format!("{} or {last}", before.join(", ")),
        _ => words.concat(),
    }
}

/// `METHOD /path`: a request with its target in origin-form.
pub(super) fn request_line(text: &str) -> Result<(Method, Uri), String> {
    let form = || format!("{} is not a request; write it like `DELETE /api/v1/tables/x`", quote(text));
    let (method, target) = text.trim().split_once(' ').ok_or_else(form)?;
    let upper = method.bytes().all(|byte| byte.is_ascii_uppercase());
    let method = Method::from_bytes(method.as_bytes()).ok().filter(|_| upper).ok_or_else(form)?;
    let target = target.trim_start();
    let uri = uri_of(target.as_bytes()).ok().filter(|_| target.starts_with('/'));
    uri.map(|uri| (method, uri)).ok_or_else(|| {
        format!("{} is not a valid request path: percent-encode blanks and similar characters", quote(target))
    })
}

/// A host without a port; an IPv6 address with or without brackets.
pub(super) fn host(text: &str) -> Result<Box<str>, String> {
    let host = canonical_host(text).or_else(|| canonical_host(&format!("[{text}]")));
    host.filter(|host| !host.contains('*')).ok_or_else(|| {
        format!("{} is not a host; write only its name, without scheme, port or `*`", quote(text))
    })
}

/// A name that is safe as a metric label and in a log line.
pub(super) fn name(text: &str) -> Result<Box<str>, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if text.is_empty() || text.len() > 64 || !text.chars().all(fine) {
        return Err(format!(
            "{} is not a name; use at most 64 letters, digits, `-`, `_` and `.`",
            quote(text)
        ));
    }
    Ok(text.into())
}

#[cfg(test)]
mod tests;
