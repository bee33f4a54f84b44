//! The recipes of `docs/recipes`, read from their pages and run.

mod kubernetes;
mod pages;
mod path_prefix;
mod private_ca;
mod providers;
mod proxies;

/// The code blocks of this language on a page.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let path = format!("{}/docs/recipes/{page}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let parts = text.split("```").skip(1).step_by(2);
    parts.filter_map(|part| part.strip_prefix(&format!("{language}\n"))).map(str::to_owned).collect()
}

/// The one block that begins with the name of this file.
fn named(page: &str, file: &str) -> String {
    let found = blocks(page, "yaml").into_iter().find(|block| block.starts_with(&format!("# {file}\n")));
    found.unwrap_or_else(|| panic!("{page} has no {file}"))
}
