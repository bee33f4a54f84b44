//! Follows a set over one connection after another, for as long as it is needed.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, sleep_until};

use super::{Connector, Link, MAX_MEMBERS, SetName, SetReader, StoreFault, Update};
use crate::config::StoreAccess;
use crate::random;

/// The minimum time between two reads, and so between two lists.
const MIN_GAP: Duration = Duration::from_millis(200);
/// The pause after a connection has failed. It doubles with each further failure.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause while no server can be reached or none is the master, for [`FAILOVER`] after a working connection was lost.
const FAILOVER_PAUSE: Duration = Duration::from_millis(250);
const FAILOVER: Duration = Duration::from_secs(30);
/// The longest pause otherwise.
const LAST_PAUSE: Duration = Duration::from_secs(1);

/// What becomes of a set that is followed.
pub trait Consumer: Sync {
    /// Whether the whole set has to be read although the log may lead further.
    fn needs_whole(&self, last: &LastWhole) -> bool;

    /// Uses what was read.
    ///
    /// # Errors
    /// The members are invalid. The next read returns the whole set.
    fn apply(&self, update: Update) -> impl Future<Output = Result<(), StoreFault>> + Send;

    /// The set cannot be read.
    fn failed(&self, fault: &StoreFault);
}

/// When the whole set was last read, and whether it has changed since.
#[derive(Debug)]
pub struct LastWhole {
    /// When it was read.
    pub at: Instant,
    /// Whether it has changed since.
    pub changed_since: bool,
    /// How many members the set has at most.
    members: usize,
}

impl LastWhole {
    /// Of a set that has not been read over this connection yet.
    pub(crate) fn new() -> Self {
        Self { at: Instant::now(), changed_since: false, members: 0 }
    }
}

/// Follows one set.
#[derive(Debug)]
pub struct Follower {
    /// What the set is, in the log: `revocation list`.
    what: &'static str,
    /// The store, in the log.
    store: String,
    connector: Connector,
    name: SetName,
    poll: Duration,
    reads_log: bool,
    /// Makes the follower read.
    wake: Arc<Notify>,
}

impl Follower {
    /// Nothing is connected yet.
    pub fn new(what: &'static str, store: String, access: &Arc<StoreAccess>, name: SetName) -> Self {
        Self {
            what,
            store,
            connector: Connector::new(access.clone()),
            name,
            poll: access.poll,
            reads_log: true,
            wake: Arc::default(),
        }
    }

    /// Reads the whole set after each change, which is enough for a short one.
    #[must_use]
    pub fn without_log(self) -> Self {
        Self { reads_log: false, ..self }
    }

    /// Notify it to have the set read soon.
    pub fn wake(&self) -> Arc<Notify> {
        self.wake.clone()
    }

    /// The store in words.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// A reader that has read nothing.
    pub fn reader(&self) -> SetReader {
        let reader = SetReader::new(self.name.clone());
        if self.reads_log { reader } else { reader.without_log() }
    }

    /// A connection without announcements.
    ///
    /// # Errors
    /// As for [`Connector::connect`].
    pub async fn connect(&self) -> Result<Link, StoreFault> {
        self.connector.connect(&self.name, &Arc::default()).await
    }

    /// Reads the set once.
    pub async fn fetch(&self, consumer: &impl Consumer) {
        let read = async {
            let mut link = self.connect().await?;
            consumer.apply(self.reader().read(&mut link).await?).await
        };
        if let Err(fault) = read.await {
            consumer.failed(&fault);
        }
    }

    /// Follows the set until the future is dropped. `published` is called after each read and each failure.
    pub async fn run(&self, consumer: &impl Consumer, published: impl Fn()) {
        let mut pause = FIRST_PAUSE;
        let mut lost = None;
        loop {
            let began = Instant::now();
            let mut has_read = false;
            let Err(fault) = self.follow(consumer, &published, &mut has_read).await;
            consumer.failed(&fault);
            published();
            if began.elapsed() > LAST_PAUSE {
                pause = FIRST_PAUSE;
                lost = has_read.then(Instant::now).or(lost);
            }
            let in_failover = fault.is_absence() && lost.is_some_and(|lost| lost.elapsed() < FAILOVER);
            pause = pause.min(if in_failover { FAILOVER_PAUSE } else { LAST_PAUSE });
            // Replicas must not come back all at once.
            let jitter = f64::from(u32::try_from(random::bits() % 512).unwrap_or_default()) / 1024.0;
            sleep(pause.mul_f64(0.75 + jitter)).await;
            pause *= 2;
        }
    }

    /// Follows the set over one connection, until that fails.
    async fn follow(
        &self,
        consumer: &impl Consumer,
        published: &impl Fn(),
        has_read: &mut bool,
    ) -> Result<Infallible, StoreFault> {
        let mut link = self.connector.connect(&self.name, &self.wake).await?;
        let mut reader = self.reader();
        // Before the first read, so that no change is missed in between.
        if let Err(fault) = link.subscribe(reader.channel()).await {
            let (what, source, poll) = (self.what, &self.store, self.poll);
            tracing::warn!(what, source, cause = %fault, ?poll, "changes of the store are not announced; asking for them");
        }
        let (what, source) = (self.what, &self.store);
        tracing::info!(what, source, server = link.address(), "connected to the store");
        let mut last = LastWhole::new();
        loop {
            let read_at = Instant::now();
            if consumer.needs_whole(&last) {
                reader.forget();
            }
            step(consumer, &mut reader, &mut link, &mut last).await?;
            *has_read = true;
            published();
            tokio::select! {
                () = self.wake.notified() => {}
                () = sleep(self.poll) => {}
            }
            sleep_until(read_at + MIN_GAP).await;
        }
    }
}

/// Reads once.
pub async fn step(
    consumer: &impl Consumer,
    reader: &mut SetReader,
    link: &mut Link,
    last: &mut LastWhole,
) -> Result<(), StoreFault> {
    let mut update = reader.read(link).await?;
    if let Update::Added { members, .. } = &update {
        last.members += members.len();
        last.changed_since = true;
        if last.members > MAX_MEMBERS {
            // Some of them may be in the set already, or have ended.
            reader.forget();
            update = reader.read(link).await?;
        }
    }
    if let Update::Whole { members, .. } = &update {
        *last = LastWhole { members: members.len(), ..LastWhole::new() };
    }
    consumer.apply(update).await
}
