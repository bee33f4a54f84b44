//! Heads that are refused, and the part of them that is at fault.

use super::fields::{LOOK_ALIKE, UNLISTED};
use super::{Admission, RequestHead};
use crate::decision::Denial;
use crate::outbound_head::NOT_ABOUT_CONNECTION;
use crate::request::{FaultPlace, RequestFault};

impl Admission {
    /// The denial for a head that [`Self::facts`] refused.
    pub fn refused_head(&self, fault: RequestFault, head: &RequestHead<'_>) -> Denial {
        let RequestFault::BadTarget(why) = fault else { return fault.into() };
        let RequestHead { target, headers, .. } = *head;
        let option = (fault == NOT_ABOUT_CONNECTION).then(|| self.head.end_to_end_option(headers)).flatten();
        let place = match fault {
            NOT_ABOUT_CONNECTION => {
                option.as_deref().map(|option| FaultPlace::Value(b"connection", option.as_bytes()))
            }
            LOOK_ALIKE => place_of(self.head.look_alikes(headers).next()),
            UNLISTED => place_of(self.head.unlisted(headers).next()),
            _ => FaultPlace::in_request(why, target, headers),
        };
        Denial::of_request(fault, place)
    }
}

fn place_of(name: Option<&str>) -> Option<FaultPlace<'_>> {
    name.map(|name| FaultPlace::Field(name.as_bytes()))
}
