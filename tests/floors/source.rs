//! The paths in a source file, without those of its tests.

use std::ops::RangeInclusive;

/// A path as it is written, `crate`, `super` and `self` included.
pub type Path = Vec<String>;

/// What one file names.
#[derive(Debug, Default)]
pub struct Names {
    /// What each `use` brings in. Every item of a file sees it, and so do the child modules by `super::`.
    pub imports: Vec<Import>,
    /// Every other path of more than one segment, with its line.
    pub paths: Vec<(usize, Path)>,
    /// The lines of glob imports, which say nothing about what they bring in.
    pub globs: Vec<usize>,
}

/// One name that a `use` brings in.
#[derive(Debug)]
pub struct Import {
    /// The line of `use`.
    pub line: usize,
    pub name: String,
    /// What it stands for.
    pub path: Path,
}

/// Reads a file.
pub fn names(source: &str) -> Names {
    let tokens = without_tests(&tokens(source));
    let mut names = Names::default();
    let mut at = 0;
    while let Some((line, token)) = tokens.get(at) {
        let follows_dot = at.checked_sub(1).is_some_and(|before| [".", "::"].contains(&&*tokens[before].1));
        at += 1;
        if token == "use" {
            use_tree(&tokens, &mut at, *line, &mut Vec::new(), &mut names);
        } else if is_name(token) && !follows_dot {
            let mut path = vec![token.clone()];
            while let [(_, separator), (_, next), ..] = &tokens[at..]
                && separator == "::"
                && is_name(next)
            {
                path.push(next.clone());
                at += 2;
            }
            if path.len() > 1 {
                names.paths.push((*line, path));
            }
        }
    }
    names
}

/// Every function with a body that is not only for tests, with its lines.
pub fn functions(source: &str) -> Vec<(String, RangeInclusive<usize>)> {
    let tokens = without_tests(&tokens(source));
    let mut functions = Vec::new();
    for (at, pair) in tokens.windows(2).enumerate() {
        let [(line, word), (_, name)] = pair else { continue };
        // `fn(u8)` is a type.
        if word != "fn" || !is_name(name) {
            continue;
        }
        // The signature ends with the body, or without one in a trait.
        let mut end = at;
        while tokens.get(end).is_some_and(|(_, token)| !["{", ";"].contains(&token.as_str())) {
            let opens = ["(", "["].contains(&tokens[end].1.as_str());
            end = if opens { closing(&tokens, end) } else { end + 1 };
        }
        if tokens.get(end).is_some_and(|(_, token)| token == "{")
            && let Some((last, _)) = tokens.get(closing(&tokens, end))
        {
            functions.push((name.clone(), *line..=*last));
        }
    }
    functions
}

/// Reads what follows `use`, or an item of a braced list in there; `base` stands before it.
fn use_tree(tokens: &[(usize, String)], at: &mut usize, line: usize, base: &mut Path, names: &mut Names) {
    let depth = base.len();
    while let Some((_, token)) = tokens.get(*at) {
        *at += 1;
        match token.as_str() {
            "::" => {}
            "{" => {
                while tokens.get(*at).is_some_and(|(_, token)| token != "}") {
                    use_tree(tokens, at, line, base, names);
                    *at += usize::from(tokens.get(*at).is_some_and(|(_, token)| token == ","));
                }
                *at += 1;
                break;
            }
            "*" => {
                names.globs.push(line);
                break;
            }
            name => {
                // `a::{self}` is `a`.
                if name != "self" || base.is_empty() {
                    base.push(name.to_owned());
                }
                if tokens.get(*at).is_none_or(|(_, next)| next != "::") {
                    let mut local = base.last().cloned().unwrap_or_default();
                    if let [(_, word), (_, name), ..] = &tokens[*at..]
                        && word == "as"
                    {
                        local.clone_from(name);
                        *at += 2;
                    }
                    names.imports.push(Import { line, name: local, path: base.clone() });
                    break;
                }
            }
        }
    }
    base.truncate(depth);
}

fn is_name(token: &str) -> bool {
    token.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

/// The tokens with every item, variant, field and match arm taken out that only tests have.
fn without_tests(tokens: &[(usize, String)]) -> Vec<(usize, String)> {
    let mut kept = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let end = attribute_end(tokens, at);
        let is_test = end.is_some_and(|end| {
            let words: Vec<&str> = tokens[at..end].iter().map(|(_, token)| token.as_str()).collect();
            words.contains(&"cfg") && words.contains(&"test") && !words.contains(&"not")
        });
        match end {
            Some(end) if is_test => at = item_end(tokens, end),
            _ => {
                kept.push(tokens[at].clone());
                at += 1;
            }
        }
    }
    kept
}

/// Where an attribute ends that begins here.
fn attribute_end(tokens: &[(usize, String)], start: usize) -> Option<usize> {
    let begins = matches!(&tokens[start..], [(_, hash), (_, open), ..] if hash == "#" && open == "[");
    begins.then(|| closing(tokens, start + 1) + 1)
}

/// Where what follows an attribute ends.
fn item_end(tokens: &[(usize, String)], mut at: usize) -> usize {
    const KEYWORDS: [&str; 12] = [
        "fn",
        "mod",
        "impl",
        "struct",
        "enum",
        "trait",
        "use",
        "const",
        "static",
        "type",
        "macro_rules",
        "let",
    ];
    while at < tokens.len()
        && let Some(end) = attribute_end(tokens, at)
    {
        at = end;
    }
    // A list of generics has commas; a variant, a field or an arm ends with one.
    let mut is_item = false;
    while let Some((_, token)) = tokens.get(at) {
        match token.as_str() {
            ";" => return at + 1,
            "," if !is_item => return at + 1,
            "}" => return at,
            "{" => return closing(tokens, at) + 1,
            "(" | "[" => at = closing(tokens, at),
            word => is_item |= KEYWORDS.contains(&word),
        }
        at += 1;
    }
    at
}

/// Where the bracket closes that opens here.
fn closing(tokens: &[(usize, String)], open: usize) -> usize {
    let mut depth = 0_usize;
    for (at, (_, token)) in tokens.iter().enumerate().skip(open) {
        match token.as_str() {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    tokens.len()
}

/// Words, `::` and single characters, each with its line; no comments, and nothing of what literals say.
fn tokens(source: &str) -> Vec<(usize, String)> {
    let mut tokens = Vec::new();
    let mut rest = source;
    let mut line = 1;
    while let Some(c) = rest.chars().next() {
        let word = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (length, token) = if rest.starts_with("//") {
            (rest.find('\n').unwrap_or(rest.len()), None)
        } else if rest.starts_with("/*") {
            (comment_length(rest), None)
        } else if let Some(length) = literal_length(rest) {
            (length, Some("\""))
        } else if word > 0 {
            (word, Some(&rest[..word]))
        } else if rest.starts_with("::") {
            (2, Some("::"))
        } else {
            let length = c.len_utf8();
            (length, Some(&rest[..length]).filter(|_| !c.is_whitespace()))
        };
        tokens.extend(token.map(|token| (line, token.to_owned())));
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    tokens
}

/// How long a block comment is; they nest.
fn comment_length(text: &str) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < text.len() {
        match &text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

/// How long the string or character is that begins here, if one does. A lifetime is none.
fn literal_length(text: &str) -> Option<usize> {
    let prefix = ["br", "cr", "r", "b", "c"]
        .into_iter()
        .find(|prefix| text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with(['"', '#', '\''])));
    let start = prefix.map_or(0, str::len);
    let hashes = text[start..].len() - text[start..].trim_start_matches('#').len();
    let body = &text[start + hashes..];
    if prefix.is_some_and(|prefix| prefix.ends_with('r')) && body.starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let length = body[1..].find(&end).map_or(body.len(), |at| 1 + at + end.len());
        return Some(start + hashes + length);
    }
    let quote = body.chars().next().filter(|quote| hashes == 0 && ['"', '\''].contains(quote))?;
    let inner = &body[1..];
    let first = inner.chars().next()?;
    if quote == '\'' && first != '\\' && !inner[first.len_utf8()..].starts_with('\'') {
        return None;
    }
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == quote => return Some(start + 1 + at + 1),
            _ => {}
        }
    }
    Some(text.len())
}

#[test]
fn imports_and_paths_are_read() {
    let source = r##"
        use crate::{a::{self, B as C}, d};
        pub(crate) use super::e::{F, g::{H}};
        use std::fmt as _; use std::io as _;
        fn k(x: &'static str) -> crate::l::M { n::<u8>::o(super::p::Q, 'x', '\'', "crate::no", r#"crate::"no"#) }
        // crate::no
        /* crate::no /* crate::no */ crate::no */
        #[cfg(test)]
        mod tests { use crate::no; }
        #[cfg(test)]
        #[allow(x)]
        fn only<A, B>(x: crate::no::X) -> crate::no::Y { crate::no::f() }
        enum R { #[cfg(test)] No(crate::no::X), S(crate::t::U) }
        fn v() { match w { #[cfg(test)] R::No(x) => crate::no::f(), R::S(b'"') => self::y::z() } a.b::<C>() }
        use super::*;
    "##;
    let names = names(source);
    let imports = names
        .imports
        .iter()
        .map(|import| format!("{} {}={}", import.line, import.name, import.path.join("::")));
    assert_eq!(
        imports.collect::<Vec<_>>(),
        [
            "2 a=crate::a",
            "2 C=crate::a::B",
            "2 d=crate::d",
            "3 F=super::e::F",
            "3 H=super::e::g::H",
            "4 _=std::fmt",
            "4 _=std::io"
        ]
    );
    let paths: Vec<String> =
        names.paths.iter().map(|(line, path)| format!("{line} {}", path.join("::"))).collect();
    assert_eq!(paths, ["5 crate::l::M", "5 super::p::Q", "13 crate::t::U", "14 R::S", "14 self::y::z"]);
    assert_eq!(names.globs, [15]);
}
