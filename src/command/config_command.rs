//! `metagate config`: prints the configuration, its schema and its documentation.

use clap::Subcommand;

use super::{ConfigArguments, Failure, load, write_out};
use crate::config::{self, Flags};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the merged configuration with the source of each value. Secrets are redacted.
    Print(ConfigArguments),
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print a documented configuration file with every key and its default or an example value.
    Example,
    /// Print a Markdown table of every key: type, default, meaning and environment variable.
    Docs,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Print(arguments) => write_out(&config::print(&load(arguments, Flags::default())?)),
        Command::Schema => write_out(&format!("{:#}\n", config::schema())),
        Command::Example => write_out(&config::example()),
        Command::Docs => write_out(&config::reference()),
    }
}
