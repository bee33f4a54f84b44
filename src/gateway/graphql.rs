//! Reads a body before the decision, for rules about GraphQL.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use tokio::time::timeout;

use super::refusal::broken_body;
use crate::client_body::ClientBody;
use crate::decision::Denial;
use crate::message::Fields;
use crate::request::{Graphql, RequestFacts};
use crate::upstream::{ReadAhead, stated_length};

/// Reads up to `limit` bytes of a body. Returns its GraphQL operations, and what was read. `patience` is how long the
/// client may pause.
///
/// # Errors
/// The client ended its body early or stopped sending.
pub(super) async fn read_graphql(
    facts: &RequestFacts,
    headers: &Fields,
    body: &mut ClientBody,
    limit: usize,
    patience: Duration,
) -> Result<(Graphql, ReadAhead), Denial> {
    if stated_length(headers).is_some_and(|length| length > limit as u64) {
        return Ok((Graphql::TOO_LONG, ReadAhead::default()));
    }
    let ahead = read_ahead(body, limit, patience).await;
    let ahead = ahead.map_err(|received| broken_body(received, stated_length(headers)))?;
    let is_complete = ahead.ended && ahead.bytes.len() <= limit;
    let graphql = if is_complete { Graphql::read(facts, headers, &ahead.bytes) } else { Graphql::TOO_LONG };
    Ok((graphql, ahead))
}

/// Reads until the end or the first frame beyond `limit`.
///
/// # Errors
/// The body ends early, after this many bytes.
pub(super) async fn read_ahead(
    body: &mut ClientBody,
    limit: usize,
    patience: Duration,
) -> Result<ReadAhead, u64> {
    // Usually the whole body is in one frame, which is not copied.
    let (mut first, mut all) = (Bytes::new(), BytesMut::new());
    while !body.is_end_stream() && first.len().max(all.len()) <= limit {
        let frame = match timeout(patience, body.frame()).await {
            Ok(None) => return Ok(ReadAhead { bytes: joined(first, all), ended: true }),
            Ok(Some(Ok(frame))) => frame,
            Ok(Some(Err(_))) | Err(_) => return Err(first.len().max(all.len()) as u64),
        };
        // Trailers are not forwarded.
        let Ok(data) = frame.into_data() else { continue };
        if first.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(ReadAhead { bytes: joined(first, all), ended: body.is_end_stream() })
}

fn joined(first: Bytes, all: BytesMut) -> Bytes {
    if all.is_empty() { first } else { all.freeze() }
}
