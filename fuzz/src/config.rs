//! The configuration: one document, and the layers of a whole one.

use metagate::config::{Loaded, load, load_without_secrets, parse_document, print, print_set};

mod layers;
mod origins;
mod printed;
mod secrets;

use layers::Layers;

/// A configuration file. Findings are values, never panics.
pub fn config_document(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let read = parse_document(text);
    assert!(read.complete || !read.problems.is_empty(), "stopped without reporting a problem");
}

/// Files, variables and flags (see [`layers`]): the last one that sets a key decides, and is reported. What is printed is the
/// same configuration, and contains no secret.
pub fn config_layers(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let layers = Layers::of(text);
    let loaded = load(&layers.sources);
    secrets::assert_hidden(&layers, loaded.as_ref());
    match &loaded {
        Ok(loaded) => {
            origins::assert_reported(&layers, loaded);
            // Each of these loads once more. One is enough for an input, of which there are many.
            match layers.number() % 5 {
                0 => origins::assert_upper_wins(&layers, loaded),
                1 => origins::assert_lower_loses(&layers, loaded),
                2 => printed::assert_same(&layers, loaded, &print(loaded)),
                3 => printed::assert_same(&layers, loaded, &print_set(loaded)),
                _ => {
                    let again = load_without_secrets(&layers.sources).map(|loaded| config(&loaded));
                    assert_eq!(again.ok(), Some(config(loaded)), "no secret is absent");
                }
            }
        }
        Err(errors) => {
            assert!(errors.iter().count() > 0);
            errors
                .iter()
                .filter_map(|error| error.origin.as_ref())
                .for_each(|origin| layers.assert_exists(origin));
            secrets::assert_hidden(&layers, load_without_secrets(&layers.sources).as_ref());
        }
    }
}

/// A configuration, without the places where its routes are written.
fn config(loaded: &Loaded) -> String {
    const BEFORE: &str = "origin: Some(\"";
    let text = format!("{:?}", loaded.config);
    let mut parts = text.split(BEFORE);
    let mut without = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        // Up to the quote that is not escaped.
        let mut is_escaped = false;
        let end = part.find(|c| {
            let is_end = c == '"' && !is_escaped;
            is_escaped = c == '\\' && !is_escaped;
            is_end
        });
        without.push_str(&part[end.expect("a closed text")..]);
    }
    without
}
