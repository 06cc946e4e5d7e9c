//! Keys and signatures as the command finds them: in files, in minisign's formats.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow};
use selvedge_contract::limits::SIGNATURE_BYTES_MAX;
use selvedge_contract::signature::{PublicKey, SIGNATURE_SUFFIX};

use crate::files;

/// Where the signature of a file is, unless said otherwise.
pub(crate) fn path_beside(artifact: &Path) -> PathBuf {
    let mut path = artifact.as_os_str().to_owned();
    path.push(SIGNATURE_SUFFIX);
    path.into()
}

/// The signature beside a file, if there is one.
pub(crate) fn beside(artifact: &Path) -> Result<Option<String>> {
    let path = path_beside(artifact);
    if path.try_exists().with_context(|| format!("cannot look for {}", path.display()))? {
        read(&path).map(Some)
    } else {
        Ok(None)
    }
}

/// The text of a signature file; whether it is one, its check tells.
pub(crate) fn read(path: &Path) -> Result<String> {
    let bytes = files::read(path, SIGNATURE_BYTES_MAX)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A public key: its 56 characters, or the file that holds it.
pub(crate) fn public_key(text: &str) -> Result<PublicKey> {
    if let Ok(key) = PublicKey::read(text) {
        return Ok(key);
    }
    let bytes = files::read(Path::new(text), SIGNATURE_BYTES_MAX).map_err(|error| {
        anyhow!("{text} is no public key (56 characters that begin with RW), and as a file: {error:#}")
    })?;
    PublicKey::read(&String::from_utf8_lossy(&bytes)).with_context(|| format!("in {text}"))
}
