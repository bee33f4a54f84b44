//! The operations of a GraphQL request, and the top-level fields of each.
//!
//! Follows the GraphQL specification (September 2025) sections 2 and 6.1, and the GraphQL over HTTP
//! draft sections 5 and 6. Servers read ambiguous requests differently, so a request with
//! more than one reading is [`Graphql::Unreadable`], and a rule decides about it.

use std::fmt;

use crate::message::Fields;
use crate::message::field_name::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::RequestFacts;
use super::parameters::parameters;

mod document;
mod selections;

pub use document::{GraphqlOperation, OperationKind};
use selections::Visits;

/// The most operations of one request, counting all members of a batch.
const MAX_OPERATIONS: usize = 64;

/// The operations that a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Graphql {
    /// Every operation that a server may execute; at least one.
    Operations(Vec<GraphqlOperation>),
    /// They cannot be determined; the text says why.
    Unreadable(&'static str),
}

/// One request in JSON (GraphQL over HTTP section 5.1). Serde refuses duplicate members.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GraphqlRequest {
    query: Option<String>,
    operation_name: Option<String>,
    extensions: Option<Value>,
    // Names for stored documents. Servers prefer them to `query` if both are present.
    id: Option<Value>,
    #[serde(alias = "doc_id")]
    document_id: Option<Value>,
    query_id: Option<Value>,
}

/// A request in a batch. By default serde would also accept a list of values as a request, which no server does.
struct Member(GraphqlRequest);

impl<'de> Deserialize<'de> for Member {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = GraphqlRequest;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<GraphqlRequest, A::Error> {
                GraphqlRequest::deserialize(MapAccessDeserializer::new(members))
            }
        }
        deserializer.deserialize_map(OfObject).map(Self)
    }
}

/// The names of the members in a query string.
const NAMES: [&str; 7] = ["query", "operationName", "extensions", "id", "documentId", "doc_id", "queryId"];

impl Graphql {
    /// For a body that is longer than `limits.graphqlBytes`.
    pub const TOO_LONG: Self = Self::Unreadable("graphql: the body is longer than limits.graphqlBytes");

    /// Reads a request. `body` is the whole body.
    pub fn read(facts: &RequestFacts, headers: &Fields, body: &[u8]) -> Self {
        read(facts, headers, body).map_or_else(Self::Unreadable, Self::Operations)
    }
}

fn read(facts: &RequestFacts, headers: &Fields, body: &[u8]) -> Result<Vec<GraphqlOperation>, &'static str> {
    let query = facts.path.query();
    if body.is_empty() {
        return operations(&in_query(query)?, &mut Visits::default());
    }
    let parameters = parameters(query).ok_or("graphql: the query string cannot be decoded")?;
    if parameters.iter().any(|(name, _)| NAMES.contains(&&**name)) {
        return Err("graphql: both a body and a query string");
    }
    let is_compressed =
        headers.get_all(CONTENT_ENCODING).any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_compressed {
        return Err("graphql: the body is compressed");
    }
    match media_type(headers)? {
        MediaType::Json => in_json(body),
        MediaType::Graphql => {
            let text = str::from_utf8(body).map_err(|_| "graphql: the body is not UTF-8")?;
            document::operations(text, None, &mut Visits::default())
        }
    }
}

enum MediaType {
    Json,
    Graphql,
}

/// RFC 9110 section 8.3.1. A charset other than UTF-8 would give the same bytes another meaning.
fn media_type(headers: &Fields) -> Result<MediaType, &'static str> {
    const UNKNOWN: &str = "graphql: the content type is not one that is read";
    let text = headers.only(CONTENT_TYPE).ok_or(UNKNOWN)?.to_str().map_err(|_| UNKNOWN)?;
    let mut parts = text.split(';').map(str::trim);
    let essence = parts.next().unwrap_or_default();
    let plain = parts.filter(|part| !part.is_empty()).all(|part| {
        part.split_once('=').is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("charset") && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
        })
    });
    match essence.to_ascii_lowercase().as_str() {
        "application/json" if plain => Ok(MediaType::Json),
        "application/graphql" if plain => Ok(MediaType::Graphql),
        _ => Err(UNKNOWN),
    }
}

fn in_json(body: &[u8]) -> Result<Vec<GraphqlOperation>, &'static str> {
    const NOT_JSON: &str = "graphql: the body is not JSON of a GraphQL request";
    if body.trim_ascii_start().first() != Some(&b'[') {
        let request: GraphqlRequest = serde_json::from_slice(body).map_err(|_| NOT_JSON)?;
        return operations(&request, &mut Visits::default());
    }
    let batch: Vec<Member> = serde_json::from_slice(body).map_err(|_| NOT_JSON)?;
    let (mut all, mut visits) = (Vec::new(), Visits::default());
    for Member(request) in &batch {
        all.extend(operations(request, &mut visits)?);
        if all.len() > MAX_OPERATIONS {
            return Err("graphql: too many operations");
        }
    }
    if all.is_empty() { Err("graphql: the batch is empty") } else { Ok(all) }
}

/// GraphQL over HTTP section 6.2.1.
fn in_query(query: &str) -> Result<GraphqlRequest, &'static str> {
    const BROKEN: &str = "graphql: the query string cannot be decoded";
    let mut request = GraphqlRequest {
        query: None,
        operation_name: None,
        extensions: None,
        id: None,
        document_id: None,
        query_id: None,
    };
    if query.contains(';') {
        return Err("graphql: the query string has more than one reading");
    }
    let mut seen = Vec::new();
    for (name, value) in parameters(query).ok_or(BROKEN)? {
        if !NAMES.contains(&&*name) {
            continue;
        }
        if seen.contains(&name) {
            return Err("graphql: a parameter is there twice");
        }
        match &*name {
            "query" => request.query = Some(value.into_owned()),
            "operationName" => request.operation_name = Some(value.into_owned()),
            "extensions" => request.extensions = Some(serde_json::from_str(&value).map_err(|_| BROKEN)?),
            _ => request.id = Some(Value::Bool(true)),
        }
        seen.push(name);
    }
    Ok(request)
}

fn operations(request: &GraphqlRequest, visits: &mut Visits) -> Result<Vec<GraphqlOperation>, &'static str> {
    if request.id.is_some() || request.document_id.is_some() || request.query_id.is_some() {
        return Err("graphql: a stored document, whose text is not here");
    }
    let persisted = request.extensions.as_ref().and_then(|all| all.get("persistedQuery"));
    if persisted.is_some_and(|hash| !hash.is_null()) {
        // With a text too: graphql-java executes the document that it stored under the hash, whatever the text is.
        return Err("graphql: a persisted query, whose text may not be here");
    }
    let text = request.query.as_deref().unwrap_or_default();
    if text.is_empty() {
        return Err("graphql: there is no query");
    }
    document::operations(text, request.operation_name.as_deref(), visits)
}

#[cfg(test)]
mod tests;
