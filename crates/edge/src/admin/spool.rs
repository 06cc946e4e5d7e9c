//! What is uploaded goes to a file by threads that may wait for a disk: those that answer clients may not.

use std::io;

use tokio::fs::File;
use tokio::io::{AsyncWriteExt, BufWriter};

use crate::limits::UPLOAD_BUFFER_BYTES;

/// A file that is written piece by piece.
pub(super) struct Spool(BufWriter<File>);

impl Spool {
    pub(super) fn new(file: std::fs::File) -> Spool {
        Spool(BufWriter::with_capacity(UPLOAD_BUFFER_BYTES, File::from_std(file)))
    }

    /// Takes a piece; waits, and lets others be answered, while the disk is behind.
    pub(super) async fn write(&mut self, piece: &[u8]) -> io::Result<()> {
        self.0.write_all(piece).await
    }

    /// All of it is in the file, or something went wrong with any of it.
    pub(super) async fn end(mut self) -> io::Result<()> {
        self.0.flush().await
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;

    /// An upload's file was written by the threads that answer clients: on a slow disk all of them waited.
    #[tokio::test]
    async fn whoever_waits_for_a_disk_lets_others_be_answered() {
        let (mut disk, full) = std::io::pipe().unwrap();
        let (answer, answered) = channel();
        // A disk that takes nothing until somebody else was answered.
        let disk = std::thread::spawn(move || {
            let others = answered.recv_timeout(Duration::from_secs(60)).is_ok();
            let mut written = Vec::new();
            disk.read_to_end(&mut written).unwrap();
            (others, written)
        });
        let pieces: Vec<Vec<u8>> = (0..40).map(|n| vec![n; 100_000]).collect();
        let upload = async {
            let mut spool = Spool::new(OwnedFd::from(full).into());
            for piece in &pieces {
                spool.write(piece).await.unwrap();
            }
            spool.end().await.unwrap();
        };
        let other = async {
            tokio::task::yield_now().await;
            answer.send(()).unwrap();
        };
        tokio::join!(upload, other);
        let (others, written) = disk.join().unwrap();
        assert!(others, "nobody else was answered");
        assert!(written == pieces.concat());
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_told_at_the_end_at_the_latest() {
        let mut spool = Spool::new(std::fs::File::options().write(true).open("/dev/full").unwrap());
        let wrote = spool.write(b"a little").await;
        assert_eq!(wrote.and(spool.end().await).unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
