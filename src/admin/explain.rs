//! `POST /explain`: a question about a token, answered with the configuration, the keys and the clock of this process.
//!
//! The token is sent in the body, so it is neither logged nor kept in the history of a shell. The question is not stored.

use std::sync::Arc;

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::{Console, json_response, off_thread};
use crate::explanation::Question;

/// The longest question, in bytes. Every connection may hold one.
const MAX_BYTES: usize = 256 * 1024;

pub(super) async fn respond(body: Incoming, console: &Arc<Console>) -> Response<Full<Bytes>> {
    let error = |status: StatusCode, message: &str| {
        json_response(status, &json!({"code": status.as_u16(), "message": message}))
    };
    let body = match Limited::new(body, MAX_BYTES).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => {
            let message = format!("the question is longer than {MAX_BYTES} bytes, or was broken off");
            return error(StatusCode::PAYLOAD_TOO_LARGE, &message);
        }
    };
    // serde takes a list for the fields in their order, too.
    let is_object = body.trim_ascii_start().starts_with(b"{");
    // serde's message may have a part of the body in it.
    let Some(question) = serde_json::from_slice::<Question>(&body).ok().filter(|_| is_object) else {
        let message = "the body is not {\"token\": ..., \"method\": ..., \"path\": ..., \"body\": base64, \"content_type\": ..., \"at\": time}";
        return error(StatusCode::BAD_REQUEST, message);
    };
    match off_thread(console, move |console| (console.explain)(&question)).await {
        Some(Some(answer)) => json_response(StatusCode::OK, &answer),
        Some(None) | None => error(StatusCode::SERVICE_UNAVAILABLE, "the process is ending"),
    }
}
