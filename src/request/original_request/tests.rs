use super::*;
use crate::message::Fields;

fn headers(pairs: &[(&'static str, &str)]) -> Fields {
    let mut headers = Fields::new();
    for (name, value) in pairs {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn read(dialect: ForwardAuthDialect, pairs: &[(&'static str, &str)]) -> Result<String, &'static str> {
    let original = OriginalRequest::read(dialect, &Method::GET, &Uri::from_static("/own?q"), &headers(pairs));
    match original {
        Ok(OriginalRequest { method, target, host }) => {
            let host = host.map(|host| format!(" {}", host.to_str().unwrap())).unwrap_or_default();
            Ok(format!("{method} {target}{host}"))
        }
        Err(fault) => Err(why(fault)),
    }
}

fn why(fault: RequestFault) -> &'static str {
    match fault {
        RequestFault::BadTarget(why) => why,
        RequestFault::AmbiguousCredentials(_) => "credentials",
        RequestFault::MethodNotAllowed => "method",
        // Those that other modules find: faults of the bytes, and of the place of an installation.
        RequestFault::OutsidePrefix
        | RequestFault::TargetTooLong
        | RequestFault::HeadTooLarge
        | RequestFault::TimedOut => "bytes",
    }
}

const FORWARDED: [(&str, &str); 3] = [
    ("x-forwarded-method", "PUT"),
    ("x-forwarded-uri", "/a//b;c?d=/e"),
    ("x-forwarded-host", "a.example:8443"),
];
const ORIGINAL: [(&str, &str); 2] = [("x-original-method", "PUT"), ("x-original-uri", "/a%2Fb?c")];

/// All pairs except the one at `index`.
fn without(pairs: &[(&'static str, &'static str)], index: usize) -> Vec<(&'static str, &'static str)> {
    let mut pairs = pairs.to_vec();
    pairs.remove(index);
    pairs
}

#[test]
fn each_dialect_reads_its_own_fields() {
    assert_eq!(read(ForwardAuthDialect::Forwarded, &FORWARDED).unwrap(), "PUT /a//b;c?d=/e a.example:8443");
    assert_eq!(read(ForwardAuthDialect::Original, &ORIGINAL).unwrap(), "PUT /a%2Fb?c");
    let url = [("x-original-method", "GET"), ("x-original-url", "https://a.example:8443//b?c=http://d/")];
    assert_eq!(read(ForwardAuthDialect::Original, &url).unwrap(), "GET //b?c=http://d/ a.example:8443");
    // Only one of the two is accepted, because the other could replace the host.
    let both = [url[0], url[1], ("x-original-uri", "//b?c=http://d/")];
    assert_eq!(read(ForwardAuthDialect::Original, &both), Err(why(TWICE)));
    assert_eq!(read(ForwardAuthDialect::Request, &[]).unwrap(), "GET /own?q");
}

#[test]
fn missing_fields_are_refused() {
    for (index, fault) in [NO_METHOD, NO_TARGET, NO_HOST].into_iter().enumerate() {
        assert_eq!(read(ForwardAuthDialect::Forwarded, &without(&FORWARDED, index)), Err(why(fault)));
    }
    for (index, fault) in [NO_METHOD, NO_TARGET].into_iter().enumerate() {
        assert_eq!(read(ForwardAuthDialect::Original, &without(&ORIGINAL, index)), Err(why(fault)));
    }
    // Fields of another dialect are not a substitute.
    assert_eq!(read(ForwardAuthDialect::Forwarded, &ORIGINAL), Err(why(NO_METHOD)));
    assert_eq!(read(ForwardAuthDialect::Original, &FORWARDED), Err(why(NO_TARGET)));
}

#[test]
fn repeated_fields_are_refused_in_every_dialect() {
    for twice in FORWARDED.iter().take(2).chain(&ORIGINAL).chain(&[("x-original-url", "/a")]) {
        for (dialect, own) in [
            (ForwardAuthDialect::Forwarded, &FORWARDED[..]),
            (ForwardAuthDialect::Original, &ORIGINAL[..]),
            (ForwardAuthDialect::Request, &[][..]),
        ] {
            let mut pairs: Vec<_> = own.to_vec();
            pairs.retain(|(name, _)| *name != twice.0);
            if twice.0.contains("original-ur") {
                pairs.retain(|(name, _)| !name.contains("original-ur"));
            }
            pairs.extend([*twice, *twice]);
            assert_eq!(read(dialect, &pairs), Err(why(TWICE)), "{dialect:?} {twice:?}");
        }
    }
    let hosts = [FORWARDED[0], FORWARDED[1], FORWARDED[2], FORWARDED[2]];
    assert_eq!(read(ForwardAuthDialect::Forwarded, &hosts), Err(why(TWICE)));
}

#[test]
fn fields_of_other_dialects_must_agree() {
    let smuggled = [
        ("x-forwarded-uri", "/public"),
        ("x-forwarded-method", "POST"),
        ("x-original-uri", "/public"),
        ("x-original-url", "http://a/public"),
        ("x-original-method", "POST"),
        ("x-original-uri", "/own?q#"),
        ("x-original-uri", ""),
    ];
    for (dialect, own) in [
        (ForwardAuthDialect::Forwarded, &FORWARDED[..]),
        (ForwardAuthDialect::Original, &ORIGINAL[..]),
        (ForwardAuthDialect::Request, &[][..]),
    ] {
        for field in smuggled.iter().filter(|field| own.iter().all(|own| own.0 != field.0)) {
            let mut pairs = own.to_vec();
            pairs.push(*field);
            assert!(read(dialect, &pairs).is_err(), "{dialect:?} {field:?}");
        }
    }
    let same =
        [("x-forwarded-uri", "/own?q"), ("x-original-url", "http://a/own?q"), ("x-original-method", "GET")];
    assert_eq!(read(ForwardAuthDialect::Request, &same).unwrap(), "GET /own?q");
}

#[test]
fn malformed_targets_are_refused() {
    for target in [
        "",
        "*",
        "own",
        "/a#b",
        "/a?b#c",
        "/a b",
        "/a\u{e9}",
        "http://a",
        "ftp://a/b",
        "HTTP://a/b",
        "//a/../%#",
        "javascript:/a",
        "http:/a",
    ] {
        let pairs = [("x-original-method", "GET"), ("x-original-uri", target)];
        assert_eq!(read(ForwardAuthDialect::Original, &pairs), Err(why(NO_PATH)), "{target:?}");
    }
    // A proxy concatenates scheme, Host and target. The client's Host stays in the authority, and the check of Host
    // refuses it.
    for host in ["a?b=", "a#", "u@a", "a\\"] {
        let url = format!("https://{host}/private");
        let pairs = [("x-original-method", "GET"), ("x-original-url", url.as_str())];
        let original = read(ForwardAuthDialect::Original, &pairs).unwrap();
        assert_eq!(original, format!("GET /private {host}"));
        let mut headers = Fields::new();
        headers.insert(http::header::HOST, HeaderValue::from_str(host).unwrap());
        let target = Uri::from_static("/private");
        let source = std::net::IpAddr::from([127, 0, 0, 1]);
        let facts = super::super::RequestFacts::read(
            &Method::GET,
            &target,
            http::Version::HTTP_11,
            &headers,
            crate::request::BackendQuirks::default(),
            source,
        );
        assert!(facts.is_err(), "{host}");
    }
}

#[test]
fn method_is_a_case_sensitive_token() {
    for method in ["", "GE T", "GET,PUT", "G\u{e9}T"] {
        let pairs = [("x-original-method", method), ("x-original-uri", "/a")];
        assert_eq!(read(ForwardAuthDialect::Original, &pairs), Err(why(NO_METHOD)), "{method:?}");
    }
    let pairs = [("x-original-method", "get"), ("x-original-uri", "/a")];
    assert_eq!(read(ForwardAuthDialect::Original, &pairs).unwrap(), "get /a");
}

#[test]
fn the_fields_that_describe_a_request_are_named() {
    let sent = headers(&[
        ("x-original-url", "/a"),
        ("accept", "*/*"),
        ("x-forwarded-method", "GET"),
        ("x-forwarded-method", "PUT"),
        ("x-forwarded-for", "192.0.2.1"),
    ]);
    let names: Vec<&str> = OriginalRequest::names(&sent).collect();
    assert_eq!(names, ["x-original-url", "x-forwarded-method", "x-forwarded-method"]);
    for (dialect, name) in [
        (ForwardAuthDialect::Forwarded, "X-Forwarded-Uri"),
        (ForwardAuthDialect::Original, "X-Original-URI"),
        (ForwardAuthDialect::Request, "the request itself"),
    ] {
        assert!(dialect.fields().contains(name), "{dialect:?}");
    }
}
