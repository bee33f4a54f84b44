//! What `metagate config print` writes.

use metagate::config::{Loaded, load, print};

use super::config;
use super::layers::Layers;

/// What is printed is the same configuration, unless something in it is not shown.
pub fn assert_same(layers: &Layers, loaded: &Loaded, printed: &str) {
    if printed.contains("[redacted]") {
        return;
    }
    let only = layers.only(printed);
    let again = load(&only.sources).unwrap_or_else(|errors| panic!("{printed}{errors}"));
    assert_eq!(config(&again), config(loaded), "{printed}");
    assert_eq!(values(&print(&again)), values(&print(loaded)));
}

/// The lines without the layers that they come from.
fn values(printed: &str) -> Vec<&str> {
    printed.lines().map(|line| line.rsplit_once("  # ").map_or(line, |(value, _)| value)).collect()
}
