//! Checks secrets: not a placeholder, not published, and hard to guess.

use std::path::Path;

use super::files::read_limited;
use super::published;
use crate::random;

/// The maximum size of a secret in a file.
const MAX_BYTES: u64 = 64 * 1024;
/// A secret with fewer different bytes counts as a pattern.
const MIN_DISTINCT: usize = 6;

/// The purpose of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Signs tokens. Anyone who has one token can guess the key offline.
    SigningKey,
    /// Authenticates a client. It can only be guessed over the network.
    Credential,
    /// Sent to another server, which decides whether it is good enough.
    Sent,
    /// Grants no access; DataHub hashes tokens with it.
    Salt,
}

impl Purpose {
    /// RFC 7518 section 3.2: an HS256 key has at least the size of the hash.
    const fn min_bytes(self) -> usize {
        match self {
            Self::SigningKey => 32,
            Self::Credential => 16,
            Self::Sent | Self::Salt => 1,
        }
    }
}

/// What a secret is whose file does not exist.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AbsentSecrets {
    /// An error.
    Refused,
    /// A random one.
    Replaced,
}

/// A random secret, in place of one that is not available.
pub(super) fn unknown() -> Vec<u8> {
    let words = std::iter::repeat_with(|| format!("{:016x}", random::bits()));
    words.take(4).collect::<String>().into_bytes()
}

/// Why a secret is refused. Contains no part of the secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
    /// Whether the secret grants no access, so that a warning is enough.
    pub(super) harmless: bool,
}

impl Fault {
    fn new(message: impl Into<String>, help: Option<&'static str>) -> Self {
        Self { message: message.into(), help, harmless: false }
    }
}

const MAKE_ONE: &str = "create one with `openssl rand -base64 48`";

/// Checks a secret.
///
/// # Errors
/// The first reason to refuse it.
pub(super) fn check(secret: &[u8], purpose: Purpose) -> Result<(), Fault> {
    if secret.is_empty() {
        return Err(Fault::new("the secret is empty", None));
    }
    if secret.trim_ascii().len() < secret.len() || is_space_around(secret) {
        let message = "the secret begins or ends with white space, which is probably not part of it";
        return Err(Fault::new(message, None));
    }
    if let Ok(text) = str::from_utf8(secret) {
        if text.contains(char::is_control) {
            let message = "the secret contains a line break or another control character";
            return Err(Fault::new(message, Some("a file holds the secret and nothing else")));
        }
        if is_placeholder(text) {
            return Err(Fault::new("the secret is a placeholder", Some("give the secret itself")));
        }
    }
    if let Some(known) = published::find(secret) {
        let message = format!("the secret is published: it is {}", known.what);
        let help = "everyone knows it; set your own in the backend and in metagate";
        return Err(Fault { harmless: purpose == Purpose::Salt, ..Fault::new(message, Some(help)) });
    }
    let least = purpose.min_bytes();
    if secret.len() < least {
        let message = format!("the secret is shorter than {least} bytes, and could be guessed");
        return Err(Fault::new(message, Some(MAKE_ONE)));
    }
    let is_ours = matches!(purpose, Purpose::SigningKey | Purpose::Credential);
    if is_ours && (distinct(secret) < MIN_DISTINCT || period(secret) < least) {
        return Err(Fault::new("the secret repeats itself, and could be guessed", Some(MAKE_ONE)));
    }
    Ok(())
}

/// Reads a secret from a file. Line breaks at the end are not part of it.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = read_limited(path, MAX_BYTES).map_err(|error| error.to_string())?;
    // In a binary secret such bytes may be part of the key. They are kept, and `check` refuses them.
    if str::from_utf8(&bytes).is_ok() {
        while matches!(bytes.last(), Some(b'\n' | b'\r')) {
            bytes.pop();
        }
    }
    Ok(bytes)
}

/// Whether non-ASCII white space or a byte order mark surrounds the secret.
fn is_space_around(secret: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(secret) else { return false };
    text.trim().len() < text.len() || text.starts_with('\u{feff}')
}

/// Whether a text is a placeholder for a secret.
fn is_placeholder(text: &str) -> bool {
    const BRACKETS: [(&str, &str); 5] = [("${", "}"), ("$(", ")"), ("{{", "}}"), ("<", ">"), ("((", "))")];
    const BEGINNINGS: [&str; 12] = [
        "changeme",
        "changethis",
        "changeit",
        "replaceme",
        "replacethis",
        "replacewith",
        "yoursecret",
        "yoursigningkey",
        "yourkey",
        "placeholder",
        "insertsecret",
        "todo",
    ];
    let within = |(open, close): &(&str, &str)| text.starts_with(open) && text.ends_with(close);
    let letters: String =
        text.chars().filter(char::is_ascii_alphanumeric).take(32).collect::<String>().to_ascii_lowercase();
    let plain = letters.strip_prefix("please").unwrap_or(&letters);
    BRACKETS.iter().any(within) || BEGINNINGS.iter().any(|beginning| plain.starts_with(beginning))
}

fn distinct(secret: &[u8]) -> usize {
    let mut seen = [false; 256];
    for byte in secret {
        if let Some(seen) = seen.get_mut(usize::from(*byte)) {
            *seen = true;
        }
    }
    seen.iter().filter(|seen| **seen).count()
}

/// The length of the shortest part that a secret repeats, or its own length if it does not repeat.
fn period(secret: &[u8]) -> usize {
    let repeats = |length: &usize| secret.iter().zip(secret.iter().skip(*length)).all(|(a, b)| a == b);
    (1..=secret.len() / 2).find(repeats).unwrap_or(secret.len())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn fault(secret: &str, purpose: Purpose) -> Option<String> {
        check(secret.as_bytes(), purpose).err().map(|fault| fault.message)
    }

    #[test]
    fn good_secrets_are_accepted() {
        for secret in [
            "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4",
            "9f86d081884c7d659a2feaa0c55ad015",
            "31415926535897932384626433832795",
            "pa$$w0rd-${-with-dollars-(and)-more",
            "eine Passphrase mit Wörtern und Leerzeichen",
        ] {
            for purpose in [Purpose::SigningKey, Purpose::Credential, Purpose::Salt] {
                assert_eq!(fault(secret, purpose), None, "{secret}");
            }
        }
        let bytes: Vec<u8> = (128..=160).collect();
        assert_eq!(check(&bytes, Purpose::SigningKey), Ok(()), "a key need not be text");
    }

    #[test]
    fn placeholders_are_refused() {
        for secret in [
            "${DATAHUB_TOKEN_SERVICE_SIGNING_KEY}",
            "${DATAHUB_TOKEN_SERVICE_SIGNING_KEY:-}",
            "$(DATAHUB_TOKEN_SERVICE_SIGNING_KEY)",
            "{{ .Values.datahub.tokenServiceSigningKey }}",
            "<the signing key of your DataHub deployment>",
            "((datahub-token-service-signing-key))",
            "change-me-change-me-to-something-of-32-bytes",
            "CHANGEME",
            "Please replace me, I am only an example text",
            "your_secret_goes_here_your_secret_goes_here",
            "TODO",
        ] {
            for purpose in [Purpose::SigningKey, Purpose::Credential, Purpose::Salt] {
                let message = fault(secret, purpose).unwrap_or_else(|| panic!("{secret}"));
                assert_eq!(message, "the secret is a placeholder", "{secret}");
            }
        }
    }

    #[test]
    fn published_secrets_are_refused_for_every_purpose() {
        for known in published::published_secrets() {
            for secret in [known.value, known.value.trim_end_matches('=')] {
                for purpose in [Purpose::SigningKey, Purpose::Credential, Purpose::Salt] {
                    let fault = check(secret.as_bytes(), purpose).unwrap_err();
                    let named = fault.message.contains(known.what) || fault.message.contains("placeholder");
                    assert!(named && !fault.message.contains(secret), "{fault:?}");
                    assert_eq!(
                        fault.harmless,
                        purpose == Purpose::Salt && !fault.message.contains("placeholder")
                    );
                }
            }
        }
    }

    #[test]
    fn weak_secrets_are_refused() {
        let (signing, credential) = (Purpose::SigningKey, Purpose::Credential);
        for (secret, purpose) in [
            ("a", credential),
            ("hunter2-hunter2", credential),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", credential),
            ("abcabcabcabcabcabcabcabcabcabcabcabcabc", credential),
            ("hunter2-hunter2-hunter2-hunter2-hunter2", credential),
            ("q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8", signing),
            ("0123456789abcdef0123456789abcdef", signing),
            ("01234567890123456789012345678901", signing),
            ("aaaabbbbccccddddaaaaccccbbbbddddabcd", signing),
        ] {
            let message = fault(secret, purpose).unwrap_or_else(|| panic!("{secret}"));
            assert!(message.ends_with("could be guessed"), "{message}");
        }
        assert_eq!(fault("0123456789abcdef0123456789abcdef", credential), None, "16 bytes that count");
        assert_eq!(fault("s", Purpose::Salt), None);
        assert_eq!(fault("", Purpose::Salt).as_deref(), Some("the secret is empty"));
    }

    #[test]
    fn surrounding_white_space_is_refused() {
        let good = "q3tEo0gHk1Yw9sVb7nXcR5mZ2pLdJf8uA6iTqWe4";
        for (before, after) in
            [(" ", ""), ("", " "), ("\n", ""), ("\t", "\t"), ("", "\u{a0}"), ("\u{feff}", ""), ("", "\n \n")]
        {
            for purpose in [Purpose::SigningKey, Purpose::Credential, Purpose::Salt] {
                let message = fault(&format!("{before}{good}{after}"), purpose).unwrap();
                assert!(message.contains("white space"), "{before:?} {after:?}: {message}");
            }
        }
        assert!(
            fault(&format!("{good}\n{good}"), Purpose::SigningKey).unwrap().contains("control character")
        );
        let mut bytes: Vec<u8> = (128..=160).collect();
        bytes.push(b'\n');
        assert!(check(&bytes, Purpose::SigningKey).is_err(), "it may or may not be part of the key");
    }
}
