//! The backend: a pool of connections per worker, and one attempt per request.
//!
//! The pool is our own, over hyper's connections. hyper-util's legacy client bounds only idle
//! connections, spawns a task per answer with a body, and costs a quarter more per request.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::uri::{Authority, PathAndQuery, Uri};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use tokio::net::{TcpStream, UnixStream};
use tokio::time::{Instant, timeout};
use tokio_rustls::TlsConnector;

use crate::config;
use crate::tls::{self, TlsError};

mod body;
mod forward;

pub use body::{AnswerBody, ReadAhead, RequestBody, RequestProgress};
pub(crate) use forward::stated_length;
pub use forward::{Failure, Outgoing};

/// Below the time after which Jetty, in both backends, closes an idle connection (30 s, 60 s).
const IDLE_LIFETIME: Duration = Duration::from_secs(20);
/// Idle connections that one worker keeps.
const MAX_IDLE: usize = 256;

/// The backend's address and manners; the same for every worker.
#[derive(Clone)]
pub struct Target {
    /// In place of host and port, the path of a socket.
    socket: Option<PathBuf>,
    host: Box<str>,
    port: u16,
    prefix: Box<str>,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    connect_timeout: Duration,
    response_timeout: Duration,
    idle_timeout: Duration,
}

impl Target {
    /// Reads the configuration and the files it names.
    pub fn new(config: &config::Upstream) -> Result<Self, TlsError> {
        let url = &config.url;
        let host = url.host_str().unwrap_or_default();
        let is_unix = url.scheme() == "unix";
        let tls = match url.scheme() {
            "https" => {
                let mut client = tls::client_config(&config.tls)?;
                client.alpn_protocols = vec![b"http/1.1".to_vec()];
                let name =
                    tls::server_name(host).map_err(|_| TlsError::NoCertificate(url.as_str().into()))?;
                Some((TlsConnector::from(Arc::new(client)), name))
            }
            _ => None,
        };
        Ok(Self {
            host: host.trim_matches(['[', ']']).into(),
            port: url.port_or_known_default().unwrap_or(80),
            prefix: if is_unix { "".into() } else { url.path().trim_end_matches('/').into() },
            socket: is_unix.then(|| url.path().into()),
            tls,
            connect_timeout: config.connect_timeout,
            response_timeout: config.response_timeout,
            idle_timeout: config.idle_timeout,
        })
    }

    /// The target in origin-form: the bytes as they came, behind the configured prefix.
    fn origin_form(&self, path: &PathAndQuery) -> Result<Uri, http::uri::InvalidUri> {
        if self.prefix.is_empty() {
            return Ok(path.clone().into());
        }
        let prefixed = PathAndQuery::try_from(format!("{}{path}", self.prefix))?;
        Ok(prefixed.into())
    }

    /// Opens one connection and starts the task that drives it.
    async fn connect(&self) -> io::Result<SendRequest<RequestBody>> {
        let opening = async {
            if let Some(path) = &self.socket {
                return start(UnixStream::connect(path).await?).await;
            }
            let stream = TcpStream::connect((&*self.host, self.port)).await?;
            stream.set_nodelay(true)?;
            match &self.tls {
                None => start(stream).await,
                Some((connector, name)) => start(connector.connect(name.clone(), stream).await?).await,
            }
        };
        timeout(self.connect_timeout, opening).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }
}

async fn start<S>(stream: S) -> io::Result<SendRequest<RequestBody>>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "an upstream connection ended");
        }
    });
    Ok(sender)
}

/// One worker's connections to the backend.
pub struct Upstream {
    target: Target,
    idle: Mutex<Vec<Idle>>,
}

struct Idle {
    sender: SendRequest<RequestBody>,
    until: Instant,
}

impl Upstream {
    /// An empty pool.
    pub fn new(target: Target) -> Arc<Self> {
        Arc::new(Self { target, idle: Mutex::default() })
    }

    /// How long a body that has begun may rest.
    pub fn idle_timeout(&self) -> Duration {
        self.target.idle_timeout
    }

    /// The connection that was used last, if it still lives.
    async fn check_out(&self) -> Option<SendRequest<RequestBody>> {
        loop {
            let Idle { mut sender, until } = self.idle().pop()?;
            if sender.is_closed() || until <= Instant::now() {
                continue;
            }
            // The task that drives it may not have seen the end of the last answer yet.
            if sender.is_ready()
                || matches!(timeout(Duration::from_millis(100), sender.ready()).await, Ok(Ok(())))
            {
                return Some(sender);
            }
        }
    }

    fn check_in(&self, sender: SendRequest<RequestBody>, lifetime: Duration) {
        if sender.is_closed() {
            return;
        }
        let now = Instant::now();
        let mut idle = self.idle();
        // The oldest are in front: what nobody needed for so long is closed.
        let expired = idle.iter().take_while(|idle| idle.until <= now).count();
        idle.drain(..expired);
        if idle.len() < MAX_IDLE {
            idle.push(Idle { sender, until: now + lifetime });
        }
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The authority of the backend, for logs.
impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let authority = format!("{}:{}", self.host, self.port);
        f.write_str(Authority::try_from(authority.as_str()).as_ref().map_or("?", Authority::as_str))
    }
}
