//! Reading the document of a source.

use std::collections::BTreeSet;

use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING};
use reqwest::{Client, Response, StatusCode};
use url::Url;

use super::fault::FetchError;
use crate::jose::{KeyDialect, KeySetFault, ParsedKeys};

/// Gets a text, whatever its type.
pub(super) async fn get_document(client: &Client, url: Url, max_bytes: u64) -> Result<String, FetchError> {
    let response = client.get(url).header(ACCEPT_ENCODING, "identity").send().await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    let body = read_body(response, max_bytes).await?;
    String::from_utf8(body).map_err(|_| FetchError::NotAKeySet(KeySetFault::NotAKeySet))
}

/// The keys of a document; an error if none of them can be used.
pub(super) fn usable(document: &str, dialect: KeyDialect) -> Result<ParsedKeys, FetchError> {
    let keys = ParsedKeys::parse(document.as_bytes(), dialect).map_err(FetchError::NotAKeySet)?;
    // An empty set would refuse every token. More likely the issuer is broken.
    if keys.usable.is_empty() {
        let causes: BTreeSet<_> = keys.skipped.iter().map(|key| key.fault.to_string()).collect();
        let causes = causes.into_iter().collect::<Vec<_>>().join("; ");
        let empty = keys.skipped.is_empty();
        return Err(FetchError::NoUsableKey(if empty { "it is empty".to_owned() } else { causes }));
    }
    Ok(keys)
}

/// Reads the body, and fails if it is longer than `limit` bytes.
pub(super) async fn read_body(mut response: Response, limit: u64) -> Result<Vec<u8>, FetchError> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    // Compressed bodies are refused, so that a small body cannot expand beyond the limit.
    if response.headers().get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
        return Err(FetchError::Compressed);
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
