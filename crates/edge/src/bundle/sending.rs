//! A range of a file on its way to a client: a piece at a time, read when it is asked for, on a thread that may wait for
//! the disk.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use hyper::body::Bytes;
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
