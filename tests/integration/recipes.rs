//! The recipes of `docs/recipes`, run as the pages show them.

mod path_prefix;
