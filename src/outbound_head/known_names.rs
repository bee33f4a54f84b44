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
pub(super) struct KnownNames {
    names: Box<[Known]>,
    /// Folded beginnings of reserved names, in order; none is the beginning of another.
    families: Box<[Box<[u8]>]>,
}

/// The names that nobody may send.
pub(super) struct Reserved<'n> {
    /// In the spelling that is set.
    pub(super) names: Vec<&'n str>,
    /// What further names begin with.
    pub(super) families: Vec<&'n str>,
    /// Names that begin so and that everybody may send.
    pub(super) harmless: &'n [&'n str],
}

impl KnownNames {
    /// The names that every request has a meaning for, and these.
    pub(super) fn new(reserved: Reserved<'_>) -> Self {
        let own = [
            (SPECIFIC, Treatment::Removed),
            (ENDING_HERE, Treatment::Removed),
            (ORIGIN_FIELDS, Treatment::FromTrustedProxies),
            (WRITTEN_FIELDS, Treatment::FromTrustedProxies),
            (OF_REQUEST, Treatment::OneSpelling),
            (reserved.harmless, Treatment::OneSpelling),
        ];
        let own = own.iter().flat_map(|(names, treatment)| names.iter().map(|name| (*name, *treatment)));
        let names = reserved.names.into_iter().map(|name| (name, Treatment::Reserved));
        let known = |(name, treatment): (&str, Treatment)| Known {
            folded: folded(name).collect(),
            name: name.to_ascii_lowercase().into(),
            treatment,
        };
        // Of two that are look-alikes, the first stays: what is reserved is nobody's to say.
        let mut all: Vec<Known> = names.chain(own).map(known).collect();
        all.sort_by(|one, other| one.folded.cmp(&other.folded));
        all.dedup_by(|later, first| later.folded == first.folded);
        let mut families: Vec<Box<[u8]>> =
            reserved.families.into_iter().map(|family| folded(family).collect()).collect();
        families.sort_unstable();
        // A longer beginning follows the shorter one that says the same.
        families.dedup_by(|later, first| later.starts_with(first));
        Self { names: all.into(), families: families.into() }
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
            None if self.is_of_reserved_family(name) => false,
            None => !is_forwarded_family(name) || (from_trusted_proxy && is_plainly_forwarded(name)),
        }
    }

    /// Whether only we say this, or a proxy about where a request comes from.
    pub(super) fn is_ours_or_a_proxys(&self, name: &str) -> bool {
        let treatment = self.find(name).map(|known| known.treatment);
        matches!(treatment, Some(Treatment::Reserved | Treatment::FromTrustedProxies))
            || self.is_unlisted_identity(name)
            || is_forwarded_family(name)
    }

    /// Whether this is another spelling of a name by which a backend knows who is asking.
    pub(super) fn is_look_alike_of_identity(&self, name: &str) -> bool {
        let is_identity = |known: &Known| {
            known.treatment == Treatment::Reserved || ["authorization", "cookie"].contains(&&*known.name)
        };
        self.find(name).is_some_and(|known| *known.name != *name && is_identity(known))
    }

    /// Whether a name begins as reserved ones do and is not known itself.
    pub(super) fn is_unlisted_identity(&self, name: &str) -> bool {
        self.is_of_reserved_family(name) && self.find(name).is_none()
    }

    /// A beginning of the name is not above it, and nothing between the two is another family.
    fn is_of_reserved_family(&self, name: &str) -> bool {
        let not_above = self.families.partition_point(|family| family.iter().copied().le(folded(name)));
        let nearest = not_above.checked_sub(1).and_then(|at| self.families.get(at));
        nearest.is_some_and(|family| folded(name).take(family.len()).eq(family.iter().copied()))
    }

    fn find(&self, name: &str) -> Option<&Known> {
        let found = self.names.binary_search_by(|known| known.folded.iter().copied().cmp(folded(name)));
        found.ok().and_then(|at| self.names.get(at))
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
