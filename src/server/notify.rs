//! Reports the state of the process to the service manager (sd_notify(3)).

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The service manager's socket, if there is one.
#[derive(Debug, Default)]
pub struct Notifier(Option<(UnixDatagram, SocketAddr)>);

impl Notifier {
    /// `name` is the value of `NOTIFY_SOCKET`: a path, or an abstract name after `@`.
    pub fn new(name: Option<&OsStr>) -> Self {
        let open = |name: &OsStr| {
            let address = match name.as_bytes() {
                [b'@', name @ ..] => abstract_name(name),
                _ => SocketAddr::from_pathname(name),
            }?;
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address))
        };
        let opened: Option<std::io::Result<_>> = name.filter(|name| !name.is_empty()).map(open);
        Self(opened.and_then(|opened| {
            opened.map_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used")).ok()
        }))
    }

    /// Sends one state, such as `READY=1`, without waiting.
    pub(super) fn notify(&self, state: &str) {
        if let Some((socket, address)) = &self.0
            && let Err(error) = socket.send_to_addr(state.as_bytes(), address)
        {
            tracing::warn!(%error, state, "cannot notify the service manager");
        }
    }
}

#[cfg(target_os = "linux")]
fn abstract_name(name: &[u8]) -> std::io::Result<SocketAddr> {
    use std::os::linux::net::SocketAddrExt as _;
    SocketAddr::from_abstract_name(name)
}

#[cfg(not(target_os = "linux"))]
fn abstract_name(_: &[u8]) -> std::io::Result<SocketAddr> {
    Err(std::io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn receive(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 64];
        let length = socket.recv(&mut buffer).unwrap();
        String::from_utf8_lossy(&buffer[..length]).into_owned()
    }

    #[test]
    fn notifies_a_path_and_an_abstract_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listening = UnixDatagram::bind(&path).unwrap();
        Notifier::new(Some(path.as_os_str())).notify("READY=1");
        assert_eq!(receive(&listening), "READY=1");

        let name = format!("metagate-test-{}", std::process::id());
        let address = abstract_name(name.as_bytes()).unwrap();
        let listening = UnixDatagram::bind_addr(&address).unwrap();
        Notifier::new(Some(OsStr::new(&format!("@{name}")))).notify("STOPPING=1");
        assert_eq!(receive(&listening), "STOPPING=1");
    }

    #[test]
    fn a_missing_service_manager_is_not_an_error() {
        Notifier::default().notify("READY=1");
        Notifier::new(Some(OsStr::new("/nowhere/at/all"))).notify("READY=1");
        Notifier::new(Some(OsStr::new(""))).notify("READY=1");
    }
}
