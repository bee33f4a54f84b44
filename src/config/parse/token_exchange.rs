//! Parses `exchange`: which workloads act as which user of the backend.
//!
//! What is refused here would let somebody in who was not meant: an entry that takes any token of its issuer, an issuer
//! whose tokens are made for another service, and an administrator as the user, unless that is written too.

use std::sync::Arc;
use std::time::Duration;

use super::super::token_exchange::{CredentialKind, ExchangeConfig, ExchangeCredential};
use super::super::words::Word as _;
use super::super::{TrustEntry, values};
use super::section::Section;
use super::token_endpoint;
use crate::backend::{Backend, PrincipalStyle, TokenFormat};
use crate::claims::MappedUser;
use crate::mint::{DEFAULT_LIFETIME, MintFault, Minter, TargetUser};
use crate::token_exchange::{ExchangeEntry, TokenExchange};

mod from;
mod issuers;
mod privileged;

use from::{From, refuse_unreachable};
use privileged::check_user;

/// What the entries depend on.
struct Context<'c> {
    root: &'c Section<'c>,
    backend: Backend,
    trust: &'c [TrustEntry],
    minter: Option<&'c Minter>,
}

/// Parses the entries, and adapts the issuers that take part.
pub(super) fn token_exchange(
    root: &Section<'_>,
    backend: Backend,
    trust: &mut [TrustEntry],
    minter: Option<&Arc<Minter>>,
) -> ExchangeConfig {
    let sections = root.entries("exchange");
    let issuers = issuers::taking_part(root, &sections, trust);
    issuers::adapt(root, &issuers, trust);
    if !issuers.is_empty() && root.section("forwardAuth").is_given("listen") {
        root.error_with_help(
            if root.has("exchange") && !sections.is_empty() { "exchange" } else { "issuer" },
            "forwardAuth.listen is also set; set only one of them: the response to the other proxy would have the \
             user's credential in it",
            "forward the requests of workloads through metagate itself, or run a second one for forward-auth",
        );
    }
    let context = Context { root, backend, trust, minter: minter.map(AsRef::as_ref) };
    let mut config = ExchangeConfig::default();
    let mut entries: Vec<(ExchangeEntry, &Section<'_>)> = Vec::new();
    let mut issuance = Vec::new();
    for section in &sections {
        let Some((entry, credential)) = context.entry(section, entries.len()) else { continue };
        if entries.iter().any(|(other, _)| other.user.entry == entry.user.entry) {
            section.error("name", format!("`{}` is the name of another entry too", entry.user.entry));
        }
        refuse_unreachable(section, &entry, entries.iter().map(|(other, _)| other));
        issuance.extend(token_endpoint::issuance(root, section, &entry, trust));
        entries.push((entry, section));
        config.credentials.push(credential);
    }
    let entries = entries.into_iter().map(|(entry, _)| entry).collect();
    config.table = TokenExchange::new(entries, issuers).with_issuance(issuance);
    config
}

impl Context<'_> {
    /// One entry; `None` if it has an error.
    fn entry(&self, section: &Section<'_>, index: usize) -> Option<(ExchangeEntry, ExchangeCredential)> {
        if section.text("name").is_none() {
            section.missing("name", "an entry needs a name", "write `name: nightly`: the audit log uses it");
        }
        let name = section.read("name", values::name);
        let from = From::read(&section.section("from"), self.trust, self.root);
        let user = self.user(section);
        let email = section.section("as").text("email");
        let credential = self.credential(section, user?, email)?;
        let From { issuer, subjects, claims } = from?;
        let user = MappedUser { index, entry: name?, user: user?.into(), email: email.map(Into::into) };
        Some((ExchangeEntry { issuer, subjects, claims, user: Arc::new(user) }, credential))
    }

    fn user<'s>(&self, section: &Section<'s>) -> Option<&'s str> {
        let target = section.section("as");
        let Some(user) = target.text("user") else {
            target.missing(
                "user",
                "an entry needs the user that its workloads act as",
                "write `as: {user: ingestion-bot}`",
            );
            return None;
        };
        let is_name = |c: char| !c.is_control() && !c.is_whitespace() && !matches!(c, '@' | '*' | ',' | ':');
        if user.len() > crate::claims::MAX_NAME_BYTES || !user.chars().all(is_name) {
            let message =
                format!("{} is not the name of a user; patterns are not accepted", values::quote(user));
            target.error_with_help(
                "user",
                message,
                "write the name, as the backend has it, without urn and address",
            );
            return None;
        }
        let has_lower_case = self.backend.preset().principal_style == PrincipalStyle::LocalPart;
        if has_lower_case && user.chars().any(char::is_uppercase) {
            target.error("user", MintFault::NotLowerCase.to_string());
            return None;
        }
        check_user(self.root, section, user).then_some(user)
    }

    fn credential(
        &self,
        section: &Section<'_>,
        user: &str,
        email: Option<&str>,
    ) -> Option<ExchangeCredential> {
        let kind = match section.text("credential") {
            None => CredentialKind::default(),
            Some(_) => section.read("credential", CredentialKind::from_word)?,
        };
        let format = match kind {
            CredentialKind::TokenFile => return token_file(section),
            CredentialKind::Mint => self.backend.preset().token_format,
            CredentialKind::MintOpenmetadata => Some(TokenFormat::OpenMetadata),
            CredentialKind::MintDatahub => Some(TokenFormat::DataHub),
        };
        if section.is_given("tokenFile") {
            section.error_with_help("tokenFile", "has no effect", "write `credential: tokenFile` too");
        }
        let Some(format) = format else {
            let message =
                format!("`mint` does not say for which product, with backend {}", self.backend.as_str());
            section.error_with_help(
                "credential",
                message,
                "write mintOpenmetadata, mintDatahub or tokenFile",
            );
            return None;
        };
        self.minted(section, format, TargetUser { name: user, email })
    }

    /// A token that is minted for this user.
    fn minted(
        &self,
        section: &Section<'_>,
        format: TokenFormat,
        user: TargetUser<'_>,
    ) -> Option<ExchangeCredential> {
        let lifetime = lifetime(section)?;
        let Some(minter) = self.minter else {
            if !self.root.report.knows("mint") {
                let help = "set mint.issuer and mint.keyFiles (`metagate mint init` makes a key), or for DataHub \
                            mint.datahub.signingKey";
                section.error_with_help(
                    "credential",
                    "there is no key to mint tokens with: mint is not set",
                    help,
                );
            }
            return None;
        };
        let name = section.text("name").unwrap_or_default();
        match minter.prepare(name, format, user, lifetime) {
            Ok(target) => Some(ExchangeCredential::Minted(Arc::new(target))),
            Err(fault) => {
                let (section, key) = match fault {
                    MintFault::InvalidEmail | MintFault::EmailOfAnotherUser => {
                        (section.section("as"), "email")
                    }
                    MintFault::InvalidUser
                    | MintFault::NotLowerCase
                    | MintFault::NameIsAddress
                    | MintFault::SystemUser => (section.section("as"), "user"),
                    MintFault::Lifetime => (section.clone(), "lifetime"),
                    _ => (section.clone(), "credential"),
                };
                section.error(key, fault.to_string());
                None
            }
        }
    }
}

fn lifetime(section: &Section<'_>) -> Option<Duration> {
    match section.text("lifetime") {
        None => Some(DEFAULT_LIFETIME),
        Some(_) => section.read("lifetime", values::duration),
    }
}

fn token_file(section: &Section<'_>) -> Option<ExchangeCredential> {
    if section.is_given("lifetime") {
        section.error("lifetime", "has no effect with `credential: tokenFile`: the token has its own");
    }
    let Some(file) = section.file("tokenFile") else {
        let help = "write `tokenFile: /run/secrets/ingestion-bot`";
        section.missing("tokenFile", "`credential: tokenFile` needs the file", help);
        return None;
    };
    section.warn_of_mode("tokenFile", &file);
    Some(ExchangeCredential::File(file))
}
