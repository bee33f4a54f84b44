//! Asks the running proxy through its admin listener.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::health::{Listener, listener_url};
use super::http_client::client_builder;
use super::{ConfigArguments, Failure, runtime};
use crate::loopback::is_on_this_machine;
use crate::tls;

/// Longer than the minute after which the admin listener ends every connection.
const TIMEOUT: Duration = Duration::from_secs(65);

/// The method of a request, and its body.
pub(super) enum Ask {
    Get,
    Post(Option<Value>),
}

/// The URL of a path on the admin listener: at `named`, or at the address of the configuration.
pub(super) fn url(config: &ConfigArguments, named: Option<&Url>, path: &str) -> Result<Url, Failure> {
    match named {
        Some(url) => url.join(path).map_err(|error| Failure::Other(error.to_string())),
        None => listener_url(config, Listener::Admin, path),
    }
}

/// Checks that what is sent to this URL does not leave the machine.
pub(super) fn check_is_local(url: &Url) -> Result<(), Failure> {
    if is_on_this_machine(url) {
        return Ok(());
    }
    let host = url.host_str().unwrap_or_default();
    Err(Failure::Other(format!("a token is sent only to a loopback address, and {host} is none")))
}

/// Sends a request, and returns the status and the JSON of the response; null if it is not JSON.
pub(super) fn ask(url: &Url, ask: &Ask) -> Result<(StatusCode, Value), Failure> {
    tls::install_crypto_provider();
    let response = runtime()?.block_on(send(url.clone(), ask));
    let (status, text) = response.map_err(|error| Failure::Other(format!("{url}: {}", cause(&error))))?;
    Ok((status, serde_json::from_str(&text).unwrap_or_default()))
}

/// The error for a response that is not the expected one.
pub(super) fn unexpected(url: &Url, status: StatusCode, response: &Value) -> Failure {
    let message = response["message"].as_str().unwrap_or("not the admin listener of metagate");
    Failure::Other(format!("{url} answered {status}: {}", message.escape_debug()))
}

async fn send(url: Url, ask: &Ask) -> Result<(StatusCode, String), reqwest::Error> {
    let client = client_builder().timeout(TIMEOUT).redirect(reqwest::redirect::Policy::none()).build()?;
    let request = match ask {
        Ask::Get => client.get(url),
        Ask::Post(None) => client.post(url),
        Ask::Post(Some(body)) => {
            client.post(url).header("content-type", "application/json").body(body.to_string())
        }
    };
    let response = request.header("x-metagate", "1").send().await?;
    Ok((response.status(), response.text().await?))
}

/// The root cause of an error: reqwest's own message says only that sending failed.
pub(super) fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}
