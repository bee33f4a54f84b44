//! What is read of a head before any decision: the length of its target, and what is kept of a connection's fields.

use super::*;
use crate::message::Section;
use crate::request::uri_of;

#[test]
fn a_target_may_be_as_long_as_configured() {
    let mut admission = admission();
    admission.target_bytes = 20;
    let read = |text: &str| {
        let target = uri_of(text.as_bytes()).unwrap();
        admission.facts(&Request::new("/x", &[]).head(&target)).map(drop)
    };
    assert_eq!(read(&format!("/{}", "a".repeat(18))), Ok(()));
    assert_eq!(read(&format!("/{}", "a".repeat(19))), Ok(()));
    assert_eq!(read(&format!("/{}", "a".repeat(20))), Err(RequestFault::TargetTooLong));
    // As it was received: a stand-in for one octet is longer.
    assert_eq!(read(&format!("/?{}", "<".repeat(18))), Ok(()));
    assert_eq!(read(&format!("/?{}", "<".repeat(19))), Err(RequestFault::TargetTooLong));
}

#[test]
fn facts_of_fields_are_kept_for_usual_requests_of_clients() {
    let admission = admission();
    for (via, target, is_kept) in [
        (Via::Proxy, "/x", true),
        // The field `Host` has to be compared with the target.
        (Via::Proxy, "http://a.example/x", false),
        // Other fields are refused.
        (Via::ForwardAuth { removes_fields: true }, "/x", false),
    ] {
        let section = Arc::new(Section::new(b""));
        let mut request = Request { via, ..Request::new("/x", &[]) };
        request.headers = request.headers.of_section(&section);
        admission.facts(&request.head(&Uri::from_static(target))).unwrap();
        assert_eq!(admission.head.known_facts(&section).is_some(), is_kept, "{via:?} {target}");
        // What is kept says nothing about another target's host.
        let other = Uri::from_static("http://b.example/x");
        assert!(admission.facts(&request.head(&other)).is_err(), "{via:?} {target}");
    }
}
