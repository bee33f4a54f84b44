//! Properties of all presets, for every path and method.

use metagate::backend::Backend;
use metagate::decision::Route;
use metagate::policy::{Place, RouteTable};
use metagate::request::PathReadings;
use proptest::prelude::*;

use super::{check, path};

/// Segments of preset paths in either case, with separators that some servers interpret
/// differently.
fn preset_path() -> impl Strategy<Value = String> {
    let segment = prop::sample::select(vec![
        "api",
        "API",
        "v1",
        "v2",
        "system",
        "version",
        "users",
        "login",
        "push",
        "feed",
        "mcp",
        "token",
        "tables",
        "table",
        "assets",
        "x.js",
        "openapi",
        "swagger.json",
        "graphql",
        "gms",
        "config",
        "health",
        "schema-registry",
        "public-iceberg",
        "callback",
        ".well-known",
        "openid-configuration",
        "catalog",
        "",
    ]);
    let joint = prop_oneof![
        8 => Just("/"),
        1 => prop::sample::select(vec!["//", ";/", ";x=y/", "%2f", "%2F", "/%2e/", "/../", "/;", "%5c", "/%41"]),
    ];
    let end = prop_oneof![
        4 => Just(""),
        1 => prop::sample::select(vec!["/", ";", "%20", "//", "/.", "%2f", "?x=/..", "%00", ";x=/api"]),
    ];
    (prop::collection::vec((joint, segment), 1..6), end).prop_map(|(pieces, end)| {
        let path: String = pieces.into_iter().flat_map(|(joint, segment)| [joint, segment]).collect();
        let path = if path.starts_with('/') { path } else { format!("/{path}") };
        path + end
    })
}

/// No preset opens an ambiguous path, except for one slash at the end if the path without it is open in the same way;
/// and none opens a path that a servlet could serve as the API.
#[test]
fn presets_open_no_ambiguous_path() {
    let methods = prop::sample::select(vec!["GET", "HEAD", "POST", "PUT", "DELETE"]);
    let base = prop::sample::select(vec!["", "/catalog"]);
    let opened = std::cell::Cell::new(0);
    let slashes = std::cell::Cell::new(0);
    check(
        20_000,
        &(methods, prop_oneof![4 => preset_path(), 1 => path()], base),
        |(method, path, base_path)| {
            let Ok(target) = http::Uri::try_from(path.as_str()) else { return Ok(()) };
            let Ok(readings) = PathReadings::of(&target) else { return Ok(()) };
            let method = http::Method::from_bytes(method.as_bytes()).unwrap();
            for backend in Backend::ALL {
                let place = Place { base_path, ..Place::default() };
                let routes = RouteTable::preset(backend, &place).unwrap();
                let route = routes.route(&method, &readings).route;
                if route == Route::Protected {
                    continue;
                }
                opened.set(opened.get() + 1);
                let slash = readings.without_last_slash().is_some();
                slashes.set(slashes.get() + u32::from(slash));
                prop_assert!(readings.is_plain() || slash, "{backend:?} {method} {path}");
                for reading in readings.all() {
                    let row = routes.find(&method, reading).map(|row| routes.rows()[row].route);
                    prop_assert_eq!(
                        row,
                        Some(route),
                        "{:?} {} {}: every reading is open",
                        backend,
                        method,
                        &path
                    );
                    let text = String::from_utf8_lossy(reading).to_ascii_lowercase();
                    let api = text.split('/').any(|segment| segment == "api");
                    let page = routes.find(&method, reading).is_some_and(|row| {
                        let pattern = routes.rows()[row].pattern.path().to_string();
                        pattern == format!("{base_path}/**") || pattern == format!("{base_path}/")
                    });
                    prop_assert!(!(api && page), "{backend:?} {method} {path}");
                }
            }
            Ok(())
        },
    );
    assert!(opened.get() > 1000, "only {} open routes were seen", opened.get());
    assert!(slashes.get() > 50, "only {} of them with a slash at the end", slashes.get());
}
