//! The built executable from outside: real sockets, real tokens, real processes.

mod forwarding;
mod framing;
mod operating;
mod refusals;
mod support;
mod tokens;
mod trust;
