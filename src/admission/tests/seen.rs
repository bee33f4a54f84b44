//! The refusals that an observer sees.

use super::{Denial, Observer, Reason, Step};

#[derive(Default)]
pub(super) struct Seen(pub(super) Vec<(Step, Reason)>);

impl Observer for Seen {
    fn refused(&mut self, step: Step, denial: &Denial) {
        self.0.push((step, denial.reason));
    }
}
