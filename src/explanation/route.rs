//! What a route requires.

use crate::decision::{Authorizer, Route, Routed};
use crate::request::RequestFacts;

/// What a request's route requires, and the row that decides it.
pub fn describe(authorizer: &Authorizer, facts: &RequestFacts, routed: Routed) -> String {
    if authorizer.policy.token_endpoint.as_deref() == Some(facts.path.raw()) {
        return "the token endpoint: the token is in the body, and nothing is forwarded".to_owned();
    }
    if authorizer.policy.revocation_endpoint.as_deref() == Some(facts.path.raw()) {
        return "the revocation endpoint: the token is in the body, and nothing is forwarded".to_owned();
    }
    let routes = &authorizer.policy.routes;
    let meaning = match routed.route {
        Route::Public => "public: a token is not looked at",
        Route::Optional => "optional: a token is verified if there is one",
        Route::Protected => "protected: a token is needed",
    };
    let row = routed.row.and_then(|row| Some((row, routes.rows().get(row)?)));
    let why = match row {
        None => "no row is about it".to_owned(),
        Some((number, row)) if row.route == routed.route => format!("row {}, {row}", number + 1),
        Some((number, row)) => {
            let readings = facts.path.all().count();
            format!("row {}, {row}, opens a path with one reading, and this one has {readings}", number + 1)
        }
    };
    format!("{meaning}; {why}")
}
