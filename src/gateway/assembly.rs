//! Creates the [`Gateway`] and its [`Admission`] from the configuration.

use std::sync::Arc;
use std::time::Instant;

use super::rate_limits::RateLimits;
use super::request_ids::RequestIds;
use super::revocation_endpoint::RevocationEndpoint;
use super::token_endpoint::TokenEndpoint;
use super::{Clock, Gateway, ListenerKind, Peer};
use crate::admission::Admission;
use crate::backend_credentials::BackendCredentials;
use crate::bot_list::BotList;
use crate::challenge::Wording;
use crate::claims::FieldRules;
use crate::config::{Config, DatahubSystem, UpstreamAuthorization};
use crate::decision::{Authorizer, SystemCredential};
use crate::exchange::Recorder;
use crate::introspection::Introspector;
use crate::jwks::Keys;
use crate::numeric_date::NumericDate;
use crate::outbound_head::{Authorization, IdentityNames, OutboundHead};
use crate::policy::Policy;
use crate::request::{PathPrefix, TokenFields};
use crate::resource_metadata::ResourceMetadata;
use crate::revocation_list::RevocationList;
use crate::token_cache::TokenCache;
use crate::trust::TrustedIssuer;

impl Gateway {
    /// Creates the gateway of a configuration.
    pub fn new(
        config: &Config,
        keys: Arc<Keys>,
        credentials: Arc<BackendCredentials>,
        (revocations, bots): (Arc<RevocationList>, Arc<BotList>),
        recorder: Arc<Recorder>,
        clock: Clock,
    ) -> Self {
        let admission = admission(config);
        let wording = Wording::new(config.backend, &admission.authorizer.trust);
        let prefix = admission.head.prefix().map_or("", PathPrefix::as_str);
        let token_endpoint = config.exchange.endpoint.as_ref().zip(config.issuer.clone());
        let token_endpoint =
            token_endpoint.map(|(endpoint, issuer)| Box::new(TokenEndpoint::new(endpoint, prefix, issuer)));
        let revocation_endpoint = config.revocations.endpoint.as_ref();
        let revocation_endpoint =
            revocation_endpoint.map(|endpoint| Box::new(RevocationEndpoint::new(endpoint, prefix)));
        Self {
            admission,
            token_fields: Box::default(),
            wording,
            forward_auth: config.forward_auth.as_ref().map(|forward_auth| forward_auth.target),
            token_endpoint,
            revocation_endpoint,
            cors: config.cors.clone().map(Box::new),
            resource_metadata: ResourceMetadata::new(&config.resource_metadata).map(Box::new),
            keys,
            cache: TokenCache::new(config.token_cache.max_bytes, config.token_cache.max_ttl),
            credentials,
            revocations,
            bots,
            introspector: None,
            rate_limits: RateLimits::new(
                config.limits.failures,
                config.limits.principal,
                config.policy.mode,
                Instant::now(),
            ),
            recorder,
            discard: config.limits.discard,
            unverified_timeout: config.limits.unverified_timeout,
            graphql_limit: config.limits.graphql_bytes,
            upgrades: config.upstream.upgrades.clone(),
            close_on_token_expiry: config.upstream.close_on_token_expiry,
            request_ids: RequestIds::new(),
            clock,
        }
    }

    /// The token fields of the listener that accepted this connection, if it has its own.
    pub(super) fn token_fields(&self, peer: &Peer) -> Option<&TokenFields> {
        match peer.listener_kind {
            ListenerKind::Proxy(number) => self.listener_token_fields(number),
            ListenerKind::ForwardAuth => None,
        }
    }

    /// The token fields of the proxy listener with this number, if it has its own.
    pub fn listener_token_fields(&self, number: usize) -> Option<&TokenFields> {
        self.token_fields.get(number)?.as_ref()
    }

    /// Reads tokens from these fields on the listeners that have their own, by number. None of them is forwarded, also if
    /// the configuration does not name it any more.
    #[must_use]
    pub fn with_token_fields(mut self, of_listeners: Vec<Option<TokenFields>>) -> Self {
        if of_listeners.iter().any(Option::is_some) {
            self.admission.head = self.admission.head.without_token_fields(of_listeners.iter().flatten());
            self.token_fields = of_listeners.into();
        }
        self
    }
}

impl Gateway {
    /// Asks the backend about tokens of its bots.
    #[must_use]
    pub fn with_introspector(self, introspector: Option<Arc<Introspector>>) -> Self {
        Self { introspector, ..self }
    }

    /// Takes over what clients have used up of the rate limits that are the same as in this gateway.
    #[must_use]
    pub fn with_counts_of(mut self, before: Option<&Self>) -> Self {
        if let Some(before) = before {
            self.rate_limits.keep_counts_of(&before.rate_limits);
        }
        self
    }
}

/// The admission of a configuration.
pub fn admission(config: &Config) -> Admission {
    let identity = config.identity.clone();
    let names = IdentityNames {
        user: identity.user,
        email: identity.email,
        groups: identity.groups,
        datahub_actor: identity.datahub_actor,
    };
    let head =
        OutboundHead::new(config.backend, names, authorization(config), config.trusted_proxies.clone())
            .trusting_unix_peers(config.trusts_unix_peers)
            .with_field_rules(FieldRules {
                max_groups_bytes: identity.groups_max_bytes,
                claims: identity.headers,
            })
            .with_token_fields(config.token_fields.clone())
            .without_token_fields(config.listener_token_fields.iter().flatten())
            .with_prefix(config.strip_prefix.clone())
            .with_frontend_peers(identity.datahub_frontend_peers);
    let body_bytes = if config.limits.body_bytes == 0 { u64::MAX } else { config.limits.body_bytes };
    Admission { authorizer: authorizer(config), head, body_bytes, target_bytes: config.limits.target_bytes }
}

fn authorizer(config: &Config) -> Authorizer {
    let trust = config.trust.iter().map(|entry| TrustedIssuer {
        name: entry.name.clone(),
        algorithms: entry.algorithms,
        rules: entry.rules.clone(),
    });
    let system = config.datahub_system.as_ref();
    Authorizer {
        backend: config.backend,
        policy: Policy {
            token_endpoint: config.exchange.endpoint.as_ref().map(|endpoint| endpoint.path.clone()),
            revocation_endpoint: config.revocations.endpoint.as_ref().map(|endpoint| endpoint.path.clone()),
            ..config.policy.clone()
        },
        trust: trust.collect(),
        datahub_system: system.map(|DatahubSystem { client_id, client_secret }| SystemCredential {
            client_id: client_id.clone(),
            client_secret: client_secret.clone(),
        }),
        token_bytes: config.limits.token_bytes,
        exchange: config.exchange.table.clone(),
    }
}

fn authorization(config: &Config) -> Authorization {
    match config.upstream.authorization {
        UpstreamAuthorization::Forward => Authorization::Forward,
        UpstreamAuthorization::Strip => Authorization::Strip,
    }
}

/// The system clock.
pub fn system_clock() -> NumericDate {
    use std::time::{SystemTime, UNIX_EPOCH};
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    NumericDate::from_secs(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}
