//! Which readings a path has.

use super::*;

fn read(path: &str) -> Result<Vec<String>, RequestFault> {
    let target = Uri::try_from(path).map_err(|_| RequestFault::BadTarget(NOT_A_PATH))?;
    let readings = PathReadings::of(&target)?;
    Ok(readings.all().map(|reading| String::from_utf8_lossy(reading).into_owned()).collect())
}

#[test]
fn plain_path_has_one_reading() {
    for path in [
        "/",
        "/api/v1/tables",
        "/api/v1/tables/name/svc.db.sch.orders?limit=2",
        "/a/...",
        "/a/..b",
        "/~a/b:c@d",
    ] {
        let target = Uri::try_from(path).unwrap();
        let readings = PathReadings::of(&target).unwrap();
        assert!(readings.is_plain(), "{path}");
        assert_eq!(readings.all().count(), 1, "{path}");
    }
}

#[test]
fn a_simple_path_is_accepted_and_has_no_other_reading() {
    let mut simple = 0;
    for first in 0..=u8::MAX {
        for second in 0..=u8::MAX {
            for path in [
                vec![first, second],
                vec![b'/', first, second],
                vec![b'/', b'a', first, second],
                vec![b'/', b'a', first, second, b'b'],
                vec![b'/', first, b'.', second],
            ] {
                if is_simple(&path) {
                    simple += 1;
                    assert_eq!(readings(&path), Ok(Vec::new()), "{path:?}");
                }
            }
        }
    }
    assert!(simple > 20_000, "{simple}");
    for path in ["/", "/a", "/api/v1/tables/name/a.b.c", "/~a/b:c@d", "/a..b/c."] {
        assert!(is_simple(path.as_bytes()), "{path}");
    }
    for path in [
        "", "a", "/a/", "//", "/a//b", "/.", "/a/..", "/.a", "/a%41", "/a;b", "/a#", "/a\\b", "/\u{e9}",
        "/a b",
    ] {
        assert!(!is_simple(path.as_bytes()), "{path}");
    }
}

#[test]
fn every_reading_is_listed() {
    let all = read("/api/v1;x%2fy/a%20b").unwrap();
    assert_eq!(all[0], "/api/v1;x%2fy/a%20b");
    assert!(all.contains(&"/api/v1/a%20b".to_owned()), "{all:?}");
    assert!(all.contains(&"/api/v1;x/y/a b".to_owned()), "{all:?}");
    assert!(all.contains(&"/api/v1/a b".to_owned()), "{all:?}");
    assert!(all.contains(&"/api/v1/y/a b".to_owned()), "{all:?}");
    assert!(read("//a//b/").unwrap().contains(&"/a/b".to_owned()));
    assert_eq!(read("//").unwrap(), ["//", "/"], "no path is empty");
    assert!(!PathReadings::of(&Uri::from_static("/a/")).unwrap().is_plain());
    assert!(!PathReadings::of(&Uri::from_static("/a%41")).unwrap().is_plain());
}

/// Observed with Jetty and Jersey: each is served as `/api/v1/policies` or as a path below it.
#[test]
fn text_after_a_parameter_may_be_read_as_the_path() {
    for path in [
        "/api;v1/policies",
        "/api;v1;y/policies",
        "/api;v1;/policies;z",
        "/api;v1/policies/",
        "/api;v1/policies;",
        "/api;/v1/policies",
    ] {
        let all = read(path).unwrap();
        assert!(all.contains(&"/api/v1/policies".to_owned()), "{path}: {all:?}");
    }
    assert!(read("/om/api;v1/policies").unwrap().contains(&"/om/api/v1/policies".to_owned()));
    assert!(read("/om;abcdv1/api/x").unwrap().contains(&"/om/api/v1/api/x".to_owned()));
    assert_eq!(read("/api;../policies"), bad(PARAMETER));
    // The number of readings stays small however many parameters there are.
    assert!(read(&"/a;b".repeat(1000)).unwrap().len() < 20);
}

#[test]
fn non_utf8_bytes_may_be_read_as_latin1() {
    assert!(read("/caf%e9").unwrap().contains(&"/caf\u{e9}".to_owned()));
    assert!(read("/caf%e9;x").unwrap().contains(&"/caf\u{e9}".to_owned()));
    assert_eq!(read("/caf%c3%a9").unwrap().len(), 2);
}

#[test]
fn only_a_lone_trailing_slash_is_removed() {
    let without = |path: &'static str| {
        let readings = PathReadings::of(&Uri::from_static(path)).unwrap();
        readings.without_last_slash().map(|path| String::from_utf8_lossy(path).into_owned())
    };
    assert_eq!(without("/a/"), Some("/a".to_owned()));
    assert_eq!(without("/a/b/?x=/"), Some("/a/b".to_owned()));
    for path in ["/", "/a", "/a//", "//a/", "/a;b/", "/a%41/", "/a%2f/", "/a;/", "/a%2f", "//"] {
        assert_eq!(without(path), None, "{path}");
    }
}

#[test]
fn entity_names_are_accepted() {
    for path in [
        "/entitiesV2/urn%3Ali%3Acorpuser%3Adatahub",
        "/api/v1/tables/name/a%2Fb",
        "/api/v1/tables/name/%22a.b%22",
        "/api/v1/tables/name/100%25",
        "/api/v1/tables/name/a%23b",
        "/api/v1/tables/name/HOST%5CSQL.db",
        "/api/v1/tables/name/%C3%A9",
        "/aspects/urn%3Ali%3Adataset%3A%28urn%3Ali%3AdataPlatform%3Ahive%2Csch.orders%2CPROD%29",
    ] {
        assert!(read(path).is_ok(), "{path}");
    }
}

#[test]
fn dangerous_paths_are_refused() {
    for path in [
        "/a/../b",
        "/a/./b",
        "/..",
        "/a/..",
        "/a/%2e%2e/b",
        "/a/%2E./b",
        "/a/.%2e/b",
        "/a/..%2fb",
        "/a/%2e%2e%2fb",
        "/a/..%5cb",
        "/a/..;/b",
        "/a/..;x=y/b",
        "/a/%2e%2e;/b",
        "/a/..%3b/b",
        "/a/%252e%252e/b",
        "/%25zz/%252e%252e/b",
        "/100%25/%252E%252E/b",
        "/a%25;b/%252e./c",
        "/%25/b%255cc",
        "/a/%25%32%65%25%32%65/b",
        "/a%00",
        "/a%0d%0ab",
        "/a%7f",
        "/a%",
        "/a%zz",
        "/a%u002e",
        "/a\\b",
        "/a%255cb",
        "/a%2523b",
        "/a%2500",
        "/\u{e9}",
        "*",
    ] {
        assert!(matches!(read(path), Err(RequestFault::BadTarget(_))), "{path}");
    }
    // The query is not what is wrong.
    assert_eq!(read("/\u{e9}?a"), bad(NOT_A_PATH));
    assert!(PathReadings::of(&Uri::from_static("ftp://a/b")).is_err());
    assert!(PathReadings::of(&Uri::from_static("api")).is_err());
}
