use super::*;

#[test]
fn durations() {
    for (text, millis) in [
        ("30s", 30_000),
        ("5m", 300_000),
        ("250ms", 250),
        ("1h30m", 5_400_000),
        ("0s", 0),
        ("2d", 172_800_000),
    ] {
        assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
    }
    for text in [
        "",
        "5",
        "0",
        "5 apples",
        "s",
        "-5s",
        "1.5h",
        "5S",
        "5 s",
        "5s ",
        "99999999999999999999s",
        "18446744073709551615d",
        "5sec",
    ] {
        assert!(duration(text).is_err(), "{text}");
    }
}

#[test]
fn sizes() {
    for (text, bytes) in
        [("64KiB", 65_536), ("512", 512), ("0", 0), ("1MB", 1_000_000), ("1 MiB", 1_048_576), ("2kB", 2_000)]
    {
        assert_eq!(size(text), Ok(bytes), "{text}");
    }
    for text in ["", "KiB", "64Kib", "64k", "-1", "1.5MiB", "99999999999GiB"] {
        assert!(size(text).is_err(), "{text}");
    }
}

#[test]
fn urls() {
    let schemes = &["http", "https", "file"];
    for text in ["http://a", "https://a.example/x?y=1,2", "http://[::1]:8585/jwks", "file:///etc/keys.json"] {
        assert!(url(text, schemes).is_ok(), "{text}");
    }
    for text in [
        "",
        "a",
        "localhost:8585/jwks",
        "http:a/b",
        "http://",
        "ftp://a/",
        "http://a/#x",
        "http://a:99999/",
        "file://host.example/x",
    ] {
        assert!(url(text, schemes).is_err(), "{text}");
    }
    assert!(url("file:///x", &["http", "https"]).is_err());
}

#[test]
fn a_password_in_a_url_is_never_repeated() {
    for text in
        ["http://ada:hunter2@a/", "http://ada:hunter2@a:99999/", "ada:hunter2@a", "ftp://ada:hunter2@a"]
    {
        let message = url(text, &["http", "https"]).unwrap_err();
        assert!(!message.contains("hunter2"), "{message}");
    }
}

#[test]
fn algorithms_of_public_keys_only() {
    assert_eq!(algorithm("ES256"), Ok(Algorithm::ES256));
    for text in ["HS256", "none", "None", "ES521", "rs256", "", "HS512"] {
        assert!(algorithm(text).is_err(), "{text}");
    }
}

#[test]
fn log_levels_and_hosts() {
    for text in ["info", "off", "info,hyper=warn", "warn, metagate::audit=info"] {
        assert!(log_level(text).is_ok(), "{text}");
    }
    for text in ["", "verbose", "INFO", "info,", "hyper=", "=info", "a b=info", "hyper=loud"] {
        assert!(log_level(text).is_err(), "{text}");
    }
    for text in ["a.example", "::1", "[::1]", "127.0.0.1"] {
        assert!(host(text).is_ok(), "{text}");
    }
    for text in ["a:80", "http://a", "*.example", "a b"] {
        assert!(host(text).is_err(), "{text}");
    }
}

#[test]
fn base_paths() {
    for (text, path) in [("/", "/"), ("/catalog", "/catalog"), ("/a/b/", "/a/b")] {
        assert_eq!(base_path(text).as_deref(), Ok(path));
    }
    for text in ["", "catalog", "//", "/a//b", "/*", "/a/**", "/a%2fb", "/.."] {
        assert!(base_path(text).is_err(), "{text}");
    }
}

#[test]
fn long_values_are_cut_and_escaped() {
    assert_eq!(quote("a\nb\u{1b}"), r#""a\nb\u{1b}""#);
    assert!(quote(&"ä".repeat(5000)).len() < 200);
}
