//! File descriptors: as many as the process may have, and the connections that they allow.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For listeners, probes, connections that are turned away, files, key fetches and the runtimes. Half of them all, where
/// that is less.
const RESERVED: u64 = 256;

/// Connections of clients that have room with so many others to the backend, or the configured number if that is
/// less. The soft limit is first raised to the hard one.
pub(super) fn connections(configured: usize) -> usize {
    let limit = raise();
    let allowed = allowed(limit);
    if allowed >= configured {
        return configured;
    }
    // The default is for large machines: on others this is no fault of the configuration.
    tracing::info!(
        configured,
        open_files = limit,
        connections = allowed,
        "limits.connections is more than the limit on open files has room for: raise it (ulimit -n)"
    );
    allowed
}

fn raise() -> u64 {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    // macOS takes no "unlimited" here, and then it stays as it was.
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
    fn each_client_may_need_a_connection_to_the_backend() {
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
