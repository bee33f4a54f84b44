//! The thread of the health and admin listeners.

use std::io;
use std::net::TcpListener as StdListener;
use std::sync::Arc;
use std::thread;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Process, free_memory, health};
use crate::admin::{self, Console};

/// The health and admin listeners. They have a thread of their own, so that load from clients cannot delay a probe.
pub(super) struct SideListeners {
    end: watch::Sender<bool>,
    thread: thread::JoinHandle<()>,
}

impl SideListeners {
    pub(super) fn start(
        health: StdListener,
        admin: Vec<StdListener>,
        process: &Arc<Process>,
        console: Console,
    ) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (health, admin) = {
            // Registers the sockets with this runtime.
            let _entered = runtime.enter();
            let admin = admin.into_iter().map(|admin| listener(admin, "admin"));
            (listener(health, "health")?, admin.collect::<io::Result<Vec<_>>>()?)
        };
        let process = process.clone();
        let (end, ending) = watch::channel(false);
        let thread = thread::Builder::new().name("side".to_owned()).spawn(move || {
            runtime.block_on(async {
                let (console, mut serving) = (Arc::new(console), JoinSet::new());
                for admin in admin {
                    serving.spawn(admin::serve(admin, console.clone(), ending.clone()));
                }
                let sampled = process.clone();
                // They end with this runtime.
                tokio::spawn(async move { sampled.sample().await });
                tokio::spawn(free_memory::give_back_at_rest());
                serving.spawn(health::serve(health, process, ending));
                while serving.join_next().await.is_some() {}
            });
            runtime.shutdown_background();
        })?;
        Ok(Self { end, thread })
    }

    pub(super) async fn stop(self) {
        let Self { end, thread } = self;
        end.send_replace(true);
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
