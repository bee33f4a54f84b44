//! Fields of which a section was received before.

use super::*;
use crate::claims::VerifiedToken;

/// A request with the section. Each is rewritten as if it were the only one.
struct Request<'a> {
    head: &'a OutboundHead,
    facts: &'a RequestFacts,
    permit: &'a Permit,
    peer: IpAddr,
    tls: bool,
}

impl Request<'_> {
    fn rewrite(&self, mut headers: Fields) -> Fields {
        self.head.rewrite(&mut headers, self.facts, self.permit, self.peer, self.tls).unwrap();
        headers
    }
}

/// Whatever of them comes first, each gets the same as without the section.
fn assert_independent(sent: &Fields, requests: &[Request<'_>]) {
    for first in requests {
        for second in requests {
            let section = Arc::new(Section::new(b""));
            for request in [first, second, first] {
                let repeated = request.rewrite(sent.of_section(&section));
                assert_eq!(repeated, request.rewrite(sent.clone()));
                assert!(repeated.section().is_none());
            }
        }
    }
}

fn permitted(authorizer: &Authorizer, facts: &RequestFacts, token: &Arc<VerifiedToken>) -> Permit {
    authorizer.decide(facts, authorizer.route(facts), Ok(Caller::Token(token.clone()))).unwrap()
}

/// What is kept of a section is only used for the same rules, token and peer.
#[test]
fn fields_of_a_repeated_section_are_those_of_the_request() {
    let authorizer = authorizer(Backend::OpenMetadata);
    let renamed = IdentityNames { user: Some(HeaderName::from_static("x-other-user")), ..names(false) };
    let trusted = vec!["192.0.2.2/32".parse().unwrap()];
    let heads = [
        head(Backend::OpenMetadata),
        head(Backend::OpenMetadata).with_prefix(PathPrefix::new("/catalog")),
        OutboundHead::new(Backend::OpenMetadata, renamed, Authorization::Strip, trusted),
    ];
    let sent =
        fields(&[BEARER, ("host", "a.example"), ("x-forwarded-for", "198.51.100.1"), ("x-other", "kept")]);
    let facts = &facts_of(Backend::OpenMetadata, "GET", "/api/x", &sent).unwrap();
    let permits =
        ["a", "b"].map(|sub| decide(&authorizer, facts, Some(verified(json!({"sub": sub})))).unwrap());
    let mut requests = Vec::new();
    for (head, permit) in heads.iter().flat_map(|head| permits.iter().map(move |permit| (head, permit))) {
        for (peer, tls) in [("192.0.2.1", false), ("192.0.2.2", false), ("192.0.2.1", true)] {
            requests.push(Request { head, facts, permit, peer: peer.parse().unwrap(), tls });
        }
    }
    assert_independent(&sent, &requests);
}

/// The target is not part of the section, and decides about `Host` and whether a bot may act as another user.
#[test]
fn fields_that_depend_on_the_target_are_not_repeated() {
    let mut authorizer = authorizer(Backend::OpenMetadata);
    let bots = vec!["ada".into()];
    authorizer.policy.impersonation = Some(Impersonation { issuer: "https://idp.example".into(), bots });
    // In enforce mode the identity endpoint would be refused.
    authorizer.policy.mode = Mode::Report;
    let (head, token) = (head(Backend::OpenMetadata), Arc::new(verified(json!({"isBot": true}))));
    let impersonating = fields(&[BEARER, ("host", "a.example"), ("x-impersonate-user", "eve")]);
    let plain = fields(&[BEARER, ("host", "a.example")]);
    for (sent, targets, name, values) in [
        (
            &impersonating,
            ["/api/v1/tables", "/api/v1/users/token"],
            "x-impersonate-user",
            [&["eve"][..], &[]],
        ),
        (
            &plain,
            ["http://a.example:80/api/x", "http://A.EXAMPLE/api/x"],
            "host",
            [&["a.example:80"], &["A.EXAMPLE"]],
        ),
        (&plain, ["http://a.example:80/api/x", "/api/x"], "host", [&["a.example:80"], &["a.example"]]),
    ] {
        let facts = targets.map(|target| facts_of(Backend::OpenMetadata, "GET", target, sent).unwrap());
        let permits = facts.each_ref().map(|facts| permitted(&authorizer, facts, &token));
        let requests: Vec<_> = facts
            .iter()
            .zip(&permits)
            .map(|(facts, permit)| Request { head: &head, facts, permit, peer: PEER, tls: false })
            .collect();
        for (request, values) in requests.iter().zip(values) {
            assert_values(&request.rewrite(sent.clone()), name, values);
        }
        assert_independent(sent, &requests);
    }
}

/// A section has the same fields each time, so other fields show which are sent.
#[test]
fn a_repeated_section_gets_the_fields_that_were_kept() {
    let (authorizer, head) = (authorizer(Backend::Generic), head(Backend::Generic));
    let section = Arc::new(Section::new(b""));
    let lines = |number| fields(&[BEARER, ("host", "a.example"), ("x-number", number)]);
    let facts = facts_of(Backend::Generic, "GET", "/api/x", &lines("0")).unwrap();
    let permit = || permitted(&authorizer, &facts, &Arc::new(verified(json!({}))));
    let (permit, renewed) = (permit(), permit());
    let other_peer = IpAddr::from([192, 0, 2, 2]);
    for (number, permit, peer, expected) in [
        ("1", &permit, PEER, "1"),
        ("2", &permit, PEER, "1"),
        // Two peers would replace each other's with each request.
        ("3", &permit, other_peer, "3"),
        ("4", &permit, PEER, "1"),
        // The same client with a token that was verified again.
        ("5", &renewed, PEER, "5"),
        ("6", &renewed, PEER, "5"),
    ] {
        let request = Request { head: &head, facts: &facts, permit, peer, tls: false };
        assert_values(&request.rewrite(lines(number).of_section(&section)), "x-number", &[expected]);
    }
}
