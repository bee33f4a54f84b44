//! Futures that serve requests. A worker uses each of them again for later requests of any connection.
//!
//! The state of a request in progress takes several kilobytes. An idle connection must not hold it, and allocating and
//! moving it for each request would cost 9,000 instructions.

use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use crate::client_body::ClientBody;
use crate::connection::WorkerState;
use crate::gateway::Peer;
use crate::message::{Request, Response};
use crate::panics::{WorkedOn, WorkingOn};
use crate::respond::ObservedBody;

/// How many unused futures a worker keeps.
const MAX_SPARE: usize = 32;

/// The largest state of a request in progress. It is charged for each stream of an HTTP/2 connection.
pub(super) const STATE_BYTES: usize = 16 * 1024;

thread_local! {
    static SPARE: RefCell<Vec<Handler>> = const { RefCell::new(Vec::new()) };
}

/// Serves one request. Dropping it cancels the request.
pub(super) struct Handler {
    serving: Pin<Box<dyn Future<Output = Infallible> + Send>>,
    slot: Slot,
    /// The request, for the log.
    worked_on: WorkedOn,
}

/// A request on its way in.
struct Job {
    worker_state: Arc<WorkerState>,
    peer: Arc<Peer>,
    request: Request<ClientBody>,
}

/// What goes into the future and comes out of it.
#[derive(Clone, Default)]
struct Slot(Arc<Mutex<Content>>);

#[derive(Default)]
struct Content {
    job: Option<Job>,
    response: Option<Response<ObservedBody>>,
}

impl Handler {
    /// Begins to serve a request.
    pub(super) fn begin(
        worker_state: Arc<WorkerState>,
        peer: Arc<Peer>,
        request: Request<ClientBody>,
    ) -> Self {
        let handler = SPARE.with_borrow_mut(Vec::pop).unwrap_or_else(|| {
            let slot = Slot::default();
            let serving: Pin<Box<dyn Future<Output = _> + Send>> = Box::pin(serve(slot.clone()));
            debug_assert!(size_of_val(&*serving) <= STATE_BYTES, "{}", size_of_val(&*serving));
            Self { serving, slot, worked_on: WorkedOn::NOTHING }
        });
        handler.slot.lock().job = Some(Job { worker_state, peer, request });
        handler
    }

    /// Ready with the response. Then call [`Self::end`].
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Response<ObservedBody>> {
        {
            let _working = WorkingOn::begin(&mut self.worked_on);
            let Poll::Pending = self.serving.as_mut().poll(cx);
        }
        self.slot.lock().response.take().map_or(Poll::Pending, Poll::Ready)
    }

    /// Keeps the future for another request.
    pub(super) fn end(mut self) {
        self.worked_on = WorkedOn::NOTHING;
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(self);
            }
        });
    }
}

impl Slot {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves one request after the other.
async fn serve(slot: Slot) -> Infallible {
    loop {
        // Polled only when there is one.
        let next = || slot.lock().job.take().map_or(Poll::Pending, Poll::Ready);
        let Job { worker_state, peer, request } = poll_fn(|_| next()).await;
        // A variable for the future would store it twice.
        let Ok(response) = worker_state.gateway.serve(&worker_state.upstream, &peer, request).await;
        slot.lock().response = Some(response);
    }
}
