//! The order of rows, the routes of each preset, and known attacks on them.

#![allow(clippy::unwrap_used, reason = "tests")]

mod attacks;
mod presets;

use http::{Method, Uri};

use super::*;

fn preset(backend: Backend) -> RouteTable {
    RouteTable::preset(backend, &Place { provider: Some("saml"), ..Place::default() }).unwrap()
}

/// `None` for a path that is refused with 400.
fn routed(table: &RouteTable, method: &str, path: &str) -> Option<Route> {
    let target = Uri::try_from(path).ok()?;
    let readings = PathReadings::of(&target).ok()?;
    Some(table.route(&Method::from_bytes(method.as_bytes()).unwrap(), &readings).route)
}

fn rows(rows: &[(Route, &str)]) -> RouteTable {
    RouteTable::parse(rows).unwrap()
}

#[test]
fn the_first_row_decides() {
    let table = rows(&[
        (Route::Protected, "/a/secret/**"),
        (Route::Public, "GET /a/**"),
        (Route::Optional, "/a/**"),
        (Route::Public, "/a/b"),
    ]);
    for (method, path, expected) in [
        ("GET", "/a/b", Route::Public),
        ("HEAD", "/a/b", Route::Public),
        ("POST", "/a/b", Route::Optional),
        ("GET", "/a/secret", Route::Protected),
        ("GET", "/a/secret/x", Route::Protected),
        ("GET", "/b", Route::Protected),
    ] {
        assert_eq!(routed(&table, method, path), Some(expected), "{method} {path}");
    }
    assert_eq!(table.find(&Method::POST, b"/a/b"), Some(2));
    assert_eq!(table.find(&Method::POST, b"/b"), None);
}

#[test]
fn an_empty_table_protects_everything() {
    for path in ["/", "/health", "/api"] {
        assert_eq!(routed(&RouteTable::default(), "GET", path), Some(Route::Protected));
        assert_eq!(routed(&preset(Backend::Generic), "GET", path), Some(Route::Protected));
    }
}

#[test]
fn a_trailing_slash_opens_only_if_both_paths_open_alike() {
    for (given, slash) in [
        (&[(Route::Public, "/a"), (Route::Public, "/a/")][..], Route::Public),
        (&[(Route::Public, "/a/"), (Route::Public, "/a/**")], Route::Public),
        (&[(Route::Optional, "/a/"), (Route::Optional, "/a")], Route::Optional),
        (&[(Route::Public, "/a/")], Route::Protected),
        (&[(Route::Public, "/a")], Route::Protected),
        (&[(Route::Public, "/a/**")], Route::Public),
        (&[(Route::Optional, "/**")], Route::Optional),
        (&[(Route::Public, "/a/**"), (Route::Public, "/a/")], Route::Public),
        (&[(Route::Optional, "/a"), (Route::Public, "/a/**")], Route::Protected),
        (&[(Route::Protected, "/a"), (Route::Public, "/a/**")], Route::Protected),
        (&[(Route::Public, "/a/b/**"), (Route::Public, "/a/")], Route::Protected),
        (&[(Route::Public, "/*")], Route::Protected),
        (&[(Route::Public, "/a/"), (Route::Optional, "/a")], Route::Protected),
        (&[(Route::Public, "/a/"), (Route::Protected, "/a")], Route::Protected),
        (&[(Route::Public, "/*/"), (Route::Public, "/a")], Route::Public),
    ] {
        let table = rows(given);
        assert_eq!(routed(&table, "GET", "/a/"), Some(slash), "{given:?}");
        assert_eq!(routed(&table, "GET", "/a/?x=//"), Some(slash), "{given:?}");
        for path in ["/a//", "//a/", "/a;/", "/a/;", "/%61/", "/a%2f", "/a/%2f"] {
            assert_eq!(routed(&table, "GET", path), Some(Route::Protected), "{given:?} {path}");
        }
    }
}

#[test]
fn rows_show_their_source() {
    let table = preset(Backend::OpenMetadata);
    let row = &table.rows()[table.find(&Method::GET, b"/api/v1/system/version").unwrap()];
    assert_eq!(
        row.to_string(),
        "public GET /api/v1/system/version (openmetadata: JwtFilter, EXCLUDED_ENDPOINTS)"
    );
    assert!(!row.is_configured() && rows(&[(Route::Public, "/x")]).rows()[0].is_configured());
    for backend in Backend::ALL {
        for row in preset(backend).rows() {
            let RowSource::Preset { reference, .. } = row.source else { unreachable!("{row}") };
            assert!(reference.starts_with(|c: char| c.is_ascii_alphabetic()), "{row}: a name to look for");
        }
    }
}

/// A path that the row matches.
fn example(row: &RouteRow) -> String {
    let path = row.pattern.path().to_string();
    let path = path.strip_prefix("/**/").map_or(path.clone(), |path| format!("/{path}"));
    path.replace("/**", "/x").replace('*', "x")
}

/// A row that is hidden by an earlier one has no effect.
#[test]
fn no_row_of_a_preset_is_hidden_by_an_earlier_one() {
    for backend in Backend::ALL {
        let table = preset(backend);
        for (at, row) in table.rows().iter().enumerate() {
            let example = example(row);
            let names: Vec<_> = row.pattern.methods().names().collect();
            let methods = if names.is_empty() { vec!["POST"] } else { names };
            for method in methods {
                let method = Method::from_bytes(method.as_bytes()).unwrap();
                assert_eq!(table.find(&method, example.as_bytes()), Some(at), "{row}: {method} {example}");
            }
        }
    }
}

#[test]
fn rows_say_where_they_come_from() {
    let table = preset(Backend::OpenMetadata);
    assert!(!table.rows().is_empty() && table.rows().iter().all(|row| !row.is_configured()));
    for row in table.rows() {
        let shown = row.to_string();
        assert!(shown.starts_with(row.route.as_str()) && shown.contains("(openmetadata: "), "{shown}");
    }
    let mut own = rows(&[(Route::Public, "GET /a")]).rows().to_vec();
    assert_eq!(own[0].to_string(), "public GET /a (authorization.public)");
    own[0].source =
        RowSource::Configuration { key: "authorization.public".into(), origin: Some("a.yaml:3".into()) };
    assert_eq!(own[0].to_string(), "public GET /a (authorization.public, a.yaml:3)");
    let count = table.rows().len();
    let both = table.with_first(own);
    assert!(both.rows()[0].is_configured() && both.rows().len() == count + 1);
    assert_eq!(routed(&both, "GET", "/a"), Some(Route::Public));
}

#[test]
fn inactive_rows_say_why() {
    let with = |provider| {
        RouteTable::preset(Backend::OpenMetadata, &Place { provider, ..Place::default() }).unwrap()
    };
    let (saml, none) = (with(Some("SAML")), with(None));
    assert!(none.inactive().len() > saml.inactive().len(), "without case");
    let whys: Vec<&str> = none.inactive().iter().map(|route| &*route.why).collect();
    assert!(whys.contains(&"only if authentication.provider is saml"), "{whys:?}");
    let inside = Place { upstream_path: "/api", provider: Some("saml"), ..Place::default() };
    let inside = RouteTable::preset(Backend::OpenMetadata, &inside).unwrap();
    // Only a row that opens a whole tree. What the preset protects stays protected.
    let inactive: Vec<_> =
        inside.inactive().iter().map(|route| (route.row.pattern.to_string(), &*route.why)).collect();
    let why = "upstream.url points to a protected path: /**/api/**";
    assert_eq!(inactive, [("GET /**".to_owned(), why)]);
}
