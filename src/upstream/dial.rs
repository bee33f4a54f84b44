//! Connects to a name: tries its addresses at short intervals (Happy Eyeballs, RFC 8305).
//!
//! The same race is run between the URLs of a backend that has several.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use socket2::SockRef;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, sleep};

use super::addresses::{Address, Addresses};
use super::open_error::OpenError;
use crate::metrics::Metrics;

/// How long to wait for an address before the next one is tried in parallel (RFC 8305 section 5).
const STAGGER: Duration = Duration::from_millis(250);
/// How much of a response the kernel buffers. This is enough for a backend some milliseconds away at a gigabit a
/// second. Without a limit the kernel would buffer tens of megabytes of a response that its client does not read.
const RECEIVE_BYTES: usize = 256 * 1024;
/// How many addresses of one name are tried at most.
const MAX_ADDRESSES: usize = 32;

/// A URL of the backend to connect to.
pub(super) struct Destination<'d> {
    /// The index of the URL.
    pub(super) endpoint: usize,
    pub(super) host: &'d str,
    pub(super) port: u16,
}

/// A connection, and the address that accepted it.
pub(super) struct Dialed {
    pub(super) stream: TcpStream,
    pub(super) address: Arc<Address>,
    /// Whether there are other addresses of the same URL.
    pub(super) has_siblings: bool,
}

/// Connects to the address of a URL that accepts first; those that rest are tried last, and those in `except` not at all.
/// The name is resolved each time, so that new connections follow DNS changes. The caller limits the total time.
pub(super) async fn dial(
    to: &Destination<'_>,
    except: &[Arc<Address>],
    addresses: &Addresses,
    metrics: &Metrics,
) -> Result<Dialed, OpenError> {
    let found = lookup_host((to.host, to.port)).await;
    let found = found.map_err(|error| OpenError::name(to.host, Some(&error)))?;
    let found = alternating(found.take(MAX_ADDRESSES).collect());
    let found: Vec<_> = found.into_iter().map(|at| (at, addresses.get(to.endpoint, at))).collect();
    let known: Vec<_> = found.iter().map(|(_, address)| address.clone()).collect();
    addresses.retain(to.endpoint, &known, metrics);
    let has_siblings = known.len() > 1;
    let is_excepted = |address: &Arc<Address>| except.iter().any(|other| Arc::ptr_eq(other, address));
    let left = found.into_iter().filter(|(_, address)| !is_excepted(address)).collect();
    let connect = |(at, address): (SocketAddr, Arc<Address>)| async move {
        let stream = prepared(TcpStream::connect(at).await);
        stream.map(|stream| (stream, address)).map_err(|error| OpenError::address(at, &error))
    };
    let now = Instant::now();
    let rested = rested_first(left, |(_, address)| address.is_resting(now));
    let failed = |(_, address): &(SocketAddr, Arc<Address>), error: Option<&OpenError>| {
        let cause: &dyn std::fmt::Display = match error {
            Some(error) => error,
            None => &"it does not answer while another address does",
        };
        address.failed(cause, has_siblings, metrics);
    };
    let raced = race(rested, connect, failed).await;
    let (stream, address) = raced.map_err(|error| error.unwrap_or_else(|| OpenError::name(to.host, None)))?;
    Ok(Dialed { stream, address, has_siblings })
}

/// Moves those that rest behind the others, and keeps the order otherwise.
pub(super) fn rested_first<A>(all: Vec<A>, is_resting: impl Fn(&A) -> bool) -> Vec<A> {
    let (last, mut first): (Vec<_>, Vec<_>) = all.into_iter().partition(is_resting);
    first.extend(last);
    first
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
/// returns the last error; none if there was nothing to try. Tells `failed` what failed, and why, and what had not
/// answered when another that was tried later succeeded.
pub(super) async fn race<A: Clone, T, E, C>(
    candidates: Vec<A>,
    connect: impl Fn(A) -> C,
    failed: impl Fn(&A, Option<&E>),
) -> Result<T, Option<E>>
where
    C: Future<Output = Result<T, E>>,
{
    let mut left = candidates.into_iter().enumerate();
    let mut running: Vec<Attempt<A, C>> = Vec::new();
    let mut failure = None;
    loop {
        running.extend(left.next().map(|(number, candidate)| Attempt {
            number,
            future: Box::pin(connect(candidate.clone())),
            candidate,
        }));
        if running.is_empty() {
            return Err(failure);
        }
        tokio::select! {
            (ended, attempt) = first_ended(&mut running) => match ended {
                Ok(stream) => {
                    let earlier = running.iter().filter(|other| other.number < attempt.number);
                    earlier.for_each(|other| failed(&other.candidate, None));
                    return Ok(stream);
                }
                Err(error) => {
                    failed(&attempt.candidate, Some(&error));
                    failure = Some(error);
                }
            },
            () = sleep(STAGGER), if left.len() > 0 => {}
        }
    }
}

/// One of the connections that are tried in parallel.
struct Attempt<A, C> {
    number: usize,
    candidate: A,
    future: Pin<Box<C>>,
}

/// Waits until one of them ends, and removes it.
async fn first_ended<A, C: Future>(running: &mut Vec<Attempt<A, C>>) -> (C::Output, Attempt<A, C>) {
    poll_fn(|cx| {
        let ended =
            running.iter_mut().enumerate().find_map(|(at, attempt)| match attempt.future.as_mut().poll(cx) {
                Poll::Ready(output) => Some((at, output)),
                Poll::Pending => None,
            });
        let Some((at, output)) = ended else { return Poll::Pending };
        Poll::Ready((output, running.swap_remove(at)))
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;
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
            let won = race(addresses(ips), attempt, |_, _| {}).await.expect("a connection");
            assert_eq!(won.ip().to_string(), winner, "{ips:?}");
            assert_eq!(started.elapsed(), Duration::from_millis(millis), "{ips:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn if_all_addresses_fail_the_last_error_is_returned() {
        let error =
            race(addresses(&["203.0.113.1", "203.0.113.2"]), attempt, |_, _| {}).await.expect_err("refused");
        assert_eq!(error.map(|error| error.kind()), Some(io::ErrorKind::ConnectionRefused));
        let error = race(Vec::new(), attempt, |_, _| {}).await.expect_err("nothing to try");
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
        race(given.clone(), note, |_, _| {}).await.expect("a connection");
        assert_eq!(*tried.borrow(), given[..2]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_fails_or_does_not_answer_in_its_turn_is_told() {
        let told = RefCell::new(Vec::new());
        let failed = |address: &SocketAddr, error: Option<&io::Error>| {
            told.borrow_mut().push((address.ip().to_string(), error.is_some()));
        };
        let given = addresses(&["198.51.100.1", "203.0.113.1", "192.0.2.2", "192.0.2.3"]);
        race(given, attempt, failed).await.expect("a connection");
        let expected = [("203.0.113.1".to_owned(), true), ("198.51.100.1".to_owned(), false)];
        assert_eq!(*told.borrow(), expected, "those after the winner were not tried");
    }

    #[test]
    fn those_that_rest_come_last() {
        assert_eq!(rested_first(vec![1, 2, 3, 4, 5], |number| number % 2 == 1), [2, 4, 1, 3, 5]);
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
