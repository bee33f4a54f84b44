//! What is cached, and when a cached token is verified again.

use std::time::Duration;

use secrecy::ExposeSecret as _;

use super::*;
use crate::bots::{Bot, BotFault};
use crate::claims::IssuedKind;
use crate::own_issuer::{IssuerKey, TokenIssuer};
use crate::trust;

/// A script that also logs introspection, and has an allow-list of bots.
struct WithBots {
    script: Script,
    bot: Result<Arc<Bot>, BotFault>,
}

impl WithBots {
    fn new(bot: Result<Arc<Bot>, BotFault>) -> Self {
        Self { script: Script::new([ring(1, Some(key_set(&[RSA.jwk_named("k")])))]), bot }
    }
}

impl Environment for WithBots {
    fn now(&self) -> NumericDate {
        self.script.now()
    }

    fn keys(&self) -> Arc<KeyRing> {
        self.script.keys()
    }

    fn cached(&mut self, text: &[u8], generation: u64, now: NumericDate) -> Option<Arc<VerifiedToken>> {
        self.script.cached(text, generation, now)
    }

    fn keep(&mut self, text: &str, token: &Arc<VerifiedToken>, generation: u64) {
        self.script.keep(text, token, generation);
    }

    async fn first_keys(&mut self, entry: usize) -> bool {
        self.script.first_keys(entry).await
    }

    async fn newer_keys(&mut self, text: &str, entry: usize, generation: u64) -> Refresh {
        self.script.newer_keys(text, entry, generation).await
    }

    fn revocation(&self, token: &VerifiedToken, text: &[u8]) -> Result<Option<Box<Revoked>>, Unavailable> {
        self.script.revocation(token, text)
    }

    fn bot(&self, _: &VerifiedToken) -> Result<Arc<Bot>, BotFault> {
        self.bot.clone()
    }

    async fn introspect(&mut self, _: &str, _: &VerifiedToken) {
        self.script.calls.push("introspect");
    }

    async fn graphql(&mut self, facts: &RequestFacts, headers: &Fields) -> Result<Graphql, Denial> {
        self.script.graphql(facts, headers).await
    }
}

/// Otherwise a second request would find it in the cache while the first one waits, and be let in.
#[test]
fn a_token_is_introspected_before_it_is_cached() {
    let mut environment = WithBots::new(Err(BotFault::NoList));
    assert!(Request::with_token(&token(&RSA)).admit_by(&admission(), &mut environment).is_ok());
    assert_eq!(environment.script.calls, ["introspect", "keep", "body"]);
}

#[test]
fn a_token_that_is_to_be_revoked_is_neither_introspected_nor_cached() {
    let request = Request::with_token(&token(&RSA));
    let (admission, target) = (admission(), Uri::from_static(request.path));
    let facts = admission.facts(&request.head(&target)).unwrap();
    let mut environment = WithBots::new(Err(BotFault::NoList));
    let verified = {
        pin!(admission.verify_presented(&facts.credentials, &mut environment, &mut ()))
            .poll(&mut Context::from_waker(Waker::noop()))
    };
    assert!(matches!(verified, Poll::Ready(Ok(_))));
    assert!(environment.script.calls.is_empty(), "{:?}", environment.script.calls);
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
        let mut environment = WithBots::new(bot);
        environment.script.cached = Some(bots_token());
        let refused = Request::with_token(&token(&RSA)).admit_by(&admission(), &mut environment).err();
        let by_the_list = refused.filter(|(step, _)| *step == Step::Revocation);
        assert_eq!(by_the_list, refusal.map(|reason| (Step::Revocation, reason)), "{:?}", environment.bot);
        assert_eq!(environment.script.calls.contains(&"keep"), is_verified, "{:?}", environment.bot);
    }
}
