//! What a client deploys: a module in memory, or a bundle in a file, which is sent a piece at a time.

use std::fs::File;
use std::future::Future;
use std::io::{self, Read, Seek};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{Request, StatusCode, header};
use tokio::sync::mpsc;
use tokio::time::{Sleep, sleep};

use crate::limits::CONTINUE_WAIT_MAX;

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

/// A body that is sent when the server asks for it (RFC 9110, 10.1.1). One that refuses it closes the connection, and who
/// sends then may never read why.
pub(crate) struct Expected {
    body: Outgoing,
    /// None when it is time.
    wait: Option<Wait>,
}

struct Wait {
    asked: mpsc::Receiver<()>,
    /// Not everybody between here and there knows of it.
    patience: Pin<Box<Sleep>>,
}

impl Expected {
    /// The same request, whose server is to ask for its body.
    pub(crate) fn of(request: Request<Outgoing>) -> Request<Expected> {
        let (ask, asked) = mpsc::channel(1);
        let (mut parts, body) = request.into_parts();
        if body.is_end_stream() {
            return Request::from_parts(parts, Expected { body, wait: None });
        }
        parts.headers.insert(header::EXPECT, header::HeaderValue::from_static("100-continue"));
        let wait = Some(Wait { asked, patience: Box::pin(sleep(CONTINUE_WAIT_MAX)) });
        let mut request = Request::from_parts(parts, Expected { body, wait });
        hyper::ext::on_informational(&mut request, move |said| {
            if said.status() == StatusCode::CONTINUE {
                // Once is enough.
                let _ = ask.try_send(());
            }
        });
        request
    }
}

impl Wait {
    /// Whether there is nothing to wait for any more. Nobody will ask who has answered already.
    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        matches!(self.asked.poll_recv(context), Poll::Ready(Some(())))
            || self.patience.as_mut().poll(context).is_ready()
    }
}

impl Body for Expected {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.wait.as_mut().is_some_and(|wait| !wait.is_over(context)) {
            return Poll::Pending;
        }
        self.wait = None;
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
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
