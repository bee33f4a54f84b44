//! Redacts URLs for messages.

use url::Url;

/// A URL, or a text that was meant as one, without the parts that may be secret: user information, the query
/// (`?api_key=...`) and the fragment.
pub fn redacted(url: &str) -> String {
    const REDACTED: &str = "[redacted]";
    let (before, rest) = match url.find(['?', '#']) {
        Some(at) => url.split_at(at),
        None => (url, ""),
    };
    // The parser finds user information in a URL; in any other text it may be anywhere.
    let has_user = Url::parse(url).map_or(true, |url| {
        let hierarchical = url.has_authority() || url.path().starts_with('/');
        !hierarchical || !url.username().is_empty() || url.password().is_some()
    });
    let mut shown = match before.rsplit_once('@') {
        Some((user, after)) if has_user => {
            let scheme = user.split_once("://").map_or("", |(scheme, _)| scheme);
            let separator = if scheme.is_empty() { "" } else { "://" };
            format!("{scheme}{separator}{REDACTED}@{after}")
        }
        _ => before.to_owned(),
    };
    if let Some(mark) = rest.chars().next() {
        shown.push(mark);
        shown.push_str(REDACTED);
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::redacted;

    #[test]
    fn user_information_query_and_fragment_are_redacted() {
        for (url, shown) in [
            ("https://a.example:1/jwks", "https://a.example:1/jwks"),
            ("https://a.example/jwks?api_key=x&b", "https://a.example/jwks?[redacted]"),
            ("https://a.example/jwks?c2VjcmV0==", "https://a.example/jwks?[redacted]"),
            ("https://a.example/jwks?", "https://a.example/jwks?[redacted]"),
            ("https://a.example/jwks#x?y", "https://a.example/jwks#[redacted]"),
            ("https://ada:x@a.example/jwks", "https://[redacted]@a.example/jwks"),
            ("https://ada:x@y@a.example/jwks?z@", "https://[redacted]@a.example/jwks?[redacted]"),
            ("https://a.example/@x/jwks", "https://a.example/@x/jwks"),
            ("https://ada:x/y@a.example", "https://[redacted]@a.example"),
            ("ada:x@a.example", "[redacted]@a.example"),
            ("//a.example?x", "//a.example?[redacted]"),
            ("file:///etc/jwks.json", "file:///etc/jwks.json"),
            ("unix:/run/@backend.sock", "unix:/run/@backend.sock"),
            ("", ""),
        ] {
            assert_eq!(redacted(url), shown, "{url}");
        }
    }
}
