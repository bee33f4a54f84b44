//! Every source file is a module of another one. A file whose `mod` line is lost, for example by a merge, compiles nowhere,
//! and its tests do not run, without an error.

use std::fs;
use std::path::{Path, PathBuf};

use super::rust_files;

/// The sources of these folders that no other one has as a module. `fuzz` has a package of its own.
fn lost(package: &Path) -> Vec<PathBuf> {
    let files: Vec<_> =
        ["src", "tests", "benches"].iter().flat_map(|root| rust_files(&package.join(root))).collect();
    let sources: Vec<_> =
        files.iter().map(|file| (file, fs::read_to_string(file).expect("a source file"))).collect();
    let is_module = |file: &Path| {
        let named = if file.ends_with("mod.rs") { file.parent() } else { Some(file) };
        let Some((folder, stem)) = named.and_then(|named| Some((named.parent()?, named.file_stem()?))) else {
            return false;
        };
        let line = format!("mod {};", stem.to_string_lossy());
        let parents = ["mod.rs", "main.rs", "lib.rs"].map(|name| folder.join(name));
        sources.iter().any(|(other, source)| {
            let is_parent = **other == folder.with_extension("rs") || parents.contains(other);
            let is_named = source
                .lines()
                .filter_map(named_path)
                .any(|path| other.parent().is_some_and(|base| base.join(path) == file));
            is_named
                || is_parent
                    && source
                        .lines()
                        .map(str::trim)
                        .any(|text| text.ends_with(&line) && !text.starts_with("//"))
        })
    };
    files.iter().filter(|file| !is_root(package, file) && !is_module(file)).cloned().collect()
}

/// The path of a `#[path = "..."]`.
fn named_path(line: &str) -> Option<&str> {
    line.trim().strip_prefix("#[path = \"")?.strip_suffix("\"]")
}

/// Whether Cargo compiles it by itself.
fn is_root(package: &Path, file: &Path) -> bool {
    let manifest = fs::read_to_string(package.join("Cargo.toml")).expect("Cargo.toml");
    let relative = file.strip_prefix(package).expect("a file of the package");
    let is_listed = manifest.contains(&format!("path = \"{}\"", relative.display()));
    let is_found = matches!(relative.to_str(), Some("src/lib.rs" | "src/main.rs"))
        || relative
            .parent()
            .is_some_and(|folder| folder == Path::new("tests") || folder == Path::new("benches"));
    is_listed || is_found
}

#[test]
fn every_file_is_compiled() {
    assert_eq!(lost(Path::new(env!("CARGO_MANIFEST_DIR"))), Vec::<PathBuf>::new());
}

#[test]
fn a_file_without_a_mod_line_is_found() {
    let directory = tempfile::tempdir().expect("a directory");
    let package = directory.path();
    for folder in ["src/a", "tests/b", "benches"] {
        fs::create_dir_all(package.join(folder)).expect("a folder");
    }
    for (file, text) in [
        ("Cargo.toml", ""),
        ("src/lib.rs", "pub mod a;"),
        ("src/a.rs", "mod there;\n// mod lost;\n"),
        ("src/a/there.rs", ""),
        ("src/a/lost.rs", ""),
        ("tests/b.rs", "#[path = \"b/named.rs\"]\nmod named;\n"),
        ("tests/b/named.rs", ""),
        ("tests/b/unnamed.rs", ""),
    ] {
        fs::write(package.join(file), text).expect("a file");
    }
    assert_eq!(lost(package), ["src/a/lost.rs", "tests/b/unnamed.rs"].map(|file| package.join(file)));
}
