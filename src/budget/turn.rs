//! Runs a task only when it has its turn; see [`super::turns`].

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::connection::{Connection, Scheduling};
use super::named_client::NamedClient;
use crate::sync::atomic::{AtomicBool, Ordering};

/// Polls a task of a connection only in its turns, until the task or the connection has ended.
pub fn take_turns<F: Future>(account: Arc<Connection>, task: F) -> impl Future<Output = ()> {
    // Boxed, because an async function would store the task twice: as its argument and where it is polled.
    let (mut task, mut turn) = (Box::pin(task), Turn::default());
    poll_fn(move |cx| {
        if ready!(turn.poll(account.scheduling(), account.id(), cx)) {
            task.as_mut().poll(cx).map(drop)
        } else {
            Poll::Ready(())
        }
    })
}

/// Polls a part of a task of a connection only in the turns of the client that is named, and whenever it is ready while
/// none is. For tasks that [`take_turns`] runs.
pub async fn take_named_turns<F: Future>(
    account: &Connection,
    named: &NamedClient,
    mut task: Pin<&mut F>,
) -> F::Output {
    let mut turn = Turn::default();
    poll_fn(move |cx| {
        // The task ends with its connection.
        ready!(turn.poll(named.scheduling(account), account.id(), cx));
        task.as_mut().poll(cx)
    })
    .await
}

/// One task's place in the queue of waiting tasks.
#[derive(Debug, Default)]
struct Turn {
    /// Set while the task waits; true once it has its turn.
    granted: Option<Arc<AtomicBool>>,
}

impl Turn {
    /// Ready with true when the task has its turn, and with false when the connection has ended. Wakes the task for
    /// both.
    fn poll(&mut self, scheduling: Scheduling<'_>, connection: u64, cx: &Context<'_>) -> Poll<bool> {
        let (turns, client) = match scheduling {
            Scheduling::TakesTurns(turns, client) => (turns, client),
            Scheduling::Free => return Poll::Ready(true),
            Scheduling::Ended => return Poll::Ready(false),
        };
        if let Some(granted) = &self.granted {
            if !granted.load(Ordering::Relaxed) {
                return Poll::Pending;
            }
            self.granted = None;
            return Poll::Ready(true);
        }
        self.granted = turns.wait(client, connection, cx.waker());
        if self.granted.is_some() { Poll::Pending } else { Poll::Ready(true) }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use crate::sync::Mutex;

    use super::super::named_client::yield_once;
    use super::super::turns::Turns;
    use super::super::{Budget, OpenConnection, lock, unlimited};
    use super::*;

    /// Returns the clients whose tasks ran, in order. Each client is a number, whether it is verified, and the number
    /// of its tasks. Each task runs `times` times.
    fn run(clients: &[(u8, bool, usize)], times: usize) -> Vec<u8> {
        run_on(|budget, address| budget.connect(Some(address)).expect("room"), clients, times)
    }

    /// The same on connections that are opened in this way.
    fn run_on(
        open_connection: impl Fn(&Arc<Budget>, IpAddr) -> OpenConnection,
        clients: &[(u8, bool, usize)],
        times: usize,
    ) -> Vec<u8> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let (turns, log) = (Arc::new(Turns::default()), Arc::new(Mutex::new(Vec::new())));
        runtime.block_on(async {
            let rounds = turns.clone();
            tokio::spawn(async move { rounds.give().await });
            let (budget, mut tasks) = (unlimited(), Vec::new());
            let mut open = Vec::new();
            for (client, is_verified, count) in clients.iter().copied() {
                let connection = open_connection(&budget, Ipv4Addr::new(192, 0, 2, client).into());
                connection.account().set_turns(&turns);
                if is_verified {
                    connection.account().verified();
                }
                for _ in 0..count {
                    let log = log.clone();
                    tasks.push(tokio::spawn(take_turns(connection.account().clone(), async move {
                        for _ in 0..times {
                            lock(&log).push(client);
                            yield_once().await;
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
    fn each_client_has_one_turn_in_a_round() {
        let log = run(&[(1, false, 100), (2, false, 1)], 3);
        assert_eq!(log.len(), 303, "every task ends");
        let second = places(&log, 2);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * turn + 2), "{second:?}");
    }

    #[test]
    fn connections_of_one_client_share_its_turns() {
        let log = run(&[(1, false, 100), (1, false, 100), (2, false, 1)], 3);
        let second = places(&log, 2);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * turn + 2), "{second:?}");
    }

    #[test]
    fn clients_named_by_the_proxy_protocol_take_turns() {
        let open = |budget: &Arc<Budget>, address| {
            let connection = budget.connect_unnamed().expect("room");
            connection.set_client(Some(address)).expect("room");
            connection
        };
        let log = run_on(open, &[(1, false, 100), (1, false, 100), (2, false, 1)], 3);
        let second = places(&log, 2);
        assert_eq!(second.len(), 3);
        assert!(second.iter().enumerate().all(|(turn, at)| *at <= 3 * turn + 2), "{second:?}");
    }

    #[test]
    fn verified_clients_wait_for_at_most_one_turn() {
        let log = run(&[(1, false, 100), (2, true, 1)], 20);
        let verified = places(&log, 2);
        assert_eq!(verified.len(), 20);
        assert!(verified.iter().enumerate().all(|(turn, at)| *at <= 2 * turn + 2), "{verified:?}");
    }

    #[test]
    fn clients_do_not_wait_without_contention() {
        assert_eq!(run(&[(1, false, 1)], 5), [1; 5]);
        assert_eq!(run(&[(1, true, 1), (2, true, 1)], 2), [1, 2, 1, 2]);
    }

    #[test]
    fn waiting_tasks_of_an_ended_connection_are_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        let turns = Arc::new(Turns::default());
        runtime.block_on(async {
            let budget = unlimited();
            let connection = budget.connect(Some([192, 0, 2, 1].into())).expect("room");
            connection.account().set_turns(&turns);
            let endless = || async {
                loop {
                    yield_once().await;
                }
            };
            let spawn = || tokio::spawn(take_turns(connection.account().clone(), endless()));
            let tasks: Vec<_> = (0..10).map(|_| spawn()).collect();
            // The first had its turn, and waits for the next.
            yield_once().await;
            yield_once().await;
            // Nothing gives out turns in this test.
            connection.account().ends();
            for task in tasks {
                task.await.expect("it ends");
            }
        });
        assert_eq!(turns.tasks(), 0);
    }

    /// Otherwise a busy client delays what arrives for others by as many of its turns as the runtime runs tasks in a row.
    #[test]
    fn events_are_polled_after_a_few_turns() {
        use tokio::io::AsyncReadExt as _;

        use super::super::turns::TURNS_WITHOUT_EVENTS;

        const SENT: usize = 10;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .event_interval(1_000_000)
            .build()
            .expect("a runtime");
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let client =
            std::net::TcpStream::connect(listener.local_addr().expect("an address")).expect("a client");
        let (stream, _) = listener.accept().expect("a connection");
        stream.set_nonblocking(true).expect("a stream");
        let (turns, had) = (Arc::new(Turns::default()), Arc::new(Mutex::new(0)));
        let seen = runtime.block_on(async {
            let rounds = turns.clone();
            tokio::spawn(async move { rounds.give().await });
            let mut stream = tokio::net::TcpStream::from_std(stream).expect("a stream");
            let count = had.clone();
            let reader = tokio::spawn(async move {
                stream.read_u8().await.expect("a byte");
                *lock(&count)
            });
            yield_once().await;
            let budget = unlimited();
            let connection = budget.connect(Some([192, 0, 2, 1].into())).expect("room");
            connection.account().set_turns(&turns);
            let busy = || {
                let (count, mut client) = (had.clone(), client.try_clone().expect("a handle"));
                tokio::spawn(take_turns(connection.account().clone(), async move {
                    loop {
                        let turn = {
                            let mut count = lock(&count);
                            *count += 1;
                            *count
                        };
                        match turn {
                            SENT => std::io::Write::write_all(&mut client, b"x").expect("room"),
                            1000.. => return,
                            _ => {}
                        }
                        yield_once().await;
                    }
                }))
            };
            let tasks = [busy(), busy()];
            for task in tasks {
                task.await.expect("it ends");
            }
            reader.await.expect("it ends")
        });
        assert!((SENT..=SENT + TURNS_WITHOUT_EVENTS + 1).contains(&seen), "noticed after {seen} turns");
    }
}
