//! `metagate top`: what a running proxy does now, and first what needs a look.

use std::io::{self, IsTerminal as _, Write as _};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use http::StatusCode;
use serde_json::Value;
use url::Url;

use super::running::{self, Ask};
use super::{ConfigArguments, Failure, write_out};

mod view;

/// The shortest time between two updates: the proxy's own figures are of the last seconds.
const MIN_INTERVAL: Duration = Duration::from_millis(500);
/// To the top left, and clear everything below.
const CLEAR: &[u8] = b"\x1b[H\x1b[J";

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print once, after one interval, and exit. This is the default if standard output is not a terminal.
    #[arg(long)]
    once: bool,
    /// The time between two updates, at least 500ms.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    interval: Duration,
    /// The URL of the proxy's admin listener; by default the one of the configuration.
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
}

/// The state of the process, and when it was asked for.
struct Snapshot {
    at: Instant,
    status: Value,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let url = running::url(&arguments.config, arguments.url.as_ref(), "/status")?;
    let interval = arguments.interval.max(MIN_INTERVAL);
    let once = arguments.once || !io::stdout().is_terminal();
    let mut before = snapshot(&url)?;
    loop {
        sleep(interval);
        match snapshot(&url) {
            Ok(now) => {
                let text = view::render(&before.status, &now.status, now.at - before.at);
                if once {
                    return write_out(&text);
                }
                show(&text)?;
                before = now;
            }
            Err(error) if once => return Err(error),
            // It may be starting again.
            Err(Failure::Other(error)) => show(&format!("no state of the process: {error}\n"))?,
            Err(error) => return Err(error),
        }
    }
}

/// Writes to a terminal, over what was written before.
fn show(text: &str) -> Result<(), Failure> {
    io::stdout().write_all(CLEAR)?;
    write_out(text)
}

fn snapshot(url: &Url) -> Result<Snapshot, Failure> {
    let (status, state) = running::ask(url, &Ask::Get)?;
    if status != StatusCode::OK || !state["budgets"].is_object() {
        return Err(running::unexpected(url, status, &state));
    }
    Ok(Snapshot { at: Instant::now(), status: state })
}
