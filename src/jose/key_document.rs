//! The forms in which keys are published: a JWK Set, one JWK, PEM, a map from key ids to PEM, DER.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{JsonObject, JsonValue, pem};

/// Why a document holds no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum KeySetFault {
    #[error("body is empty")]
    Empty,
    #[error("body is HTML: is this a login page?")]
    Html,
    #[error("body is neither a JSON object with a \"keys\" list nor PEM")]
    NotAKeySet,
    #[error("body is XML and not a JWK Set: SAML metadata has certificates for SAML, and no keys for tokens")]
    Xml,
    #[error(
        "body is an OpenID Connect discovery document and not the keys: write its jwks_uri as the key URL, or leave \
         publicKeyUrls out of an issuer entry to have the keys discovered"
    )]
    DiscoveryDocument,
}

/// A document, recognised but not read.
pub(super) enum KeyDocument<'d> {
    /// The JSON of each key, from a JWK Set or alone.
    Jwks(Vec<&'d str>),
    /// A text with PEM blocks.
    Pem(&'d str),
    /// A text with PEM blocks for each `kid`, as Google's `/oauth2/v1/certs` has it.
    NamedPem(JsonObject),
    /// One key.
    Der(&'d [u8]),
}

impl<'d> KeyDocument<'d> {
    pub(super) fn recognise(document: &'d [u8]) -> Result<Self, KeySetFault> {
        if is_der(document) {
            return Ok(Self::Der(document));
        }
        let text = str::from_utf8(document)
            .map_err(|_| KeySetFault::NotAKeySet)?
            .trim_start_matches('\u{feff}')
            .trim();
        if text.is_empty() {
            return Err(KeySetFault::Empty);
        }
        if text.starts_with('<') {
            let xml =
                text.starts_with("<?xml") || text.get(..100).unwrap_or(text).contains("EntityDescriptor");
            return Err(if xml { KeySetFault::Xml } else { KeySetFault::Html });
        }
        if text.starts_with('{') {
            return Self::of_json(text);
        }
        if text.contains(pem::BEGIN) { Ok(Self::Pem(text)) } else { Err(KeySetFault::NotAKeySet) }
    }

    fn of_json(text: &'d str) -> Result<Self, KeySetFault> {
        #[derive(Deserialize)]
        struct Set<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        if let Ok(Set { keys }) = serde_json::from_str::<Set<'_>>(text) {
            return Ok(Self::Jwks(keys.into_iter().map(RawValue::get).collect()));
        }
        let members = JsonObject::parse(text.as_bytes()).ok_or(KeySetFault::NotAKeySet)?;
        let text_of = |name| members.get(name).and_then(JsonValue::as_str);
        if members.get("keys").is_some() {
            Err(KeySetFault::NotAKeySet)
        } else if text_of("jwks_uri").is_some() {
            Err(KeySetFault::DiscoveryDocument)
        } else if text_of("kty").is_some() {
            Ok(Self::Jwks(vec![text]))
        } else if is_map_of_pem(&members) {
            Ok(Self::NamedPem(members))
        } else {
            Err(KeySetFault::NotAKeySet)
        }
    }
}

/// Whether every member is PEM. An object that merely contains a certificate somewhere was meant as something else.
fn is_map_of_pem(members: &JsonObject) -> bool {
    let mut values = members.members().iter().map(|(_, value)| value).peekable();
    values.peek().is_some()
        && values.all(|value| value.as_str().is_some_and(|text| text.contains(pem::BEGIN)))
}

/// Whether a document begins like a SEQUENCE of DER and is not PEM, before which any text may be.
fn is_der(document: &[u8]) -> bool {
    document.first() == Some(&0x30)
        && !document.windows(pem::BEGIN.len()).any(|part| part == pem::BEGIN.as_bytes())
}
