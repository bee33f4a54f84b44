//! A connection that has switched to another protocol: bytes both ways, and the end of them.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf, copy, sink, split};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::websocket::{Frames, GOING_AWAY, POLICY_VIOLATION, close_frame};
use super::{RequestProgress, Upstream};
use crate::revocation::RevokedBy;
use crate::revocation_list::TokenWatch;

/// What is held of each direction.
const BUFFER_BYTES: usize = 8 * 1024;
/// For a frame that is under way, the Close frames and their answers.
const CLOSING_TIME: Duration = Duration::from_secs(2);

/// Two connections that become one.
pub struct Tunnel {
    client: OnUpgrade,
    backend: OnUpgrade,
    websocket: bool,
    idle_timeout: Duration,
    until: Option<Instant>,
    token: Option<TokenWatch>,
    received: Arc<RequestProgress>,
}

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Both sides had said everything.
    Complete,
    /// One of them broke off.
    Broken,
    /// Nothing moved for the idle timeout.
    Idle,
    /// Its time was over: the token has expired, or the process ends.
    Closed,
    /// The token was revoked.
    Revoked(RevokedBy),
}

type Reader = ReadHalf<TokioIo<Upgraded>>;
type Writer = WriteHalf<TokioIo<Upgraded>>;

impl Upstream {
    /// Whether the backend is spoken to in a way that can switch protocols.
    pub fn can_switch(&self) -> bool {
        self.target.http1
    }

    /// A tunnel between the client's connection and the backend's, which has answered 101.
    pub fn tunnel(&self, client: OnUpgrade, backend: OnUpgrade, websocket: bool) -> Tunnel {
        let idle_timeout = self.target.idle_timeout;
        let received = RequestProgress::new(true, None);
        Tunnel { client, backend, websocket, idle_timeout, until: None, token: None, received }
    }
}

impl Tunnel {
    /// What came from the client.
    pub fn received(&self) -> Arc<RequestProgress> {
        self.received.clone()
    }

    /// Closes it then, if it is still there.
    pub fn ends_by(&mut self, until: Instant) {
        self.until = Some(until);
    }

    /// Closes it when this token is revoked.
    pub fn ends_with(&mut self, token: TokenWatch) {
        self.token = Some(token);
    }

    /// Carries bytes until both sides have ended, nothing moves any more, `drain` resolves, the token is
    /// revoked or the time is over. `sent` is told how many go to the client. A WebSocket gets Close frames
    /// (RFC 6455 section 5.5.1) where we are the one who ends it, anything else is just closed.
    pub async fn run(mut self, drain: impl Future<Output = ()>, mut sent: impl FnMut(usize)) -> Ending {
        let (Ok(client), Ok(backend)) = (self.client.await, self.backend.await) else {
            return Ending::Broken;
        };
        let (from_client, to_client) = split(TokioIo::new(client));
        let (from_backend, to_backend) = split(TokioIo::new(backend));
        let frames = || self.websocket.then(Frames::default);
        let clock = Clock::start();
        let (stop, stopped) = watch::channel(None);
        let up = Direction { from: from_client, to: to_backend, frames: frames(), masked: true };
        let down = Direction { from: from_backend, to: to_client, frames: frames(), masked: false };
        let up = up.carry(stopped.clone(), |bytes| {
            clock.moved();
            self.received.moved(bytes as u64);
        });
        let down = down.carry(stopped, |bytes| {
            clock.moved();
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
            let idle = clock.last() + self.idle_timeout;
            let end = closing.or(self.until).map_or(idle, |end| end.min(idle));
            let code = tokio::select! {
                ended = &mut both => return match ended {
                    Err(_) => Ending::Broken,
                    Ok(_) if closing.is_some() => closed,
                    Ok(_) => Ending::Complete,
                },
                () = &mut drain, if closing.is_none() => GOING_AWAY,
                by = &mut revoked, if closing.is_none() => {
                    closed = Ending::Revoked(by);
                    POLICY_VIOLATION
                }
                () = sleep_until(end) => match closing {
                    Some(_) => return closed,
                    None if self.until.is_some_and(|until| until <= Instant::now()) => POLICY_VIOLATION,
                    None if clock.last() + self.idle_timeout <= Instant::now() => return Ending::Idle,
                    None => continue,
                },
            };
            closing = Some(Instant::now() + CLOSING_TIME);
            stop.send_replace(Some(code));
        }
    }
}

/// When something last moved in either direction.
struct Clock {
    started: Instant,
    last: AtomicU64,
}

impl Clock {
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

/// One of the two ways.
struct Direction {
    from: Reader,
    to: Writer,
    /// Known of a WebSocket alone.
    frames: Option<Frames>,
    /// Whether its frames are masked: those of a client.
    masked: bool,
}

impl Direction {
    /// Carries bytes until their source ends, which ends this direction alone, or until it is
    /// stopped and stands between two frames.
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
            self.to.write_all(bytes).await?;
            self.to.flush().await?;
        }
        if let (Some(code), Some(frames)) = (stop, &self.frames)
            && !frames.is_closed()
        {
            self.to.write_all(&close_frame(code, self.masked)).await?;
        }
        self.to.shutdown().await?;
        // A socket that is closed with bytes unread is reset, and what was just said is lost.
        copy(&mut self.from, &mut sink()).await.map(drop)
    }
}

/// Waits until the tunnel is to end, and says with which code.
async fn code(stopped: &mut watch::Receiver<Option<u16>>) -> u16 {
    let code = stopped.wait_for(Option::is_some).await.ok().and_then(|code| *code);
    code.unwrap_or(GOING_AWAY)
}
