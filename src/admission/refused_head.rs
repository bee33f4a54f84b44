//! Heads that are refused, and the part of them that is at fault.

use super::{Admission, LOOK_ALIKE, RequestHead, UNLISTED};
use crate::decision::{Denial, Reason};
use crate::outbound_head::NOT_ABOUT_CONNECTION;
use crate::request::{FaultPlace, RequestFault, TokenFields};

impl Admission {
    /// The fields that may hold the token of this request.
    pub(super) fn token_fields<'a>(&'a self, head: &RequestHead<'a>) -> &'a TokenFields {
        head.token_fields.unwrap_or(self.head.token_fields())
    }

    /// Names the fields that were looked at, if a token is missing.
    pub(super) fn without_token(&self, denial: Denial, head: &RequestHead<'_>) -> Denial {
        if denial.reason == Reason::MissingToken {
            denial.with(self.token_fields(head).missing())
        } else {
            denial
        }
    }

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
