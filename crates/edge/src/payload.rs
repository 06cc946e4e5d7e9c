//! What a client deploys: a module in memory, or a bundle in a file, which is sent a piece at a time.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};

/// What is read of a file at once.
const PIECE_BYTES: usize = 64 << 10;

/// What is deployed.
#[derive(Debug)]
pub enum Payload {
    /// A module, binary or text.
    Module(Vec<u8>),
    /// An archive in a file: with `app.wasm` or `app.wat`, `args`, `assets/`, `files/`.
    Bundle(File),
}

impl From<Vec<u8>> for Payload {
    fn from(module: Vec<u8>) -> Payload {
        Payload::Module(module)
    }
}

/// A request's body.
#[derive(Debug)]
pub(crate) enum Outgoing {
    Whole(Bytes),
    /// Read where it is sent: a client of this kind has nothing else to do meanwhile.
    File {
        file: File,
        bytes_left: u64,
    },
}

impl Outgoing {
    pub(crate) fn of(payload: Payload) -> io::Result<Outgoing> {
        Ok(match payload {
            Payload::Module(bytes) => Outgoing::Whole(bytes.into()),
            Payload::Bundle(mut file) => {
                file.rewind()?;
                Outgoing::File { bytes_left: file.metadata()?.len(), file }
            }
        })
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        Poll::Ready(match self.get_mut() {
            Outgoing::Whole(bytes) if bytes.is_empty() => None,
            Outgoing::Whole(bytes) => Some(Ok(Frame::data(std::mem::take(bytes)))),
            Outgoing::File { bytes_left: 0, .. } => None,
            Outgoing::File { file, bytes_left } => {
                let size = usize::try_from(*bytes_left).unwrap_or(usize::MAX).min(PIECE_BYTES);
                let mut piece = vec![0; size];
                Some(file.read_exact(&mut piece).map(|()| {
                    *bytes_left -= size as u64;
                    Frame::data(piece.into())
                }))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.size_hint().exact() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(match self {
            Outgoing::Whole(bytes) => bytes.len() as u64,
            Outgoing::File { bytes_left, .. } => *bytes_left,
        })
    }
}
