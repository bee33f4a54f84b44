//! `when`: a CEL expression (cel-spec `langdef.md`) about one request and its token.
//!
//! An expression is compiled once, when the configuration is loaded. Its text comes from the operator, but the
//! claims that it reads do not. So every loop iteration, every claim that is read and what a loop does with lists costs
//! steps of a [`Budget`]. Any error is a [`Fault`], and a fault denies the request.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, LazyLock};

use cel::common::ast::IdedExpr;
use cel::common::types::CelBool;
use cel::parser::Parser;
use cel::{Context, Env, ExecutionError, Value};

use crate::claims::VerifiedToken;
use crate::request::{GraphqlOperation, RequestFacts};

mod budget;
mod check;
mod functions;
mod members;

pub use budget::Budget;

/// The longest expression, in bytes.
const MAX_BYTES: usize = 2048;
/// The deepest nesting of its parts.
const MAX_DEPTH: u16 = 32;

const INVALID: &str = "is not a valid CEL expression";

/// A compiled expression. A clone shares the compiled form.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    expression: IdedExpr,
    context: Context<'static, 'static>,
    parts: u32,
    asks_graphql: bool,
}

/// What an expression is evaluated against.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The request.
    pub request: &'s RequestFacts,
    /// The reading of its path that is being evaluated.
    pub path: &'s [u8],
    /// Its token; `None` if the request has a session cookie of the backend instead.
    pub token: Option<&'s VerifiedToken>,
    /// The GraphQL operation that is being evaluated; `None` if there is none or it cannot be read.
    pub graphql: Option<&'s GraphqlOperation>,
}

/// Why an expression has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A claim or another member that the expression reads is missing.
    Missing,
    /// A value has a type that an operator or a function does not accept.
    Type,
    /// The result is neither true nor false.
    NotBoolean,
    /// The evaluation took more steps than the budget had.
    Exhausted,
    /// Any other error, such as a division by zero or an index out of bounds.
    Failed,
}

impl Fault {
    /// The text in the audit record.
    pub fn detail(self) -> &'static str {
        match self {
            Self::Missing => "when: a member that it asks for is missing",
            Self::Type => "when: a value has the wrong type",
            Self::NotBoolean => "when: the result is neither true nor false",
            Self::Exhausted => "when: it took too many steps",
            Self::Failed => "when: it could not be evaluated",
        }
    }
}

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// What is wrong with it; for a syntax error with line and column.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        // If the parser panics, that is reported as an error in the configuration.
        let parsed =
            catch_unwind(AssertUnwindSafe(|| Parser::new().max_recursion_depth(MAX_DEPTH).parse(text)))
                .map_err(|_| INVALID.to_owned())?;
        let mut expression = parsed.map_err(|errors| match errors.errors.first() {
            Some(error) => {
                format!(
                    "{INVALID}: line {}, column {}: {}",
                    error.pos.0.max(1),
                    error.pos.1.max(1),
                    error.msg
                )
            }
            None => INVALID.to_owned(),
        })?;
        let checked = check::check(&expression)?;
        budget::count(&mut expression);
        let mut context = Context::with_env(ENVIRONMENT.clone());
        functions::add(&mut context, checked.patterns)?;
        Ok(Self(Arc::new(Compiled {
            text: text.into(),
            expression,
            context,
            parts: checked.parts,
            asks_graphql: checked.asks_graphql,
        })))
    }

    /// Its text.
    pub fn text(&self) -> &str {
        &self.0.text
    }

    /// Whether it reads `graphql`.
    pub fn asks_graphql(&self) -> bool {
        self.0.asks_graphql
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// Why there is no result. The caller then denies the request, whatever the rule's action.
    pub fn evaluate(&self, subject: &Subject<'_>, budget: &Budget) -> Result<bool, Fault> {
        let Compiled { expression, context, parts, .. } = &*self.0;
        budget.spend(*parts);
        let variables = members::Variables::new(subject, budget);
        let mut scope = context.new_inner_scope();
        scope.set_variable_resolver(&variables);
        let result = catch_unwind(AssertUnwindSafe(|| match Value::resolve_val(expression, &scope) {
            Ok(value) => {
                value.downcast_ref::<CelBool>().map(|answer| *answer.inner()).ok_or(Fault::NotBoolean)
            }
            Err(error) => Err(fault(&error)),
        }));
        // CEL discards an error within `a || true`. An exhausted budget is a fault all the same.
        if budget.is_spent() {
            return Err(Fault::Exhausted);
        }
        result.unwrap_or(Err(Fault::Failed))
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.0.text)
    }
}

fn fault(error: &ExecutionError) -> Fault {
    match error {
        ExecutionError::NoSuchKey(_) => Fault::Missing,
        ExecutionError::NoSuchOverload(_)
        | ExecutionError::UnexpectedType { .. }
        | ExecutionError::UnsupportedTargetType { .. }
        | ExecutionError::UnsupportedBinaryOperator(..)
        | ExecutionError::UnsupportedIndex(..)
        | ExecutionError::ValuesNotComparable(..) => Fault::Type,
        _ => Fault::Failed,
    }
}

/// CEL's standard functions and those of its strings extension. [`check`] lists the ones that are allowed.
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    // This fails if a function is declared twice. Without the extension its functions are unknown.
    let _ = environment.add_extension(cel::extensions::strings);
    Arc::new(environment)
});

#[cfg(test)]
mod tests;
