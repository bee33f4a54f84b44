//! Replaces `${NAME}` and `${NAME:-default}` within a value.
//!
//! A variable's text becomes part of the value, never of the YAML around it: a `#`, a quote or a line break in a
//! password has no special meaning. The replacement is not expanded again. `$${` is a literal `${`, and `$$(NAME)` a
//! literal `$(NAME)`. A `$(NAME)` is an error, because Kubernetes leaves it unchanged if it knows no such variable.

use std::borrow::Cow;

use super::document::MAX_BYTES;

const MAX_NESTING: usize = 16;

/// Where the values of expressions come from.
#[derive(Clone, Copy)]
pub(super) enum Variables<'a> {
    /// The variables of the environment.
    Named(&'a dyn Fn(&str) -> Option<String>),
    /// The whole text was substituted before it was parsed, so a remaining expression has no value.
    Replaced,
}

/// Why an expression cannot be replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// `${` without its `}`.
    Unclosed,
    /// `${...}` does not begin with the name of a variable.
    NoName,
    /// The variable is not set, and there is no default.
    Unset(String),
    /// The variable is set to the empty text, and there is no default.
    Empty(String),
    /// The variable's value is not UTF-8.
    NotUtf8(String),
    /// The variable's value contains a placeholder.
    Placeholder(String),
    /// An expression remains after substitution.
    Left,
    /// `$(NAME)`.
    Kubernetes,
    /// Too many defaults within defaults.
    TooDeep,
    /// The values are too long.
    TooLong,
}

impl Fault {
    /// The message, which names variables and contains no value.
    pub(super) fn message(&self) -> String {
        match self {
            Self::Unclosed => "`${` has no `}`; write `$${` for a literal `${`".to_owned(),
            Self::NoName => {
                "`${...}` is neither ${NAME} nor ${NAME:-default}; write `$${` for a literal `${`".to_owned()
            }
            Self::Unset(name) => format!("the environment variable {name} is not set"),
            Self::Empty(name) => format!("the environment variable {name} is empty"),
            Self::NotUtf8(name) => format!("the environment variable {name} is not UTF-8 text"),
            Self::Placeholder(name) => {
                format!("the environment variable {name} has a placeholder in it that was not replaced")
            }
            Self::Left => "has a `${...}` that was not replaced".to_owned(),
            Self::Kubernetes => "has a `$(...)`, which is not replaced here".to_owned(),
            Self::TooDeep => format!("has defaults within defaults, more than {MAX_NESTING} deep"),
            Self::TooLong => "the values of variables make the configuration too long".to_owned(),
        }
    }

    /// How to fix it.
    pub(super) fn help(&self) -> Option<String> {
        match self {
            Self::Unset(name) => Some(format!("set {name}, or write a default: ${{{name}:-default}}")),
            Self::Empty(name) => Some(format!("set {name}; or write ${{{name}:-}} to accept an empty value")),
            Self::Left => Some("set the variable, or write a default: ${NAME:-default}".to_owned()),
            Self::Kubernetes => Some("write ${NAME}; $$(NAME) is a literal $(NAME)".to_owned()),
            Self::Placeholder(_) => Some(UNRESOLVED_HELP.to_owned()),
            Self::Unclosed | Self::NoName | Self::NotUtf8(_) | Self::TooDeep | Self::TooLong => None,
        }
    }

    /// Removes the name of the variable, because it may be part of a secret that only looks like an expression.
    pub(super) fn without_name(self) -> Self {
        match self {
            Self::Unset(_) | Self::Empty(_) | Self::NotUtf8(_) | Self::Placeholder(_) => Self::Left,
            other => other,
        }
    }
}

/// Advice on a placeholder in a value from the environment.
pub(super) const UNRESOLVED_HELP: &str = "Kubernetes and Compose replace only variables that they know; give the \
                                          value itself";

/// Whether a text contains an unreplaced `${NAME...}` or `$(NAME)`.
pub(super) fn has_placeholder(text: &str) -> bool {
    let last_brace = text.rfind('}').unwrap_or_default();
    text.match_indices('$').any(|(index, _)| {
        let rest = text.get(index + 1..).unwrap_or_default();
        match rest.strip_prefix('{') {
            Some(inner) => name_length(inner) > 0 && index < last_brace,
            None => reference_length(rest).is_some(),
        }
    })
}

/// The name of the variable, if `text` is `${NAME}` and nothing else.
pub(super) fn only_variable(text: &str) -> Option<&str> {
    let name = text.strip_prefix("${")?.strip_suffix('}')?;
    (!name.is_empty() && name_length(name) == name.len()).then_some(name)
}

/// Escapes `text`, so that [`resolve`] returns it unchanged.
pub(super) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains("${") && !text.contains("$(") {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 1);
    for (index, c) in text.char_indices() {
        let rest = text.get(index + 1..).unwrap_or_default();
        if c == '$' && (rest.starts_with('{') || reference_length(rest).is_some()) {
            escaped.push('$');
        }
        escaped.push(c);
    }
    Cow::Owned(escaped)
}

/// Replaces every expression in `text`; `added` counts the bytes that variables add.
pub(super) fn resolve<'t>(
    text: &'t str,
    variables: Variables<'_>,
    added: &mut usize,
) -> Result<Cow<'t, str>, Fault> {
    if !text.contains('$') {
        return Ok(Cow::Borrowed(text));
    }
    Resolver { variables, added }.text(text, 0).map(Cow::Owned)
}

struct Resolver<'a> {
    variables: Variables<'a>,
    added: &'a mut usize,
}

impl Resolver<'_> {
    fn text(&mut self, text: &str, depth: usize) -> Result<String, Fault> {
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find('$') {
            let (before, tail) = rest.split_at(start);
            result.push_str(before);
            let after = tail.get(1..).unwrap_or_default();
            let escaped = after
                .strip_prefix('$')
                .filter(|inner| inner.starts_with('{') || reference_length(inner).is_some());
            rest = if let Some(inner) = escaped {
                result.push('$');
                let (bracket, inner) = inner.split_at(1);
                result.push_str(bracket);
                inner
            } else if after.starts_with('{') {
                let length = expression_length(tail, MAX_BYTES).ok_or(Fault::Unclosed)?;
                let (expression, after) = tail.split_at(length);
                result.push_str(&self.expression(expression, depth)?);
                after
            } else if reference_length(after).is_some() {
                return Err(Fault::Kubernetes);
            } else {
                result.push('$');
                after
            };
        }
        result.push_str(rest);
        Ok(result)
    }

    /// The value of `${NAME}` or `${NAME:-default}`.
    fn expression(&mut self, expression: &str, depth: usize) -> Result<String, Fault> {
        let Variables::Named(lookup) = self.variables else { return Err(Fault::Left) };
        let inner = expression.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')).unwrap_or_default();
        let (name, rest) = inner.split_at(name_length(inner));
        let default = match rest {
            _ if name.is_empty() => return Err(Fault::NoName),
            "" => None,
            _ => Some(rest.strip_prefix(":-").ok_or(Fault::NoName)?),
        };
        match (lookup(name), default) {
            (Some(value), _) if value.contains('\u{fffd}') => Err(Fault::NotUtf8(name.to_owned())),
            (Some(value), _) if has_placeholder(&value) => Err(Fault::Placeholder(name.to_owned())),
            (Some(value), None) if value.is_empty() => Err(Fault::Empty(name.to_owned())),
            (Some(value), _) => {
                *self.added = self.added.saturating_add(value.len());
                if *self.added > MAX_BYTES { Err(Fault::TooLong) } else { Ok(value) }
            }
            (None, None) => Err(Fault::Unset(name.to_owned())),
            (None, Some(_)) if depth >= MAX_NESTING => Err(Fault::TooDeep),
            (None, Some(default)) => self.text(default, depth + 1),
        }
    }
}

/// The length of the expression at the beginning of `text`, including expressions in its default. `None` if it does not
/// end within `most` bytes.
pub(super) fn expression_length(text: &str, most: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut bytes = text.bytes().take(most).enumerate().peekable();
    while let Some((index, byte)) = bytes.next() {
        match byte {
            b'$' if bytes.peek().is_some_and(|(_, next)| *next == b'{') => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(index + 1);
        }
    }
    None
}

/// The length of the variable's name at the beginning of `text`; 0 if there is none.
fn name_length(text: &str) -> usize {
    let first = text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.';
    if first { text.find(|c| !part(c)).unwrap_or(text.len()) } else { 0 }
}

/// The length of the `(NAME)` at the beginning of `text`.
fn reference_length(text: &str) -> Option<usize> {
    let inner = text.strip_prefix('(')?;
    let length = name_length(inner);
    (length > 0 && inner.get(length..)?.starts_with(')')).then_some(length + 2)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn lookup(name: &str) -> Option<String> {
        let value = match name {
            "A" => "a # \"b\": [c",
            "EMPTY" => "",
            "OTHER" => "x${A}",
            "KUBERNETES" => "http://$(HOST):1",
            "BROKEN" => "a\u{fffd}",
            "_a.b1" => "dotted",
            _ => return None,
        };
        Some(value.to_owned())
    }

    fn run(text: &str) -> Result<String, Fault> {
        resolve(text, Variables::Named(&lookup), &mut 0).map(Cow::into_owned)
    }

    #[test]
    fn values_defaults_and_nesting() {
        for (text, expected) in [
            ("plain", "plain"),
            ("${A}", "a # \"b\": [c"),
            ("<${A:-z}>", "<a # \"b\": [c>"),
            ("${B:-z}${B:-y}", "zy"),
            ("${B:-}", ""),
            ("${EMPTY:-z}", ""),
            ("${B:-${C:-x}y}", "xy"),
            ("${B:-{}}", "{}"),
            ("${_a.b1}", "dotted"),
            ("$${A} $$${A}", "${A} $${A}"),
            ("$$(A) $$(", "$(A) $$("),
            ("$A $ $$ a$", "$A $ $$ a$"),
            ("^a$(b|c)", "^a$(b|c)"),
            ("${B:-ö}ä", "öä"),
        ] {
            assert_eq!(run(text).as_deref(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn expressions_without_a_value_are_faults() {
        for (text, fault) in [
            ("${B}", Fault::Unset("B".to_owned())),
            ("x${B:-${C}}", Fault::Unset("C".to_owned())),
            ("${EMPTY}", Fault::Empty("EMPTY".to_owned())),
            ("${OTHER}", Fault::Placeholder("OTHER".to_owned())),
            ("${KUBERNETES:-x}", Fault::Placeholder("KUBERNETES".to_owned())),
            ("${BROKEN}", Fault::NotUtf8("BROKEN".to_owned())),
            ("a${A", Fault::Unclosed),
            ("${}", Fault::NoName),
            ("${1}", Fault::NoName),
            ("${A:?x}", Fault::NoName),
            ("${A-x}", Fault::NoName),
            ("$(A)", Fault::Kubernetes),
        ] {
            assert_eq!(run(text), Err(fault), "{text}");
        }
        let deep = format!("{}x{}", "${B:-".repeat(40), "}".repeat(40));
        assert_eq!(run(&deep), Err(Fault::TooDeep));
        assert_eq!(resolve("${A}", Variables::Replaced, &mut 0), Err(Fault::Left));
        assert_eq!(resolve("$${A}", Variables::Replaced, &mut 0).as_deref(), Ok("${A}"));
    }

    #[test]
    fn growth_is_bounded_over_all_values() {
        let big = |_: &str| Some("x".repeat(MAX_BYTES / 2));
        let mut added = 0;
        for expected in [true, true, false] {
            assert_eq!(resolve("${A}", Variables::Named(&big), &mut added).is_ok(), expected);
        }
    }

    #[test]
    fn escaped_texts_resolve_to_themselves() {
        for text in ["", "plain", "${A}", "$${A}", "$(A)", "$$(A)", "a$", "$$", "${", "$(", "x${A}$(B)y"] {
            assert_eq!(run(&escape(text)).as_deref(), Ok(text), "{text}");
        }
    }

    #[test]
    fn placeholders_are_distinguished_from_other_dollars() {
        for text in ["${A}", "http://$(HOST):80", "a${B:-c}d", "$${A}", "${a.b}"] {
            assert!(has_placeholder(text), "{text}");
        }
        for text in ["", "$A", "pa$$w0rd", "$(a b)", "$()", "${", "${}", "a$", "$(", "{A}", "^x$(a|b)"] {
            assert!(!has_placeholder(text), "{text}");
        }
        assert_eq!(only_variable("${A_1}"), Some("A_1"));
        for text in ["${A:-x}", "x${A}", "${A}${B}", "${}", "$A"] {
            assert_eq!(only_variable(text), None, "{text}");
        }
    }
}
