//! Whether a client has gone, without reading what it has sent.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::ioctl_fionread;
use rustix::net::{RecvFlags, recv};

/// What the socket of a client says about the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It may send more.
    Open,
    /// It sends no more than these bytes, which have arrived. It may still read. Over TLS some of them are framing.
    Ending(u64),
    /// The connection is gone.
    Gone,
}

#[cfg(target_os = "linux")]
const ENDING: PollFlags = PollFlags::RDHUP;
/// Only Linux tells it apart from data.
#[cfg(not(target_os = "linux"))]
const ENDING: PollFlags = PollFlags::empty();

/// Asks the kernel, and does not wait.
pub(super) fn presence(socket: impl AsFd) -> Presence {
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let mut asked = [PollFd::new(&socket, ENDING)];
    if !poll(&mut asked, Some(&at_once)).is_ok_and(|ready| ready > 0) {
        return Presence::Open;
    }
    let found = asked.iter().fold(PollFlags::empty(), |found, socket| found | socket.revents());
    if found.intersects(PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL) {
        return Presence::Gone;
    }
    if found.intersects(ENDING) {
        return ioctl_fionread(&socket).map_or(Presence::Open, Presence::Ending);
    }
    Presence::Open
}

/// A copy of so many bytes that have arrived and were not read; `None` if they have not. Does not wait.
pub(super) fn peek(socket: impl AsFd, bytes: usize) -> Option<Vec<u8>> {
    let mut copy = vec![0; bytes];
    let (copied, _) = recv(&socket, copy.as_mut_slice(), RecvFlags::PEEK | RecvFlags::DONTWAIT).ok()?;
    (copied == bytes).then_some(copy)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::io::Write as _;
    use std::net::{Shutdown, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[track_caller]
    fn eventually(ours: &TcpStream, expected: Presence) {
        let started = std::time::Instant::now();
        while presence(ours) != expected {
            assert!(started.elapsed() < Duration::from_secs(10), "{:?}, not {expected:?}", presence(ours));
            std::thread::yield_now();
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_end_is_seen_behind_unread_bytes() {
        let (mut client, ours) = pair();
        assert_eq!(presence(&ours), Presence::Open);
        client.write_all(b"12345").unwrap();
        assert_eq!(presence(&ours), Presence::Open);
        client.shutdown(Shutdown::Write).unwrap();
        eventually(&ours, Presence::Ending(5));
        assert_eq!(peek(&ours, 5).unwrap(), b"12345");
        assert_eq!(peek(&ours, 6), None);
        assert_eq!(presence(&ours), Presence::Ending(5), "they are still unread");
    }

    #[test]
    fn a_reset_is_seen_behind_unread_bytes() {
        let (mut client, ours) = pair();
        client.write_all(b"12345").unwrap();
        socket2::SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
        drop(client);
        eventually(&ours, Presence::Gone);
    }
}
