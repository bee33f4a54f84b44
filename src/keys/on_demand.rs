//! Fetches ahead of the schedule: for tokens that the keys here cannot verify, and for operators.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};

use super::source::Source;
use super::{Keys, SourceStatus};

impl Keys {
    /// After a token that newer keys might verify: its kid is unknown, or the key under its kid does not
    /// fit. One refresh of the entry's sources for all who ask, of each at most one per
    /// `unknownKeyCooldown`. `seen` is the generation of the ring that the token was judged with. `true`
    /// if there may be a newer one, which is as soon as any source has brought another key: a second
    /// source that hangs does not hold up a request that waits for the first.
    pub async fn refresh_for_token(&self, entry: usize, seen: u64) -> bool {
        let Some(entry) = self.entries.get(entry).filter(|entry| !entry.sources.is_empty()) else {
            return false;
        };
        let deadline = Instant::now() + self.settings.timeout + Duration::from_secs(1);
        let waits = {
            let mut asked = entry.on_demand.lock().unwrap_or_else(PoisonError::into_inner);
            // Under the lock: whoever asked before us may have been answered since we looked.
            if self.ring.load().generation != seen {
                return true;
            }
            let cooldown = self.settings.unknown_key_cooldown;
            let wait = |(source, last): (&Arc<Source>, &mut Option<Instant>)| {
                source.running_attempt().or_else(|| {
                    let due = last.is_none_or(|last| last.elapsed() >= cooldown);
                    due.then(|| {
                        *last = Some(Instant::now());
                        source.request_attempt()
                    })
                })
            };
            entry.sources.iter().zip(asked.iter_mut()).filter_map(wait).collect::<Vec<_>>()
        };
        if waits.is_empty() {
            return false;
        }
        let Ok(_asks) = self.askers.try_acquire() else { return false };
        let mut changed = self.changed.subscribe();
        let all_ended = async {
            for wait in waits {
                wait.finished().await;
            }
        };
        tokio::select! {
            () = all_ended => {}
            _ = changed.wait_for(|generation| *generation != seen) => {}
            () = sleep_until(deadline) => {}
        }
        true
    }

    /// Fetches every source now, whatever its schedule says, and returns what each has afterwards. An
    /// attempt that is under way is followed by another: it may have begun before a new key was published.
    /// Returns when all fetches have ended, at the latest after twice `jwks.timeout` and a second; a
    /// source that takes longer has that as its `failure`. Only for keys that were [started](Keys::start).
    pub async fn refresh_now(&self) -> Vec<SourceStatus> {
        let deadline = Instant::now() + 2 * self.settings.timeout + Duration::from_secs(1);
        let fetches: Vec<_> = self.sources().map(|source| (source, source.request_attempt())).collect();
        let mut sources = Vec::with_capacity(fetches.len());
        for (source, fetch) in fetches {
            let ended = timeout_at(deadline, fetch.finished()).await.is_ok();
            let mut status = source.status();
            if !ended {
                status.failure.get_or_insert_with(|| "the fetch has not ended yet".to_owned());
            }
            sources.push(status);
        }
        sources
    }
}
