//! Places among the requests in flight.

use std::net::IpAddr;

use super::Peer;
use crate::budget::Exhausted;
use crate::decision::{Denial, Reason};
use crate::exchange::Exchange;

/// Takes a place among the requests in flight, for this client or, behind a trusted proxy, for the client that the
/// proxy names.
pub(super) fn take_place(exchange: &mut Exchange, peer: &Peer, source: Option<IpAddr>) -> Result<(), Denial> {
    let client = source.filter(|_| source != peer.address);
    match peer.account.request(client, &peer.named) {
        Ok(place) => {
            exchange.set_place(place);
            Ok(())
        }
        Err(exhausted) => {
            let detail = match exhausted {
                Exhausted::Total => "more requests in flight than limits.requests",
                Exhausted::Share => "more of this client address than its share (limits.requestsPerClient)",
                Exhausted::Memory => "limits.memory is used up",
            };
            Err(Denial::new(Reason::Overloaded).with(detail))
        }
    }
}
