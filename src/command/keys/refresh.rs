//! `metagate keys --refresh`: makes the running proxy fetch its keys now.

use std::time::Duration;

use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::Arguments;
use crate::command::health::{Listener, listener_url};
use crate::command::{Failure, runtime};
use crate::tls;

/// Longer than the minute after which the admin listener ends every connection.
const TIMEOUT: Duration = Duration::from_secs(65);

/// Fails with exit code 1 if a source could not be fetched.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let url = match &arguments.url {
        Some(url) => url.join("/keys/refresh").map_err(|error| Failure::Other(error.to_string()))?,
        None => listener_url(&arguments.config, Listener::Admin, "/keys/refresh")?,
    };
    tls::install_crypto_provider();
    let (status, text) = runtime()?
        .block_on(ask(url.clone()))
        .map_err(|error| Failure::Other(format!("{url}: {}", cause(&error))))?;
    let sources = match serde_json::from_str(&text) {
        Ok(Value::Array(sources)) if matches!(status, StatusCode::OK | StatusCode::BAD_GATEWAY) => sources,
        response => {
            let message =
                response.ok().and_then(|response| Some(response.get("message")?.as_str()?.to_owned()));
            let message = message.unwrap_or_else(|| "not the admin listener of metagate".to_owned());
            return Err(Failure::Other(format!("{url} answered {status}: {}", message.escape_debug())));
        }
    };
    match arguments.json {
        true => say!("{:#}", Value::Array(sources)),
        false => sources.iter().for_each(print_source),
    }
    if status == StatusCode::OK { Ok(()) } else { Err(Failure::Code(1)) }
}

async fn ask(url: Url) -> Result<(StatusCode, String), reqwest::Error> {
    let client = reqwest::Client::builder()
        .no_proxy()
        .timeout(TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .build()?;
    let response = client.post(url).header("x-metagate", "1").send().await?;
    Ok((response.status(), response.text().await?))
}

/// The root cause of an error: reqwest's own message says only that sending failed.
fn cause(error: &reqwest::Error) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(next) = cause.source() {
        cause = next;
    }
    cause.to_string()
}

/// Prints a line for the source and one for its result. Issuers choose their kids, so they are escaped.
fn print_source(source: &Value) {
    let text = |name: &str| source[name].as_str().unwrap_or_default().escape_debug().to_string();
    say!("{}  {}", text("issuer"), text("source"));
    if source["failure"].is_string() {
        say!("  failed: {}", text("failure"));
    }
    let keys = source["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let usable: Vec<_> = keys.iter().filter(|key| key["usable"] == true).collect();
    let kids = usable.iter().map(|key| key["kid"].as_str().unwrap_or("-").escape_debug().to_string());
    let age = source["ageSeconds"].as_u64().map(|age| format!(", fetched {age}s ago")).unwrap_or_default();
    say!("  {} usable keys{age}: {}", usable.len(), kids.collect::<Vec<_>>().join(" "));
}
