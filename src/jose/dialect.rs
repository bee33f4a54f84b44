//! Whose habits a key set follows.

/// How a key set is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum KeyDialect {
    /// As RFC 7517 says.
    #[default]
    Standard,
    /// OpenMetadata's own set, which labels every key RS256 whatever it signs with.
    OpenMetadata,
}

impl KeyDialect {
    /// The dialect of the key set at a URL with this path. OpenMetadata serves its own under one path,
    /// below its base path.
    pub fn of_path(path: &str) -> Self {
        if path.ends_with("/api/v1/system/config/jwks") { Self::OpenMetadata } else { Self::Standard }
    }
}
