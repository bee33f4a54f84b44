//! The token that a client of the token endpoint wants to exchange.
//!
//! It goes through steps 5 to 7 of every other request: it is verified, looked up in the revocation list and mapped. Routes
//! and rules are about requests to the backend, so they are not asked: the rules decide about each request with the
//! issued token. Report mode has no effect, because nothing is forwarded.

use std::net::IpAddr;
use std::sync::Arc;

use super::presented::presented;
use super::{Admission, Environment, Observer, Step, rate, refused};
use crate::claims::VerifiedToken;
use crate::decision::{Caller, Denial, Reason};
use crate::diagnosis::Detail;
use crate::request::Credentials;
use crate::token_exchange::NotIssued;

impl Admission {
    /// Verifies and maps a subject token, and checks that a token may be issued for it
    /// ([`crate::token_exchange::TokenExchange::issue`]).
    ///
    /// # Errors
    /// The denial from the first step that refuses it.
    pub async fn admit_subject<E, O>(
        &self,
        subject: &Credentials,
        source: Option<IpAddr>,
        environment: &mut E,
        observer: &mut O,
    ) -> Result<Arc<VerifiedToken>, Denial>
    where
        E: Environment + Send,
        O: Observer + Send,
    {
        let bearer = presented(subject, observer)?;
        let token = match self.verify(bearer, source, environment, observer).await {
            Ok(token) => token,
            Err(denial) => {
                rate::count(&denial, environment);
                return Err(denial);
            }
        };
        if let Err(why) = self.authorizer.exchange.issue(&token) {
            return Err(refused(observer, Step::Mapping, not_issued(&token, why)));
        }
        let caller = Caller::Token(token.clone());
        self.authorizer.check_actor(&caller).map_err(|denial| refused(observer, Step::Rules, denial))?;
        observer.caller(&caller);
        Ok(token)
    }
}

fn not_issued(token: &VerifiedToken, why: NotIssued) -> Denial {
    match why {
        NotIssued::IssuedBefore => {
            Denial::new(Reason::NoMapping).with("a token that metagate issued itself is not exchanged again")
        }
        NotIssued::Unmapped => Denial::new(Reason::NoMapping).with("no entry of exchange takes it"),
        NotIssued::OnlyInline => {
            let entry = token.mapped_user().map_or("", |user| &*user.entry);
            let detail = Detail::of(format_args!(
                "the exchange entry {entry} has no tokenLifetime: its tokens are only exchanged in requests to the backend"
            ));
            Denial::new(Reason::NoMapping).with(detail.finish())
        }
        NotIssued::NoSubject => Denial::new(Reason::MissingPrincipal)
            .with("the issued token would have no subject: sub is missing, empty or longer than 256 bytes"),
    }
}
