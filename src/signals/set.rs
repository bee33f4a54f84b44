//! The closed set of signals.

/// Something unusual about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    NewNetwork,
    NewClient,
    TwoNetworks,
    RefusalBurst,
}

impl Signal {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NewNetwork, Self::NewClient, Self::TwoNetworks, Self::RefusalBurst];

    /// The word in audit records and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NewNetwork => "new_network",
            Self::NewClient => "new_client",
            Self::TwoNetworks => "two_networks",
            Self::RefusalBurst => "refusal_burst",
        }
    }
}

/// The signals of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(u8);

impl SignalSet {
    /// The set with this signal.
    #[must_use]
    pub const fn with(self, signal: Signal) -> Self {
        Self(self.0 | 1 << signal as u8)
    }

    /// The signals of both sets.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The signals in the set.
    pub fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.into_iter().filter(move |signal| self.0 & 1 << *signal as u8 != 0)
    }
}
