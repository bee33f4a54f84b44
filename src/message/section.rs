//! A field section that arrives again and again.

use std::any::Any;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::octets;

/// A field section, octet for octet as it was received, and what was derived from its fields.
pub struct Section {
    received: Box<[u8]>,
    memos: [Memo; 2],
}

/// What modules above derive from the fields of a section.
#[derive(Clone, Copy, Debug)]
pub enum Derived {
    /// What a decision needs to know about them.
    Facts,
    /// What is sent upstream in their place.
    Outbound,
}

#[derive(Default)]
struct Memo(Mutex<Option<Arc<dyn Any + Send + Sync>>>);

impl Section {
    /// A section that was accepted.
    pub fn new(received: &[u8]) -> Self {
        Self { received: received.into(), memos: Default::default() }
    }

    /// Whether these octets are the section. The time does not depend on how many of them are equal, because the section
    /// may hold another client's token.
    pub fn is(&self, octets: &[u8]) -> bool {
        octets::are_equal(&self.received, octets)
    }

    /// What was last kept.
    pub fn get<T: Any + Send + Sync>(&self, what: Derived) -> Option<Arc<T>> {
        let kept = self.memo(what).lock().unwrap_or_else(PoisonError::into_inner).clone();
        kept?.downcast().ok()
    }

    /// Keeps something in place of what was kept before.
    pub fn keep<T: Any + Send + Sync>(&self, what: Derived, value: T) {
        *self.memo(what).lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(value));
    }

    fn memo(&self, what: Derived) -> &Mutex<Option<Arc<dyn Any + Send + Sync>>> {
        let [facts, outbound] = &self.memos;
        match what {
            Derived::Facts => &facts.0,
            Derived::Outbound => &outbound.0,
        }
    }
}

/// Without the fields, which may be credentials.
impl fmt::Debug for Section {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Section").field("length", &self.received.len()).finish_non_exhaustive()
    }
}
