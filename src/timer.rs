//! A timer that is set again for each wait.

use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::{Instant, Sleep, sleep_until};

/// A timer for waits that usually end long before their deadline. A later deadline is set only when the timer fires at
/// the earlier one, because setting it costs more than waking a task in vain once.
#[derive(Default)]
pub(crate) struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready once `deadline` has passed.
    pub(crate) fn poll(&mut self, deadline: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            if timer.deadline() >= deadline {
                return Poll::Ready(());
            }
            timer.as_mut().reset(deadline);
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_last_deadline_counts_whether_it_is_earlier_or_later() {
        let mut timer = Timer::default();
        let mut cx = Context::from_waker(Waker::noop());
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        assert!(timer.poll(start + 2 * second, &mut cx).is_pending());
        assert!(timer.poll(start + 5 * second, &mut cx).is_pending());
        advance(3 * second).await;
        assert!(timer.poll(start + 5 * second, &mut cx).is_pending(), "the first deadline has passed");
        assert!(timer.poll(start + 4 * second, &mut cx).is_pending());
        advance(second).await;
        assert!(timer.poll(start + 4 * second, &mut cx).is_ready());
        assert!(timer.poll(start + 6 * second, &mut cx).is_pending(), "for another wait");
    }
}
