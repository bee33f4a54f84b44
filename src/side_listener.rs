//! Listeners beside the path of requests: probes, metrics and the status page.
//!
//! They are few people's, and must answer whatever clients do. So no connection keeps another one
//! waiting: when all places are taken, the oldest connection of the address that has most gives way.
//! Each has a time to send its requests and to read the answers, and small buffers.

use std::collections::HashMap;
use std::convert::Infallible;
use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{sleep, timeout};

/// For a head, and between two requests.
const HEAD_TIME: Duration = Duration::from_secs(10);
/// For all requests of a connection; after it, a little for what runs.
const CONNECTION_TIME: Duration = Duration::from_secs(60);
const ENDING_TIME: Duration = Duration::from_secs(5);
/// To read one answer.
const WRITE_TIME: Duration = Duration::from_secs(5);
const BUFFER_BYTES: usize = 16 * 1024;

/// Serves `answer` on a listener with room for so many connections, until it is dropped. `answer` is
/// given the request and the listener's own address.
pub async fn serve<F, A>(listener: TcpListener, most: usize, answer: F)
where
    F: Fn(Request<Incoming>, SocketAddr) -> A + Clone + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let spare = Arc::new(Spare::default());
    spare.keep();
    let mut places = Places { most, taken: Vec::new(), tasks: JoinSet::new() };
    loop {
        let Ok((stream, peer)) = listener.accept().await else {
            if !spare.give() {
                sleep(Duration::from_millis(50)).await;
                spare.keep();
            }
            continue;
        };
        let (answer, spare) = (answer.clone(), spare.clone());
        places.take(peer.ip().to_canonical(), async move {
            serve_connection(stream, answer).await;
            spare.keep();
        });
    }
}

async fn serve_connection<F, A>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>, SocketAddr) -> A + Send + 'static,
    A: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let Ok(own) = stream.local_addr() else { return };
    let socket = socket2::SockRef::from(&stream);
    // Without it, unread answers would take some megabytes of the kernel's memory.
    let _ = socket.set_send_buffer_size(4 * BUFFER_BYTES);
    #[cfg(target_os = "linux")]
    // A client that takes nothing for so long is cut off by the kernel; without it, by the whole time.
    let _ = socket.set_tcp_user_timeout(Some(WRITE_TIME));
    let service = service_fn(move |request| {
        let answered = answer(request, own);
        async move { Ok::<_, Infallible>(answered.await) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIME).max_buf_size(BUFFER_BYTES);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = match timeout(CONNECTION_TIME, connection.as_mut()).await {
        Ok(ended) => ended,
        Err(_) => {
            connection.as_mut().graceful_shutdown();
            match timeout(ENDING_TIME, connection).await {
                Ok(ended) => ended,
                Err(_) => return tracing::debug!("a client did not read its answer in time"),
            }
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection beside the path of requests ended");
    }
}

/// Does what takes more than a moment, one after the other and on another thread, so that no other
/// answer waits for it.
pub async fn in_turn<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    static TURN: Semaphore = Semaphore::const_new(1);
    let _turn = TURN.acquire().await.ok()?;
    tokio::task::spawn_blocking(work).await.ok()
}

/// The connections of one listener.
struct Places {
    most: usize,
    /// In the order in which they came.
    taken: Vec<(IpAddr, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Places {
    fn take(&mut self, address: IpAddr, connection: impl Future<Output = ()> + Send + 'static) {
        while self.tasks.try_join_next().is_some() {}
        self.taken.retain(|(_, task)| !task.is_finished());
        if self.taken.len() >= self.most {
            self.free();
        }
        let task = self.tasks.spawn(connection);
        self.taken.push((address, task));
    }

    /// Ends the oldest connection of the address that has most.
    fn free(&mut self) {
        let mut counts: HashMap<IpAddr, usize> = HashMap::new();
        for (address, _) in &self.taken {
            *counts.entry(*address).or_default() += 1;
        }
        let most = counts.values().copied().max().unwrap_or_default();
        let oldest = self.taken.iter().position(|(address, _)| counts.get(address) == Some(&most));
        if let Some(at) = oldest {
            let (address, task) = self.taken.remove(at);
            tracing::debug!(%address, "closed a connection to make room for another one");
            task.abort();
        }
    }
}

/// Listeners whose spare file descriptor is in use.
static SHORT: AtomicUsize = AtomicUsize::new(0);

/// Whether a probe uses the last file descriptor. A client that took it in the moment in which the probe ends would
/// keep it for as long as its connection lasts, so none is accepted meanwhile.
pub fn is_short() -> bool {
    SHORT.load(Ordering::Relaxed) > 0
}

/// A file descriptor to give away: when clients have taken all others, a probe gets this one.
#[derive(Default)]
struct Spare(Mutex<SpareState>);

#[derive(Default)]
struct SpareState {
    file: Option<File>,
    is_given: bool,
}

impl Spare {
    /// Takes one, unless it is there or there is none.
    fn keep(&self) {
        let mut held = self.held();
        if held.file.is_none() {
            held.file = File::open("/dev/null").ok();
        }
        if held.file.is_some() && std::mem::take(&mut held.is_given) {
            SHORT.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Whether there was one to be given away.
    fn give(&self) -> bool {
        let mut held = self.held();
        if held.file.is_none() {
            return false;
        }
        // First: what is free from here on is for the probe.
        if !std::mem::replace(&mut held.is_given, true) {
            SHORT.fetch_add(1, Ordering::Relaxed);
        }
        held.file = None;
        true
    }

    fn held(&self) -> MutexGuard<'_, SpareState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Spare {
    fn drop(&mut self) {
        if self.held().is_given {
            SHORT.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[test]
    fn while_a_spare_descriptor_is_in_use_it_is_said() {
        let (one, other) = (Spare::default(), Spare::default());
        assert!(!one.give(), "there is none yet");
        one.keep();
        other.keep();
        assert!(!is_short());
        assert!(one.give() && other.give() && !one.give());
        one.keep();
        assert!(is_short(), "one is still in use");
        drop(other);
        assert!(!is_short());
    }

    fn places(addresses: &[&str]) -> Places {
        let mut places = Places { most: 4, taken: Vec::new(), tasks: JoinSet::new() };
        for address in addresses {
            places.take(address.parse().expect("an address"), pending());
        }
        places
    }

    fn taken(places: &Places) -> Vec<String> {
        places.taken.iter().map(|(address, _)| address.to_string()).collect()
    }

    #[tokio::test]
    async fn the_oldest_connection_of_the_busiest_address_gives_way() {
        let full = ["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.3", "10.0.0.4"];
        assert_eq!(taken(&places(&full)), ["10.0.0.2", "10.0.0.1", "10.0.0.3", "10.0.0.4"]);
        let flood = ["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1", "10.0.0.1"];
        assert_eq!(taken(&places(&flood)), ["10.0.0.2", "10.0.0.1", "10.0.0.1", "10.0.0.1"]);
    }

    #[tokio::test]
    async fn an_ended_connection_takes_no_place() {
        let mut places = Places { most: 2, taken: Vec::new(), tasks: JoinSet::new() };
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..100 {
            places.take(address, async {});
            tokio::task::yield_now().await;
        }
        places.take(address, pending());
        places.take(address, pending());
        assert_eq!(places.taken.len(), 2);
    }
}
