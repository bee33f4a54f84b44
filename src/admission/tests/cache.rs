//! What is cached, and when a cached token is verified again.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::detailed::{Detailed, good};
use super::*;
use crate::bots::{Bot, BotFault};
use crate::claims::IssuedKind;
use crate::own_issuer::{IssuerKey, TokenIssuer};
use crate::trust;

/// Otherwise a second request would find it in the cache while the first one waits, and be let in.
#[test]
fn a_token_is_introspected_before_it_is_cached() {
    let mut environment = Detailed::new(good());
    assert!(Request::with_token(&token(&RSA)).admit_by(&admission(), &mut environment).is_ok());
    assert_eq!(environment.script.calls, ["check", "introspect", "keep", "permit", "body"]);
}

#[test]
fn a_token_that_is_to_be_revoked_is_neither_introspected_nor_cached() {
    let request = Request::with_token(&token(&RSA));
    let (admission, target) = (admission(), Uri::from_static(request.path));
    let facts = admission.facts(&request.head(&target)).unwrap();
    let mut environment = Detailed::new(good());
    let verified = {
        pin!(admission.verify_presented(&facts.credentials, &mut environment, &mut ()))
            .poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(matches!(verified, Poll::Ready(Ok(_))));
    assert_eq!(environment.script.calls, ["check"]);
}

/// A verified token of a bot with the role `a`.
fn bots_token() -> Arc<VerifiedToken> {
    let issuer = TokenIssuer::new("https://m.example", "metagate", vec![IssuerKey::generate().unwrap()]);
    let issued = issuer.issue(IssuedKind::Bot, "nightly", Duration::from_secs(600), NOW_DATE, &[]).unwrap();
    let token = UnverifiedToken::parse(issued.text.expose_secret(), MAX_BYTES).unwrap();
    let entry = issuer.trusted(Duration::ZERO);
    let verified = trust::verify(&token, &entry, Some(&issuer.key_set()), NOW_DATE).unwrap();
    Arc::new(verified.with_roles(&["a".into()]))
}

fn bot(roles: &[&str]) -> Result<Arc<Bot>, BotFault> {
    Ok(Arc::new(Bot {
        name: "nightly".into(),
        roles: roles.iter().map(|role| (*role).into()).collect(),
        created: NOW_DATE,
        source_ips: Vec::new(),
        tokens: Vec::new(),
    }))
}

/// An outage of the store must not cost a signature for each request.
#[test]
fn a_cached_token_of_a_bot_is_verified_again_only_if_its_roles_have_changed() {
    for (bot, refusal, is_verified) in [
        (bot(&["a"]), None, false),
        (bot(&["b"]), None, true),
        (Err(BotFault::Unavailable), Some(Reason::RevocationsUnavailable), false),
        (Err(BotFault::NotListed), Some(Reason::Revoked), false),
    ] {
        let script = Script { cached: Some(bots_token()), ..good() };
        let mut environment = Detailed { bot, ..Detailed::new(script) };
        let refused = Request::with_token(&token(&RSA)).admit_by(&admission(), &mut environment).err();
        let by_the_list = refused.filter(|(step, _)| *step == Step::Revocation);
        assert_eq!(by_the_list, refusal.map(|reason| (Step::Revocation, reason)), "{:?}", environment.bot);
        assert_eq!(environment.script.calls.contains(&"keep"), is_verified, "{:?}", environment.bot);
    }
}
