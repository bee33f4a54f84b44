//! The claims sets of minted tokens: exactly what the backends' filters want, and nothing that makes them treat the
//! token as one of their own.

use serde_json::{Map, Value, json};

use super::target::{Form, MintTarget};
use crate::numeric_date::NumericDate;

/// When a token was issued, when it ends, and its id.
pub(super) struct Stamp {
    pub(super) issued: NumericDate,
    pub(super) expires: NumericDate,
    pub(super) id: String,
}

/// The claims set of a token for this target.
pub(super) fn claims(issuer: &str, target: &MintTarget, stamp: &Stamp) -> Value {
    let mut claims = Map::new();
    match &target.form {
        Form::OpenMetadata(principal) => {
            claims.insert("aud".to_owned(), json!("openmetadata"));
            for (name, value) in principal {
                claims.insert(name.to_string(), json!(value));
            }
        }
        // `StatelessTokenService` reads these four. With version 2 it would look for a stored token.
        Form::DataHub(kind) => {
            claims.insert("aud".to_owned(), json!("datahub"));
            claims.insert("type".to_owned(), json!(kind.as_str()));
            claims.insert("version".to_owned(), json!("1"));
            claims.insert("actorType".to_owned(), json!("USER"));
            claims.insert("actorId".to_owned(), json!(target.user));
            claims.insert("sub".to_owned(), json!(target.user));
        }
    }
    claims.insert("iss".to_owned(), json!(issuer));
    claims.insert("iat".to_owned(), json!(stamp.issued.as_secs()));
    claims.insert("exp".to_owned(), json!(stamp.expires.as_secs()));
    claims.insert("jti".to_owned(), json!(stamp.id));
    Value::Object(claims)
}
