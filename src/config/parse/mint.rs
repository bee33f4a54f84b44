//! Parses `mint`: the keys with which tokens for the backend are minted.

use std::path::PathBuf;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretSlice};

use super::super::secret::Purpose;
use super::super::{KeySource, TrustEntry, values};
use super::key_files::key_files;
use super::section::Section;
use crate::backend::Backend;
use crate::jose::Algorithm;
use crate::mint::{Minter, PrincipalClaims, SigningKeys};

const TRUSTED: &str =
    "a minted token would be accepted by metagate itself; write an issuer that no entry has";

/// The minter; `None` if `mint` is not set, or has errors.
pub(super) fn mint(root: &Section<'_>, trust: &[TrustEntry]) -> Option<Arc<Minter>> {
    let section = root.section("mint");
    let files: Vec<PathBuf> = section.need_list("keyFiles", |path| Ok(PathBuf::from(path)));
    let datahub_section = section.section("datahub");
    let datahub_type = datahub_section.word("tokenType");
    let has_keys = !files.is_empty() || datahub_section.has_secret("signingKey");
    let own_key = datahub_section.secret("signingKey", Purpose::SigningKey);
    let Some(issuer) = section.text("issuer") else {
        if has_keys {
            section.missing(
                "issuer",
                "is required: every minted token names it",
                "write a URL of your own, like https://metagate.example/backend",
            );
        }
        return None;
    };
    check_issuer(root, &section, issuer, trust);
    let made_key =
        "a key that signs for the backend must sign nothing that metagate accepts; make another one";
    let keys = key_files(&section, &files, trust, made_key)?;
    let shared = datahub_key(&datahub_section, own_key, trust);
    if keys.is_empty() && shared.is_none() && !names_datahub_key(root, &datahub_section) {
        section.missing(
            "keyFiles",
            "there is no key to mint with",
            "for OpenMetadata make one with `metagate mint init`; for DataHub set mint.datahub.signingKey",
        );
    }
    let authentication = root.section("authentication");
    // An invalid one is an error of the simple list.
    let algorithm =
        authentication.text("tokenValidationAlgorithm").and_then(|text| values::algorithm(text).ok());
    let keys = SigningKeys::new(keys, algorithm.unwrap_or(Algorithm::RS256), shared.as_ref());
    let minter = Minter::new(issuer, keys, principal_claims(&authentication), datahub_type)
        .with_system_user(root.section("datahub").need_text("systemClientId"));
    Some(Arc::new(minter))
}

/// Whether a key of DataHub is written somewhere, even if it cannot be used.
fn names_datahub_key(root: &Section<'_>, section: &Section<'_>) -> bool {
    section.has_secret("signingKey")
        || Backend::products()
            .filter_map(|product| Some((product.section, product.signing_key?.key)))
            .any(|(product, key)| root.section(product).has_secret(key))
}

/// Refuses an issuer whose tokens metagate would accept.
fn check_issuer(root: &Section<'_>, section: &Section<'_>, issuer: &str, trust: &[TrustEntry]) {
    let quoted = values::quote(issuer);
    if issuer.trim() != issuer || issuer.contains(char::is_control) {
        section.error("issuer", format!("{quoted} begins or ends with white space"));
    } else if let Some(entry) = trust.iter().find(|entry| entry.rules.binds(issuer) || *entry.name == *issuer)
    {
        section.error_with_help(
            "issuer",
            format!("{quoted} is an issuer of the entry `{}`", entry.name),
            TRUSTED,
        );
    } else if let Some(product) = Backend::products()
        .find(|product| root.section(product.section).text(product.issuer_key) == Some(issuer))
    {
        section.error_with_help(
            "issuer",
            format!("{quoted} is the issuer of {}'s own tokens", product.name),
            TRUSTED,
        );
    }
}

/// DataHub's key, from `mint` or from the entry that verifies DataHub's own tokens.
fn datahub_key(
    section: &Section<'_>,
    own: Option<SecretSlice<u8>>,
    trust: &[TrustEntry],
) -> Option<SecretSlice<u8>> {
    let names: Vec<_> =
        Backend::products().filter_map(|product| product.signing_key).map(|key| key.entry).collect();
    let verifying = trust.iter().find_map(|entry| match &entry.keys {
        KeySource::SharedSecret(secret) if names.contains(&&*entry.name) => Some(secret),
        _ => None,
    });
    if let (Some(own), Some(verifying)) = (&own, verifying)
        && own.expose_secret() != verifying.expose_secret()
    {
        section.error(
            &section.secret_key("signingKey"),
            "is not datahub.tokenServiceSigningKey, but DataHub has only one signing key; set only one of them",
        );
    }
    own.or_else(|| verifying.cloned())
}

/// Where OpenMetadata looks for the name of a user: it reads the same settings.
fn principal_claims(authentication: &Section<'_>) -> PrincipalClaims {
    let mapping = authentication.texts("principalClaimsMapping");
    let mapped = |key: &str| {
        let claim =
            mapping.iter().find_map(|item| item.split_once(':').filter(|(name, _)| name.trim() == key))?;
        Some(Box::<str>::from(claim.1.trim()))
    };
    PrincipalClaims {
        ordered: authentication.texts("principalClaims"),
        mapping: mapped("username").zip(mapped("email")),
    }
}
