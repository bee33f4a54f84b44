//! Panics and aborts: one record in the log for each, with the request that the thread was working on.
//!
//! A panic ends the task that it happens in, so one connection or one stream, and the others go on. The panic hook logs it
//! when it happens, before anything is unwound: also if the process is about to abort.
//!
//! An abort without a panic is logged by another thread ([`aborts`]). After a fault that is no abort, such as SIGSEGV in a
//! library, no code of ours runs. Its request can be found in a core dump: before the ID of the request that a thread works
//! on, there is [`MARK`].
//!
//! The text of a panic is logged only if no value can be part of it ([`loggable`]). The others may quote what was being
//! read when it happened, such as a token.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::thread;

use http::HeaderValue;

mod aborts;

pub use aborts::{log_aborts, works_on_requests};

/// The longest ID in the log. Longer ones, which only clients choose, are cut.
const MAX_ID_BYTES: usize = 47;

/// What is in memory before the ID of the request that a thread works on. docs/runbooks.md tells operators to search for
/// it.
const MARK: [u8; 16] = *b"metagate serves ";

/// The request that a thread is working on, behind its mark.
#[repr(C)]
struct Current {
    mark: [u8; MARK.len()],
    worked_on: Cell<WorkedOn>,
}

thread_local! {
    static CURRENT: Current = const { Current { mark: MARK, worked_on: Cell::new(WorkedOn::NOTHING) } };
    /// Where this thread has panicked last.
    static LAST: Cell<Option<Box<str>>> = const { Cell::new(None) };
}

/// The request that a future works on, by its ID. Small and plain, because it is copied for each poll: a
/// [`HeaderValue`] needs four times the instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct WorkedOn {
    id: [u8; MAX_ID_BYTES],
    length: u8,
}

impl WorkedOn {
    /// Nothing, or a request that is not known yet.
    pub const NOTHING: Self = Self { id: [0; MAX_ID_BYTES], length: 0 };

    /// The request with this ID.
    pub fn request(id: &HeaderValue) -> Self {
        let mut worked_on = Self::NOTHING;
        let length = id.len().min(MAX_ID_BYTES);
        if let (Some(to), Some(from)) = (worked_on.id.get_mut(..length), id.as_bytes().get(..length)) {
            to.copy_from_slice(from);
            worked_on.length = length as u8;
        }
        worked_on
    }

    /// The ID; `None` if there is no request.
    fn id(&self) -> Option<&str> {
        let id = str::from_utf8(self.id.get(..self.length.into())?).ok()?;
        (!id.is_empty()).then_some(id)
    }
}

/// Logs every panic of the process from now on. `flush` waits, for a bounded time, until the log is written.
pub fn log_all(flush: fn()) {
    panic::set_hook(Box::new(move |info| log(info, flush)));
}

/// Sets the request that this thread is working on, until the [`WorkingOn`] around it ends.
pub fn is_about(id: &HeaderValue) {
    CURRENT.with(|current| current.worked_on.set(WorkedOn::request(id)));
}

/// Until it is dropped, this thread works on one request. What it worked on before is restored then.
pub struct WorkingOn<'s> {
    /// The request while the thread does not work on it, and the other one while it does.
    swapped: &'s mut WorkedOn,
}

impl<'s> WorkingOn<'s> {
    /// Works on this request. It is [`WorkedOn::NOTHING`] until [`is_about`] sets it, and kept here in between.
    pub fn begin(worked_on: &'s mut WorkedOn) -> Self {
        swap(worked_on);
        Self { swapped: worked_on }
    }
}

impl Drop for WorkingOn<'_> {
    fn drop(&mut self) {
        swap(self.swapped);
    }
}

fn swap(worked_on: &mut WorkedOn) {
    *worked_on = CURRENT.with(|current| current.worked_on.replace(*worked_on));
}

/// What this thread is working on.
fn worked_on() -> WorkedOn {
    // Without this the compiler could leave out the mark, which nothing else reads.
    CURRENT.with(|current| std::hint::black_box(current).worked_on.get())
}

/// What an audit record says about a request that is dropped now; `None` unless that is because of a panic.
pub fn ending() -> Option<String> {
    thread::panicking().then(|| {
        let place = LAST.take();
        let text =
            place.as_deref().map_or("ended: panicked".to_owned(), |at| format!("ended: panicked at {at}"));
        LAST.set(place);
        text
    })
}

/// The ID of the request that this thread is working on.
#[cfg(test)]
pub fn current() -> Option<String> {
    worked_on().id().map(str::to_owned)
}

fn log(info: &PanicHookInfo<'_>, flush: fn()) {
    let location = info.location().map(ToString::to_string).unwrap_or_default();
    let worked_on = worked_on();
    let _ = LAST.try_with(|last| last.set(Some(location.as_str().into())));
    let panic = loggable(info.payload());
    let thread = thread::current();
    // Only names of functions and files. `None` unless RUST_BACKTRACE is set.
    let backtrace = Backtrace::capture();
    let backtrace = (backtrace.status() == BacktraceStatus::Captured).then(|| backtrace.to_string());
    let aborts = panic.is_some_and(ends_process);
    tracing::error!(
        request_id = worked_on.id(),
        location,
        thread = thread.name(),
        panic = panic.unwrap_or("not logged: the text has values in it"),
        backtrace,
        "{}",
        if aborts {
            "panicked while unwinding: the process aborts"
        } else {
            "panicked: this is a bug in metagate, please report it"
        }
    );
    if aborts {
        aborts::is_logged();
        flush();
    }
}

/// The text of a panic, if no value that was read can be part of it: a constant, or that of an index that is out of range,
/// which has only numbers.
fn loggable(payload: &dyn Any) -> Option<&str> {
    const NUMERIC: [&str; 4] =
        ["index out of bounds: ", "range start index ", "range end index ", "slice index starts at "];
    if let Some(constant) = payload.downcast_ref::<&'static str>() {
        return Some(constant);
    }
    let text = payload.downcast_ref::<String>()?;
    let is_plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b" :".contains(&byte);
    let is_numeric = NUMERIC.iter().any(|start| text.starts_with(start)) && text.len() < 128;
    (is_numeric && text.bytes().all(is_plain)).then_some(text)
}

/// Whether the standard library panics with this text because it cannot unwind. It aborts the process after the hook.
fn ends_process(text: &str) -> bool {
    text.starts_with("panic in a destructor") || text.starts_with("panic in a function that cannot unwind")
}

#[cfg(test)]
mod tests;
