//! `metagate config`

use clap::Subcommand;

use super::{ConfigArguments, Failure, load, write_out};
use crate::config::{self, Flags};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the merged configuration, secrets redacted, and where each value came from.
    Print(ConfigArguments),
    /// Print the JSON Schema of the configuration file.
    Schema,
    /// Print a configuration file with every key, its default or an example value, and what it is for.
    Example,
    /// Print the table of every key, in Markdown: type, default, meaning and name in the environment.
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
