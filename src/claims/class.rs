//! The class of a token's principal, from the claims of the product that issued it.

use serde_json::{Map, Value};

use super::lookup;
use crate::backend::{Backend, TokenClass, TokenClasses};

/// The class that these claims name.
pub(super) fn of(claims: &Map<String, Value>) -> TokenClass {
    let classes = || Backend::products().map(|product| &product.classes);
    let recognized = classes().find(|own| own.marker_claim.is_some_and(|claim| claims.contains_key(claim)));
    match recognized.or_else(|| classes().find(|own| own.marker_claim.is_none())) {
        Some(classes) => read(claims, classes),
        None => TokenClass::User,
    }
}

fn read(claims: &Map<String, Value>, classes: &TokenClasses) -> TokenClass {
    let find = |name| if classes.in_any_case { lookup(claims, name) } else { claims.get(name) };
    // A value that is not a boolean counts as false, not as absent.
    let is_bot = match classes.bot_claim.and_then(find) {
        None | Some(Value::Null) => None,
        Some(value) => Some(*value == Value::Bool(true)),
    };
    let word = find(classes.claim).and_then(Value::as_str);
    let named = classes.values.iter().find(|(value, _)| word == Some(*value)).map(|(_, class)| *class);
    match (is_bot, named) {
        (Some(true), _) => TokenClass::Bot,
        (Some(false), Some(TokenClass::Bot)) | (_, None) => TokenClass::User,
        (_, Some(class)) => class,
    }
}
