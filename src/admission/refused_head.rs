//! Heads that are refused, and the part of them that is at fault.

use super::fields::{LOOK_ALIKE, UNLISTED};
use super::{Admission, RequestHead};
use crate::decision::{Denial, Reason};
use crate::diagnosis::Detail;
use crate::message::NewName;
use crate::outbound_head::NOT_ABOUT_CONNECTION;
use crate::request::{FaultPlace, RequestFault, TokenFields, has_cookie};

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
        let why = match fault {
            RequestFault::BadTarget(why) => why,
            RequestFault::AmbiguousCredentials(why) => return self.ambiguous(why, head),
            _ => return fault.into(),
        };
        let RequestHead { target, headers, .. } = *head;
        let option = (fault == NOT_ABOUT_CONNECTION).then(|| self.head.end_to_end_option(headers)).flatten();
        let place = match fault {
            NOT_ABOUT_CONNECTION => {
                option.as_deref().map(|option| FaultPlace::Value(b"connection", option.as_bytes()))
            }
            LOOK_ALIKE => place_of(self.head.look_alikes(headers).next()),
            UNLISTED => place_of(self.head.unlisted(headers).next()),
            _ => FaultPlace::in_request(why, target, headers)
                .or_else(|| FaultPlace::of_rewrite(why, target, self.authorizer.backend.quirks().rewrites)),
        };
        Denial::of_request(fault, place)
    }

    /// Names every field that was read as a credential, with the number of its bytes, and never its value.
    fn ambiguous(&self, why: &'static str, head: &RequestHead<'_>) -> Denial {
        let mut detail = Detail::of(format_args!("{why}: the request has "));
        let mut separator = "";
        for name in self.token_fields(head).names() {
            for value in head.headers.get_all(&NewName::from(name)) {
                let value = value.as_bytes();
                detail.add(format_args!("{separator}{name} ({} bytes", value.len()));
                if let Some(at) = value.iter().position(|byte| *byte == b',') {
                    detail.add(format_args!(", a comma at position {}", at + 1));
                }
                detail.add(format_args!(")"));
                separator = ", ";
            }
        }
        for name in self.authorizer.backend.quirks().session_cookies {
            if has_cookie(head.headers, &[*name]) {
                detail.add(format_args!("{separator}the cookie {name}"));
                separator = ", ";
            }
        }
        Denial::new(Reason::AmbiguousCredentials).with(detail.finish())
    }
}

fn place_of(name: Option<&str>) -> Option<FaultPlace<'_>> {
    name.map(|name| FaultPlace::Field(name.as_bytes()))
}
