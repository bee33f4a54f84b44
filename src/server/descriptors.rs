//! Raises the limit on open files, and lowers the limit on connections to what the open files allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Reserved for listeners, probes, refused connections, files, key fetches and the runtimes. If half of the limit is
/// less, half is reserved.
const RESERVED: u64 = 256;

/// Raises the soft limit to the hard limit. Returns how many client connections are possible if each needs another
/// connection to the backend, at most the configured number.
pub(super) fn connections(configured: usize) -> usize {
    let limit = raise();
    let allowed = allowed(limit);
    if allowed >= configured {
        return configured;
    }
    // Not a warning: the default of `limits.connections` is meant for large machines.
    tracing::info!(
        configured,
        open_files = limit,
        connections = allowed,
        "limits.connections needs more open files than the limit allows: raise the limit (ulimit -n)"
    );
    allowed
}

fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // macOS refuses "unlimited" here. The limit then stays as it was.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let limit = if raised.is_ok() { maximum } else { current };
    limit.unwrap_or(u64::MAX)
}

fn allowed(limit: u64) -> usize {
    let room = limit - RESERVED.min(limit / 2);
    usize::try_from((room / 2).max(1)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_connection_needs_two_descriptors() {
        for (limit, expected) in [
            (1 << 20, 524_160),
            (1024, 384),
            (256, 64),
            (64, 16),
            (2, 1),
            (0, 1),
            (u64::MAX, usize::MAX / 2 - 128),
        ] {
            assert_eq!(allowed(limit), expected, "{limit}");
        }
    }
}
