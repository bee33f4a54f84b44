//! Public keys in PEM (RFC 7468): `PUBLIC KEY` (SubjectPublicKeyInfo), `RSA PUBLIC KEY` and `CERTIFICATE`.

use std::borrow::Cow;
use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::certificate::Certificate;
use super::{KeyFault, VerificationKey, der};

/// What precedes the label of a block.
pub(super) const BEGIN: &str = "-----BEGIN ";

/// The key of each PEM block of `text`, in order; `None` if there is no PEM block.
///
/// A certificate that issued another one of the text is the rest of a chain. Its key signs certificates and no tokens:
/// it is [`KeyFault::Authority`].
pub(super) fn keys(text: &str) -> Option<impl Iterator<Item = Result<VerificationKey, KeyFault>>> {
    let blocks = blocks(text);
    let authorities: HashSet<Vec<u8>> = blocks
        .iter()
        .filter_map(|block| block.as_ref().ok()?.certificate()?.authority().map(<[u8]>::to_vec))
        .collect();
    let key = move |block: Result<Block<'_>, KeyFault>| {
        let block = block?;
        match block.certificate() {
            Some(certificate) if authorities.contains(certificate.subject()) => Err(KeyFault::Authority),
            Some(certificate) => der::certificate(&certificate).and_then(VerificationKey::certified),
            None => block.key(),
        }
    };
    (!blocks.is_empty()).then(|| blocks.into_iter().map(key))
}

/// One block, decoded.
struct Block<'t> {
    label: &'t str,
    der: Vec<u8>,
}

fn blocks(text: &str) -> Vec<Result<Block<'_>, KeyFault>> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let split = after.split_once("-----").and_then(|(label, body)| {
            let (body, after) = body.split_once(&format!("-----END {label}-----"))?;
            Some((label, body, after))
        });
        let Some((label, body, after)) = split else {
            // The block is not closed.
            let private = after.split("-----").next().is_some_and(is_private);
            found.push(Err(if private { KeyFault::Private } else { KeyFault::Damaged }));
            break;
        };
        found.push(Block::new(label, body));
        rest = after;
    }
    found
}

fn is_private(label: &str) -> bool {
    label.contains("PRIVATE KEY")
}

impl<'t> Block<'t> {
    fn new(label: &'t str, body: &str) -> Result<Self, KeyFault> {
        // First, because such a body may have fields before its base64.
        if is_private(label) {
            return Err(KeyFault::Private);
        }
        // Where a text is on one line, as in an environment variable, its line breaks are written as `\n`.
        let body = match body.contains('\\') {
            true => Cow::Owned(body.replace("\\n", "\n").replace("\\r", "\n")),
            false => Cow::Borrowed(body),
        };
        let base64: String = body.split_ascii_whitespace().collect();
        let der = STANDARD.decode(base64).map_err(|_| KeyFault::Damaged)?;
        Ok(Self { label, der })
    }

    /// The certificate, if it is one that can be read.
    fn certificate(&self) -> Option<Certificate<'_>> {
        const LABELS: [&str; 3] = ["CERTIFICATE", "TRUSTED CERTIFICATE", "X509 CERTIFICATE"];
        LABELS.contains(&self.label).then(|| Certificate::parse(&self.der))?
    }

    /// The key of a block that is no certificate.
    fn key(&self) -> Result<VerificationKey, KeyFault> {
        match self.label {
            "PUBLIC KEY" => VerificationKey::of_family(&der::subject_public_key_info(&self.der)?),
            "RSA PUBLIC KEY" => VerificationKey::of_family(&der::rsa_public_key(&self.der)?),
            label if label.ends_with("CERTIFICATE") => Err(KeyFault::Damaged),
            _ => Err(KeyFault::UnknownType),
        }
    }
}
