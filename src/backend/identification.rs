//! How a backend tells which product it is, without credentials.

use serde_json::Value;

/// What a backend responds with that tells which product it is.
#[derive(Clone, Copy, Debug)]
pub struct Identification {
    /// The name of the server in messages.
    pub server: &'static str,
    /// The path to ask for, below the base path.
    pub path: &'static str,
    /// The members of the JSON document that lead to a text.
    pub member: &'static [&'static str],
    /// That text; any if `None`.
    pub text: Option<&'static str>,
    /// Members that lead to the version; the first that exists counts.
    pub versions: &'static [&'static [&'static str]],
}

impl Identification {
    /// Whether this document is of that product. Returns the version, if it says one.
    pub fn recognize(&self, document: &[u8]) -> Option<Option<String>> {
        let document: Value = serde_json::from_slice(document).ok()?;
        let text = text_at(&document, self.member)?;
        if self.text.is_some_and(|expected| expected != text) {
            return None;
        }
        Some(self.versions.iter().find_map(|members| text_at(&document, members)).map(str::to_owned))
    }
}

fn text_at<'d>(document: &'d Value, members: &[&str]) -> Option<&'d str> {
    members.iter().try_fold(document, |value, member| value.get(member))?.as_str()
}
