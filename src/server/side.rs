//! The thread of the health and admin listeners.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::oneshot;

use super::{Process, health};
use crate::admin::{self, Console};

/// The health and admin listeners. They have a thread of their own, so that load from clients cannot delay a probe.
pub(super) struct SideListeners {
    stop: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl SideListeners {
    pub(super) fn start(
        health: StdListener,
        admin: Option<StdListener>,
        process: &Arc<Process>,
        console: Console,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (health, admin) = {
            // Registers the sockets with this runtime.
            let _entered = runtime.enter();
            (listener(health, "health")?, admin.map(|admin| listener(admin, "admin")).transpose()?)
        };
        let process = process.clone();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new().name("side".to_owned()).spawn(move || {
            runtime.block_on(async {
                let admin = async {
                    match admin {
                        Some(admin) => admin::serve(admin, Arc::new(console)).await,
                        None => std::future::pending().await,
                    }
                };
                tokio::select! {
                    () = health::serve(health, process) => {}
                    () = admin => {}
                    // An error means that the sender was dropped, which also ends the thread.
                    _ = stopped => {}
                }
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { stop, thread })
    }

    pub(super) async fn stop(self) {
        let Self { stop, thread } = self;
        // This fails if the thread has already ended, by a panic.
        let _ = stop.send(());
        let _ = tokio::task::spawn_blocking(move || drop(thread.join())).await;
    }
}

fn listener(listener: StdListener, name: &'static str) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let listener = TcpListener::from_std(listener)?;
    tracing::info!(listener = name, %address, "listening");
    Ok(listener)
}
