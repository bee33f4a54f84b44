//! Lists of methods.

use http::Method;

use super::PatternError;
use crate::request::METHODS;

/// A list of methods; empty means any. GET includes HEAD (RFC 9110 section 9.3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Methods(Vec<Method>);

impl Methods {
    /// Reads a comma-separated list of upper-case method names; `*` is any.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" {
            return Ok(Self::default());
        }
        text.split(',').map(Self::one).collect::<Result<_, _>>().map(Self)
    }

    /// A list from single names.
    pub fn from_names<'a>(names: impl IntoIterator<Item = &'a str>) -> Result<Self, PatternError> {
        names.into_iter().map(Self::one).collect::<Result<_, _>>().map(Self)
    }

    fn one(name: &str) -> Result<Method, PatternError> {
        let name = name.trim();
        let known = METHODS.into_iter().find(|method| method.as_str() == name);
        known.ok_or_else(|| PatternError::Method(name.to_owned()))
    }

    /// Whether any method matches.
    pub fn is_any(&self) -> bool {
        self.0.is_empty()
    }

    /// The names; empty for any.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(Method::as_str)
    }

    /// Whether the list includes `method`.
    pub fn contain(&self, method: &Method) -> bool {
        let listed = |entry: &Method| entry == method || (entry == Method::GET && method == Method::HEAD);
        self.0.is_empty() || self.0.iter().any(listed)
    }

    /// The methods that the list includes.
    pub(super) fn set(&self) -> MethodSet {
        if self.0.is_empty() {
            return MethodSet(u8::MAX);
        }
        let bits = METHODS.iter().filter(|method| self.contain(method)).map(|method| MethodSet::of(method).0);
        MethodSet(bits.fold(0, |all, bit| all | bit))
    }
}

/// A set of methods. Methods that are not in [`METHODS`] share one bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MethodSet(u8);

impl MethodSet {
    const OTHERS: u8 = 1 << 7;

    /// The set of one method.
    pub(super) const fn of(method: &Method) -> Self {
        Self(match *method {
            Method::GET => 1,
            Method::HEAD => 1 << 1,
            Method::POST => 1 << 2,
            Method::PUT => 1 << 3,
            Method::PATCH => 1 << 4,
            Method::DELETE => 1 << 5,
            Method::OPTIONS => 1 << 6,
            _ => Self::OTHERS,
        })
    }

    /// Whether both include some method.
    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether this includes every one of [`METHODS`] that `other` includes.
    pub(super) const fn covers(self, other: Self) -> bool {
        other.0 & !self.0 & !Self::OTHERS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_includes_what_its_list_includes() {
        for text in ["*", "GET", "HEAD", "POST,PUT", "PATCH,DELETE", "OPTIONS,GET"] {
            let methods = Methods::parse(text).unwrap();
            for method in METHODS.into_iter().chain([Method::CONNECT]) {
                let included = methods.set().meets(MethodSet::of(&method));
                assert_eq!(included, methods.contain(&method), "{text} {method}");
            }
        }
    }
}
