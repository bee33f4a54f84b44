//! Rules as their author meets them: tested before they are live, reported before they are enforced.

mod check;
mod readings;
mod report;
mod report_mode;
