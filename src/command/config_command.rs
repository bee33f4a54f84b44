//! `metagate config print` and `metagate config schema`

use clap::Subcommand;

use super::{ConfigArguments, Failure, load};
use crate::config::{self, Flags};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Print the merged configuration, secrets redacted, and where each value came from.
    Print(ConfigArguments),
    /// Print the JSON Schema of the configuration file.
    Schema,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Print(arguments) => print!("{}", config::print(&load(arguments, Flags::default())?)),
        Command::Schema => println!("{:#}", config::schema()),
    }
    Ok(())
}
