//! The order of the modules in `src/lib.rs` is the order of dependency: a module imports only from
//! groups above its own, from earlier lines of its own group, and from itself. Within a module,
//! its child modules import from one another without circles.

#![allow(clippy::expect_used, reason = "a failing helper fails its test")]

#[path = "floors/circles.rs"]
mod circles;
#[path = "floors/compiled.rs"]
mod compiled;
#[path = "floors/lengths.rs"]
mod lengths;
#[path = "floors/source.rs"]
mod source;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The position of a module in `lib.rs`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Floor {
    module: String,
    line: usize,
}

/// The modules of a `lib.rs` in order. Comment lines separate groups. An import may go to any
/// earlier line, in its own group or above, so the line number is enough.
fn floors(lib: &str) -> Vec<Floor> {
    lib.lines()
        .enumerate()
        .filter_map(|(line, text)| {
            let module = text.trim().strip_prefix("pub ").unwrap_or(text.trim()).strip_prefix("mod ")?;
            Some(Floor { module: module.strip_suffix(';')?.to_owned(), line: line + 1 })
        })
        .collect()
}

/// Imports of this file that go up: `line: module`.
fn upward(module: &str, source: &str, floors: &[Floor]) -> Vec<(usize, String)> {
    let place = |name: &str| floors.iter().position(|floor| floor.module == name);
    let Some(own) = place(module) else { return vec![(1, format!("`{module}` is not in lib.rs"))] };
    let mut found = Vec::new();
    let names = source::names(source);
    let imports = names.imports.into_iter().map(|import| (import.line, import.path));
    for (line, path) in imports.chain(names.paths) {
        // A name that is no module is an item of the crate's root.
        if let [root, name, ..] = &path[..]
            && root == "crate"
            && place(name).is_some_and(|imported| imported > own)
        {
            found.push((line, format!("`{module}` imports from `{name}`, which stands below it in lib.rs")));
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

/// Whether a file below `src` is code of a module that is not only for tests.
fn is_checked(file: &Path) -> bool {
    let others = ["lib.rs", "main.rs", "tests", "tests.rs", "models.rs", "test_support.rs"].map(OsStr::new);
    !file.iter().any(|part| others.contains(&part))
}

#[test]
fn no_module_imports_from_one_below_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let floors = floors(&fs::read_to_string(root.join("lib.rs")).expect("src/lib.rs"));
    let mut checked = 0;
    let mut faults = Vec::new();
    for file in rust_files(&root) {
        let relative = file.strip_prefix(&root).expect("a file below src");
        let name = relative.to_string_lossy();
        if !is_checked(relative) {
            continue;
        }
        let first = relative.components().next().expect("a component").as_os_str().to_string_lossy();
        let module = first.strip_suffix(".rs").unwrap_or(&first);
        let source = fs::read_to_string(&file).expect("a source file");
        checked += 1;
        for (line, fault) in upward(module, &source, &floors) {
            faults.push(format!("src/{name}:{line}: {fault}"));
        }
    }
    println!("{checked} files, {} modules", floors.len());
    assert!(faults.is_empty(), "upward imports:\n{}", faults.join("\n"));
}

/// The lines that name one of the backends by its variant.
fn lines_naming_a_backend(source: &str) -> Vec<usize> {
    let names = source::names(source);
    let imports = names.imports.into_iter().map(|import| (import.line, import.path));
    let names_one = |path: &[String]| {
        path.windows(2).any(|pair| {
            pair[0] == "Backend"
                && pair[1].starts_with(|first: char| first.is_ascii_uppercase())
                && !["ALL", "NAMES"].contains(&&*pair[1])
        })
    };
    imports.chain(names.paths).filter(|(_, path)| names_one(path)).map(|(line, _)| line).collect()
}

/// What is special about a backend is in its preset, so that a new one is one new file.
#[test]
fn no_module_asks_which_backend_it_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    for file in rust_files(&root) {
        let relative = file.strip_prefix(&root).expect("a file below src");
        let name = relative.to_string_lossy();
        if is_checked(relative) && !name.starts_with("backend") {
            let lines = lines_naming_a_backend(&fs::read_to_string(&file).expect("a source file"));
            found.extend(lines.into_iter().map(|line| format!("src/{name}:{line}")));
        }
    }
    assert!(found.is_empty(), "ask the backend's preset instead:\n{}", found.join("\n"));
    for line in ["fn f() { backend == Backend::DataHubGms }", "fn f() { match b { Backend::Generic => 1 } }"]
    {
        assert_eq!(lines_naming_a_backend(line), [1], "{line}");
    }
    for line in ["Backend::ALL", "Backend::products()", "// Backend::Generic", "\"Backend::Generic\""] {
        assert_eq!(lines_naming_a_backend(line), [0; 0], "{line}");
    }
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
