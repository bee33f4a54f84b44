//! `when`: a CEL expression (cel-spec `langdef.md`) about one request and its token.
//!
//! It is compiled once, when the configuration is loaded. An expression is the operator's own
//! text; the claims that it is about are not: every turn of a loop and every claim that is looked
//! at costs a step of a [`Budget`], and whatever goes wrong is a [`Fault`], which refuses.

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

/// The longest expression, in bytes. Its parts nest at most this deep.
const MAX_BYTES: usize = 2048;
const MAX_DEPTH: u16 = 32;

/// A compiled expression. Cloning it gives another handle to the same one.
#[derive(Clone)]
pub struct Expression(Arc<Compiled>);

struct Compiled {
    text: Box<str>,
    expression: IdedExpr,
    context: Context<'static, 'static>,
    parts: u32,
    asks_graphql: bool,
}

/// What an expression is about.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'s> {
    /// The request.
    pub request: &'s RequestFacts,
    /// The reading of its path that is judged.
    pub path: &'s [u8],
    /// Its token; none where a login cookie of the backend stands for one.
    pub token: Option<&'s VerifiedToken>,
    /// The GraphQL operation that is judged; none where there is none to be read.
    pub graphql: Option<&'s GraphqlOperation>,
}

/// Why an expression has no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A claim or another member that it asks for is not there.
    Missing,
    /// A value is of a type that an operator or a function does not take.
    Type,
    /// The answer is neither true nor false.
    NotBoolean,
    /// It took more steps than the budget had.
    Exhausted,
    /// Anything else: a division by zero, an index out of bounds.
    Failed,
}

impl Fault {
    /// The words for the audit trail.
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
    /// What is wrong with it, with line and column for what CEL's grammar does not have.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_BYTES {
            return Err(format!("is longer than {MAX_BYTES} bytes"));
        }
        // Whatever a parser of this size may still panic on is an error in the configuration.
        let parsed =
            catch_unwind(AssertUnwindSafe(|| Parser::new().max_recursion_depth(MAX_DEPTH).parse(text)))
                .map_err(|_| "is no CEL expression".to_owned())?;
        let mut expression = parsed.map_err(|errors| match errors.errors.first() {
            Some(error) => format!(
                "is no CEL expression: line {}, column {}: {}",
                error.pos.0.max(1),
                error.pos.1.max(1),
                error.msg
            ),
            None => "is no CEL expression".to_owned(),
        })?;
        let checked = check::check(&expression)?;
        budget::count_turns(&mut expression);
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

    /// Whether it asks for `graphql`.
    pub fn asks_graphql(&self) -> bool {
        self.0.asks_graphql
    }

    /// Evaluates it.
    ///
    /// # Errors
    /// Why there is no answer. A caller refuses then, whatever the rule's action.
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
        // An error within `a || true` is forgotten by CEL; that the budget was spent is not.
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

/// CEL's own functions and those of its strings extension. Which may be used is in [`check`].
static ENVIRONMENT: LazyLock<Arc<Env>> = LazyLock::new(|| {
    let mut environment = Env::stdlib();
    // It fails for functions that are declared twice; without it they are unknown.
    let _ = environment.add_extension(cel::extensions::strings);
    Arc::new(environment)
});

#[cfg(test)]
mod tests;
