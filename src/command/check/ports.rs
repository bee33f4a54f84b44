//! Whether each listener can have its address. Nothing listens on it meanwhile, so no client connects to the check.

use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt as _;
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::super::health::running_version;
use crate::config::{Config, Finding, FindingId, Listen};
use crate::server::bound;

/// The addresses that are not free, and one remark if a metagate that runs holds them.
pub(super) async fn findings(config: &Config) -> Vec<Finding> {
    let taken = taken(config);
    if taken.is_empty() {
        return Vec::new();
    }
    let in_use = |(key, listen, error): &(&str, Listen, io::Error)| {
        let finding =
            Finding::error(FindingId::PortInUse, *key, format!("cannot listen on {listen}: {error}"));
        match error.kind() {
            ErrorKind::AddrInUse => finding.help(
                "stop the program that has it (`ss -ltnp` shows it), or choose another address; systemd has the \
                 sockets of a metagate.socket",
            ),
            ErrorKind::PermissionDenied => finding.help(
                "use a port from 1024, CAP_NET_BIND_SERVICE, or socket activation (deploy/systemd)",
            ),
            _ => finding,
        }
    };
    let is_in_use = |(_, _, error): &&(&str, Listen, io::Error)| error.kind() == ErrorKind::AddrInUse;
    if let Some(version) = running_version(config.health_listen).await {
        let held: Vec<_> =
            taken.iter().filter(is_in_use).map(|(key, listen, _)| format!("{key} ({listen})")).collect();
        let remark = format!("in use by the metagate {version} that is running: {}", held.join(", "));
        let others = taken.iter().filter(|taken| !is_in_use(taken)).map(in_use);
        return others.chain([Finding::info(remark)]).collect();
    }
    taken.iter().map(in_use).collect()
}

/// The listeners whose address cannot be had, with their keys.
fn taken(config: &Config) -> Vec<(&'static str, Listen, io::Error)> {
    let mut listeners: Vec<_> = config.listen.iter().map(|listen| ("listen", listen.clone())).collect();
    listeners.extend([
        ("health.listen", Listen::Tcp(config.health_listen)),
        ("admin.listen", Listen::Tcp(config.admin_listen)),
    ]);
    let forward_auth = config.forward_auth.as_ref();
    listeners.extend(forward_auth.map(|found| ("forwardAuth.listen", Listen::Tcp(found.listen))));
    let mut taken = Vec::new();
    for (key, listen) in listeners {
        let free = match &listen {
            // Without listening on it that fails only if another socket listens.
            Listen::Tcp(address) => {
                let only_ipv6 = key == "listen" && config.listen.is_only_ipv6(*address);
                bound(*address, only_ipv6).map(drop)
            }
            Listen::Unix(path) => can_create(path),
        };
        taken.extend(free.err().map(|error| (key, listen, error)));
    }
    taken
}

/// A socket file that a process left that has ended is replaced.
fn can_create(path: &Path) -> io::Result<()> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    if !directory.is_dir() {
        return Err(io::Error::new(ErrorKind::NotFound, "its directory does not exist"));
    }
    match path.symlink_metadata() {
        Err(_) => Ok(()),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(ErrorKind::AlreadyExists, "the file exists and is not a socket"))
        }
        Ok(_) if UnixStream::connect(path).is_ok() => Err(ErrorKind::AddrInUse.into()),
        Ok(_) => Ok(()),
    }
}
