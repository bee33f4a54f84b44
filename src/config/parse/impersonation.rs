//! Parses `openmetadata.impersonation`: which bots may act as another user.

use super::super::finding::FindingId;
use super::super::{TrustEntry, values};
use super::backend::has_effect;
use super::own_tokens;
use super::section::Section;
use crate::backend::Backend;
use crate::policy::Impersonation;

const KEY: &str = "bots";

/// `None` if no bot is named.
pub(super) fn impersonation(
    root: &Section<'_>,
    backend: Backend,
    trust: &[TrustEntry],
) -> Option<Impersonation> {
    let openmetadata = root.section("openmetadata");
    let section = openmetadata.section("impersonation");
    let bots = section.need_list(KEY, bot);
    let issuer = openmetadata.need_text("issuer");
    if bots.is_empty() {
        return None;
    }
    let has_field = has_effect(&section, KEY, backend, |preset| preset.impersonation.is_some());
    let field = backend.preset().impersonation.filter(|_| has_field)?;
    if own_tokens::known_only_by_issuer(trust, issuer) {
        let message =
            "OpenMetadata's own tokens cannot be distinguished from tokens of other keys of publicKeyUrls";
        let help = "add OpenMetadata's own key set, http://<server>:8585/api/v1/system/config/jwks, or give it an \
                    entry of authentication.issuers";
        section.error_with_help(KEY, message, help);
    }
    let (message, help) = field.warning;
    section.report.warn(FindingId::Impersonation, &section.path(KEY), message, help);
    Some(Impersonation { issuer: issuer.into(), bots })
}

/// The principal of a bot, as OpenMetadata writes it.
fn bot(text: &str) -> Result<Box<str>, String> {
    if text.is_empty() || text.contains(['*', '@', ',']) || text.contains(char::is_whitespace) {
        let quoted = values::quote(text);
        return Err(format!(
            "{quoted} is not the name of a bot, like ingestion-bot; patterns are not accepted"
        ));
    }
    Ok(text.to_lowercase().into())
}
