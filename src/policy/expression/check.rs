//! Checks an expression when the configuration is loaded: its size, variables, members and functions.

use std::collections::BTreeMap;

use cel::common::ast::{
    CallExpr, ComprehensionExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SelectExpr, operators,
};
use regex::{Regex, RegexBuilder};

use super::members::VARIABLES;

/// The most parts of an expression, counted after macro expansion.
const MAX_PARTS: u32 = 1000;
/// How deep loops (`all`, `exists`, `map`, `filter`) may be nested.
const MAX_LOOPS: usize = 2;
/// The largest compiled regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 256 * 1024;

const OPERATORS: [&str; 19] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::NOT_STRICTLY_FALSE,
    operators::IN,
];

const FUNCTIONS: [&str; 17] = [
    "contains",
    "dyn",
    "double",
    "endsWith",
    "indexOf",
    "int",
    "lowerAscii",
    "matches",
    "size",
    "split",
    "startsWith",
    "string",
    "substring",
    "trim",
    "type",
    "uint",
    "upperAscii",
];

/// The types that `type(x)` may be compared with.
const TYPES: [&str; 8] = ["bool", "double", "int", "list", "map", "null_type", "string", "uint"];

/// The results of the check.
#[derive(Default)]
pub(super) struct Checked {
    pub(super) parts: u32,
    pub(super) asks_graphql: bool,
    /// The regular expressions, by their text.
    pub(super) patterns: BTreeMap<String, Regex>,
}

/// Checks every part of an expression.
pub(super) fn check(expression: &IdedExpr) -> Result<Checked, String> {
    let is_never_boolean = match &expression.expr {
        Expr::Literal(literal) => !matches!(literal, LiteralValue::Boolean(_)),
        Expr::List(_) | Expr::Map(_) => true,
        _ => false,
    };
    if is_never_boolean {
        return Err("is neither true nor false, whatever the request is".to_owned());
    }
    let mut walk = Walk::default();
    walk.expression(expression)?;
    Ok(walk.checked)
}

#[derive(Default)]
struct Walk<'e> {
    checked: Checked,
    /// The variables of the enclosing loops.
    scope: Vec<&'e str>,
    loops: usize,
}

impl<'e> Walk<'e> {
    fn expression(&mut self, expression: &'e IdedExpr) -> Result<(), String> {
        self.checked.parts += 1;
        if self.checked.parts > MAX_PARTS {
            return Err(format!("has more than {MAX_PARTS} parts"));
        }
        match &expression.expr {
            Expr::Literal(_) => Ok(()),
            Expr::Ident(name) => self.identifier(name),
            Expr::Select(select) => self.select(select),
            Expr::Call(call) => self.call(call),
            Expr::List(list) => list.elements.iter().try_for_each(|element| self.expression(element)),
            Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
                EntryExpr::MapEntry(entry) => {
                    self.expression(&entry.key)?;
                    self.expression(&entry.value)
                }
                EntryExpr::StructField(_) => {
                    Err("creates a message, and there are no message types".to_owned())
                }
            }),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) => Err("creates a message, and there are no message types".to_owned()),
            Expr::Unspecified => Err(super::INVALID.to_owned()),
        }
    }

    fn identifier(&self, name: &str) -> Result<(), String> {
        if self.scope.contains(&name) || TYPES.contains(&name) {
            return Ok(());
        }
        if variable(name).is_some() {
            return Err(format!("`{name}` is not a value: use a member, `{name}.x` or `{name}[\"x\"]`"));
        }
        Err(format!("`{name}` is unknown; there are claims, request, token and graphql"))
    }

    fn select(&mut self, select: &'e SelectExpr) -> Result<(), String> {
        match self.variable_in(&select.operand) {
            Some((name, members)) => self.member(name, members, &select.field),
            None => self.expression(&select.operand),
        }
    }

    fn member(&mut self, name: &str, members: &[&str], member: &str) -> Result<(), String> {
        self.checked.asks_graphql |= name == "graphql";
        if members.is_empty() || members.contains(&member) {
            return Ok(());
        }
        Err(format!("`{name}.{member}` is unknown; there are {}", members.join(", ")))
    }

    /// The variable that an expression names. A loop cannot shadow it: see [`Self::comprehension`].
    fn variable_in(&self, expression: &IdedExpr) -> Option<(&'static str, &'static [&'static str])> {
        match &expression.expr {
            Expr::Ident(name) => variable(name),
            _ => None,
        }
    }

    fn call(&mut self, call: &'e CallExpr) -> Result<(), String> {
        let name = call.func_name.as_str();
        if !OPERATORS.contains(&name) && !FUNCTIONS.contains(&name) {
            return Err(format!("the function `{name}` is unknown; there are {}", FUNCTIONS.join(", ")));
        }
        match (name, call.args.as_slice()) {
            (operators::INDEX, [of, index]) => {
                if let Some((variable, members)) = self.variable_in(of) {
                    return match &index.expr {
                        Expr::Literal(LiteralValue::String(member)) => {
                            self.member(variable, members, member.inner())
                        }
                        _ => Err(format!("a member of `{variable}` must be named by a string")),
                    };
                }
            }
            (operators::IN, [member, of]) => {
                if let Some((variable, _)) = self.variable_in(of) {
                    self.checked.asks_graphql |= variable == "graphql";
                    return self.expression(member);
                }
            }
            ("matches", _) => self.pattern(call.args.last())?,
            _ => {}
        }
        call.target.iter().try_for_each(|target| self.expression(target))?;
        call.args.iter().try_for_each(|argument| self.expression(argument))
    }

    /// Compiles the pattern of `matches`. It must be a literal, so no token can supply one.
    fn pattern(&mut self, pattern: Option<&IdedExpr>) -> Result<(), String> {
        let Some(Expr::Literal(LiteralValue::String(pattern))) = pattern.map(|pattern| &pattern.expr) else {
            return Err("`matches` takes a regular expression in quotes".to_owned());
        };
        let regex = RegexBuilder::new(pattern.inner())
            .size_limit(MAX_PATTERN_BYTES)
            .dfa_size_limit(MAX_PATTERN_BYTES)
            .build()
            .map_err(|error| {
                // The lines before the last one only show the position.
                let error = error.to_string();
                let why = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
                format!("`{}` is not a valid regular expression: {why}", pattern.inner())
            })?;
        self.checked.patterns.insert(pattern.inner().to_owned(), regex);
        Ok(())
    }

    fn comprehension(&mut self, comprehension: &'e ComprehensionExpr) -> Result<(), String> {
        self.expression(&comprehension.iter_range)?;
        self.expression(&comprehension.accu_init)?;
        if variable(&comprehension.iter_var).is_some() || TYPES.contains(&comprehension.iter_var.as_str()) {
            return Err(format!("`{}` is already defined: choose another name", comprehension.iter_var));
        }
        self.loops += 1;
        if self.loops > MAX_LOOPS {
            return Err(format!("has more than {MAX_LOOPS} loops within each other"));
        }
        let outside = self.scope.len();
        self.scope.extend([comprehension.iter_var.as_str(), &comprehension.accu_var]);
        self.scope.extend(comprehension.iter_var2.as_deref());
        for part in [&comprehension.loop_cond, &comprehension.loop_step, &comprehension.result] {
            self.expression(part)?;
        }
        self.scope.truncate(outside);
        self.loops -= 1;
        Ok(())
    }
}

fn variable(name: &str) -> Option<(&'static str, &'static [&'static str])> {
    VARIABLES.into_iter().find(|(variable, _)| *variable == name)
}
