//! A pipe in memory: one end for a guest, the other for the embedder (or for another guest), with room for so
//! many bytes and no more.
//!
//! The embedder's end can be used from a thread, by [`Read`] and [`Write`], or from a task, by
//! [`InputStream`] and [`OutputStream`]. An end that is dropped shows at the other as the end, or as a broken
//! pipe. A builder that was given an end holds on to it until it is dropped, too.

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::streams::{InputStream, OutputStream};

/// A pipe that holds up to so many bytes, at least one.
pub fn pipe(bytes_max: usize) -> (PipeReader, PipeWriter) {
    let state = State { bytes: VecDeque::new(), bytes_max: bytes_max.max(1), closed: false, waker: None };
    let pipe = Arc::new(Pipe { state: Mutex::new(state), changed: Condvar::new() });
    (PipeReader(pipe.clone()), PipeWriter(pipe))
}

/// The end that is read.
pub struct PipeReader(Arc<Pipe>);

/// The end that is written.
pub struct PipeWriter(Arc<Pipe>);

struct Pipe {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    bytes: VecDeque<u8>,
    bytes_max: usize,
    /// Whether one end is gone. The one that is left knows which.
    closed: bool,
    /// Whoever waits: only one end can have a reason to.
    waker: Option<Waker>,
}

impl Pipe {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the other end.
    fn change(&self, mut state: MutexGuard<'_, State>) {
        let waker = state.waker.take();
        drop(state);
        self.changed.notify_all();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.change(state);
    }

    fn poll_ready(&self, context: &mut Context<'_>, ready: fn(&State) -> bool) -> Poll<()> {
        let mut state = self.lock();
        if ready(&state) {
            return Poll::Ready(());
        }
        state.waker = Some(context.waker().clone());
        Poll::Pending
    }

    fn wait(&self, ready: fn(&State) -> bool) {
        let state = self.changed.wait_while(self.lock(), |state| !ready(state));
        drop(state.unwrap_or_else(PoisonError::into_inner));
    }
}

impl State {
    fn readable(&self) -> bool {
        self.closed || !self.bytes.is_empty()
    }

    fn writable(&self) -> bool {
        self.closed || self.bytes.len() < self.bytes_max
    }
}

impl InputStream for PipeReader {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(context, State::readable)
    }

    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if !state.readable() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let done = state.bytes.read(buffer)?;
        self.0.change(state);
        Ok(done)
    }
}

impl OutputStream for PipeWriter {
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(context, State::writable)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.closed {
            return Err(ErrorKind::BrokenPipe.into());
        }
        if !state.writable() {
            return Err(ErrorKind::WouldBlock.into());
        }
        let done = bytes.len().min(state.bytes_max - state.bytes.len());
        state.bytes.extend(&bytes[..done]);
        self.0.change(state);
        Ok(done)
    }
}

/// Waits until there is something.
impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.wait(State::readable);
        InputStream::read(self, buffer)
    }
}

/// Waits until there is room.
impl Write for PipeWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.wait(State::writable);
        OutputStream::write(self, bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for PipeReader {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Drop for PipeWriter {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl fmt::Debug for PipeReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeReader({} bytes)", self.0.lock().bytes.len())
    }
}

impl fmt::Debug for PipeWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PipeWriter({} bytes)", self.0.lock().bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context(run: impl FnOnce(&mut Context<'_>)) {
        run(&mut Context::from_waker(Waker::noop()));
    }

    #[test]
    fn it_holds_no_more_than_it_may() {
        let (mut reader, mut writer) = pipe(4);
        let no_room = OutputStream::write(&mut writer, b"abcdef").and_then(|done| {
            assert_eq!(done, 4);
            OutputStream::write(&mut writer, b"e")
        });
        assert_eq!(no_room.unwrap_err().kind(), ErrorKind::WouldBlock);
        context(|context| {
            assert!(writer.poll_ready(context).is_pending());
            assert!(reader.poll_ready(context).is_ready());
        });
        let mut buffer = [0; 8];
        assert_eq!(InputStream::read(&mut reader, &mut buffer[..3]).unwrap(), 3);
        assert_eq!(OutputStream::write(&mut writer, b"ghijkl").unwrap(), 3);
        assert_eq!(InputStream::read(&mut reader, &mut buffer).unwrap(), 4);
        assert_eq!(&buffer[..4], b"dghi");
        assert_eq!(InputStream::read(&mut reader, &mut buffer).unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn ends_show_at_the_other_end() {
        let (mut reader, mut writer) = pipe(4);
        writer.write_all(b"ab").unwrap();
        drop(writer);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "ab");
        let (reader, mut writer) = pipe(4);
        drop(reader);
        context(|context| assert!(writer.poll_ready(context).is_ready()));
        assert_eq!(writer.write_all(b"x").unwrap_err().kind(), ErrorKind::BrokenPipe);
    }

    #[test]
    fn threads_wait_for_each_other() {
        let (mut reader, mut writer) = pipe(3);
        let text = "much more than fits at once".repeat(50);
        let sent = text.clone();
        let sender = std::thread::spawn(move || writer.write_all(sent.as_bytes()));
        let mut received = String::new();
        reader.read_to_string(&mut received).unwrap();
        sender.join().unwrap().unwrap();
        assert_eq!(received, text);
    }
}
