//! Replacements for functions of the `cel` crate. They take time linear in the length of the text.

use std::collections::BTreeMap;

use cel::common::ast::CallExpr;
use cel::common::types::{CelBool, CelInt, CelString};
use cel::common::value::CowVal;
use cel::{Context, ExecutionError, FunctionContext};
use regex::Regex;

type Function = Box<
    dyn for<'c, 'v> Fn(&mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> + Send + Sync,
>;

/// The name of our `indexOf`, because the crate does not let us replace a function that it defines.
const INDEX_OF: &str = "@indexOf";

/// Redirects a call to our replacement of the function, if there is one.
pub(super) fn redirect(call: &mut CallExpr) {
    if call.func_name == "indexOf" {
        INDEX_OF.clone_into(&mut call.func_name);
    }
}

/// Adds the replacements to the functions that an expression may call.
pub(super) fn add(context: &mut Context<'_, '_>, patterns: BTreeMap<String, Regex>) -> Result<(), String> {
    let find: Function = Box::new(index_of);
    context.add_function(INDEX_OF, find).map_err(|error| error.to_string())?;
    if !patterns.is_empty() {
        let matches: Function = Box::new(move |call| matches(&patterns, call));
        context.add_function("matches", matches).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// `text.matches(pattern)`, with the patterns that were compiled together with the expression.
fn matches<'c, 'v>(
    patterns: &BTreeMap<String, Regex>,
    call: &mut FunctionContext<'c, 'v>,
) -> Result<CowVal<'c, 'v>, ExecutionError> {
    let mut values = call.this.iter().chain(&call.args);
    let (Some(text), Some(pattern), None) = (values.next(), values.next(), values.next()) else {
        return Err(ExecutionError::invalid_argument_count(2, call.args.len()));
    };
    let (Some(text), Some(pattern)) = (text.downcast_ref::<CelString>(), pattern.downcast_ref::<CelString>())
    else {
        return Err(ExecutionError::no_such_overload("matches", Vec::new()));
    };
    let pattern = patterns.get(pattern.inner()).ok_or_else(|| call.error("unknown pattern"))?;
    Ok(CowVal::owned(CelBool::from(pattern.is_match(text.inner()))))
}

/// `text.indexOf(part)` and `text.indexOf(part, from)`, counted in characters. The crate's version compares
/// the part at every position, and a client may choose both texts.
fn index_of<'c, 'v>(call: &mut FunctionContext<'c, 'v>) -> Result<CowVal<'c, 'v>, ExecutionError> {
    let wrong_type = || ExecutionError::no_such_overload("indexOf", Vec::new());
    let mut values = call.this.iter().chain(&call.args);
    let (Some(text), Some(part), from, None) = (values.next(), values.next(), values.next(), values.next())
    else {
        return Err(ExecutionError::invalid_argument_count(2, call.args.len()));
    };
    let (Some(text), Some(part)) = (text.downcast_ref::<CelString>(), part.downcast_ref::<CelString>())
    else {
        return Err(wrong_type());
    };
    let from = match from {
        Some(from) => Some(*from.downcast_ref::<CelInt>().ok_or_else(wrong_type)?.inner()),
        None => None,
    };
    let found = position(text.inner(), part.inner(), from);
    found.map(|at| CowVal::owned(CelInt::from(at))).ok_or_else(|| call.error("index out of range"))
}

/// The position of `part` in `text` at or after the character `from`; -1 if it is not found. `None` if `from`
/// is out of range.
fn position(text: &str, part: &str, from: Option<i64>) -> Option<i64> {
    let skipped = usize::try_from(from.unwrap_or(0)).ok()?;
    let start = text.char_indices().map(|(at, _)| at).nth(skipped);
    let rest = match start {
        Some(start) => text.get(start..)?,
        // After the last character only the empty text is found.
        None if part.is_empty() => return i64::try_from(text.chars().count()).ok(),
        None if from.is_none() => "",
        None => return None,
    };
    match rest.split_once(part) {
        Some((before, _)) => i64::try_from(skipped.checked_add(before.chars().count())?).ok(),
        None => Some(-1),
    }
}
