//! `GET /log` and `POST /log`: the level of the log, without a reload.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde_json::json;

use super::{Console, json_response};
use crate::config;

/// The longest request, in bytes.
const MAX_BYTES: usize = 4 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    /// As in `log.level`.
    level: String,
}

/// 200 with the level in force.
pub(super) fn show(console: &Arc<Console>) -> Response<Full<Bytes>> {
    in_force(console, None)
}

/// 200 with the level that is in force now; 400 if it is not one.
pub(super) async fn change(body: Incoming, console: &Arc<Console>) -> Response<Full<Bytes>> {
    let error =
        |message: &str| json_response(StatusCode::BAD_REQUEST, &json!({"code": 400, "message": message}));
    let body = Limited::new(body, MAX_BYTES).collect().await;
    let wanted = body.ok().and_then(|body| serde_json::from_slice::<Wanted>(&body.to_bytes()).ok());
    let Some(Wanted { level }) = wanted else {
        return error("the body is not {\"level\": \"debug\"}");
    };
    match config::log_level(&level) {
        Ok(level) => {
            tracing::warn!(to = %level, "the level of the log was changed by POST /log");
            in_force(console, Some(&level))
        }
        Err(why) => error(&why),
    }
}

fn in_force(console: &Arc<Console>, level: Option<&str>) -> Response<Full<Bytes>> {
    match &console.log_level {
        Some(log_level) => json_response(StatusCode::OK, &json!({"level": log_level(level)})),
        None => {
            let message = "this process does not write its own log";
            json_response(StatusCode::CONFLICT, &json!({"code": 409, "message": message}))
        }
    }
}
