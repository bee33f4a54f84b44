//! The order of the modules in `src/lib.rs` is the order of dependency: a module imports only from
//! groups above its own, from earlier lines of its own group, and from itself.

#![allow(clippy::expect_used, reason = "what fails in a test's helper fails the test")]

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// Where a module stands: its group, and its line within all.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Floor {
    module: String,
    line: usize,
}

/// The modules of a `lib.rs` in the order of their lines. Groups are separated by comment lines;
/// as an import may go to any earlier line, of the own group or of one above, the line says it all.
fn floors(lib: &str) -> Vec<Floor> {
    lib.lines()
        .enumerate()
        .filter_map(|(line, text)| {
            let module = text.trim().strip_prefix("pub ").unwrap_or(text.trim()).strip_prefix("mod ")?;
            Some(Floor { module: module.strip_suffix(';')?.to_owned(), line: line + 1 })
        })
        .collect()
}

/// The modules that one line of code names after `crate::`; a braced list names several.
fn imports(line: &str) -> Vec<String> {
    let line = without_strings(line);
    let code = line.split("//").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `other_crate::` are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let path = &code[at + "crate::".len()..];
        let names = match path.strip_prefix('{') {
            Some(list) => top_level_names(list),
            None => vec![path],
        };
        found.extend(names.iter().map(|name| first_word(name)).filter(|name| !name.is_empty()));
    }
    found
}

/// The line with every string literal emptied: what a text says is no import.
fn without_strings(line: &str) -> String {
    let mut code = String::new();
    let mut inside = false;
    let mut characters = line.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' if inside => {
                characters.next();
            }
            // `'"'` is a character.
            '"' if !inside && code.ends_with('\'') && characters.peek() == Some(&'\'') => {}
            '"' => inside = !inside,
            _ if inside => {}
            _ => code.push(c),
        }
    }
    code
}

/// The items of a braced list, without what stands in braces of their own.
fn top_level_names(list: &str) -> Vec<&str> {
    let mut depth = 0;
    let mut start = 0;
    let mut names = Vec::new();
    for (at, c) in list.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                names.push(&list[start..at]);
                return names;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                names.push(&list[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    names.push(&list[start..]);
    names
}

fn first_word(text: &str) -> String {
    text.trim().chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
}

/// Source with every `#[cfg(test)] mod ... { }` blanked out, line for line, and each `use` that
/// runs over several lines on its first.
fn judged_lines(source: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut pending: Option<(usize, String)> = None;
    let mut skipped_to: Option<String> = None;
    let mut test_next = false;
    for (number, line) in source.lines().enumerate().map(|(n, line)| (n + 1, line)) {
        let trimmed = line.trim_start();
        if let Some(end) = &skipped_to {
            if line.trim_end() == end {
                skipped_to = None;
            }
            continue;
        }
        if trimmed.starts_with("#[cfg(test)]") {
            test_next = true;
            continue;
        }
        if test_next && !trimmed.starts_with("#[") {
            test_next = false;
            if trimmed.ends_with('{') {
                // rustfmt puts the closing brace where the line began.
                skipped_to = Some(format!("{}}}", &line[..line.len() - trimmed.len()]));
            }
            continue;
        }
        if let Some((_, text)) = &mut pending {
            text.push_str(line.split("//").next().unwrap_or_default());
            if line.contains(';') {
                lines.extend(pending.take());
            }
            continue;
        }
        let is_use = trimmed.starts_with("use ")
            || trimmed.starts_with("pub use ")
            || trimmed.starts_with("pub(crate) use ");
        if is_use && !line.contains(';') {
            pending = Some((number, line.to_owned()));
        } else {
            lines.push((number, line.to_owned()));
        }
    }
    lines
}

/// Imports of this file that go up: `line: module`.
fn upward(module: &str, source: &str, floors: &[Floor]) -> Vec<(usize, String)> {
    let place = |name: &str| floors.iter().position(|floor| floor.module == name);
    let Some(own) = place(module) else { return vec![(1, format!("`{module}` is not in lib.rs"))] };
    let mut found = Vec::new();
    for (line, text) in judged_lines(source) {
        for name in imports(&text) {
            // A name that is no module is an item of the crate's root.
            if place(&name).is_some_and(|imported| imported > own) {
                found.push((
                    line,
                    format!("`{module}` imports from `{name}`, which stands below it in lib.rs"),
                ));
            }
        }
    }
    found
}

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn no_module_imports_from_one_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors(&fs::read_to_string(root.join("lib.rs")).expect("src/lib.rs"));
    let mut judged = 0;
    let mut faults = Vec::new();
    for file in rust_files(&root) {
        let relative = file.strip_prefix(&root).expect("a file below src");
        let name = relative.to_string_lossy();
        let is_test = relative
            .iter()
            .any(|part| ["tests", "tests.rs", "test_support.rs"].map(OsStr::new).contains(&part));
        if ["lib.rs", "main.rs"].contains(&name.as_ref()) || is_test {
            continue;
        }
        let first = relative.components().next().expect("a component").as_os_str().to_string_lossy();
        let module = first.strip_suffix(".rs").unwrap_or(&first);
        let source = fs::read_to_string(&file).expect("a source file");
        judged += 1;
        for (line, fault) in upward(module, &source, &floors) {
            faults.push(format!("src/{name}:{line}: {fault}"));
        }
    }
    println!("{judged} files, {} modules", floors.len());
    assert!(faults.is_empty(), "upward imports:\n{}", faults.join("\n"));
}

const LIB: &str = "//! Doc.\n\n// First.\npub mod scope;\n\n// Second.\npub mod jose;\npub mod claims;\n\n// Third.\n#[cfg(feature = \"server\")]\npub mod server;\n";

#[test]
fn the_order_is_read_from_lib() {
    let modules: Vec<String> = floors(LIB).into_iter().map(|floor| floor.module).collect();
    assert_eq!(modules, ["scope", "jose", "claims", "server"]);
    assert_eq!(floors(LIB)[3].line, 12);
}

#[test]
fn an_upward_import_is_found() {
    let floors = floors(LIB);
    for (module, source, line) in [
        ("jose", "use crate::claims::Claims;\n", 1),
        ("jose", "\nuse crate::{scope, server::Server};\n", 2),
        ("scope", "use std::fmt;\nuse crate::{\n    jose::{\n        Key,\n    },\n};\n", 2),
        ("claims", "fn f() {\n    crate::server::run();\n}\n", 2),
        ("claims", "pub use crate::server as s;\n", 1),
        ("claims", "let c = '\"'; let u = \"http://x\"; crate::server::run();\n", 1),
        ("scope", "#[cfg(test)]\nmod tests {\n    use crate::server;\n}\nuse crate::jose;\n", 5),
        ("unknown", "", 1),
    ] {
        let found = upward(module, source, &floors);
        assert_eq!(found.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [line], "{module}: {source}");
    }
}

#[test]
fn other_imports_are_not() {
    let floors = floors(LIB);
    for (module, source) in [
        ("claims", "use crate::scope;\nuse crate::jose::Key;\nuse crate::claims::rules;\n"),
        ("server", "use crate::{claims, jose::{Key, server_name}, scope};\n"),
        ("scope", "// use crate::server;\n/// [`crate::server`] is no import.\nuse other_crate::server;\n"),
        ("scope", "#[cfg(test)]\nmod tests {\n    use crate::server;\n    mod inner {\n    }\n}\n"),
        (
            "scope",
            "#[expect(missing_docs, reason = \"crate::server has them\")]\nlet u = \"a\\\"crate::server\";\n",
        ),
        ("scope", "#[cfg(test)]\n#[path = \"x.rs\"]\nmod tests;\nuse crate::Error;\n"),
    ] {
        assert_eq!(upward(module, source, &floors), [], "{module}: {source}");
    }
}
