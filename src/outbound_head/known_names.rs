//! The names of request fields with a special meaning, and what happens to their look-alikes (see
//! [`crate::request::folded`]).

use super::connection::SPECIFIC;
use super::forwarded::{ORIGIN_FIELDS, WRITTEN_FIELDS};
use crate::message::{FieldName, FieldRef};
use crate::request::folded;

/// Further fields that are not forwarded, in addition to [`SPECIFIC`]: `Expect` is handled when the body is read.
const ENDING_HERE: &[&str] = &["expect"];

/// Fields that are forwarded and that a backend uses to identify the caller and the request. Their look-alikes are
/// removed.
const OF_REQUEST: &[&str] = &["authorization", "cookie", "host", "content-length", "x-request-id"];

/// What happens to a client's field whose name is a known name or a look-alike of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treatment {
    /// It is removed: it is about the client's connection, or was handled here.
    Removed,
    /// It is forwarded only from a caller to whom this exact name is granted. Otherwise only we set it.
    Reserved,
    /// It is forwarded only from a trusted proxy and with this exact name.
    FromTrustedProxies,
    /// It is forwarded only with this exact name.
    OneSpelling,
}

#[derive(Clone, Debug)]
struct Known {
    folded: Box<[u8]>,
    name: Box<str>,
    treatment: Treatment,
}

impl Known {
    fn new(name: &str, treatment: Treatment) -> Self {
        Self { folded: folded(name).collect(), name: name.to_ascii_lowercase().into(), treatment }
    }
}

/// Every known name, sorted by folded form.
#[derive(Clone, Debug)]
pub(super) struct KnownNames {
    names: Box<[Known]>,
    /// Folded prefixes of reserved names, sorted. None is a prefix of another.
    families: Box<[Box<[u8]>]>,
    /// The result for each [`FieldName`] at its number, so that folding and searching are left to other names.
    forwarding: [Forwarding; FieldName::COUNT],
}

/// From whom a field is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Forwarding {
    Everybody,
    TrustedProxies,
    /// Callers to whom it is granted.
    Granted,
    Nobody,
}

/// The names that clients may not send.
pub(super) struct Reserved<'n> {
    /// Full names, in the spelling that is set.
    pub(super) names: Vec<&'n str>,
    /// Prefixes of further names.
    pub(super) families: Vec<&'n str>,
    /// Names with these prefixes that every client may send.
    pub(super) harmless: &'n [&'n str],
}

impl KnownNames {
    /// The names that are always known, and the reserved ones.
    pub(super) fn new(reserved: Reserved<'_>) -> Self {
        let specific: Vec<_> = SPECIFIC.iter().map(FieldName::as_str).collect();
        let always = [
            (&specific[..], Treatment::Removed),
            (ENDING_HERE, Treatment::Removed),
            (ORIGIN_FIELDS, Treatment::FromTrustedProxies),
            (WRITTEN_FIELDS, Treatment::FromTrustedProxies),
            (OF_REQUEST, Treatment::OneSpelling),
            (reserved.harmless, Treatment::OneSpelling),
        ];
        let always =
            always.iter().flat_map(|(names, treatment)| names.iter().map(|name| (*name, *treatment)));
        let names = reserved.names.into_iter().map(|name| (name, Treatment::Reserved));
        let known = |(name, treatment): (&str, Treatment)| Known::new(name, treatment);
        // Reserved names come first: of two look-alikes the first stays.
        let mut all: Vec<Known> = names.chain(always).map(known).collect();
        all.sort_by(|one, other| one.folded.cmp(&other.folded));
        all.dedup_by(|later, first| later.folded == first.folded);
        let mut families: Vec<Box<[u8]>> =
            reserved.families.into_iter().map(|family| folded(family).collect()).collect();
        families.sort_unstable();
        // A longer prefix sorts after the shorter one that includes it.
        families.dedup_by(|later, first| later.starts_with(first));
        let mut known = Self {
            names: all.into(),
            families: families.into(),
            forwarding: [Forwarding::Nobody; FieldName::COUNT],
        };
        known.look_up_field_names();
        known
    }

    /// Reserves one more name, whatever it was before.
    pub(super) fn reserve(&mut self, name: &str) {
        let new = Known::new(name, Treatment::Reserved);
        let mut names = std::mem::take(&mut self.names).into_vec();
        match names.binary_search_by(|known| known.folded.cmp(&new.folded)) {
            Ok(at) => names.splice(at..=at, [new]).for_each(drop),
            Err(at) => names.insert(at, new),
        }
        self.names = names.into();
        self.look_up_field_names();
    }

    fn look_up_field_names(&mut self) {
        for name in FieldName::all() {
            let forwarding = self.forwarding_of(name.as_str());
            if let Some(place) = self.forwarding.get_mut(name.number()) {
                *place = forwarding;
            }
        }
    }

    /// Whether a client's field is forwarded.
    pub(super) fn is_forwarded(
        &self,
        field: FieldRef<'_>,
        granted: &[&str],
        from_trusted_proxy: bool,
    ) -> bool {
        let forwarding = match field.known() {
            Some(name) => self.forwarding.get(name.number()).copied().unwrap_or(Forwarding::Nobody),
            None => self.forwarding_of(field.name()),
        };
        match forwarding {
            Forwarding::Everybody => true,
            Forwarding::TrustedProxies => from_trusted_proxy,
            Forwarding::Granted => granted.contains(&field.name()),
            Forwarding::Nobody => false,
        }
    }

    /// From whom a field with this name is forwarded.
    fn forwarding_of(&self, name: &str) -> Forwarding {
        let folded = Folded::of(name);
        match self.find(&folded) {
            Some(known) => match known.treatment {
                Treatment::Removed => Forwarding::Nobody,
                Treatment::Reserved => Forwarding::Granted,
                Treatment::FromTrustedProxies | Treatment::OneSpelling if *known.name != *name => {
                    Forwarding::Nobody
                }
                Treatment::FromTrustedProxies => Forwarding::TrustedProxies,
                Treatment::OneSpelling => Forwarding::Everybody,
            },
            None if self.is_of_reserved_family(&folded) => Forwarding::Nobody,
            None if !is_forwarded_family(&folded) => Forwarding::Everybody,
            None if is_plainly_forwarded(name) => Forwarding::TrustedProxies,
            None => Forwarding::Nobody,
        }
    }

    /// Whether only we or a trusted proxy may set this field.
    pub(super) fn is_ours_or_a_proxys(&self, name: &str) -> bool {
        let folded = Folded::of(name);
        let treatment = self.find(&folded).map(|known| known.treatment);
        matches!(treatment, Some(Treatment::Reserved | Treatment::FromTrustedProxies))
            || self.is_unlisted_identity(name)
            || is_forwarded_family(&folded)
    }

    /// Whether this is another spelling of a name that identifies the caller to a backend.
    pub(super) fn is_look_alike_of_identity(&self, name: &str) -> bool {
        let is_identity = |known: &Known| {
            known.treatment == Treatment::Reserved || ["authorization", "cookie"].contains(&&*known.name)
        };
        self.find(&Folded::of(name)).is_some_and(|known| *known.name != *name && is_identity(known))
    }

    /// Whether a name has a reserved prefix and is not known itself.
    pub(super) fn is_unlisted_identity(&self, name: &str) -> bool {
        let folded = Folded::of(name);
        self.is_of_reserved_family(&folded) && self.find(&folded).is_none()
    }

    /// Whether a name has a reserved prefix. A prefix sorts before the name, and no other family sorts between.
    fn is_of_reserved_family(&self, name: &Folded) -> bool {
        let not_above = self.families.partition_point(|family| **family <= *name.as_bytes());
        let nearest = not_above.checked_sub(1).and_then(|at| self.families.get(at));
        nearest.is_some_and(|family| name.as_bytes().starts_with(family))
    }

    fn find(&self, name: &Folded) -> Option<&Known> {
        let found = self.names.binary_search_by(|known| (*known.folded).cmp(name.as_bytes()));
        found.ok().and_then(|at| self.names.get(at))
    }
}

/// A name that is folded once, for many comparisons. Only a long one needs an allocation.
enum Folded {
    Short([u8; Self::SHORT], usize),
    Long(Box<[u8]>),
}

impl Folded {
    const SHORT: usize = 64;

    fn of(name: &str) -> Self {
        if name.len() > Self::SHORT {
            return Self::Long(folded(name).collect());
        }
        let (mut bytes, mut len) = ([0; Self::SHORT], 0);
        for (place, byte) in bytes.iter_mut().zip(folded(name)) {
            *place = byte;
            len += 1;
        }
        Self::Short(bytes, len)
    }

    fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Short(bytes, len) => bytes.get(..*len).unwrap_or_default(),
            Self::Long(bytes) => bytes,
        }
    }
}

/// Whether this is `X-Forwarded-*` in any spelling, in which proxies state the source of a request.
fn is_forwarded_family(name: &Folded) -> bool {
    name.as_bytes().starts_with(b"xforwarded")
}

/// Whether this is `X-Forwarded-*` in the spelling of proxies: words separated by single hyphens.
fn is_plainly_forwarded(name: &str) -> bool {
    let is_word = |word: &str| !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_alphanumeric());
    name.starts_with("x-forwarded-") && name.split('-').all(is_word)
}
