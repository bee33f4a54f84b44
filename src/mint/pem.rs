//! PEM (RFC 7468) of one private key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use secrecy::zeroize::Zeroizing;

use super::PrivateKeyFault;

const BEGIN: &str = "-----BEGIN ";

/// The label and the DER of the only private key of a text. Blocks with public keys, parameters and certificates are
/// skipped.
///
/// # Errors
/// The text has no private key, several, or one with a passphrase.
pub(crate) fn private_block(text: &str) -> Result<(&str, Zeroizing<Vec<u8>>), PrivateKeyFault> {
    let mut found = None;
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (label, body) = after.split_once("-----").ok_or(PrivateKeyFault::NotPem)?;
        let (body, after) =
            body.split_once(&format!("-----END {label}-----")).ok_or(PrivateKeyFault::NotPem)?;
        rest = after;
        if !label.contains("PRIVATE KEY") {
            continue;
        }
        if found.is_some() {
            return Err(PrivateKeyFault::Several);
        }
        // RFC 1421: an encrypted body of the old form has fields before its base64.
        if body.contains("ENCRYPTED") {
            return Err(PrivateKeyFault::Encrypted);
        }
        let base64: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
        let der = STANDARD.decode(&*base64).map_err(|_| PrivateKeyFault::Damaged)?;
        found = Some((label, Zeroizing::new(der)));
    }
    found.ok_or(PrivateKeyFault::NotPem)
}

/// PEM of PKCS #8.
pub(crate) fn of_pkcs8(der: &[u8]) -> Zeroizing<String> {
    let base64 = Zeroizing::new(STANDARD.encode(der));
    let mut pem = Zeroizing::new(String::with_capacity(base64.len() + base64.len() / 64 + 64));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in base64.as_bytes().chunks(64) {
        pem.push_str(str::from_utf8(line).unwrap_or_default());
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");
    pem
}
