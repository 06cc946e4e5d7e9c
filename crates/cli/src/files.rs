//! Reading inputs whole, writing outputs whole or not at all.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use selvedge_contract::artifact::ArtifactIndex;
use tokio::io::Interest;
use tokio::net::unix::pipe::Sender;

use crate::options::human;

/// Whether these bytes begin like an artifact, not like a module.
pub(crate) fn is_artifact(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\x7fELF")
}

/// Whether one that begins so is of ours, be it damaged or of another release: not just any program or library.
pub(crate) fn is_our_artifact(bytes: &[u8]) -> bool {
    is_artifact(bytes) && !ArtifactIndex::read(bytes).is_err_and(|error| error.is_foreign())
}

/// Reads a file of at most so many bytes.
pub(crate) fn read(path: &Path, bytes_max: usize) -> Result<Vec<u8>> {
    let context = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(context)?;
    let metadata = file.metadata().with_context(context)?;
    ensure!(!metadata.is_dir(), "cannot read {}: it is a directory, a file is needed", path.display());
    let mut bytes = Vec::with_capacity((metadata.len() as usize).min(bytes_max));
    file.take(bytes_max as u64 + 1).read_to_end(&mut bytes).with_context(context)?;
    let most = human(bytes_max as u64);
    ensure!(bytes.len() <= bytes_max, "{} is larger than the {most} a file here may have", path.display());
    Ok(bytes)
}

/// Writes a file so that there is, at any time, the old one or the new one.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let context = || format!("cannot write {}", path.display());
    // What is no ordinary file (a pipe, /dev/stdout) cannot be replaced, only written to.
    if path.metadata().is_ok_and(|metadata| !metadata.is_file() && !metadata.is_dir()) {
        return std::fs::write(path, bytes).with_context(context);
    }
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".selvedge-").permissions(permissions(path));
    // The error would name the temporary file. Most often there is no such directory, which the system says best.
    let make = |_| builder.tempfile_in(directory).map_err(|error| std::io::Error::from(error.kind()));
    let made = directory.metadata().and_then(make);
    let mut file = made.with_context(|| format!("cannot write to the directory {}", directory.display()))?;
    file.write_all(bytes).with_context(context)?;
    file.persist(path).map_err(|error| error.error).with_context(context)?;
    Ok(())
}

/// Those of the file that is replaced, else the usual ones (less the umask).
fn permissions(path: &Path) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    path.metadata().map_or_else(|_| PermissionsExt::from_mode(0o666), |metadata| metadata.permissions())
}

/// Writes text to stdout.
pub(crate) fn print(text: &str) -> Result<()> {
    print_bytes(text.as_bytes())
}

/// Writes to stdout; a reader that has gone away is no error.
pub(crate) fn print_bytes(bytes: &[u8]) -> Result<()> {
    print_to_reader(bytes).map(drop)
}

/// Writes to stdout, and says whether there is still somebody who reads it.
pub(crate) fn print_to_reader(bytes: &[u8]) -> Result<bool> {
    let written = std::io::stdout().write_all(bytes).and_then(|()| std::io::stdout().flush());
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
        written => written.map(|()| true).context("cannot write to stdout"),
    }
}

/// Waits until nobody reads stdout any more; without end where that cannot be known of it.
pub(crate) async fn until_unread() {
    let stdout = std::io::stdout().as_fd().try_clone_to_owned();
    // It is only looked at: to write to it may block, as to stdout.
    if let Ok(stdout) = stdout.map(File::from).and_then(Sender::from_file_unchecked)
        && stdout.ready(Interest::ERROR).await.is_ok()
    {
        return;
    }
    std::future::pending().await
}
