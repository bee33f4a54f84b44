//! HTTP/1.1 towards the backend, without input or output: what is written, what is read, and what may happen next.
//!
//! - [`HeadWriter`] and [`BodyWriter`] write a request. The fields that say where its body ends are written from the
//!   framing that was read, and never copied.
//! - [`ResponseHeadReader`] and [`BodyReader`] read its response as the bytes arrive, however they are split.
//! - [`KeepAlive`] says for how long an idle connection may be used.
//! - [`Phase`] says what may happen to a connection, and whether it may serve another request.
//!
//! The grammar is the one of [`crate::request`]. A response that another reader could end at another byte is refused:
//! CR LF ends every line, no field is folded, no white space surrounds a name, and at most one kind of field says where
//! the body ends, in one way (RFC 9112 section 6.3): a length that is repeated is forwarded once. After a fault nothing more can be read from the connection.
//!
//! | phase | `Begin` | `RequestWritten` | `HeadRead` | `Switched` | `ResponseEnded` | any other event |
//! | --- | --- | --- | --- | --- | --- | --- |
//! | `Idle` | `Sending` | | | | | `Closed` |
//! | `Sending` | | `Waiting` | `Early` | | | `Closed` |
//! | `Waiting` | | | `Receiving` | `Tunnel` | | `Closed` |
//! | `Early` | | `Receiving` | | | | `Closed` |
//! | `Receiving` | | | | | `Idle` if reusable | `Closed` |
//! | `Tunnel` | | | | | | `Closed` |
//!
//! An empty cell is `Closed` too. [`Phase::next`] is this table.

mod keep_alive;
mod phase;
mod request_body;
mod request_head;
mod response_body;
mod response_head;

pub use keep_alive::KeepAlive;
pub use phase::{Event, Phase};
pub use request_body::{BodyWriter, RunFraming, WrongLength};
pub use request_head::{HeadWriter, RequestFraming};
pub use response_body::{BodyPart, BodyReader, CutOff, TrailerTooLong};
pub use response_head::{ResponseFault, ResponseFraming, ResponseHead, ResponseHeadReader};
