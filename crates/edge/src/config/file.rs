//! Files that an operator names and that are read again when they change.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// Opens a file that can be read again. To open a FIFO, or to read from a terminal, could take for ever.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    let without_waiting = OFlags::NONBLOCK.bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(without_waiting).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file, and it is read again when it changes"));
    }
    Ok(file)
}

/// Its text; of one that grows meanwhile no more than so many bytes.
pub(crate) fn text(file: File, bytes_max: u64) -> io::Result<String> {
    let mut text = String::new();
    file.take(bytes_max).read_to_string(&mut text)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use rustix::fs::{CWD, FileType, Mode, mknodat};

    use crate::config::Config;

    /// The server hung, silently.
    #[test]
    fn a_fifo_is_refused_and_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("edge.toml");
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let (said, hears) = mpsc::channel();
        std::thread::spawn(move || said.send(Config::read(&path).unwrap_err().to_string()));
        let error = hears.recv_timeout(Duration::from_secs(10)).expect("an answer");
        assert!(error.contains("edge.toml") && error.contains("it is not a regular file"), "{error}");
    }
}
