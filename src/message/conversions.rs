//! Fields as a list and as text.

use std::fmt;

use http::HeaderValue;

use super::{Fields, NewName};

/// Without values, which may be credentials.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(|field| field.name())).finish()
    }
}

/// The same fields in the same order.
impl PartialEq for Fields {
    fn eq(&self, other: &Self) -> bool {
        self.iter()
            .map(|field| (field.name(), field.value()))
            .eq(other.iter().map(|field| (field.name(), field.value())))
    }
}

impl<N: Into<NewName>> FromIterator<(N, HeaderValue)> for Fields {
    fn from_iter<I: IntoIterator<Item = (N, HeaderValue)>>(list: I) -> Self {
        let mut fields = Self::new();
        for (name, value) in list {
            fields.append(name, value);
        }
        fields
    }
}
