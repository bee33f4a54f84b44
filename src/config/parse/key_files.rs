//! Files with private keys: `mint.keyFiles` and `issuer.keyFiles`.

use std::fs;
use std::path::{Path, PathBuf};

use secrecy::zeroize::Zeroizing;
use url::Url;

use super::super::secret::{self, AbsentSecrets};
use super::super::{KeySource, TrustEntry};
use super::section::Section;
use crate::digest::Sha256;
use crate::jose::{KeyDialect, ParsedKeys};
use crate::mint::{PrivateKey, PrivateKeyFault};
use crate::own_issuer::IssuerKey;

/// The largest key set in a file that is compared with a private key. Larger ones are not key sets.
const MAX_KEY_SET_BYTES: u64 = 64 << 20;

/// A private key in a PEM file.
pub(super) trait KeyFile: Sized {
    /// The command that makes one.
    const MADE_BY: &str;

    fn from_pem(text: &str) -> Result<Self, PrivateKeyFault>;
    fn generate() -> Result<Self, PrivateKeyFault>;
    /// A digest of the public key.
    fn material(&self) -> &Sha256;
}

impl KeyFile for PrivateKey {
    const MADE_BY: &str = "make a key with `metagate mint init`";

    fn from_pem(text: &str) -> Result<Self, PrivateKeyFault> {
        Self::from_pem(text)
    }

    fn generate() -> Result<Self, PrivateKeyFault> {
        Self::generate()
    }

    fn material(&self) -> &Sha256 {
        self.material()
    }
}

impl KeyFile for IssuerKey {
    const MADE_BY: &str = "make a key with `metagate issuer init`";

    fn from_pem(text: &str) -> Result<Self, PrivateKeyFault> {
        Self::from_pem(text)
    }

    fn generate() -> Result<Self, PrivateKeyFault> {
        Self::generate()
    }

    fn material(&self) -> &Sha256 {
        self.material()
    }
}

/// The keys of the files, in their order; `None` if there is an error. `trusted` is the advice about a key that an entry
/// trusts.
pub(super) fn key_files<K: KeyFile>(
    section: &Section<'_>,
    files: &[PathBuf],
    trust: &[TrustEntry],
    trusted: &str,
) -> Option<Vec<K>> {
    let mut keys: Vec<K> = Vec::new();
    let mut fine = true;
    for file in files {
        let shown = file.display();
        let key: K = match read_key(section, file) {
            Ok(key) => key,
            Err(message) => {
                section.error_with_help("keyFiles", format!("the file {shown} {message}"), K::MADE_BY);
                fine = false;
                continue;
            }
        };
        if keys.iter().any(|known| known.material() == key.material()) {
            section.error("keyFiles", format!("the file {shown} has a key that is listed twice"));
            fine = false;
        }
        if let Some((entry, place)) =
            trust.iter().find_map(|entry| Some((entry, trusts(entry, key.material())?)))
        {
            let message = format!("the key of {shown} is one of {place} of the entry `{}`", entry.name);
            section.error_with_help("keyFiles", message, trusted);
            fine = false;
        }
        keys.push(key);
    }
    fine.then_some(keys)
}

/// Where an entry has this key, as far as that is known before anything is fetched.
fn trusts(entry: &TrustEntry, material: &Sha256) -> Option<&'static str> {
    match &entry.keys {
        KeySource::Inline(keys) => {
            keys.iter().any(|known| known.material() == material).then_some("publicKeys")
        }
        KeySource::Urls(urls) => {
            urls.iter().any(|url| file_has_key(url, material)).then_some("publicKeyUrls")
        }
        KeySource::ByKid(_) | KeySource::Discovery(_) | KeySource::SharedSecret(_) => None,
    }
}

/// Whether a `file` URL leads to a key set with this key. A file that cannot be read has no keys yet.
fn file_has_key(url: &Url, material: &Sha256) -> bool {
    let Some(path) = (url.scheme() == "file").then(|| url.to_file_path().ok()).flatten() else {
        return false;
    };
    let is_small = fs::metadata(&path).is_ok_and(|file| file.is_file() && file.len() <= MAX_KEY_SET_BYTES);
    let Some(document) = is_small.then(|| fs::read(&path).ok()).flatten() else { return false };
    ParsedKeys::parse(&document, KeyDialect::Standard)
        .is_ok_and(|keys| keys.usable.iter().any(|key| key.material() == material))
}

fn read_key<K: KeyFile>(section: &Section<'_>, file: &Path) -> Result<K, String> {
    if section.report.absent_secrets == AbsentSecrets::Replaced && !file.exists() {
        let key = section.path("keyFiles");
        section.report.info(format!("skipped: {key}: the file {} is not here", file.display()));
        return K::generate().map_err(unusable);
    }
    let bytes = Zeroizing::new(secret::read(file).map_err(|message| format!("cannot be read: {message}"))?);
    section.warn_of_mode("keyFiles", file);
    section.report.secret_files.borrow_mut().push(file.to_owned());
    let key = str::from_utf8(&bytes).map_err(|_| PrivateKeyFault::NotPem).and_then(K::from_pem);
    key.map_err(unusable)
}

fn unusable(fault: PrivateKeyFault) -> String {
    format!("cannot be used: {fault}")
}
