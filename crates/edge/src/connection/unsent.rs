//! What of responses waits to be sent by HTTP/2, for clients that open no window: bounded, on all connections together.
//!
//! A request costs a client 13 bytes, and a piece of its response is kept when all else has ended. The fewer bytes are free,
//! the fewer may a connection have (room.rs), but each one piece. What is beyond breaks its
//! response off.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hyper::body::Bytes;

use super::room::Room;
use crate::limits::{STREAM_PIECE_BYTES, UNSENT_BYTES_MAX};

/// Of all connections of this process.
static ALL: Room = Room::new(UNSENT_BYTES_MAX);

/// What waits on one connection.
pub(crate) struct Unsent {
    bytes: AtomicUsize,
    room: &'static Room,
}

/// A piece, until it is sent or its stream is reset.
struct Kept {
    piece: Bytes,
    unsent: Arc<Unsent>,
}

impl Default for Unsent {
    fn default() -> Unsent {
        Unsent { bytes: AtomicUsize::new(0), room: &ALL }
    }
}

impl Unsent {
    /// The piece, counted as long as it is there; none if there is too much.
    pub(crate) fn keep(self: &Arc<Unsent>, piece: Bytes) -> Option<Bytes> {
        let share = self.room.share(STREAM_PIECE_BYTES..=usize::MAX);
        let count = piece.len();
        let more = |bytes: usize| Some(bytes + count).filter(|bytes| *bytes <= share);
        self.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        self.room.take(count);
        Some(Bytes::from_owner(Kept { piece, unsent: self.clone() }))
    }
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.piece
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.unsent.bytes.fetch_sub(self.piece.len(), Ordering::Relaxed);
        self.unsent.room.give_back(self.piece.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{CONNECTIONS_MAX, STREAMS_MAX};

    /// Each connection had as much as its streams could: some megabytes of requests filled the memory.
    #[test]
    fn however_many_connections_take_nothing_what_is_kept_for_them_is_bounded() {
        let room: &'static Room = Box::leak(Box::new(Room::new(UNSENT_BYTES_MAX)));
        let connection = || Arc::new(Unsent { bytes: AtomicUsize::new(0), room });
        let piece = Bytes::from(vec![7; STREAM_PIECE_BYTES]);
        let takes = |unsent: &Arc<Unsent>| -> Vec<Bytes> {
            (0..STREAMS_MAX).map_while(|_| unsent.keep(piece.clone())).collect()
        };
        let all: Vec<Vec<Bytes>> = (0..CONNECTIONS_MAX).map(|_| takes(&connection())).collect();
        let counts: Vec<usize> = all.iter().map(Vec::len).collect();
        assert_eq!(
            (counts[0], counts[CONNECTIONS_MAX - 1]),
            (STREAMS_MAX as usize, 1),
            "one that comes new has a piece"
        );
        let bytes = counts.iter().sum::<usize>() * STREAM_PIECE_BYTES;
        assert_eq!(bytes, room.taken());
        assert!(bytes <= UNSENT_BYTES_MAX + CONNECTIONS_MAX * STREAM_PIECE_BYTES);
        assert_eq!(all[0][0], piece);
        drop(all);
        assert_eq!(room.taken(), 0);
    }
}
