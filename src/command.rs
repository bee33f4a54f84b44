//! The command line: arguments, subcommands and exit codes.

use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, CommandFactory as _, Parser, Subcommand};

use crate::config::{self, Flags, Loaded, Sources};
use crate::printable;
use crate::telemetry;

/// `println!` that does not panic if the reader has closed the pipe.
macro_rules! say {
    ($($words:tt)*) => { $crate::command::say(format_args!($($words)*)) };
}

mod bot;
mod check;
mod config_command;
mod demo;
mod explain;
mod health;
mod http_client;
mod input;
mod issuer;
mod key_file;
mod keys;
mod mint;
mod report;
mod revoke;
mod routes;
mod run;
mod running;
mod token;
mod top;

/// Verifies bearer JWTs in front of OpenMetadata, DataHub or any HTTP service.
#[derive(Debug, Parser)]
#[command(name = "metagate", version, about, propagate_version = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the proxy.
    Run(RunArguments),
    /// Try everything on this machine: an issuer, a sample backend, and the proxy between them.
    Demo(demo::Arguments),
    /// Check the configuration and fetch every key set.
    Check(check::Arguments),
    /// Read a token and print each step of the decision about it.
    Explain(explain::Arguments),
    /// List every key of every source, and why a key is not used.
    Keys(keys::Arguments),
    /// Show from the audit log which requests would be refused without report mode.
    Report(report::Arguments),
    /// List the routes that need no token with their sources, or show the route of one request.
    Routes(routes::Arguments),
    /// Add tokens to the revocation list; list and remove its entries.
    Revoke(Box<revoke::Arguments>),
    /// Make, replace and show the keys with which tokens for the backend are minted.
    #[command(subcommand)]
    Mint(mint::Command),
    /// Make, replace and show the keys that sign the tokens that metagate gives to clients.
    #[command(subcommand)]
    Issuer(issuer::Command),
    /// Create bots, and list, regenerate, revoke and delete their tokens.
    #[command(subcommand)]
    Bot(Box<bot::Command>),
    /// Inspect a token without verifying it.
    #[command(subcommand)]
    Token(token::Command),
    /// Show the merged configuration, or the documentation of every key.
    #[command(subcommand)]
    Config(config_command::Command),
    /// Show what a running proxy does now, and what needs a look.
    Top(top::Arguments),
    /// Ask a running proxy whether it is ready.
    Health(health::Arguments),
    /// Write completions for a shell to standard output.
    Completions {
        /// The shell.
        shell: clap_complete::Shell,
    },
}

/// Where the configuration is.
#[derive(Clone, Debug, Default, Args)]
struct ConfigArguments {
    /// A configuration file, or a directory of *.yaml and *.yml files; may be given several times. METAGATE_CONFIG or
    /// /etc/metagate/config.yaml if left out.
    #[arg(long, short, value_name = "PATH")]
    config: Vec<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct RunArguments {
    #[command(flatten)]
    config: ConfigArguments,
    #[arg(long, value_name = "ADDRESS", help = config::help("listen"))]
    listen: Option<String>,
    #[arg(long, value_name = "URL", help = config::help("upstream.url"))]
    upstream: Option<String>,
    #[arg(long, value_name = "URL", help = config::help("authentication.publicKeyUrls") + " May be given several times.")]
    public_keys: Vec<String>,
    #[arg(long, help = config::help("backend"))]
    backend: Option<String>,
}

impl RunArguments {
    /// The sources of the configuration that `run` uses with these arguments.
    fn sources(&self) -> Sources {
        let flags = Flags {
            listen: self.listen.clone(),
            upstream: self.upstream.clone(),
            public_keys: self.public_keys.clone(),
            backend: self.backend.clone(),
        };
        Sources::from_process(self.config.config.clone(), flags)
    }
}

/// Why a command failed; [`main`] turns it into an exit code.
enum Failure {
    /// The configuration is invalid: exit code 2.
    Config(config::ConfigErrors),
    /// Wrong usage, as a message: exit code 2.
    Usage(String),
    /// The failure has already been reported: this exit code.
    Code(u8),
    /// Any other failure, as a message: exit code 1.
    Other(String),
}

impl<E: std::error::Error> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Other(error.to_string())
    }
}

/// Runs the program. Exit codes: 0 for success, 1 for a failure, 2 for bad usage or an invalid configuration.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        Command::Run(arguments) => run::run(&arguments),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Keys(arguments) => keys::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Routes(arguments) => routes::run(&arguments),
        Command::Revoke(arguments) => revoke::run(&arguments),
        Command::Mint(command) => mint::run(&command),
        Command::Issuer(command) => issuer::run(&command),
        Command::Bot(command) => bot::run(&command),
        Command::Token(command) => token::run(&command),
        Command::Config(command) => config_command::run(&command),
        Command::Top(arguments) => top::run(&arguments),
        Command::Health(arguments) => health::run(&arguments),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "metagate", &mut script);
            write_out(&String::from_utf8_lossy(&script))
        }
    };
    // Before an error is printed, because the log does not go through the lock of standard error.
    telemetry::flush();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Config(errors)) => {
            eprintln!("{}", printable::lines(&errors.to_string()));
            ExitCode::from(2)
        }
        Err(Failure::Usage(message)) => {
            eprintln!("error: {}", printable::lines(&message));
            ExitCode::from(2)
        }
        Err(Failure::Code(code)) => ExitCode::from(code),
        Err(Failure::Other(message)) => {
            eprintln!("error: {}", printable::lines(&message));
            ExitCode::FAILURE
        }
    }
}

fn load(arguments: &ConfigArguments, flags: Flags) -> Result<Loaded, Failure> {
    let sources = Sources::from_process(arguments.config.clone(), flags);
    config::load(&sources).map_err(Failure::Config)
}

/// Writes to standard output. Characters that could control a terminal are escaped, because key sets, tokens and
/// backends choose parts of the text. A reader that closes the pipe, like `head`, is not an error.
fn write_out(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(printable::lines(text).as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => Ok(result?),
    }
}

fn say(line: fmt::Arguments<'_>) {
    if let Err(Failure::Other(error)) = write_out(&format!("{line}\n")) {
        eprintln!("error: {error}");
    }
}

/// A single-threaded runtime, as the workers have, for the command itself.
fn runtime() -> io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Whether these arguments are valid. Tests of the documents use it.
pub fn understands(arguments: impl IntoIterator<Item = OsString>) -> Result<(), String> {
    Cli::try_parse_from(arguments).map(|_| ()).map_err(|error| error.to_string())
}
