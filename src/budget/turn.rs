//! One task's turns: see [`super::turns`].

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use super::connection::{Connection, Standing};

/// Polls a task of a connection only when it is its turn, until the task or the connection has ended.
pub fn take_turns<F: Future>(account: Arc<Connection>, task: F) -> impl Future<Output = ()> {
    // In a box: an async function would hold it twice, as it was given and where it is polled.
    let (mut task, mut turn) = (Box::pin(task), Turn::default());
    poll_fn(move |cx| match ready!(turn.poll(&account, cx)) {
        true => task.as_mut().poll(cx).map(drop),
        false => Poll::Ready(()),
    })
}

/// One task's place among those that wait.
#[derive(Debug, Default)]
pub struct Turn {
    /// Set while it waits; true once it is its turn.
    granted: Option<Arc<AtomicBool>>,
}

impl Turn {
    /// Ready when it is the turn of the task, which is woken for it; false when the connection has ended.
    pub fn poll(&mut self, account: &Connection, cx: &Context<'_>) -> Poll<bool> {
        let (turns, client) = match account.standing() {
            Standing::TakesTurns(turns, client) => (turns, client),
            Standing::Free => return Poll::Ready(true),
            Standing::Ended => return Poll::Ready(false),
        };
        if let Some(granted) = &self.granted {
            if !granted.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            self.granted = None;
            return Poll::Ready(true);
        }
        self.granted = turns.wait(client, account.id(), cx.waker());
        if self.granted.is_some() { Poll::Pending } else { Poll::Ready(true) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use std::sync::Mutex;

    use super::super::turns::Turns;
    use super::super::{lock, unlimited};
    use super::*;

    /// Ready again at once, after all that is ready now.
    async fn again() {
        let mut was_polled = false;
        poll_fn(|cx| {
            if was_polled {
                return Poll::Ready(());
            }
            was_polled = true;
            cx.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Which client's task ran, each time that one did. Each client is a number, whether it is verified, and its
    /// tasks, which run so many times each.
    fn run(clients: &[(u8, bool, usize)], times: usize) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (turns, log) = (Arc::new(Turns::default()), Arc::new(Mutex::new(Vec::new())));
        runtime.block_on(async {
            let rounds = turns.clone();
            tokio::spawn(async move { rounds.give().await });
            let (budget, mut tasks) = (unlimited(), Vec::new());
            let mut open = Vec::new();
            for (client, is_verified, count) in clients.iter().copied() {
                let address = Ipv4Addr::new(192, 0, 2, client).into();
                let connection = budget.connect(Some(address)).expect("room");
                connection.account().set_turns(&turns);
                if is_verified {
                    connection.account().verified();
                }
                for _ in 0..count {
                    let log = log.clone();
                    tasks.push(tokio::spawn(take_turns(connection.account().clone(), async move {
                        for _ in 0..times {
                            lock(&log).push(client);
                            again().await;
                        }
                    })));
                }
                open.push(connection);
            }
            for task in tasks {
                task.await.expect("it ends");
            }
        });
        assert!(turns.is_empty());
        std::mem::take(&mut lock(&log))
    }

    fn places(log: &[u8], client: u8) -> Vec<usize> {
        log.iter().enumerate().filter(|(_, it)| **it == client).map(|(at, _)| at).collect()
    }

    #[test]
    fn a_client_with_many_tasks_has_one_turn_in_each_round() {
        let log = run(&[(1, false, 100), (2, false, 1)], 3);
        assert_eq!(log.len(), 303, "everybody comes to an end");
        let second = places(&log, 2);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * turn + 2), "{second:?}");
    }

    #[test]
    fn connections_of_a_client_share_its_turns() {
        let log = run(&[(1, false, 100), (1, false, 100), (2, false, 1)], 3);
        let second = places(&log, 2);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * turn + 2), "{second:?}");
    }

    #[test]
    fn verified_clients_wait_for_one_turn_at_most() {
        let log = run(&[(1, false, 100), (2, true, 1)], 20);
        let verified = places(&log, 2);
        assert_eq!(verified.len(), 20);
        assert!(verified.iter().enumerate().all(|(turn, at)| *at <= 2 * turn + 2), "{verified:?}");
    }

    #[test]
    fn without_others_everybody_goes_on_at_once() {
        assert_eq!(run(&[(1, false, 1)], 5), [1; 5]);
        assert_eq!(run(&[(1, true, 1), (2, true, 1)], 2), [1, 2, 1, 2]);
    }

    #[test]
    fn what_waits_for_a_connection_that_has_ended_is_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let turns = Arc::new(Turns::default());
        runtime.block_on(async {
            let budget = unlimited();
            let connection = budget.connect(Some([192, 0, 2, 1].into())).expect("room");
            connection.account().set_turns(&turns);
            let endless = || async {
                loop {
                    again().await;
                }
            };
            let spawn = || tokio::spawn(take_turns(connection.account().clone(), endless()));
            let tasks: Vec<_> = (0..10).map(|_| spawn()).collect();
            // The first had its turn, and waits for the next.
            again().await;
            again().await;
            // Nobody gives out turns here.
            connection.account().ends();
            for task in tasks {
                task.await.expect("it ends");
            }
        });
        assert_eq!(turns.tasks(), 0);
    }
}
