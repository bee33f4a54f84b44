//! The class of a token's principal, from the claims of the product that issued it.

use crate::backend::{Backend, TokenClass, TokenClasses};
use crate::jose::{JsonObject, JsonValue};

/// The class that these claims name.
pub fn of(claims: &JsonObject) -> TokenClass {
    let classes = || Backend::products().map(|product| &product.classes);
    let recognized = classes().find(|own| own.marker_claim.is_some_and(|claim| claims.get(claim).is_some()));
    match recognized.or_else(|| classes().find(|own| own.marker_claim.is_none())) {
        Some(classes) => read(claims, classes),
        None => TokenClass::User,
    }
}

fn read(claims: &JsonObject, classes: &TokenClasses) -> TokenClass {
    let find = |name| if classes.in_any_case { claims.get_ignoring_case(name) } else { claims.get(name) };
    // A value that is not a boolean counts as false, not as absent.
    let is_bot = match classes.bot_claim.and_then(find) {
        None | Some(JsonValue::Null) => None,
        Some(value) => Some(matches!(value, JsonValue::Bool(true))),
    };
    let word = find(classes.claim).and_then(JsonValue::as_str);
    let named = classes.values.iter().find(|(value, _)| word == Some(*value)).map(|(_, class)| *class);
    match (is_bot, named) {
        (Some(true), _) => TokenClass::Bot,
        (Some(false), Some(TokenClass::Bot)) | (_, None) => TokenClass::User,
        (_, Some(class)) => class,
    }
}
