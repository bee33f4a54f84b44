//! Reading the document of a source.

use std::collections::BTreeSet;

use reqwest::StatusCode;
use serde::Deserialize;
use url::Url;

use super::body;
use super::client::KeyClient;
use super::fault::FetchError;
use crate::diagnosis::Quoted;
use crate::jose::{KeyDialect, KeySetFault, ParsedKeys};

/// Gets a text, whatever its type.
pub(super) async fn get_document(
    client: &KeyClient,
    url: &Url,
    max_bytes: u64,
) -> Result<Vec<u8>, FetchError> {
    let response = client.get(url, "*/*", None).await?;
    if response.status() != StatusCode::OK {
        return Err(FetchError::Status(response.status()));
    }
    body::read(response, max_bytes).await
}

/// The keys of a document; an error if none of them can be used.
pub(super) fn usable(document: &[u8], dialect: KeyDialect, max: usize) -> Result<ParsedKeys, FetchError> {
    let keys =
        ParsedKeys::parse_at_most(max, document, dialect).map_err(|fault| not_a_key_set(fault, document))?;
    // An empty set would refuse every token. More likely the issuer is broken.
    if keys.usable.is_empty() {
        let causes: BTreeSet<_> = keys.skipped.iter().map(|key| key.fault.to_string()).collect();
        let causes = causes.into_iter().collect::<Vec<_>>().join("; ");
        let empty = keys.skipped.is_empty();
        return Err(FetchError::NoUsableKey(if empty { "it is empty".to_owned() } else { causes }));
    }
    Ok(keys)
}

/// What is read of an OpenID Connect discovery document.
#[derive(Deserialize)]
pub(super) struct DiscoveryDocument {
    pub(super) issuer: Option<String>,
    pub(super) jwks_uri: Option<String>,
}

fn not_a_key_set(fault: KeySetFault, document: &[u8]) -> FetchError {
    let uri = || serde_json::from_slice::<DiscoveryDocument>(document).ok()?.jwks_uri;
    match uri().filter(|_| fault == KeySetFault::DiscoveryDocument) {
        Some(uri) => FetchError::DiscoveryDocument { uri: Quoted(&uri).to_string().into() },
        None => FetchError::NotAKeySet(fault),
    }
}
