//! Aborts: one record in the log, with the request that the thread was working on.
//!
//! An abort without a panic (an allocation that fails, a stack that overflows) runs no code of ours, except a handler of
//! SIGABRT, in which hardly anything is permitted. So the handler only writes into two pipes, and two threads, which are there
//! from the start, do the rest:
//!
//! 1. The first byte wakes both threads.
//! 2. The second pipe is full, so the thread that aborts waits in its handler.
//! 3. The *reporter* finds the thread that waits for this pipe, and reads its request behind the mark in the memory of this
//!    process: no thread can read a variable of another one, but each can read `/proc/self/mem`. It logs both, and waits until
//!    the log is written.
//! 4. The *ender* ends the process by SIGABRT, as it would have ended, when the reporter is done, or after [`PATIENCE`] if that
//!    is not: without memory it may have to wait in the handler itself. The ender allocates nothing.
//!
//! A request costs nothing more for it. What is no abort leaves no record: a fault in a library (SIGSEGV), or SIGKILL.

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use signal_hook::consts::SIGABRT;
use signal_hook::low_level::{emulate_default_handler, pipe};

use super::{CURRENT, Current, MARK, WorkedOn};

/// The reporter may take so long.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often, and after which time each, the thread that aborts is looked for.
const ATTEMPTS: u32 = 100;
const INTERVAL: Duration = Duration::from_millis(5);
/// What the reporter can allocate, if nothing else is left.
const RESERVE: usize = 256 * 1024;

/// The threads that work on requests: each with its number, and where its [`Current`] is.
static THREADS: Mutex<Vec<(u32, usize)>> = Mutex::new(Vec::new());
/// Whether the panic hook has logged why the process aborts.
static IS_LOGGED: AtomicBool = AtomicBool::new(false);

/// Says that this thread works on requests.
pub fn works_on_requests() {
    let address = CURRENT.with(|current| std::ptr::from_ref(current).addr());
    // `PID/task/TID`
    let own = fs::read_link("/proc/thread-self").ok();
    let number = own.and_then(|path| path.file_name()?.to_str()?.parse().ok());
    if let Some(number) = number {
        THREADS.lock().unwrap_or_else(PoisonError::into_inner).push((number, address));
    }
}

/// Says that the process is about to abort, and that the log says why.
pub(super) fn is_logged() {
    IS_LOGGED.store(true, Ordering::Relaxed);
}

/// Logs every abort of the process from now on. `flush` waits, for a bounded time, until the log is written.
///
/// # Errors
/// There are no pipes or threads to be had.
pub fn log_aborts(flush: fn()) -> io::Result<()> {
    let (mut ender_wakes, wake_ender) = io::pipe()?;
    let (mut reporter_wakes, wake_reporter) = io::pipe()?;
    let (held, hold) = io::pipe()?;
    let number = hold.as_raw_fd();
    let also_hold = hold.try_clone()?;
    let (done, is_done) = sync_channel(1);
    thread::Builder::new().name("abort-report".to_owned()).spawn(move || {
        let reserve = Vec::<u8>::with_capacity(RESERVE);
        if woken(&mut reporter_wakes) {
            drop(reserve);
            report(number);
            flush();
            let _ = done.send(());
        }
    })?;
    thread::Builder::new().name("abort-end".to_owned()).spawn(move || {
        // While it is open, writing into it waits.
        let _held = held;
        if woken(&mut ender_wakes) {
            let _ = is_done.recv_timeout(PATIENCE);
            let _ = emulate_default_handler(SIGABRT);
        }
    })?;
    // In this order they are written to.
    pipe::register(SIGABRT, wake_ender)?;
    pipe::register(SIGABRT, wake_reporter)?;
    pipe::register(SIGABRT, hold)?;
    fill(also_hold)
}

fn woken(pipe: &mut PipeReader) -> bool {
    pipe.read_exact(&mut [0]).is_ok()
}

/// Fills a pipe, so that another write to it waits.
fn fill(mut pipe: PipeWriter) -> io::Result<()> {
    let flags = fcntl_getfl(&pipe)?;
    fcntl_setfl(&pipe, flags | OFlags::NONBLOCK)?;
    while matches!(pipe.write(&[0; 4096]), Ok(1..)) {}
    Ok(fcntl_setfl(&pipe, flags - OFlags::NONBLOCK)?)
}

fn report(pipe: i32) {
    if IS_LOGGED.load(Ordering::Relaxed) {
        return;
    }
    let aborting = aborting_thread(pipe);
    let request = aborting.and_then(worked_on);
    let name = aborting.and_then(|number| fs::read_to_string(format!("/proc/self/task/{number}/comm")).ok());
    tracing::error!(
        request_id = request.as_ref().and_then(WorkedOn::id),
        thread = name.as_deref().map(str::trim_end),
        "the process aborts: an allocation failed, a stack overflowed, or something sent SIGABRT"
    );
}

/// The number of the thread that waits for this pipe.
fn aborting_thread(pipe: i32) -> Option<u32> {
    let number = |task: io::Result<fs::DirEntry>| task.ok()?.file_name().to_str()?.parse().ok();
    // It may not have come to the pipe yet.
    (0..ATTEMPTS).find_map(|attempt| {
        if attempt > 0 {
            thread::sleep(INTERVAL);
        }
        let mut threads = fs::read_dir("/proc/self/task").ok()?.filter_map(number);
        threads.find(|number| waits_for(*number, pipe))
    })
}

fn waits_for(number: u32, pipe: i32) -> bool {
    // The system call that the thread is in, and its arguments: `1 0x9 ...`, or `running`.
    let call = fs::read_to_string(format!("/proc/self/task/{number}/syscall")).unwrap_or_default();
    call.split(' ').nth(1).is_some_and(|argument| argument == format!("{pipe:#x}"))
}

/// The request that another thread works on.
fn worked_on(thread: u32) -> Option<WorkedOn> {
    let threads = THREADS.lock().unwrap_or_else(PoisonError::into_inner);
    let (_, address) = threads.iter().rev().find(|(number, _)| *number == thread)?;
    let mut bytes = [0; size_of::<Current>()];
    File::open("/proc/self/mem").ok()?.read_exact_at(&mut bytes, *address as u64).ok()?;
    let (length, id) = bytes.strip_prefix(&MARK)?.split_last()?;
    Some(WorkedOn { id: id.try_into().ok()?, length: *length })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]

    use std::sync::mpsc::channel;

    use http::HeaderValue;

    use super::*;
    use crate::panics::WorkingOn;

    #[test]
    fn the_thread_that_waits_in_its_handler_is_found_with_its_request() {
        let (mut held, hold) = io::pipe().unwrap();
        fill(hold.try_clone().unwrap()).unwrap();
        let (number, (report, reported)) = (hold.as_raw_fd(), channel());
        let waiting = thread::spawn(move || {
            works_on_requests();
            let mut request = WorkedOn::request(&HeaderValue::from_static("deadly"));
            let _working = WorkingOn::begin(&mut request);
            // As the handler does it.
            (&hold).write_all(&[0]).unwrap();
            let _ = reported.recv();
        });
        let thread = aborting_thread(number).unwrap();
        assert_eq!(worked_on(thread).unwrap().id(), Some("deadly"));
        held.read_exact(&mut [0; 4096]).unwrap();
        report.send(()).unwrap();
        waiting.join().unwrap();
        assert_eq!(worked_on(u32::MAX), None, "a thread that does not work on requests");
    }
}
