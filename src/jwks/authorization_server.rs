//! Reads the metadata of an authorization server (RFC 8414), as clients of a protected resource do.

use serde::Deserialize;
use url::Url;

use super::client::KeyClient;
use super::document::get_document;
use super::status::display_url;
use crate::config::{Config, KeyAccess, TrustEntry};

/// What clients learn from the metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizationServer {
    /// Where the metadata is.
    pub url: String,
    /// Its issuer, if it has one.
    pub issuer: Option<String>,
    /// Whether a URL can be the ID of a client (`client_id_metadata_document_supported`).
    pub takes_client_documents: bool,
    /// Whether clients can register (RFC 7591).
    pub registers_clients: bool,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: Option<String>,
    registration_endpoint: Option<String>,
    #[serde(default)]
    client_id_metadata_document_supported: bool,
}

impl AuthorizationServer {
    /// Asks for the metadata of an issuer where clients look for it, in their order. The credentials of the entry are
    /// for its keys and are not sent.
    ///
    /// # Errors
    /// It is at none of these places; the text says why for each.
    pub async fn find(entry: &TrustEntry, config: &Config, issuer: &str) -> Result<Self, String> {
        let issuer = Url::parse(issuer).map_err(|error| error.to_string())?;
        let entry = TrustEntry { access: KeyAccess::default(), ..entry.clone() };
        let client = KeyClient::new(&entry, config, &issuer).map_err(|error| error.to_string())?;
        let mut failures = Vec::new();
        for url in places(&issuer) {
            let fetch = get_document(&client, &url, config.jwks.max_bytes);
            let why = match tokio::time::timeout(config.jwks.timeout, fetch).await {
                Ok(Ok(body)) => match Self::read(&url, &body) {
                    Some(found) => return Ok(found),
                    None => "it is not a JSON object".to_owned(),
                },
                Ok(Err(error)) => error.to_string(),
                Err(_) => "no response in time".to_owned(),
            };
            failures.push(format!("{}: {why}", display_url(&url)));
        }
        Err(failures.join("; "))
    }

    fn read(url: &Url, body: &[u8]) -> Option<Self> {
        let metadata: Metadata = serde_json::from_slice(body).ok()?;
        Some(Self {
            url: display_url(url),
            issuer: metadata.issuer,
            takes_client_documents: metadata.client_id_metadata_document_supported,
            registers_clients: metadata.registration_endpoint.is_some(),
        })
    }
}

/// RFC 8414 section 3.1, and OpenID Connect Discovery 1.0 section 4 with the path before and after.
fn places(issuer: &Url) -> Vec<Url> {
    let path = issuer.path().trim_end_matches('/');
    let mut paths = vec![
        format!("/.well-known/oauth-authorization-server{path}"),
        format!("/.well-known/openid-configuration{path}"),
    ];
    if !path.is_empty() {
        paths.push(format!("{path}/.well-known/openid-configuration"));
    }
    let at = |path: String| {
        let mut url = issuer.clone();
        url.set_path(&path);
        url
    };
    paths.into_iter().map(at).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn metadata_is_looked_for_where_clients_look() {
        let places = |issuer: &str| {
            let places = super::places(&Url::parse(issuer).unwrap());
            places.iter().map(|url| url.path().to_owned()).collect::<Vec<_>>()
        };
        let root = ["/.well-known/oauth-authorization-server", "/.well-known/openid-configuration"];
        assert_eq!(places("https://login.example"), root);
        assert_eq!(places("https://login.example/"), root);
        let below = [
            "/.well-known/oauth-authorization-server/realms/x",
            "/.well-known/openid-configuration/realms/x",
            "/realms/x/.well-known/openid-configuration",
        ];
        assert_eq!(places("https://login.example/realms/x"), below);
    }

    #[test]
    fn what_clients_need_is_read() {
        let url = Url::parse("https://login.example/.well-known/oauth-authorization-server").unwrap();
        let read = |text: &str| AuthorizationServer::read(&url, text.as_bytes());
        let full = r#"{"issuer": "https://login.example", "registration_endpoint": "https://login.example/register",
            "client_id_metadata_document_supported": true, "more": [1]}"#;
        let found = read(full).unwrap();
        assert_eq!(found.issuer.as_deref(), Some("https://login.example"));
        assert!(found.takes_client_documents && found.registers_clients);
        let found = read("{}").unwrap();
        assert!(found.issuer.is_none() && !found.takes_client_documents && !found.registers_clients);
        for text in ["", "<html>", "[]", r#"{"issuer": 1}"#] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
