//! Connections to the store: to one server, to the node of a cluster that has the keys, or to the master that the
//! sentinels name.
//!
//! All keys of a namespace are on one node, so following its redirections is all that a cluster needs.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, ConnectionAddr, IntoConnectionInfo as _, ProtocolVersion, PushInfo, PushKind,
    RedisConnectionInfo, Value,
};
use rustls_pki_types::ServerName;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::{SetName, StoreFault};
use crate::config::StoreAccess;
use crate::tls;

/// The maximum time to connect to one server.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum time for an answer.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The maximum time to read a whole set.
pub(super) const READ_TIMEOUT: Duration = Duration::from_secs(20);
/// How many redirections are followed.
const MAX_REDIRECTS: usize = 3;
/// The ports of servers and of sentinels.
const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// Connects to the store of one configuration.
#[derive(Debug)]
pub struct Connector {
    access: Arc<StoreAccess>,
}

/// A connection. Dropping it closes it.
pub struct Link {
    connection: MultiplexedConnection,
    /// Where it leads.
    address: Address,
    driver: JoinHandle<()>,
}

/// A host, without brackets, and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Address {
    host: String,
    port: u16,
}

impl Link {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut MultiplexedConnection {
        &mut self.connection
    }

    /// Its host and port.
    pub fn address(&self) -> String {
        self.address.to_string()
    }

    /// Makes announcements on this channel wake the `Notify` that was given to [`Connector::connect`].
    ///
    /// # Errors
    /// The server refuses it.
    pub async fn subscribe(&mut self, channel: &str) -> Result<(), StoreFault> {
        let subscribed = timeout(RESPONSE_TIMEOUT, self.connection.subscribe(channel)).await;
        subscribed.map_err(|_| StoreFault::Timeout)?.map_err(StoreFault::from)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

impl Connector {
    /// Nothing is connected yet.
    pub fn new(access: Arc<StoreAccess>) -> Self {
        Self { access }
    }

    /// Connects to the server that has the keys of the set. `wake` is notified of each announcement that the link is
    /// subscribed to, and when the link ends.
    ///
    /// # Errors
    /// Why the last of the servers cannot be used.
    pub async fn connect(&self, name: &SetName, wake: &Arc<Notify>) -> Result<Link, StoreFault> {
        let mut failure = StoreFault::Timeout;
        let port = if self.access.sentinel_master.is_some() { SENTINEL_PORT } else { PORT };
        for url in &self.access.urls {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let address = Address { host, port: url.port().unwrap_or(port) };
            let link = match &self.access.sentinel_master {
                Some(master) => self.master(&address, master, wake).await,
                None => self.node(address, name, wake).await,
            };
            match link {
                Ok(link) => return Ok(link),
                Err(fault) => failure = fault,
            }
        }
        Err(failure)
    }

    /// The server itself, or the node of its cluster that has the keys.
    async fn node(
        &self,
        mut address: Address,
        name: &SetName,
        wake: &Arc<Notify>,
    ) -> Result<Link, StoreFault> {
        for _ in 0..=MAX_REDIRECTS {
            let mut link = self.open(address, self.access.password.as_ref(), true, wake).await?;
            let mut get = redis::cmd("GET");
            get.arg(&name.revision);
            let answer = timeout(RESPONSE_TIMEOUT, get.query_async::<Value>(&mut link.connection)).await;
            match answer.map_err(|_| StoreFault::Timeout)? {
                Ok(_) => return Ok(link),
                Err(error) => {
                    let target = moved(&error, &link.address);
                    address = target.ok_or_else(|| StoreFault::from(error))?;
                }
            }
        }
        Err(StoreFault::Server("the nodes of the cluster redirect to each other".to_owned()))
    }

    /// The master that a sentinel names.
    async fn master(&self, sentinel: &Address, master: &str, wake: &Arc<Notify>) -> Result<Link, StoreFault> {
        let unused = Arc::new(Notify::new());
        let password = self.access.sentinel_password.as_ref();
        let mut link = self.open(sentinel.clone(), password, false, &unused).await?;
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer =
            timeout(RESPONSE_TIMEOUT, ask.query_async::<Option<(String, u16)>>(&mut link.connection));
        let answer = answer.await.map_err(|_| StoreFault::Timeout)??;
        let (host, port) = answer.ok_or_else(|| StoreFault::NoMaster(sentinel.to_string()))?;
        let address = Address { host, port };
        let mut link = self.open(address, self.access.password.as_ref(), true, wake).await?;
        // The sentinel may not have noticed yet.
        let role =
            timeout(RESPONSE_TIMEOUT, redis::cmd("ROLE").query_async::<Value>(&mut link.connection)).await;
        let role = role.map_err(|_| StoreFault::Timeout)??;
        let role = super::scripts::items(&role).and_then(|role| super::scripts::text(role.first()?));
        match role.as_deref() {
            Some("master") => Ok(link),
            _ => Err(StoreFault::NotMaster(link.address())),
        }
    }

    /// Opens a connection and authenticates.
    async fn open(
        &self,
        address: Address,
        password: Option<&SecretString>,
        is_server: bool,
        wake: &Arc<Notify>,
    ) -> Result<Link, StoreFault> {
        let failed = |cause: String| StoreFault::Connection { address: address.to_string(), cause };
        let opening = async {
            let stream = TcpStream::connect((address.host.as_str(), address.port)).await;
            let stream = stream.map_err(|error| failed(io_cause(&error)))?;
            // Commands are small and wait for their answers.
            let _ = stream.set_nodelay(true);
            if !self.access.is_encrypted() {
                return self.handshake(stream, &address, password, is_server, wake).await;
            }
            let config = tls::client_config(&self.access.tls)?;
            let name = match address.host.parse::<IpAddr>() {
                Ok(ip) => ServerName::from(ip),
                Err(_) => ServerName::try_from(address.host.clone())
                    .map_err(|_| failed("its host cannot be the name in a certificate".to_owned()))?,
            };
            let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
            let stream = stream.map_err(|error| failed(format!("TLS: {error}")))?;
            self.handshake(stream, &address, password, is_server, wake).await
        };
        let opened = timeout(CONNECT_TIMEOUT, opening).await;
        let (connection, driver) = opened.map_err(|_| failed("no connection in time".to_owned()))??;
        Ok(Link { connection, address, driver })
    }

    async fn handshake(
        &self,
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: &Address,
        password: Option<&SecretString>,
        is_server: bool,
        wake: &Arc<Notify>,
    ) -> Result<(MultiplexedConnection, JoinHandle<()>), StoreFault> {
        let mut config = AsyncConnectionConfig::new().set_response_timeout(None);
        // Only with RESP3, which sentinels have since Redis 6 as well, but need not.
        let protocol = if is_server { ProtocolVersion::RESP3 } else { ProtocolVersion::RESP2 };
        if is_server {
            let announced = wake.clone();
            config = config.set_push_sender(move |push: PushInfo| {
                if matches!(push.kind, PushKind::Message | PushKind::Disconnection) {
                    announced.notify_one();
                }
                Ok::<(), redis::aio::SendError>(())
            });
        }
        let settings = self.settings(address, password, is_server, protocol)?;
        let opened = MultiplexedConnection::new_with_config(&settings, stream, config).await;
        let (connection, driver) = opened.map_err(|error| match StoreFault::from(error) {
            StoreFault::Server(cause) => StoreFault::Connection { address: address.to_string(), cause },
            fault => fault,
        })?;
        let ended = wake.clone();
        let driver = tokio::spawn(async move {
            driver.await;
            // A reader that waits for announcements learns at once that there will be none.
            ended.notify_one();
        });
        Ok((connection, driver))
    }

    fn settings(
        &self,
        address: &Address,
        password: Option<&SecretString>,
        is_server: bool,
        protocol: ProtocolVersion,
    ) -> Result<RedisConnectionInfo, StoreFault> {
        let info = ConnectionAddr::Tcp(address.host.clone(), address.port).into_connection_info()?;
        let mut settings = info.redis_settings().clone().set_protocol(protocol);
        if is_server {
            settings = settings.set_db(self.access.database());
            settings = settings.set_lib_name("metagate", env!("CARGO_PKG_VERSION"));
            if let Some(username) = &self.access.username {
                settings = settings.set_username(username);
            }
        }
        if let Some(password) = password {
            settings = settings.set_password(password.expose_secret());
        }
        Ok(settings)
    }
}

/// Where a node of a cluster says that the keys are. Without a host it is the same host (Redis Cluster specification).
fn moved(error: &redis::RedisError, from: &Address) -> Option<Address> {
    if error.code() != Some("MOVED") {
        return None;
    }
    let target = error.detail()?.split_ascii_whitespace().nth(1)?;
    let (host, port) = target.rsplit_once(':')?;
    let host = if host.is_empty() { from.host.clone() } else { host.trim_matches(['[', ']']).to_owned() };
    Some(Address { host, port: port.parse().ok()? })
}

fn io_cause(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        _ => error.to_string(),
    }
}
