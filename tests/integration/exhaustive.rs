//! Every byte in the first, a middle and the last position of every part of a message. A rule for
//! each part ([`parts`]) says what passes, and what passes arrives as it was sent.

mod http1;
mod parts;
