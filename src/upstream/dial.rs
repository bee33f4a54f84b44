//! Connects to a name: tries its addresses at short intervals (Happy Eyeballs, RFC 8305).

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::sleep;

use super::open_error::OpenError;

/// How long to wait for an address before the next one is tried in parallel (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How much of a response the kernel buffers. This is enough for a backend some milliseconds away at a gigabit a
/// second. Without a limit the kernel would buffer tens of megabytes of a response that its client does not read.
const RECEIVE_BYTES: usize = 256 * 1024;
/// How many addresses of one name are tried at most.
const MAX_ADDRESSES: usize = 32;

/// Connects to the address of `host` that accepts first. The name is resolved each time, so that new connections
/// follow DNS changes. The caller limits the total time.
pub(super) async fn dial(host: &str, port: u16) -> Result<TcpStream, OpenError> {
    let found = lookup_host((host, port)).await.map_err(|error| OpenError::name(host, Some(&error)))?;
    let connect = |address| async move {
        let stream = prepared(TcpStream::connect(address).await);
        stream.map_err(|error| OpenError::address(address, &error))
    };
    let stream = race(alternating(found.take(MAX_ADDRESSES).collect()), connect).await;
    stream.map_err(|error| error.unwrap_or_else(|| OpenError::name(host, None)))
}

fn prepared(connected: io::Result<TcpStream>) -> io::Result<TcpStream> {
    let stream = connected?;
    stream.set_nodelay(true)?;
    SockRef::from(&stream).set_recv_buffer_size(RECEIVE_BYTES)?;
    Ok(stream)
}

/// Keeps the resolver's order, but alternates the address families (RFC 8305 section 4).
fn alternating(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let Some(first) = addresses.first().map(SocketAddr::is_ipv4) else { return addresses };
    let (one, other): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv4() == first);
    let mut rest = other.into_iter();
    let mut turns: Vec<_> =
        one.into_iter().flat_map(|address| [Some(address), rest.next()]).flatten().collect();
    turns.extend(rest);
    turns
}

/// Returns the first connection that succeeds and drops the others. If one fails, the next starts at once. If all fail,
/// returns the last error; none if there was nothing to try.
async fn race<T, E, C>(addresses: Vec<SocketAddr>, connect: impl Fn(SocketAddr) -> C) -> Result<T, Option<E>>
where
    C: Future<Output = Result<T, E>>,
{
    let mut left = addresses.into_iter();
    let mut running: Vec<Pin<Box<C>>> = Vec::new();
    let mut failure = None;
    loop {
        running.extend(left.next().map(|address| Box::pin(connect(address))));
        if running.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            ended = first_ended(&mut running) => match ended {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            },
            () = sleep(STAGGER), if left.len() > 0 => {}
        }
    }
}

/// Waits until one of them ends, and removes it.
async fn first_ended<C: Future>(running: &mut Vec<Pin<Box<C>>>) -> C::Output {
    poll_fn(|cx| {
        let ended =
            running.iter_mut().enumerate().find_map(|(at, attempt)| match attempt.as_mut().poll(cx) {
                Poll::Ready(output) => Some((at, output)),
                Poll::Pending => None,
            });
        let Some((at, output)) = ended else { return Poll::Pending };
        drop(running.swap_remove(at));
        Poll::Ready(output)
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
    use tokio::time::Instant;

    /// 198.51.100.x never responds, 203.0.113.x refuses, any other address connects after 100 ms.
    async fn attempt(address: SocketAddr) -> io::Result<SocketAddr> {
        match address.ip().to_string() {
            ip if ip.starts_with("198.51.100.") => std::future::pending().await,
            ip if ip.starts_with("203.0.113.") => Err(io::ErrorKind::ConnectionRefused.into()),
            _ => {
                sleep(Duration::from_millis(100)).await;
                Ok(address)
            }
        }
    }

    fn addresses(ips: &[&str]) -> Vec<SocketAddr> {
        ips.iter().map(|ip| SocketAddr::new(ip.parse().expect("an address"), 80)).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn an_address_that_never_responds_delays_the_next_by_250_ms() {
        for (ips, winner, millis) in [
            (&["192.0.2.1", "192.0.2.2"][..], "192.0.2.1", 100),
            (&["198.51.100.1", "192.0.2.2"], "192.0.2.2", 350),
            (&["198.51.100.1", "198.51.100.2", "192.0.2.3"], "192.0.2.3", 600),
            (&["203.0.113.1", "192.0.2.2"], "192.0.2.2", 100),
            (&["198.51.100.1", "203.0.113.1", "203.0.113.2", "192.0.2.2"], "192.0.2.2", 350),
        ] {
            let started = Instant::now();
            let won = race(addresses(ips), attempt).await.expect("a connection");
            assert_eq!(won.ip().to_string(), winner, "{ips:?}");
            assert_eq!(started.elapsed(), Duration::from_millis(millis), "{ips:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_addresses_fail_the_last_error_is_returned() {
        let error = race(addresses(&["203.0.113.1", "203.0.113.2"]), attempt).await.expect_err("refused");
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
        let error = race(Vec::new(), attempt).await.expect_err("nothing to try");
        assert!(error.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn no_address_is_tried_twice_or_after_the_first_that_accepts() {
        let tried = RefCell::new(Vec::new());
        let given = addresses(&["198.51.100.1", "192.0.2.2", "192.0.2.3"]);
        let note = |address| {
            tried.borrow_mut().push(address);
            attempt(address)
        };
        race(given.clone(), note).await.expect("a connection");
        assert_eq!(*tried.borrow(), given[..2]);
    }

    #[test]
    fn address_families_alternate() {
        let given = addresses(&["2001:db8::1", "2001:db8::2", "2001:db8::3", "192.0.2.1", "192.0.2.2"]);
        let expected = addresses(&["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"]);
        assert_eq!(alternating(given), expected);
        let given = addresses(&["192.0.2.1", "2001:db8::1", "2001:db8::2"]);
        assert_eq!(alternating(given.clone()), given);
    }
}
