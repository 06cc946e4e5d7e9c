//! What is uploaded goes to a file by threads that may wait for a disk: those that answer clients may not.

use std::fs::File;

use super::blocking;
use super::scratch::Scratch;
use crate::error::EdgeError;
use crate::limits::UPLOAD_BUFFER_BYTES;

/// A file that is written piece by piece.
pub(super) struct Spool {
    /// None once something went wrong.
    file: Option<(File, Scratch)>,
    buffer: Vec<u8>,
}

impl Spool {
    pub(super) fn new(file: (File, Scratch)) -> Spool {
        Spool { file: Some(file), buffer: Vec::new() }
    }

    /// Takes a piece; waits, and lets others be answered, while the disk is behind.
    pub(super) async fn write(&mut self, mut piece: &[u8]) -> Result<(), EdgeError> {
        while !piece.is_empty() {
            let (now, rest) = piece.split_at(piece.len().min(UPLOAD_BUFFER_BYTES - self.buffer.len()));
            self.buffer.extend_from_slice(now);
            piece = rest;
            if self.buffer.len() == UPLOAD_BUFFER_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    /// All of it is in the file, or something went wrong with any of it.
    pub(super) async fn end(mut self) -> Result<Scratch, EdgeError> {
        self.flush().await?;
        let (_, scratch) = self.file.take().ok_or_else(broken)?;
        Ok(scratch)
    }

    async fn flush(&mut self) -> Result<(), EdgeError> {
        let ((mut file, mut scratch), mut buffer) =
            (self.file.take().ok_or_else(broken)?, std::mem::take(&mut self.buffer));
        let written = blocking(move || {
            scratch.write(&mut file, &buffer)?;
            buffer.clear();
            Ok(((file, scratch), buffer))
        });
        let (file, buffer) = written.await?;
        (self.file, self.buffer) = (Some(file), buffer);
        Ok(())
    }
}

fn broken() -> EdgeError {
    EdgeError::Internal("an upload went on after it could not be written".into())
}

#[cfg(test)]
mod tests {
    use std::io::{ErrorKind, Read};
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use super::*;
    use crate::deploy::scratch::tests::scratch;
    use crate::store::StoreError;

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
            let mut spool = Spool::new(scratch(OwnedFd::from(full).into()));
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
        let mut spool = Spool::new(scratch(File::options().write(true).open("/dev/full").unwrap()));
        let wrote = spool.write(b"a little").await;
        let Err(EdgeError::Store(StoreError::Disk { source, .. })) = wrote.and(spool.end().await.map(drop)) else {
            panic!("it was written");
        };
        let source = source.downcast::<std::io::Error>().unwrap();
        assert_eq!(source.kind(), ErrorKind::StorageFull);
    }
}
