//! A range of a file on its way to a client: a piece at a time, read when it is asked for. What the kernel has in memory
//! is read at once, the rest on a thread that may wait for the disk.

use std::fs::File;
use std::io::{self, IoSliceMut};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
use rustix::io::{ReadWriteFlags, preadv2};
use tokio::task::JoinHandle;

use crate::limits::RESPONSE_BUFFER_BYTES;

/// Where a body is.
#[derive(Clone, Debug)]
pub(crate) struct FileRange {
    pub(crate) file: Arc<File>,
    pub(crate) range: Range<u64>,
}

impl FileRange {
    pub(crate) fn bytes(&self) -> u64 {
        self.range.end - self.range.start
    }
}

/// What is still to be sent of it.
pub(crate) struct Sending {
    rest: FileRange,
    piece_bytes_max: usize,
    reading: Option<JoinHandle<io::Result<Bytes>>>,
}

impl Sending {
    pub(crate) fn new(body: FileRange, piece_bytes_max: usize) -> Sending {
        Sending { rest: body, piece_bytes_max: piece_bytes_max.min(RESPONSE_BUFFER_BYTES), reading: None }
    }

    /// How much is still to come.
    pub(crate) fn bytes_left(&self) -> u64 {
        self.rest.bytes()
    }

    /// The next piece; none at the end.
    pub(crate) fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let left = self.rest.bytes();
        if left == 0 {
            return Poll::Ready(None);
        }
        let (file, from) = (&self.rest.file, self.rest.range.start);
        let size = usize::try_from(left).unwrap_or(usize::MAX).min(self.piece_bytes_max);
        if self.reading.is_none()
            && let Some(piece) = read_now(file, size, from)
        {
            self.rest.range.start += size as u64;
            return Poll::Ready(Some(Ok(piece)));
        }
        let reading = self.reading.get_or_insert_with(|| {
            let file = file.clone();
            tokio::task::spawn_blocking(move || {
                let mut piece = vec![0; size];
                file.read_exact_at(&mut piece, from)?;
                Ok(piece.into())
            })
        });
        let read = ready!(Pin::new(reading).poll(context));
        self.reading = None;
        let piece = read.unwrap_or_else(|error| Err(io::Error::other(error)));
        if let Ok(piece) = &piece {
            self.rest.range.start += piece.len() as u64;
        }
        Poll::Ready(Some(piece))
    }
}

/// A piece, if all of it is in memory. Why not is for whoever waits for it to say.
fn read_now(file: &File, bytes: usize, from: u64) -> Option<Bytes> {
    let mut piece = vec![0; bytes];
    let read = preadv2(file, &mut [IoSliceMut::new(&mut piece)], from, ReadWriteFlags::NOWAIT);
    (read == Ok(bytes)).then(|| piece.into())
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use super::*;

    /// All of a range, and whether any of it was waited for.
    async fn sent(range: Range<u64>, file: &Arc<File>, piece_bytes_max: usize) -> (Vec<u8>, bool) {
        let mut sending = Sending::new(FileRange { file: file.clone(), range }, piece_bytes_max);
        let (mut all, mut waited) = (Vec::new(), false);
        let mut next = async || {
            poll_fn(|context| {
                let polled = sending.poll_piece(context);
                waited |= polled.is_pending();
                polled
            })
            .await
        };
        while let Some(piece) = next().await {
            let piece = piece.unwrap();
            assert!(!piece.is_empty() && piece.len() <= piece_bytes_max);
            all.extend_from_slice(&piece);
        }
        (all, waited)
    }

    #[tokio::test]
    async fn what_is_in_memory_is_not_waited_for_and_all_of_it_comes() {
        let mut file = tempfile::tempfile().unwrap();
        let contents: Vec<u8> = (0..300_000u32).map(|at| (at % 251) as u8).collect();
        file.write_all(&contents).unwrap();
        // Some file systems cannot say whether they would wait.
        let knows = read_now(&file, 1, 0).is_some();
        let file = Arc::new(file);
        for (range, piece_bytes_max) in [(0..1, 1), (7..7, 1), (0..300_000, 16 << 10), (70_000..299_999, usize::MAX)] {
            let (all, waited) = sent(range.clone(), &file, piece_bytes_max).await;
            assert!(all == contents[range.start as usize..range.end as usize], "{range:?}");
            assert_eq!(waited, !knows && !range.is_empty(), "{range:?}");
        }
    }

    #[tokio::test]
    async fn a_file_that_is_shorter_than_it_was_is_an_error() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"short").unwrap();
        let mut sending = Sending::new(FileRange { file: Arc::new(file), range: 3..9 }, usize::MAX);
        let piece = poll_fn(|context| sending.poll_piece(context)).await;
        assert_eq!(piece.unwrap().unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
