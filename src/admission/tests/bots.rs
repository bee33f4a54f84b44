//! The allow-list of bots, on every request.

use std::net::IpAddr;
use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;
use crate::bots::{Bot, BotToken, Bots};
use crate::claims::IssuedKind;
use crate::own_issuer::{IssuedToken, IssuerKey, TokenIssuer};

struct Setup {
    issuer: TokenIssuer,
    admission: Admission,
}

impl Setup {
    fn new() -> Self {
        let issuer = TokenIssuer::new("https://m.example", "metagate", vec![IssuerKey::generate().unwrap()]);
        let mut admission = admission();
        admission.authorizer.trust.push(issuer.trusted(Duration::ZERO));
        Self { issuer, admission }
    }

    fn issue(&self, kind: IssuedKind) -> IssuedToken {
        self.issuer.issue(kind, "nightly", Duration::from_secs(600), NOW_DATE, &[]).unwrap()
    }

    /// The roles of the caller, or the step that refuses it and the detail in the log.
    fn admit(
        &self,
        issued: &IssuedToken,
        bots: Option<&Bots>,
        source: Option<&str>,
    ) -> Result<Vec<Box<str>>, (Step, Reason, String)> {
        let ring = KeyRing { generation: 1, sets: vec![None, Some(Arc::new(self.issuer.key_set()))] };
        let mut snapshot = Snapshot { bots, ..Snapshot::new(NOW_DATE, Arc::new(ring)) };
        let request =
            Request::new("/y", &[("authorization", &format!("Bearer {}", issued.text.expose_secret()))]);
        let target = Uri::from_static("/y");
        let source = source.map(|source| source.parse::<IpAddr>().unwrap());
        let head = RequestHead { source, ..request.head(&target) };
        let mut seen = Seen::default();
        match self.admission.admit_offline(&head, &mut snapshot, &mut seen) {
            Ok(admitted) => match admitted.permit.caller() {
                Caller::Token(token) => Ok(token.roles().to_vec()),
                other => panic!("{other:?}"),
            },
            Err(denial) => {
                assert_eq!(denial.entry, Some(1), "the entry that verified the token");
                Err((seen.0[0].0, denial.reason, denial.detail.unwrap_or_default().into_owned()))
            }
        }
    }
}

fn listing(issued: &IssuedToken, networks: &[&str]) -> Bots {
    let token = BotToken { id: issued.id.clone(), created: NOW_DATE, expires: issued.expires, note: None };
    Bots::new(vec![Bot {
        name: "nightly".into(),
        roles: vec!["ingestion".into()],
        created: NOW_DATE,
        source_ips: networks.iter().map(|network| network.parse().unwrap()).collect(),
        tokens: vec![token],
    }])
}

#[test]
fn a_listed_bot_has_the_roles_of_the_list() {
    let setup = Setup::new();
    let issued = setup.issue(IssuedKind::Bot);
    assert_eq!(setup.admit(&issued, Some(&listing(&issued, &[])), None), Ok(vec!["ingestion".into()]));
}

#[test]
fn a_bot_that_the_list_does_not_accept_is_refused() {
    let setup = Setup::new();
    let (issued, other) = (setup.issue(IssuedKind::Bot), setup.issue(IssuedKind::Bot));
    let listed = listing(&issued, &[]);
    for (bots, reason) in [
        (None, Reason::Revoked),
        (Some(&Bots::default()), Reason::Revoked),
        (Some(&listing(&other, &[])), Reason::Revoked),
        (Some(&listed.at(issued.expires)), Reason::Revoked),
        (Some(&Bots::awaited()), Reason::RevocationsUnavailable),
        (Some(&listed.stale()), Reason::RevocationsUnavailable),
    ] {
        let (step, found, detail) = setup.admit(&issued, bots, None).unwrap_err();
        assert_eq!((step, found), (Step::Revocation, reason), "{bots:?}");
        assert!(detail.contains(&*issued.id) && detail.contains("issuer.bots"), "{detail}");
    }
}

#[test]
fn a_bot_with_networks_is_refused_from_elsewhere() {
    let setup = Setup::new();
    let issued = setup.issue(IssuedKind::Bot);
    let listed = listing(&issued, &["10.1.0.0/16", "2001:db8::/32"]);
    for source in ["10.1.2.3", "2001:db8::1"] {
        assert!(setup.admit(&issued, Some(&listed), Some(source)).is_ok(), "{source}");
    }
    for (source, found) in [(Some("10.2.0.1"), "from 10.2.0.1,"), (None, "from a Unix socket,")] {
        let (step, reason, detail) = setup.admit(&issued, Some(&listed), source).unwrap_err();
        assert_eq!((step, reason), (Step::Revocation, Reason::InsufficientPermissions));
        let wanted = "wanted one of [10.1.0.0/16, 2001:db8::/32]";
        assert!(detail.contains("nightly") && detail.contains(found) && detail.ends_with(wanted), "{detail}");
    }
    let many: Vec<String> = (0..9).map(|number| format!("10.{number}.0.0/16")).collect();
    let many = listing(&issued, &many.iter().map(String::as_str).collect::<Vec<_>>());
    let (.., detail) = setup.admit(&issued, Some(&many), None).unwrap_err();
    assert!(detail.contains("10.7.0.0/16") && !detail.contains("10.8.0.0/16"), "{detail}");
}

/// The list applies only to bots.
#[test]
fn other_tokens_of_ours_need_no_list() {
    let setup = Setup::new();
    assert_eq!(setup.admit(&setup.issue(IssuedKind::Exchanged), None, None), Ok(Vec::new()));
}
