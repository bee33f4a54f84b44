//! No import circles: of the modules with one parent, each imports only from those that do not, by any way, import
//! from it. What is in a module's tree counts as the module's.
//!
//! A module may use what its parent's file defines (`use super::Type`), and the parent's file what its child modules
//! define; one file and its child modules are read together. A name that a module only passes on (`use child::Type`)
//! counts as an import of the module that defines it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Component, Path};

use super::source::{self, Names};
use super::{is_checked, rust_files};

/// The most imports that one name may be passed on by: more are a circle of `use`, which compiles nowhere.
const MAX_STEPS: usize = 16;

/// A module as its path from the crate's root, which is empty.
type Module = Vec<String>;

/// Each module with what its file names.
type Modules = BTreeMap<Module, Names>;

/// From one module to another with the same parent, and an import that makes it so.
type Imports = BTreeMap<(Module, Module), String>;

fn module(file: &Path) -> Module {
    let names = file.with_extension("");
    names
        .components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

/// The module whose file defines what this path means in `from`; none if it is not of this crate.
fn resolve(modules: &Modules, from: &[String], path: &[String], steps: usize) -> Option<Module> {
    let (first, mut rest) = path.split_first()?;
    let child = |of: &[String], name: &str| {
        let child = [of, &[name.to_owned()]].concat();
        modules.contains_key(&child).then_some(child)
    };
    let imported = |of: &[String], name: &str, rest: &[String]| {
        let import = modules.get(of)?.imports.iter().find(|import| import.name == name && steps > 0)?;
        Some(resolve(modules, of, &[&import.path, rest].concat(), steps - 1))
    };
    let mut current = match first.as_str() {
        "crate" => Module::new(),
        "self" => from.to_vec(),
        "super" => from.split_last()?.1.to_vec(),
        name => match child(from, name) {
            Some(child) => child,
            None => return imported(from, name, rest)?,
        },
    };
    while let Some((name, after)) = rest.split_first() {
        if name == "super" {
            current.pop()?;
        } else if let Some(child) = child(&current, name) {
            current = child;
        } else {
            return imported(&current, name, after).unwrap_or(Some(current));
        }
        rest = after;
    }
    Some(current)
}

/// The imports between modules with one parent.
fn imports(modules: &Modules) -> Imports {
    let mut found = Imports::new();
    for (from, names) in modules {
        let imports = names.imports.iter().map(|import| (import.line, &import.path));
        for (line, path) in imports.chain(names.paths.iter().map(|(line, path)| (*line, path))) {
            let Some(to) = resolve(modules, from, path, MAX_STEPS) else { continue };
            if from.starts_with(&to) || to.starts_with(from) {
                continue;
            }
            let shared = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            let says = format!("src/{}.rs:{line}: {}", from.join("/"), path.join("::"));
            found.entry((from[..=shared].to_vec(), to[..=shared].to_vec())).or_insert(says);
        }
    }
    found
}

/// The shortest way by these imports from one module to another.
fn way<'i>(imports: &'i Imports, from: &'i Module, to: &Module) -> Option<Vec<&'i Module>> {
    let mut came_from = BTreeMap::new();
    let mut queue = VecDeque::from([from]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let mut way = vec![at];
            while let Some(before) = way.last().and_then(|at| came_from.get(at)) {
                way.push(*before);
            }
            way.reverse();
            return Some(way);
        }
        for (_, next) in imports.keys().filter(|(start, _)| start == at) {
            if next != from && !came_from.contains_key(next) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

/// Each circle once, as the imports that make it.
fn circles(modules: &Modules) -> Vec<String> {
    let imports = imports(modules);
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for (from, to) in imports.keys() {
        let Some(way) = way(&imports, to, from) else { continue };
        if known.insert(way.iter().copied().collect::<BTreeSet<_>>()) {
            let next = way.iter().skip(1).chain(way.first());
            let steps = way.iter().zip(next).map(|(from, to)| {
                let says = imports.get(&((*from).clone(), (*to).clone()));
                format!("  {} -> {} ({})", from.join("::"), to.join("::"), says.map_or("", |says| says))
            });
            found.push(steps.collect::<Vec<_>>().join("\n"));
        }
    }
    found
}

/// Modules from their sources.
fn modules<'s>(sources: impl IntoIterator<Item = (&'s Path, String)>) -> Modules {
    sources.into_iter().map(|(file, source)| (module(file), source::names(&source))).collect()
}

#[test]
fn no_modules_import_from_one_another() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let files = rust_files(&root);
    let files = files.iter().map(|file| (file.strip_prefix(&root).expect("a file below src"), file));
    let sources = files.filter(|(name, _)| is_checked(name));
    let modules =
        modules(sources.map(|(name, file)| (name, fs::read_to_string(file).expect("a source file"))));
    for (module, names) in &modules {
        // What a glob brings in cannot be told from here.
        assert_eq!(names.globs, [0; 0], "lines of globs in src/{}.rs", module.join("/"));
    }
    let circles = circles(&modules);
    println!("{} files, {} imports between neighbours", modules.len(), imports(&modules).len());
    assert!(circles.is_empty(), "import circles:\n{}", circles.join("\n\n"));
}

/// Modules from lines of a file's name and what is in it.
fn written(files: &[&str]) -> Modules {
    let files = files.iter().map(|file| file.split_once(": ").expect("a name"));
    modules(files.map(|(name, source)| (Path::new(name), source.to_owned())))
}

#[test]
fn circles_are_found() {
    for (how, files) in [
        (
            "by `use` and by a path in code",
            &["a.rs: ", "a/b.rs: use super::c::C;", "a/c.rs: fn f() { crate::a::b::g() }"][..],
        ),
        (
            "by a name that the parent passes on",
            &["a.rs: pub use c::{C as D, E};", "a/b.rs: use super::D;", "a/c.rs: use super::b::B;"],
        ),
        (
            "by an import of the parent that only its children see",
            &["a.rs: use self::c::C;", "a/b.rs: fn f() -> super::C {}", "a/c.rs: use super::b::B;"],
        ),
        (
            "through an imported module",
            &["a.rs: ", "a/b.rs: use crate::a; fn f() { a::c::g() }", "a/c.rs: use crate::{a::b::B, x};"],
        ),
        (
            "of three",
            &["a.rs: use crate::b::B;", "b.rs: use crate::c::{self};", "c.rs: use crate::a::A as B;"],
        ),
        (
            "by files deeper in the trees",
            &[
                "a.rs: ",
                "a/b.rs: ",
                "a/b/d.rs: use crate::a::c::C;",
                "a/c.rs: ",
                "a/c/e.rs: use super::super::b::d::D;",
            ],
        ),
    ] {
        assert_eq!(circles(&written(files)).len(), 1, "{how}");
    }
    let files = written(&["a/b.rs: use super::c::C;", "a/c.rs: \nfn f() { super::b::g() }"]);
    let steps = "  a::c -> a::b (src/a/c.rs:2: super::b::g)\n  a::b -> a::c (src/a/b.rs:1: super::c::C)";
    assert_eq!(circles(&files), [steps]);
}

#[test]
fn other_imports_make_no_circle() {
    for (why, files) in [
        (
            "a child uses its parent's type, and the parent the child",
            ["a.rs: use b::B; struct A;", "a/b.rs: use super::A;", "a/c.rs: use super::A;"],
        ),
        (
            "a parent only passes a name on",
            ["a.rs: pub use b::B;", "a/b.rs: use crate::d::D;", "a/c.rs: use super::B;"],
        ),
        (
            "only tests do",
            ["a.rs: ", "a/b.rs: use super::c::C;", "a/c.rs: #[cfg(test)] mod tests { use crate::a::b::B; }"],
        ),
        (
            "comments and texts are not code",
            [
                "a.rs: ",
                "a/b.rs: use super::c::C;",
                "a/c.rs: //! [`crate::a::b`]\nconst C: &str = \"crate::a::b\";",
            ],
        ),
        (
            "two ways to one module",
            ["a/b.rs: use super::{c::C, d::D};", "a/c.rs: use super::d::D;", "a/d.rs: "],
        ),
        (
            "another crate has a module of the same name",
            ["a.rs: ", "a/b.rs: use super::c::C;", "a/c.rs: use other::b::B; fn f() { b::g() }"],
        ),
    ] {
        assert_eq!(circles(&written(&files)), [""; 0], "{why}");
    }
}
