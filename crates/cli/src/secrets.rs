//! Secret keys, and the passwords that protect them.

use std::io::{IsTerminal, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use ct_codecs::{Base64, Decoder};
use minisign::{KeyPair, SecretKey, SecretKeyBox};
use selvedge_contract::limits::SIGNATURE_BYTES_MAX;

use crate::files;

/// Where the password is from.
#[derive(clap::Args)]
pub(crate) struct PasswordArgs {
    /// Read the password from the first line of this file, not from the terminal
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl PasswordArgs {
    /// The password: asked for once, or twice for a new key.
    fn get(&self, new: bool) -> Result<String> {
        if let Some(path) = &self.password_file {
            let text = String::from_utf8(files::read(path, SIGNATURE_BYTES_MAX)?);
            let text = text.with_context(|| format!("{} is no UTF-8 text", path.display()))?;
            return Ok(text.lines().next().unwrap_or_default().to_owned());
        }
        ensure!(std::io::stdin().is_terminal(), "no terminal to ask for the password; give --password-file");
        let ask = |what| rpassword::prompt_password(what).context("cannot read the password");
        let password = ask("Password: ")?;
        ensure!(!new || ask("The same again: ")? == password, "the two passwords differ");
        Ok(password)
    }
}

/// A new key pair; its secret half is encrypted unless it is to have no password.
pub(crate) fn new(password: Option<&PasswordArgs>) -> Result<KeyPair> {
    let Some(password) = password else { return Ok(KeyPair::generate_unencrypted_keypair()?) };
    let password = password.get(true)?;
    ensure!(!password.is_empty(), "an empty password protects nothing; choose one, or say --no-password");
    Ok(KeyPair::generate_encrypted_keypair(Some(password))?)
}

/// Reads a secret key; asks for its password if it has one.
pub(crate) fn read(path: &Path, password: &PasswordArgs) -> Result<SecretKey> {
    let named = || format!("cannot use the secret key {}", path.display());
    let bytes = files::read(path, SIGNATURE_BYTES_MAX)?;
    let text = String::from_utf8(bytes).map_err(|_| anyhow!("it is no text")).with_context(named)?;
    if let Some(key) = unchecked(&text) {
        return Ok(key);
    }
    let boxed = || SecretKeyBox::from_string(&text);
    match boxed().and_then(SecretKeyBox::into_unencrypted_secret_key) {
        Ok(key) => Ok(key),
        Err(_) if is_encrypted(&text) => {
            let password = password.get(false)?;
            let key = boxed().and_then(|boxed| boxed.into_secret_key(Some(password)));
            key.map_err(|error| anyhow!("{error}")).with_context(named)
        }
        Err(error) => {
            Err(anyhow!("it is no minisign secret key ({error}); `selvedge key new` makes one")).with_context(named)
        }
    }
}

/// A key as `minisign -G -W` writes it: not encrypted, and with zeros for its checksum.
fn unchecked(text: &str) -> Option<SecretKey> {
    const CHECKSUM_BYTES: usize = 32;
    let bytes = Base64::decode_to_vec(text.lines().nth(1)?.trim(), None).ok()?;
    let unencrypted = bytes.get(2..4)? == [0, 0];
    let unchecked = bytes.last_chunk::<CHECKSUM_BYTES>()? == &[0; CHECKSUM_BYTES];
    SecretKey::from_bytes(&bytes).ok().filter(|_| unencrypted && unchecked)
}

/// Whether a key file says that its key is encrypted: two bytes after the algorithm tell.
fn is_encrypted(text: &str) -> bool {
    // `RWRTY` is the base64 of `Ed`, `Sc`: Ed25519, and scrypt for the password.
    text.lines().nth(1).is_some_and(|line| line.starts_with("RWRTY"))
}

/// Writes a secret key to a new file that only its owner can read.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    let opened = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    let mut file = match opened {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            bail!("{} is there already; a secret key is never overwritten", path.display())
        }
        opened => opened.with_context(|| format!("cannot write {}", path.display()))?,
    };
    file.write_all(text.as_bytes()).with_context(|| format!("cannot write {}", path.display()))
}
