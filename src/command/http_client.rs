//! The HTTP client of the commands.

use reqwest::{Client, ClientBuilder};

use crate::config::ClientTls;
use crate::tls;

/// A client without the environment's proxies. It trusts the same authorities as the proxy: reqwest's own choice cannot
/// be built on a machine that has none, as in an image from scratch.
pub(super) fn client_builder() -> ClientBuilder {
    let builder = Client::builder().no_proxy();
    match tls::client_config(&ClientTls::default()) {
        Ok(config) => builder.tls_backend_preconfigured(config),
        // Building it will say why.
        Err(_) => builder,
    }
}
