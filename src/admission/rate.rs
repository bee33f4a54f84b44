//! Rate limits, as the steps of admission apply them.

use super::{Environment, Observer, Step, refused};
use crate::decision::{Caller, Denial, Reason};
use crate::diagnosis::Detail;
use crate::rate_limiter::Wait;

/// Before a token that is not cached is verified.
///
/// # Errors
/// Its client network has sent too many tokens that are not genuine.
pub(super) fn before_verification<E: Environment, O: Observer>(
    environment: &mut E,
    observer: &mut O,
) -> Result<(), Denial> {
    let check = environment.check_failures();
    check.map_err(|wait| limited(observer, "limits.failures of this client network", wait))
}

/// Once the caller is known, or refused because of its token.
///
/// # Errors
/// The caller's principal sends too many requests.
pub(super) fn of_caller<E: Environment, O: Observer>(
    caller: &Result<Caller, Denial>,
    environment: &mut E,
    observer: &mut O,
) -> Result<(), Denial> {
    match caller {
        Ok(Caller::Token(token)) => {
            let permit = environment.take_permit(token);
            permit.map_err(|wait| limited(observer, "limits.principal of this principal", wait))
        }
        Ok(Caller::Anonymous | Caller::DatahubSystem | Caller::SessionCookie) => Ok(()),
        Err(denial) => {
            count(denial, environment);
            Ok(())
        }
    }
}

/// Counts a refused token, if no trusted issuer has made it.
pub(super) fn count<E: Environment>(denial: &Denial, environment: &mut E) {
    if denial.reason.row().is_failure {
        environment.count_failure();
    }
}

fn limited<O: Observer>(observer: &mut O, limit: &'static str, wait: Wait) -> Denial {
    let detail = Detail::of(format_args!("more than {limit}")).finish();
    let denial =
        Denial { retry_after: Some(wait.seconds()), ..Denial::new(Reason::RateLimited).with(detail) };
    refused(observer, Step::Rate, denial)
}
