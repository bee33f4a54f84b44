//! The usual test setup: a key server, a backend, and a ready gateway between them.

use super::gateway::{Gateway, Setup};
use super::issuer::{Issuer, JWKS};
use super::keys;
use super::upstream::Upstream;

/// Fields are dropped in this order: the gateway first.
pub struct Stage {
    pub gateway: Gateway,
    pub upstream: Upstream,
    pub issuer: Issuer,
}

impl Stage {
    /// As most users run it: the key URL and the upstream in the environment, no config file. The
    /// key set holds the first RSA key; `adjust` may add to the environment.
    #[track_caller]
    pub fn plain(adjust: impl FnOnce(Setup) -> Setup) -> Self {
        Self::with(Issuer::of(keys::rsa()), Upstream::echo(), adjust)
    }

    #[track_caller]
    pub fn with(issuer: Issuer, upstream: Upstream, adjust: impl FnOnce(Setup) -> Setup) -> Self {
        let setup = Setup::run()
            .env("AUTHENTICATION_PUBLIC_KEYS", format!("[{}]", issuer.url(JWKS)))
            .env("METAGATE_UPSTREAM__URL", upstream.url());
        let gateway = adjust(setup).start();
        gateway.wait_ready();
        Self { gateway, upstream, issuer }
    }

    /// With a config file in which `ISSUER` stands for the key server's base URL. The environment
    /// sets the upstream.
    #[track_caller]
    pub fn configured(issuer: Issuer, config: &str) -> Self {
        Self::configured_with(issuer, Upstream::echo(), config)
    }

    #[track_caller]
    pub fn configured_with(issuer: Issuer, upstream: Upstream, config: &str) -> Self {
        let gateway = Setup::run()
            .env("METAGATE_UPSTREAM__URL", upstream.url())
            .config(config.replace("ISSUER", &issuer.url("")))
            .start();
        gateway.wait_ready();
        Self { gateway, upstream, issuer }
    }
}
