//! `metagate keys --refresh`: makes the running proxy fetch its keys now.

use http::StatusCode;
use serde_json::Value;

use super::Arguments;
use crate::command::Failure;
use crate::command::running::{self, Ask};

/// Fails with exit code 1 if a source could not be fetched.
pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let url = running::url(&arguments.config, arguments.url.as_ref(), "/keys/refresh")?;
    let (status, response) = running::ask(&url, &Ask::Post(None))?;
    let sources = match response {
        Value::Array(sources) if matches!(status, StatusCode::OK | StatusCode::BAD_GATEWAY) => sources,
        response => return Err(running::unexpected(&url, status, &response)),
    };
    match arguments.json {
        true => say!("{:#}", Value::Array(sources)),
        false => sources.iter().for_each(print_source),
    }
    if status == StatusCode::OK { Ok(()) } else { Err(Failure::Code(1)) }
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
    let age = source["age_seconds"].as_u64().map(|age| format!(", fetched {age}s ago")).unwrap_or_default();
    say!("  {} usable keys{age}: {}", usable.len(), kids.collect::<Vec<_>>().join(" "));
}
