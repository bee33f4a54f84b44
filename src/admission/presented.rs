//! A token that somebody presents for another purpose than a request to the backend.

use std::sync::Arc;

use super::{Admission, Environment, Observer, Step, rate, refused};
use crate::claims::VerifiedToken;
use crate::decision::{Denial, Reason};
use crate::request::{BearerToken, Credentials};

impl Admission {
    /// Verifies a token that is to be revoked (step 5). It may be revoked already, and need not be mapped: routes, rules and the
    /// lists are about requests to the backend. So it is not introspected either, and therefore not cached: the cache has only
    /// tokens that were.
    ///
    /// # Errors
    /// It does not verify, or its client network has sent too many that do not.
    pub async fn verify_presented<E, O>(
        &self,
        credentials: &Credentials,
        environment: &mut E,
        observer: &mut O,
    ) -> Result<Arc<VerifiedToken>, Denial>
    where
        E: Environment + Send,
        O: Observer + Send,
    {
        let bearer = presented(credentials, observer)?;
        let verified = self.verify_only(bearer, environment, observer).await;
        let verified = verified.inspect_err(|denial| rate::count(denial, environment))?;
        Ok(verified.token)
    }
}

/// The token in a form.
///
/// # Errors
/// There is none, or it cannot be one.
pub(super) fn presented<'c, O: Observer>(
    credentials: &'c Credentials,
    observer: &mut O,
) -> Result<&'c BearerToken, Denial> {
    let denial = match credentials {
        Credentials::Bearer(bearer) => return Ok(bearer),
        Credentials::Malformed(why) => Denial::new(Reason::MalformedToken).with(*why),
        Credentials::Missing | Credentials::Basic(_) | Credentials::OtherScheme(_) => {
            Denial::new(Reason::MissingToken)
        }
    };
    Err(refused(observer, Step::Credentials, denial))
}
