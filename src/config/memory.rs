//! The default of `limits.memory`, derived from the limits of the container, the process and the machine.

use std::fs;
use std::path::Path;

/// The maximum default if neither the container nor the process has a limit.
const MOST_OF_A_MACHINE: u64 = 1 << 30;
/// The minimum of `limits.memory`.
const LEAST: u64 = 64 << 20;

/// The contents of the kernel's files about memory.
#[derive(Debug, Default)]
struct Kernel {
    /// `memory.max` (cgroup v2) and `memory.limit_in_bytes` (v1) of our group and those above it.
    group_limits: Vec<String>,
    /// `/proc/self/limits`: allocations also fail at an address space limit (`ulimit -v`).
    process_limits: String,
    /// `/proc/meminfo`.
    machine: String,
}

/// Four fifths of the smallest limit on the container or process. Without one, a quarter of the
/// machine's memory, at most 1 GiB.
pub(super) fn default_limit() -> u64 {
    Kernel::read().default_limit()
}

impl Kernel {
    fn read() -> Self {
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        let groups = text(Path::new("/proc/self/cgroup"));
        Self {
            group_limits: limit_files(&groups).iter().map(|path| text(Path::new(path))).collect(),
            process_limits: text(Path::new("/proc/self/limits")),
            machine: text(Path::new("/proc/meminfo")),
        }
    }

    fn default_limit(&self) -> u64 {
        let machine = kibibytes(&self.machine, "MemTotal:");
        let groups = self.group_limits.iter().filter_map(|text| text.trim().parse().ok());
        let limit = groups
            .chain(address_space(&self.process_limits))
            // cgroup v1 expresses "no limit" as a number larger than any memory.
            .filter(|limit| machine.is_none_or(|machine| *limit < machine))
            .min();
        let default = match limit {
            Some(limit) => limit / 5 * 4,
            None => machine.map_or(MOST_OF_A_MACHINE, |machine| (machine / 4).min(MOST_OF_A_MACHINE)),
        };
        default.max(LEAST)
    }
}

/// The files with the limits of the groups in `/proc/self/cgroup`: each group's and of all above it.
fn limit_files(groups: &str) -> Vec<String> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = match controllers {
            "" => ("/sys/fs/cgroup", "memory.max"),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
            }
            _ => continue,
        };
        // Within a container the path may be the host's. Files that do not exist are skipped.
        let above = Path::new(path).ancestors().filter_map(Path::to_str);
        files.extend(above.map(|group| format!("{root}{}/{file}", group.trim_end_matches('/'))));
    }
    files
}

fn kibibytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
}

/// The soft limit of `Max address space`; `None` if it is `unlimited`.
fn address_space(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GIB: u64 = 1 << 30;

    fn kernel(groups: &[&str], address_space: &str, machine_kib: u64) -> Kernel {
        Kernel {
            group_limits: groups.iter().map(|text| (*text).to_owned()).collect(),
            process_limits: format!(
                "Limit                     Soft Limit           Hard Limit           Units\nMax cpu time              unlimited            unlimited            seconds\nMax address space         {address_space}            unlimited            bytes\n"
            ),
            machine: format!("MemTotal:       {machine_kib} kB\nMemFree:        1 kB\n"),
        }
    }

    #[test]
    fn the_smallest_limit_of_container_and_process_counts() {
        let machine = 16 << 20;
        for (groups, address_space, expected) in [
            (&["268435456\n", "max\n"][..], "unlimited", 268_435_456 / 5 * 4),
            (&["max", "536870912", "1073741824"], "unlimited", 536_870_912 / 5 * 4),
            (&["9223372036854771712"], "268435456", 268_435_456 / 5 * 4),
            (&["max"], "unlimited", GIB),
            (&[], "unlimited", GIB),
            (&["33554432"], "unlimited", LEAST),
        ] {
            assert_eq!(kernel(groups, address_space, machine).default_limit(), expected, "{groups:?}");
        }
        assert_eq!(
            kernel(&[], "unlimited", 2 << 20).default_limit(),
            GIB / 2,
            "a quarter of a small machine"
        );
        assert_eq!(Kernel::default().default_limit(), GIB);
    }

    #[test]
    fn the_groups_above_count_too() {
        assert_eq!(
            limit_files("0::/system.slice/metagate.service\n"),
            [
                "/sys/fs/cgroup/system.slice/metagate.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ]
        );
        let version_1 = "12:memory:/docker/1\n11:cpu,cpuacct:/docker/1\n";
        assert_eq!(
            limit_files(version_1),
            [
                "/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ]
        );
        assert!(
            limit_files("nonsense\n::\n1:name=systemd:/\n").iter().all(|file| file.ends_with("memory.max"))
        );
    }
}
