//! Findings: remarks about a configuration, which do not stop the program. Every warning has an id, by which
//! `check.accept` silences it. The ids are an interface.

use std::fmt;

use super::values::quote;
use super::words::nearest;

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// For information.
    Info,
    /// The program runs, but probably not as intended.
    Warning,
    /// A requested check or action failed.
    Error,
}

impl Level {
    /// The word in front of a finding.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// Defines the ids, each with its meaning.
macro_rules! ids {
    ($($name:ident: $id:literal, $meaning:literal;)+) => {
        /// What kind of warning or failed check a finding is.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum FindingId {
            $(#[doc = $meaning] $name,)+
        }

        impl FindingId {
            /// All ids, in alphabetical order.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The word of the documentation, of `check.accept` and of the output.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $id),+ }
            }

            /// What it says, for the documentation.
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

ids! {
    AdminNotLoopback: "admin-not-loopback", "`admin.listen` can be reached from other machines, and has no authentication.";
    AnyAudience: "any-audience", "An issuer entry without `audiences`: tokens that this issuer issued for another service are accepted too.";
    AnySigner: "any-signer", "Keys of AWS's load balancers without `requireHeader.signer`: every load balancer of every AWS account can sign tokens.";
    AuthorizationServer: "authorization-server", "Clients do not find the metadata of an authorization server of `resourceMetadata` (`check`). An error if it is that of another issuer.";
    BackendKeysMissing: "backend-keys-missing", "OpenMetadata's own key set is not listed, so any key of the simple list can sign a bot's token.";
    BackendMismatch: "backend-mismatch", "Another product than `backend` says answers at `upstream.url` (`check`). Always an error.";
    BackendTokensRefused: "backend-tokens-refused", "`audiences` applies to OpenMetadata's own tokens, which have no `aud`: bots and personal access tokens are refused.";
    BackendUnknown: "backend-unknown", "What answers at `upstream.url` cannot be recognised as what `backend` says (`check`).";
    BackendUnreachable: "backend-unreachable", "`upstream.url` does not answer (`check`). An error if it is about TLS or the protocol.";
    BotTokenEnds: "bot-token-ends", "The last token of a bot ends within 14 days, or the bot has none (`check`).";
    BotUnmapped: "bot-unmapped", "A bot of `issuer.bots` that no entry of `exchange` names, or the other way round (`check`).";
    BotsUnreadable: "bots-unreadable", "The list of `issuer.bots` cannot be used, so no bot is accepted (`check`). Always an error.";
    CertificateExpired: "certificate-expired", "A certificate of metagate, or every authority of a file, has expired (`check`). Always an error.";
    CertificateExpires: "certificate-expires", "A certificate of metagate, or every authority of a file, expires within 14 days (`check`).";
    CountersMissing: "counters-missing", "The issuer entries and rules have more combinations than counters are created in advance, so `increase()` misses the first event of the others.";
    DatahubActor: "datahub-actor", "`identity.datahubActor` is on: GMS trusts that field from every client that can reach it.";
    HttpKeyUrl: "http-key-url", "Keys are fetched without encryption from another network.";
    Impersonation: "impersonation", "`openmetadata.impersonation` lets the named bots act as other users.";
    IssuerKeyListed: "issuer-key-listed", "OpenMetadata lists a URL with a key of `issuer.keyFiles`: every token of a client is a login there (`check`). Always an error.";
    IssuerKeyTrusted: "issuer-key-trusted", "A key set of another issuer has a key of `issuer.keyFiles`. Anyone who has that key can sign tokens of that issuer too.";
    KeysUnavailable: "keys-unavailable", "A key set cannot be fetched (`check`). An error, or a warning if the entry is `optional`.";
    MintKeyTrusted: "mint-key-trusted", "A key set that metagate trusts has a key of `mint.keyFiles`. Anyone who has that key can sign tokens for metagate too.";
    MintKeysUnlisted: "mint-keys-unlisted", "OpenMetadata does not list the URL of metagate's public keys, or they are not there (`check`).";
    MintRefused: "mint-refused", "The backend does not accept a minted token (`check`). Always an error.";
    NoEffect: "no-effect", "A key that has no effect in this configuration.";
    OpenEverything: "open-everything", "A public or optional route that matches every path.";
    OtelVariable: "otel-variable", "An `OTEL_...` variable has a value that cannot be used, so it counts as not set.";
    PortInUse: "port-in-use", "A listener cannot have its address, and no metagate runs with this configuration (`check`). Always an error.";
    ProxyProtocolAnyPeer: "proxy-protocol-any-peer", "`proxyProtocol` is required and `trustedProxies` names no network: any client can claim any address.";
    ProxyUntrusted: "proxy-untrusted", "Envoy asks for decisions, and `trustedProxies` is empty: every request may seem to come from Envoy itself.";
    PublishedKey: "published-key", "The key pair that OpenMetadata ships is in use: anyone can sign tokens with it.";
    PublishedSalt: "published-salt", "`datahub.tokenServiceSalt` is a salt that DataHub ships.";
    ReportMode: "report-mode", "`authorization.mode: report`, or a rule with `mode: report`: nothing is refused, only logged and counted.";
    RevocationIssuer: "revocation-issuer", "Entries of the revocation list name an unknown issuer, so they revoke nothing.";
    RuleNeverDecides: "rule-never-decides", "An earlier rule matches all requests of this rule.";
    RuleOnOpenRoute: "rule-on-open-route", "A rule is about a public route, where no rule is evaluated, or an optional one, where none is without a token.";
    RulePath: "rule-path", "A path of a rule that matches no request, or fewer than it seems to.";
    RuleTestFailed: "rule-test-failed", "A test of `authorization.tests` has another outcome than expected (`check`). Always an error.";
    RuleUntested: "rule-untested", "There are rule tests, and this rule decides in none of them (`check`).";
    SecretReadable: "secret-readable", "Every user of the machine can read or change a file with a secret or a private key.";
    StoreUnencrypted: "store-unencrypted", "The password of `revocations.store` crosses the network without encryption.";
    StoredKeys: "stored-keys", "Only keys stored by an earlier run are available (`check`).";
    UnboundKeys: "unbound-keys", "A key of the simple list verifies a token of any issuer for any service, and `audiences` is not set.";
    UnknownProvider: "unknown-provider", "`authentication.provider` is not a provider that OpenMetadata knows.";
}

impl FindingId {
    /// Reads an id that `check.accept` may name.
    ///
    /// # Errors
    /// What is accepted instead.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let known = |id: &&Self| id.as_str() == text;
        match Self::ALL.iter().find(known) {
            Some(Self::RuleTestFailed) => {
                Err(format!("{} is an error, and errors cannot be accepted", quote(text)))
            }
            Some(id) => Ok(*id),
            None => {
                let near = nearest(text, Self::ALL.iter().map(|id| id.as_str()));
                let hint = near.map_or_else(
                    || "`metagate check` prints the id of each warning in brackets".to_owned(),
                    |near| format!("did you mean `{near}`?"),
                );
                Err(format!("{} is not the id of a warning; {hint}", quote(text)))
            }
        }
    }
}

/// A remark about a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Its severity.
    pub level: Level,
    /// What kind of finding it is; `None` for information.
    pub id: Option<FindingId>,
    /// The key it is about; empty if it is about no key.
    pub path: String,
    /// What is questionable.
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
    /// The steps that led to it; usually empty.
    pub steps: Vec<String>,
}

impl Finding {
    /// A warning about a key.
    pub fn warning(id: FindingId, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Level::Warning, Some(id), path, message)
    }

    /// On one line: the key and what is questionable, without help.
    pub fn in_brief(&self) -> String {
        let colon = if self.path.is_empty() { "" } else { ": " };
        format!("{}{colon}{}", self.path, self.message)
    }

    /// A failed check.
    pub fn error(id: FindingId, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(Level::Error, Some(id), path, message)
    }

    /// A remark.
    pub fn info(message: impl Into<String>) -> Self {
        Self::new(Level::Info, None, "", message)
    }

    /// Adds advice.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    fn new(level: Level, id: Option<FindingId>, path: impl Into<String>, message: impl Into<String>) -> Self {
        let (path, message) = (path.into(), message.into());
        Self { level, id, path, message, help: None, steps: Vec::new() }
    }

    /// Whether it is a warning that `check.accept` names. Errors cannot be accepted.
    pub fn is_accepted(&self, accepted: &[FindingId]) -> bool {
        self.level == Level::Warning && self.id.is_some_and(|id| accepted.contains(&id))
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.level.as_str())?;
        if let Some(id) = self.id {
            write!(f, "[{}]", id.as_str())?;
        }
        write!(f, ": {}", self.in_brief())?;
        self.steps.iter().try_for_each(|step| write!(f, "\n  {step}"))?;
        match &self.help {
            Some(help) => write!(f, "\n  = help: {}", help.replace('\n', "\n          ")),
            None => Ok(()),
        }
    }
}
