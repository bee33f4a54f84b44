//! `metagate token`: inspects a token without any keys.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::path::PathBuf;

use clap::Subcommand;

use super::input::{read_token, refuse_arguments};
use super::{Failure, write_out};
use crate::jose::{JoseFault, Padding, UnverifiedToken};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Read a token and print entries for a revocation list. The token itself is not printed.
    Fingerprint {
        /// A file with the token; standard input if left out. A token is not an argument, because other users can see
        /// those.
        #[arg(long, value_name = "FILE")]
        token_file: Option<PathBuf>,
        /// Refused: see --token-file.
        #[arg(hide = true)]
        token: Vec<OsString>,
    },
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    let Command::Fingerprint { token_file, token } = command;
    refuse_arguments(token)?;
    let text = read_token(token_file.as_ref())?;
    let token = UnverifiedToken::parse_with(Padding::Accepted, &text, text.len()).map_err(|fault| {
        let why = match fault {
            JoseFault::Malformed(why) => why,
            JoseFault::AlgorithmUnknown | JoseFault::InvalidSignature => "its alg is not supported",
        };
        Failure::Other(format!("metagate could not verify this token: {why}"))
    })?;
    write_out(&entries(&token))
}

/// Entries that revoke only this token, followed by broader ones that are commented out.
fn entries(token: &UnverifiedToken<'_>) -> String {
    let issuer = token.issuer_hint().ok().flatten();
    let mut text = String::from("# The token itself; one of these entries is enough.\n");
    // Writing to a `String` does not fail.
    let _ = writeln!(text, "- fingerprint: \"{}\"", token.fingerprint().full());
    let mut entry = |before: &str, name: &str, value: Option<&str>| {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            let _ = writeln!(text, "{before}- {name}: {}", quoted(value));
            if let Some(issuer) = issuer.filter(|issuer| !issuer.is_empty()) {
                let _ = writeln!(text, "{}  issuer: {}", before.trim_end_matches(['\n']), quoted(issuer));
            }
        }
    };
    entry("", "jti", token.claimed("jti"));
    entry("#", "sub", token.claimed("sub"));
    entry("#", "kid", token.header().kid.as_deref());
    let more = "# Every token of its subject (with `issuedBefore: <time>`, of those that it had then), and\n\
                # every token that its key signed: remove the `#`.\n";
    match text.find("\n#-") {
        Some(at) => text.insert_str(at + 1, more),
        None => return text,
    }
    text
}

/// A double-quoted YAML string. All characters are escaped that are special in YAML or could control a terminal.
fn quoted(value: &str) -> String {
    let mut text = String::from("\"");
    for character in value.chars() {
        // Writing to a `String` does not fail.
        let _ = match character {
            '"' | '\\' => write!(text, "\\{character}"),
            ' '..='~' => write!(text, "{character}"),
            _ => write!(text, "\\U{:08x}", u32::from(character)),
        };
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::jose::Algorithm;
    use crate::test_support::{MAX_BYTES, P256};

    fn printed(kid: Option<&str>, claims: &serde_json::Value) -> String {
        let text = P256.token(Algorithm::ES256, kid, claims);
        entries(&UnverifiedToken::parse(&text, MAX_BYTES).unwrap())
    }

    #[test]
    fn a_token_with_everything() {
        let text = printed(Some("k-1"), &json!({"iss": "https://a.example", "jti": "1", "sub": "ada"}));
        let expected = [
            "- jti: \"1\"\n  issuer: \"https://a.example\"\n",
            "#- sub: \"ada\"\n#  issuer: \"https://a.example\"\n",
            "#- kid: \"k-1\"\n#  issuer: \"https://a.example\"\n",
        ];
        for expected in expected {
            assert!(text.contains(expected), "{text}");
        }
        assert!(!text.contains("eyJ"), "{text}");
    }

    #[test]
    fn a_token_with_nothing() {
        let text = printed(None, &json!({"jti": 5, "sub": ""}));
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.lines().nth(1).unwrap().starts_with("- fingerprint: \""), "{text}");
    }

    #[test]
    fn nothing_gets_out_of_its_quotes() {
        let hostile = "a\"\n- sub: \"b\\\u{1b}[2J\u{85}\u{2028}\u{1f600}";
        let text = printed(Some("k"), &json!({"jti": hostile}));
        let line = text.lines().find(|line| line.starts_with("- jti")).unwrap();
        assert!(line.is_ascii() && !line.contains('\u{1b}'), "{line}");
        let document = crate::config::parse_document(&text);
        assert!(document.problems.is_empty(), "{:?}", document.problems);
        assert!(format!("{:?}", document.root).contains(&format!("{hostile:?}")), "{:?}", document.root);
    }
}
