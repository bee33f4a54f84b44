//! `metagate mint`: makes, replaces and shows the keys with which tokens for the backend are minted.

use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::key_file::{self, Rotation, yaml_list, yaml_path};
use super::{ConfigArguments, Failure, load, write_out};
use crate::config::{Config, Flags};
use crate::mint::{JWKS_PATH, PrivateKey};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Make the first key file, with mode 0600, and print the lines for the configuration.
    Init {
        /// The file to make. It must not exist.
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Make another key file, and print how it replaces the one that signs now. The configuration is not changed.
    Rotate(Rotation),
    /// Print the public keys, and the line for OpenMetadata.
    Show(Shown),
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print only the JWK Set.
    #[arg(long)]
    json: bool,
    /// The host name or address under which OpenMetadata reaches metagate's health listener.
    #[arg(long, value_name = "HOST", default_value = "127.0.0.1")]
    host: String,
}

pub(super) fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Init { file } => init(file),
        Command::Rotate(rotation) => rotate(rotation),
        Command::Show(shown) => show(shown),
    }
}

fn init(file: &Path) -> Result<(), Failure> {
    let key = make(file)?;
    let shown = yaml_path(file);
    write_out(&format!(
        "{}\n\
         # In metagate's configuration; the issuer is a name of your own that no other token has:\n\
         mint:\n  issuer: https://metagate.example/backend\n  keyFiles: [{shown}]\n\n\
         # Then `metagate mint show` prints the line for OpenMetadata.\n",
        made(file, &key)
    ))
}

fn rotate(rotation: &Rotation) -> Result<(), Failure> {
    let (files, file) = rotation.files("mint.keyFiles", "metagate mint init")?;
    let key = make(&file)?;
    let published = yaml_list(files.iter().chain([&file]));
    let signs = yaml_list([&file].into_iter().chain(&files));
    write_out(&format!(
        "{}\n\
         # 1. Publish it on every replica, while the old key signs:\n\
         mint:\n  keyFiles: [{published}]\n\n\
         # 2. Once all of them have it, let it sign:\n\
         mint:\n  keyFiles: [{signs}]\n\n\
         # 3. An hour later, remove the old files from the list. OpenMetadata trusts a removed key for up to 24 hours,\n\
         #    or until it is restarted: restart it if the old key was stolen.\n",
        made(&file, &key)
    ))
}

fn show(shown: &Shown) -> Result<(), Failure> {
    let loaded = load(&shown.config, Flags::default())?;
    let Some(minter) = loaded.config.mint.as_ref().filter(|minter| !minter.keys().rsa().is_empty()) else {
        return Err(Failure::Other(
            "mint.keyFiles names no key; make one with `metagate mint init`".to_owned(),
        ));
    };
    let mut out = format!("{:#}\n", minter.keys().jwks());
    if !shown.json {
        let url = jwks_url(&loaded.config, &shown.host);
        // Writing to a `String` does not fail.
        let _ = write!(
            out,
            "\n# Add this URL to publicKeyUrls of OpenMetadata (AUTHENTICATION_PUBLIC_KEYS), and not to those of\n\
             # metagate; write the address under which OpenMetadata reaches this listener:\n{url}\n"
        );
    }
    write_out(&out)
}

/// Makes a key file.
fn make(file: &Path) -> Result<PrivateKey, Failure> {
    let key = PrivateKey::generate()?;
    key_file::create(file, &key.to_pem()?, "`metagate mint rotate`")?;
    Ok(key)
}

fn made(file: &Path, key: &PrivateKey) -> String {
    format!(
        "# Made {} (RSA, {} bits, mode 0600), kid {}.\n\
         # Anyone who has this file can be any user of the backend.\n",
        file.display(),
        key.bits(),
        key.kid()
    )
}

/// Where OpenMetadata finds the public keys.
fn jwks_url(config: &Config, host: &str) -> String {
    let host = match host.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]"),
        _ => host.to_owned(),
    };
    format!("http://{host}:{}{JWKS_PATH}", config.health_listen.port())
}
