//! What a value that is not valid was probably meant to be.

/// `localhost:8585` without its scheme, or a path for a `file://` URL.
pub(super) fn url(text: &str, schemes: &[&str]) -> Option<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._:/[]".contains(c);
    if text.is_empty() || text.len() > 200 || !text.chars().all(plain) || text.contains("://") {
        return None;
    }
    if text.starts_with('/') {
        return schemes.contains(&"file").then(|| format!("file://{text}"));
    }
    let host = text.split('/').next().unwrap_or_default();
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let local = !name.contains('.') || name.ends_with(".svc") || name.ends_with(".svc.cluster.local");
    let is_host =
        (name.contains('.') || host != name || name == "localhost") && !host.starts_with(['.', ':', '-']);
    let scheme = if local || name.parse::<std::net::IpAddr>().is_ok() { "http" } else { "https" };
    (is_host && schemes.contains(&scheme)).then(|| format!("{scheme}://{text}"))
}

/// `30`, `30 seconds` or `5min`.
pub(super) fn duration(text: &str) -> Option<String> {
    let text = text.trim().to_ascii_lowercase();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim() {
        "" | "s" | "sec" | "secs" | "second" | "seconds" => "s",
        "ms" | "msec" | "millis" | "milliseconds" => "ms",
        "m" | "min" | "mins" | "minute" | "minutes" => "m",
        "h" | "hr" | "hour" | "hours" => "h",
        "d" | "day" | "days" => "d",
        _ => return None,
    };
    (!number.is_empty() && number.len() < 10).then(|| format!("{number}{unit}"))
}

/// `16Mi`, `16M` or `16 mb`.
pub(super) fn size(text: &str) -> Option<String> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit.trim().to_ascii_lowercase().as_str() {
        "k" | "ki" | "kib" | "kb" => "KiB",
        "m" | "mi" | "mib" | "mb" => "MiB",
        "g" | "gi" | "gib" | "gb" => "GiB",
        _ => return None,
    };
    (!number.is_empty() && number.len() < 10).then(|| format!("{number}{unit}"))
}

/// `8685`, `:8685`, `localhost:8685` or `*:8685`.
pub(super) fn address(text: &str) -> Option<String> {
    let (host, port) = text.rsplit_once(':').unwrap_or(("", text));
    let port: u16 = port.parse().ok()?;
    match host {
        "" | "*" => Some(format!("0.0.0.0:{port}")),
        "localhost" => Some(format!("127.0.0.1:{port}")),
        "::" | "::1" => Some(format!("[{host}]:{port}")),
        _ => None,
    }
}

/// The end of a message about a value.
pub(super) fn did_you_mean(suggestion: Option<String>) -> String {
    suggestion.map(|text| format!("; did you mean {text}?")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const WEB: &[&str] = &["http", "https"];

    #[test]
    fn suggestions_are_what_was_meant() {
        for (text, expected) in [
            ("localhost:8585", Some("http://localhost:8585")),
            ("openmetadata:8585/api", Some("http://openmetadata:8585/api")),
            ("10.0.0.1:80", Some("http://10.0.0.1:80")),
            ("acme.eu.auth0.com", Some("https://acme.eu.auth0.com")),
            ("om.ns.svc:8585", Some("http://om.ns.svc:8585")),
            ("datahub-metadata-service", None),
            ("ftp://a.example", None),
            ("a.example?key=secret", None),
            ("user@a.example", None),
            ("/etc/x", None),
            ("", None),
        ] {
            assert_eq!(url(text, WEB).as_deref(), expected, "{text}");
        }
        assert_eq!(url("/etc/jwks.json", &["file"]).as_deref(), Some("file:///etc/jwks.json"));
        for (text, expected) in [
            ("30", Some("30s")),
            ("30 seconds", Some("30s")),
            ("5min", Some("5m")),
            ("5 apples", None),
            ("s", None),
        ] {
            assert_eq!(duration(text).as_deref(), expected, "{text}");
        }
        for (text, expected) in
            [("16Mi", Some("16MiB")), ("1g", Some("1GiB")), ("16 pages", None), ("Mi", None)]
        {
            assert_eq!(size(text).as_deref(), expected, "{text}");
        }
        for (text, expected) in [
            ("8685", Some("0.0.0.0:8685")),
            (":1", Some("0.0.0.0:1")),
            ("localhost:1", Some("127.0.0.1:1")),
            ("x:1", None),
            ("70000", None),
        ] {
            assert_eq!(address(text).as_deref(), expected, "{text}");
        }
    }
}
