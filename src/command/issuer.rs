//! `metagate issuer`: makes, replaces and shows the keys that sign the tokens that metagate gives to clients.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};

use super::key_file::{self, Rotation, yaml_list, yaml_path};
use super::{ConfigArguments, Failure, load, write_out};
use crate::config::Flags;
use crate::own_issuer::IssuerKey;

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
    /// Print the public keys. The backend must not have them.
    Show(Shown),
}

#[derive(Debug, Args)]
pub(super) struct Shown {
    #[command(flatten)]
    config: ConfigArguments,
    /// Print only the JWK Set.
    #[arg(long)]
    json: bool,
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
    write_out(&format!(
        "{}\n\
         # In metagate's configuration; url is a name of your own that no other token has:\n\
         issuer:\n  url: https://metagate.example\n  audience: metagate\n  keyFiles: [{}]\n",
        made(file, &key),
        yaml_path(file)
    ))
}

fn rotate(rotation: &Rotation) -> Result<(), Failure> {
    let (files, file) = rotation.files("issuer.keyFiles", "metagate issuer init")?;
    let key = make(&file)?;
    let verifies = yaml_list(files.iter().chain([&file]));
    let signs = yaml_list([&file].into_iter().chain(&files));
    write_out(&format!(
        "{}\n\
         # 1. Give it to every replica, while the old key signs:\n\
         issuer:\n  keyFiles: [{verifies}]\n\n\
         # 2. Once all of them have it, let it sign:\n\
         issuer:\n  keyFiles: [{signs}]\n\n\
         # 3. Once no token of the old key is in use, remove the old files from the list. Its tokens end with that:\n\
         #    do it at once if the old key was stolen.\n",
        made(&file, &key)
    ))
}

fn show(shown: &Shown) -> Result<(), Failure> {
    let loaded = load(&shown.config, Flags::default())?;
    let Some(issuer) = &loaded.config.issuer else {
        return Err(Failure::Other(
            "issuer is not set; `metagate issuer init` makes a key for it".to_owned(),
        ));
    };
    let mut out = format!("{:#}\n", issuer.jwks());
    if !shown.json {
        // Writing to a `String` does not fail.
        let _ = write!(
            out,
            "\n# The keys of {}, for metagate alone. Never add them to publicKeyUrls of the backend: every token of a\n\
             # client would be a login there.\n",
            issuer.url()
        );
    }
    write_out(&out)
}

/// Makes a key file.
fn make(file: &Path) -> Result<IssuerKey, Failure> {
    let key = IssuerKey::generate()?;
    key_file::create(file, &key.to_pem()?, "`metagate issuer rotate`")?;
    Ok(key)
}

fn made(file: &Path, key: &IssuerKey) -> String {
    format!(
        "# Made {} (EC, P-256, mode 0600), kid {}.\n\
         # Anyone who has this file can sign tokens for every client of metagate.\n",
        file.display(),
        key.kid()
    )
}
