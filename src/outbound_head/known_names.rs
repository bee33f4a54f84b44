//! The names of request fields that mean something to us, and to whom a look-alike could mean the
//! same (see [`crate::request::folded`]).

use super::connection::SPECIFIC;
use super::forwarded::{ORIGIN_FIELDS, WRITTEN_FIELDS};
use crate::request::folded;

/// Fields that end here besides those that are always about one connection. (hyper has answered
/// `Expect`, or will when the body is asked for.)
const ENDING_HERE: &[&str] = &["connection", "te", "trailer", "transfer-encoding", "upgrade", "expect"];

/// Fields that go on as they came: by them a backend knows who is asking for what.
const OF_REQUEST: &[&str] = &["authorization", "cookie", "host", "content-length", "x-request-id"];

/// What becomes of a client's fields whose names are look-alikes of a known name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// They are about the client's connection, or are answered here.
    Removed,
    /// Only we say this, or a caller to whom the very name is granted.
    Reserved,
    /// Only a trusted proxy says this, by the very name.
    FromTrustedProxies,
    /// By the very name.
    OneSpelling,
}

#[derive(Clone, Debug)]
struct Known {
    folded: Box<[u8]>,
    name: Box<str>,
    treatment: Treatment,
}

/// Every known name, in the order of their folded forms.
#[derive(Clone, Debug)]
pub(super) struct KnownNames(Box<[Known]>);

impl KnownNames {
    /// The names that every request has a meaning for, and these.
    pub(super) fn with_reserved<'n>(reserved: impl IntoIterator<Item = &'n str>) -> Self {
        let own = [
            (SPECIFIC, Treatment::Removed),
            (ENDING_HERE, Treatment::Removed),
            (ORIGIN_FIELDS, Treatment::FromTrustedProxies),
            (WRITTEN_FIELDS, Treatment::FromTrustedProxies),
            (OF_REQUEST, Treatment::OneSpelling),
        ];
        let own = own.iter().flat_map(|(names, treatment)| names.iter().map(|name| (*name, *treatment)));
        let reserved = reserved.into_iter().map(|name| (name, Treatment::Reserved));
        let known = |(name, treatment): (&str, Treatment)| Known {
            folded: folded(name).collect(),
            name: name.to_ascii_lowercase().into(),
            treatment,
        };
        // Of two that are look-alikes, the first stays: what is reserved is nobody's to say.
        let mut all: Vec<Known> = reserved.chain(own).map(known).collect();
        all.sort_by(|one, other| one.folded.cmp(&other.folded));
        all.dedup_by(|later, first| later.folded == first.folded);
        Self(all.into())
    }

    /// Whether a client's field of this name goes on.
    pub(super) fn goes_on(&self, name: &str, granted: &[&str], from_trusted_proxy: bool) -> bool {
        match self.find(name) {
            Some(known) => match known.treatment {
                Treatment::Removed => false,
                Treatment::Reserved => granted.contains(&name),
                Treatment::FromTrustedProxies => from_trusted_proxy && *known.name == *name,
                Treatment::OneSpelling => *known.name == *name,
            },
            None => !is_forwarded_family(name) || (from_trusted_proxy && is_plainly_forwarded(name)),
        }
    }

    /// Whether only we say this, or a proxy about where a request comes from.
    pub(super) fn is_ours_or_a_proxys(&self, name: &str) -> bool {
        let treatment = self.find(name).map(|known| known.treatment);
        matches!(treatment, Some(Treatment::Reserved | Treatment::FromTrustedProxies))
            || is_forwarded_family(name)
    }

    /// Whether this is another spelling of a name by which a backend knows who is asking.
    pub(super) fn is_look_alike_of_identity(&self, name: &str) -> bool {
        let is_identity = |known: &Known| {
            known.treatment == Treatment::Reserved || ["authorization", "cookie"].contains(&&*known.name)
        };
        self.find(name).is_some_and(|known| *known.name != *name && is_identity(known))
    }

    fn find(&self, name: &str) -> Option<&Known> {
        let found = self.0.binary_search_by(|known| known.folded.iter().copied().cmp(folded(name)));
        found.ok().and_then(|at| self.0.get(at))
    }
}

/// `X-Forwarded-*` in any spelling: proxies tell by it where a request comes from.
fn is_forwarded_family(name: &str) -> bool {
    const FAMILY: &[u8] = b"xforwarded";
    folded(name).take(FAMILY.len()).eq(FAMILY.iter().copied())
}

/// `X-Forwarded-*` as proxies spell it: words with one hyphen between them.
fn is_plainly_forwarded(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    name.starts_with("x-forwarded-") && name.split('-').all(is_word)
}
