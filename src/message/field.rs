//! One field of a message, and the names to look it up by.

use std::fmt;

use http::{HeaderName, HeaderValue};

use super::FieldName;

/// One field of a message.
#[derive(Clone, Copy)]
pub struct FieldRef<'f> {
    pub(super) known: Option<FieldName>,
    pub(super) name: &'f [u8],
    pub(super) value: FieldValue<'f>,
    pub(super) is_received: bool,
}

/// The value of a field. Its bytes are valid in a field: they have no control character except the tab.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FieldValue<'f>(pub(super) &'f [u8]);

/// A value is not only ASCII.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a field value is not ASCII")]
pub struct NotAscii;

/// A name to look a field up by. Text must be in lower case.
pub trait LookUp {
    /// The known name, or the text of another name.
    fn key(&self) -> Key<'_>;
}

/// A name to look for.
#[derive(Clone, Copy, Debug)]
pub enum Key<'k> {
    /// One with a [`FieldName`].
    Known(FieldName),
    /// Any other, as text.
    Other(&'k str),
}

impl LookUp for FieldName {
    fn key(&self) -> Key<'_> {
        Key::Known(*self)
    }
}

impl LookUp for str {
    fn key(&self) -> Key<'_> {
        debug_assert!(!self.bytes().any(|byte| byte.is_ascii_uppercase()), "{self}");
        FieldName::of(self.as_bytes()).map_or(Key::Other(self), Key::Known)
    }
}

impl LookUp for HeaderName {
    fn key(&self) -> Key<'_> {
        self.as_str().key()
    }
}

impl<T: LookUp + ?Sized> LookUp for &T {
    fn key(&self) -> Key<'_> {
        (**self).key()
    }
}

/// The name of a field to add. Private inside, so that a name that is known is always stored as one: look-ups rely on it.
#[derive(Clone)]
pub struct NewName(Name);

#[derive(Clone)]
enum Name {
    Known(FieldName),
    Other(HeaderName),
}

impl NewName {
    /// The name, if it is known.
    pub(super) fn known(&self) -> Option<FieldName> {
        match &self.0 {
            Name::Known(name) => Some(*name),
            Name::Other(_) => None,
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match &self.0 {
            Name::Known(name) => name.as_str(),
            Name::Other(name) => name.as_str(),
        }
    }
}

impl fmt::Debug for NewName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl LookUp for NewName {
    fn key(&self) -> Key<'_> {
        match &self.0 {
            Name::Known(name) => Key::Known(*name),
            Name::Other(name) => Key::Other(name.as_str()),
        }
    }
}

impl From<FieldName> for NewName {
    fn from(name: FieldName) -> Self {
        Self(Name::Known(name))
    }
}

/// A value of a field: without control characters except the tab (RFC 9110 section 5.5).
pub trait ValidValue {
    /// Its bytes.
    fn octets(&self) -> &[u8];
}

impl ValidValue for HeaderValue {
    fn octets(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl ValidValue for FieldValue<'_> {
    fn octets(&self) -> &[u8] {
        self.as_bytes()
    }
}

impl<T: ValidValue> ValidValue for &T {
    fn octets(&self) -> &[u8] {
        (*self).octets()
    }
}

impl From<HeaderName> for NewName {
    fn from(name: HeaderName) -> Self {
        Self(FieldName::of(name.as_str().as_bytes()).map_or(Name::Other(name), Name::Known))
    }
}

impl From<&Self> for NewName {
    fn from(name: &Self) -> Self {
        name.clone()
    }
}

impl From<&HeaderName> for NewName {
    fn from(name: &HeaderName) -> Self {
        name.clone().into()
    }
}

impl From<&'static str> for NewName {
    /// # Panics
    /// If it is not a name in lower case.
    fn from(name: &'static str) -> Self {
        HeaderName::from_static(name).into()
    }
}

impl<'f> FieldRef<'f> {
    /// The name, if it is known.
    pub fn known(&self) -> Option<FieldName> {
        self.known
    }

    /// The name, in lower case.
    pub fn name(&self) -> &'f str {
        // A name is a token, so it is ASCII.
        str::from_utf8(self.name).unwrap_or_default()
    }

    /// The value.
    pub fn value(&self) -> FieldValue<'f> {
        self.value
    }

    /// Whether it is the field that is looked for.
    pub(super) fn is(&self, key: Key<'_>) -> bool {
        match (self.known, key) {
            (Some(own), Key::Known(name)) => own == name,
            (None, Key::Other(text)) => self.name == text.as_bytes(),
            (Some(_), Key::Other(_)) | (None, Key::Known(_)) => false,
        }
    }
}

impl<'f> FieldValue<'f> {
    /// Its bytes.
    pub fn as_bytes(self) -> &'f [u8] {
        self.0
    }

    /// Its text.
    ///
    /// # Errors
    /// It is not only ASCII.
    pub fn to_str(self) -> Result<&'f str, NotAscii> {
        if self.0.is_ascii() { str::from_utf8(self.0).map_err(|_| NotAscii) } else { Err(NotAscii) }
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq<str> for FieldValue<'_> {
    fn eq(&self, text: &str) -> bool {
        self.0 == text.as_bytes()
    }
}

impl PartialEq<&str> for FieldValue<'_> {
    fn eq(&self, text: &&str) -> bool {
        self == *text
    }
}

impl fmt::Debug for FieldValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}
