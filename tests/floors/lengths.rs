//! A file has at most 400 lines, and a function outside tests at most 60.

use std::fs;
use std::path::Path;

use super::{is_checked, rust_files, source};

const MAX_FILE: usize = 400;
const MAX_FUNCTION: usize = 60;

/// What of this file is too long: itself, or functions by their names.
fn too_long(source: &str) -> Vec<String> {
    let lines = source.lines().count();
    let file = (lines > MAX_FILE).then(|| format!("{lines} lines"));
    let functions = source::functions(source).into_iter().map(|(name, lines)| (name, lines.count()));
    let functions = functions.filter(|(_, lines)| *lines > MAX_FUNCTION).map(|(name, _)| name);
    file.into_iter().chain(functions).collect()
}

#[test]
fn files_and_functions_are_short() {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for root in ["src", "tests", "benches", "fuzz/src", "fuzz/fuzz_targets"] {
        for file in rust_files(&package.join(root)) {
            let relative = file.strip_prefix(package).expect("a file of the package");
            let mut long = too_long(&fs::read_to_string(&file).expect("a source file"));
            // The cases of a test are a list, which may be long.
            long.retain(|what| (root == "src" && is_checked(relative)) || what.ends_with(" lines"));
            faults.extend(long.into_iter().map(|what| format!("{}: {what}", relative.display())));
        }
    }
    assert!(faults.is_empty(), "too long:\n{}", faults.join("\n"));
}

#[test]
fn lengths_are_counted() {
    let function =
        |lines: usize| format!("fn f<T>()\nwhere T: A<[u8; 1]>, {{\n{}}}\n", "a();\n".repeat(lines - 3));
    assert_eq!(too_long(&function(60)), [""; 0]);
    assert_eq!(too_long(&function(61)), ["f"]);
    assert_eq!(too_long(&format!("trait A {{ fn b(c: fn(u8)); {} }}", function(61))), ["f"]);
    assert_eq!(too_long(&format!("#[cfg(test)]\nmod tests {{\n{}}}", function(61))), [""; 0]);
    assert_eq!(too_long(&"\n".repeat(400)), [""; 0]);
    assert_eq!(too_long(&"\n".repeat(401)), ["401 lines"]);
}
