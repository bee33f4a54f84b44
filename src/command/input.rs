//! Tokens and request bodies that commands read.

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::Failure;

/// More than `limits.tokenBytes` allows.
const MAX_TOKEN_BYTES: u64 = 1024 * 1024;
/// More than `limits.graphqlBytes` allows.
const MAX_BODY_BYTES: u64 = 32 * 1024 * 1024;

/// A token from a file, or from standard input, which `-` also names. It may be in the form in which people have it:
/// see [`token_in`].
pub(super) fn read_token(file: Option<&PathBuf>) -> Result<String, Failure> {
    let mut text = String::new();
    match file.filter(|path| path.as_os_str() != "-") {
        Some(path) => open(path)?.take(MAX_TOKEN_BYTES).read_to_string(&mut text)?,
        None => std::io::stdin().take(MAX_TOKEN_BYTES).read_to_string(&mut text)?,
    };
    Ok(token_in(&text).to_owned())
}

/// A request's body, up to [`MAX_BODY_BYTES`].
pub(super) fn read_body(file: &Path) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    open(file)?.take(MAX_BODY_BYTES).read_to_end(&mut body)?;
    Ok(body)
}

/// Refuses arguments where none is expected, without repeating them: they may be a token.
pub(super) fn refuse_arguments(arguments: &[OsString]) -> Result<(), Failure> {
    if arguments.is_empty() {
        return Ok(());
    }
    let message = "a token is not an argument, because other users of this machine can see those (and the history of \
                   the shell keeps them): pass it on standard input or with --token-file FILE";
    Err(Failure::Usage(message.to_owned()))
}

/// Opens a file. The error names it, unless its name looks like a token.
fn open(path: &Path) -> Result<std::fs::File, Failure> {
    std::fs::File::open(path).map_err(|error| {
        let name = path.to_string_lossy();
        Failure::Other(match name.starts_with("eyJ") {
            true => "--token-file takes the name of a file, and not a token".to_owned(),
            false => format!("cannot read {name}: {error}"),
        })
    })
}

/// The token in a text that was copied from somewhere: alone, after `Bearer`, as a whole field
/// (`Authorization: Bearer ...`), or as an argument of curl (`-H 'Authorization: Bearer ...'`), with white space or
/// quotes around it. Without `Bearer`, it is everything between the quotes.
fn token_in(text: &str) -> &str {
    const QUOTES: [char; 3] = ['\'', '"', '`'];
    let (before, rest) = after_bearer(text).unwrap_or(("", text));
    // The quote that is open before the token ends it.
    let rest = match before.chars().rev().find(|c| QUOTES.contains(c)) {
        Some(quote) => rest.split(quote).next().unwrap_or_default(),
        None => rest,
    };
    rest.trim_matches(|c: char| c.is_whitespace() || QUOTES.contains(&c) || matches!(c, ',' | ';' | '\\'))
}

/// What stands before and after the word `Bearer`.
fn after_bearer(text: &str) -> Option<(&str, &str)> {
    const WORD: &str = "bearer";
    let is_word = |at: &usize| {
        let (before, rest) = (text.get(..*at).unwrap_or_default(), text.get(*at..).unwrap_or_default());
        let after = rest.get(..WORD.len()).filter(|word| word.eq_ignore_ascii_case(WORD));
        after.is_some()
            && !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
            && rest
                .get(WORD.len()..)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    };
    let at = text.char_indices().map(|(at, _)| at).find(is_word)?;
    Some((text.get(..at)?, text.get(at + WORD.len()..)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_found_in_what_people_copy() {
        for text in [
            "eyJh.e30.c2ln",
            "  eyJh.e30.c2ln\r\n",
            "\"eyJh.e30.c2ln\"",
            "'eyJh.e30.c2ln'\n",
            "\"eyJh.e30.c2ln\",",
            "Bearer eyJh.e30.c2ln",
            "bearer  eyJh.e30.c2ln",
            "BEARER\teyJh.e30.c2ln",
            "Authorization: Bearer eyJh.e30.c2ln\n",
            "authorization: bearer eyJh.e30.c2ln",
            "Authorization:Bearer eyJh.e30.c2ln",
            "-H 'Authorization: Bearer eyJh.e30.c2ln'",
            "-H \"Authorization: Bearer eyJh.e30.c2ln\" \\\n",
            "'Authorization: Bearer eyJh.e30.c2ln'",
            "curl -s -H 'Authorization: Bearer eyJh.e30.c2ln' \"http://a/b\"",
            "\"Authorization\": \"Bearer eyJh.e30.c2ln\",",
        ] {
            assert_eq!(token_in(text), "eyJh.e30.c2ln", "{text:?}");
        }
    }

    /// What is not understood stays as it is, so that the refusal can say what is wrong with it.
    #[test]
    fn other_texts_stay_as_they_are() {
        for text in ["garbage", "eyJh.e30.\nc2ln", "Token abc", "eyJh.bearer.c2ln", "bearer-token", "Bearery"]
        {
            assert_eq!(token_in(text), text);
        }
        for text in ["", " \n", "Bearer", "Authorization: Bearer \n", "''"] {
            assert_eq!(token_in(text), "", "{text:?}");
        }
    }

    #[test]
    fn arguments_and_file_names_that_may_be_tokens_are_not_repeated() {
        let message = |result: Result<(), Failure>| match result {
            Err(Failure::Usage(message) | Failure::Other(message)) => message,
            _ => String::new(),
        };
        let token = "eyJh.e30.c2ln";
        let refused = message(refuse_arguments(&[token.into()]));
        assert!(refused.contains("--token-file") && !refused.contains("eyJ"), "{refused}");
        assert!(refuse_arguments(&[]).is_ok());
        let refused = message(open(Path::new(token)).map(drop));
        assert!(refused.contains("not a token") && !refused.contains("eyJ"), "{refused}");
        assert!(message(open(Path::new("/no/such/file")).map(drop)).contains("/no/such/file"));
    }
}
