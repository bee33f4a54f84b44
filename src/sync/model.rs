//! How models run.

#![allow(clippy::unwrap_used, reason = "tests")]

use shuttle::scheduler::RandomScheduler;
use shuttle::{Config, Runner};

const ORDERS: usize = 5000;

/// Runs a model in random orders. It fails with the order in which an assertion fails, or in which a thread waits
/// forever.
///
/// For what needs one, there is a tokio runtime, which runs nothing: no time passes and no socket becomes ready. So what
/// a thread waits for must come from another thread, not from a timer.
pub fn check(model: impl Fn() + Send + Sync + 'static) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let _entered = runtime.enter();
    let mut config = Config::new();
    config.stack_size = 512 * 1024;
    Runner::new(RandomScheduler::new(ORDERS), config).run(model);
}
