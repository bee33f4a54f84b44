//! The life of a rule: tested before it is live, reported before it is enforced.

mod check;
mod readings;
mod report;
mod report_mode;
