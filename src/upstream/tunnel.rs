//! A tunnel: carries bytes in both directions after a 101 (Switching Protocols), until one of its bounds ends it.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, copy, sink, split};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::stream::{Stream, SwitchedStream};
use super::websocket::{Frames, GOING_AWAY, POLICY_VIOLATION, close_frame};
use super::{RequestProgress, Upstream};
use crate::revocation::Revoked;
use crate::revocation_list::TokenWatch;

/// The buffer of each direction.
const BUFFER_BYTES: usize = 8 * 1024;
/// How long the end of the current frame and the exchange of Close frames may take.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// The client's connection and the backend's, joined.
pub struct Tunnel {
    backend: Option<SwitchedStream<Stream>>,
    websocket: bool,
    idle_timeout: Duration,
    until: Option<Instant>,
    token: Option<TokenWatch>,
    received: Arc<RequestProgress>,
}

/// How a tunnel ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides closed their direction.
    Complete,
    /// One connection failed.
    Broken,
    /// No bytes were transferred for the idle timeout.
    Idle,
    /// It was closed because the token expired or the process shuts down.
    Closed,
    /// The token was revoked.
    Revoked(Box<Revoked>),
}

impl Upstream {
    /// Whether connections to the backend can switch protocols.
    pub fn can_switch(&self) -> bool {
        self.target.http1
    }

    /// A tunnel between the client's connection and the backend's, after the backend's 101.
    pub fn tunnel(&self, backend: Option<SwitchedStream<Stream>>, websocket: bool) -> Tunnel {
        let idle_timeout = self.target.idle_timeout;
        let received = RequestProgress::new(true, None);
        Tunnel { backend, websocket, idle_timeout, until: None, token: None, received }
    }
}

impl Tunnel {
    /// Counts the bytes from the client.
    pub fn received(&self) -> Arc<RequestProgress> {
        self.received.clone()
    }

    /// Closes the tunnel at this time.
    pub fn ends_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Closes the tunnel when this token is revoked.
    pub fn ends_with(&mut self, token: TokenWatch) {
        self.token = Some(token);
    }

    /// Carries bytes until both sides have ended, the idle timeout passes, `drain` resolves, the token is revoked or
    /// the time is over. Calls `sent` with the number of bytes that go to the client. If metagate ends a WebSocket, it
    /// sends Close frames (RFC 6455 section 5.5.1); other protocols are just closed. `client_stall` is how long the client
    /// may read nothing.
    pub async fn run(
        mut self,
        client: impl AsyncRead + AsyncWrite,
        client_stall: Duration,
        drain: impl Future<Output = ()>,
        mut sent: impl FnMut(usize),
    ) -> Ending {
        let Some(backend) = self.backend.take() else { return Ending::Broken };
        let (from_client, to_client) = split(client);
        let (from_backend, to_backend) = split(backend);
        let activity = Activity::start();
        let (stop, stopped) = watch::channel(None);
        let up = Direction::new(from_client, to_backend, self.websocket, true, self.idle_timeout);
        let down = Direction::new(from_backend, to_client, self.websocket, false, client_stall);
        let up = up.carry(stopped.clone(), |bytes| {
            activity.moved();
            self.received.moved(bytes as u64);
        });
        let down = down.carry(stopped, |bytes| {
            activity.moved();
            sent(bytes);
        });
        let both = async { tokio::try_join!(up, down) };
        let mut token = self.token.take();
        let revoked = async {
            match &mut token {
                Some(token) => token.revoked().await,
                None => pending().await,
            }
        };
        tokio::pin!(both, drain, revoked);
        let mut closing: Option<Instant> = None;
        let mut closed = Ending::Closed;
        loop {
            let idle = activity.last() + self.idle_timeout;
            let end = closing.or(self.until).map_or(idle, |end| end.min(idle));
            let code = tokio::select! {
                ended = &mut both => return match ended {
                    Err(_) => Ending::Broken,
                    Ok(_) if closing.is_some() => closed,
                    Ok(_) => Ending::Complete,
                },
                () = &mut drain, if closing.is_none() => GOING_AWAY,
                entry = &mut revoked, if closing.is_none() => {
                    closed = Ending::Revoked(entry);
                    POLICY_VIOLATION
                }
                () = sleep_until(end) => match closing {
                    Some(_) => return closed,
                    None if self.until.is_some_and(|until| until <= Instant::now()) => POLICY_VIOLATION,
                    None if activity.last() + self.idle_timeout <= Instant::now() => return Ending::Idle,
                    None => continue,
                },
            };
            closing = Some(Instant::now() + CLOSING_TIME);
            stop.send_replace(Some(code));
        }
    }
}

/// When bytes were last transferred in either direction.
struct Activity {
    started: Instant,
    last: AtomicU64,
}

impl Activity {
    fn start() -> Self {
        Self { started: Instant::now(), last: AtomicU64::new(0) }
    }

    fn moved(&self) {
        let now = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn last(&self) -> Instant {
        self.started + Duration::from_millis(self.last.load(Ordering::Relaxed))
    }
}

/// One of the two directions.
struct Direction<R, W> {
    from: R,
    to: W,
    /// Only for a WebSocket.
    frames: Option<Frames>,
    /// Whether its frames are masked, as those from the client are.
    masked: bool,
    /// How long the receiver may read nothing.
    stall: Duration,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Direction<R, W> {
    /// Carries bytes until their source ends, which ends only this direction, or until it is stopped and reaches the
    /// end of a frame.
    async fn carry(
        mut self,
        mut stopped: watch::Receiver<Option<u16>>,
        mut moved: impl FnMut(usize),
    ) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER_BYTES];
        let mut stop = None;
        while stop.is_none() || self.frames.as_ref().is_some_and(|frames| !frames.is_at_boundary()) {
            let count = tokio::select! {
                biased;
                code = code(&mut stopped), if stop.is_none() => {
                    stop = Some(code);
                    continue;
                }
                count = self.from.read(&mut buffer) => count?,
            };
            if count == 0 {
                return self.to.shutdown().await;
            }
            let bytes = buffer.get(..count).unwrap_or_default();
            let bytes = match (&mut self.frames, stop) {
                (Some(frames), Some(_)) => {
                    let end = frames.next_boundary(bytes).unwrap_or(count);
                    bytes.get(..end).unwrap_or_default()
                }
                (Some(frames), None) => {
                    frames.advance(bytes);
                    bytes
                }
                (None, _) => bytes,
            };
            moved(bytes.len());
            self.write(bytes).await?;
        }
        if let (Some(code), Some(frames)) = (stop, &self.frames)
            && !frames.is_closed()
        {
            self.write(&close_frame(code, self.masked)).await?;
        }
        self.to.shutdown().await?;
        // Closing a socket with unread bytes would reset it, and the Close frame would be lost.
        copy(&mut self.from, &mut sink()).await.map(drop)
    }
}

impl<R, W: AsyncWrite + Unpin> Direction<R, W> {
    fn new(from: R, to: W, websocket: bool, masked: bool, stall: Duration) -> Self {
        Self { from, to, frames: websocket.then(Frames::default), masked, stall }
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        let writing = async {
            self.to.write_all(bytes).await?;
            self.to.flush().await
        };
        timeout(self.stall, writing).await?
    }
}

/// Waits until the tunnel should end, and returns the code for the Close frame.
async fn code(stopped: &mut watch::Receiver<Option<u16>>) -> u16 {
    let code = stopped.wait_for(Option::is_some).await.ok().and_then(|code| *code);
    code.unwrap_or(GOING_AWAY)
}
