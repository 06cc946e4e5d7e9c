//! The newest entries of a site's log, as bytes one after the other.
//!
//! Each request leaves an entry. To add one allocates nothing and looks at no other: entries lie in blocks, of which the
//! oldest goes as a whole when there is no more room. The whole ring is about as much memory as its entries say: it stays in
//! the processor's caches. What is in it is taken apart when somebody reads it.

use std::collections::VecDeque;

use super::{Entry, Event};
use crate::limits::LOG_RING_BYTES_MAX;
use crate::request_id::RequestId;

/// What goes at once.
const BLOCK_BYTES: usize = LOG_RING_BYTES_MAX / 16;

/// The newest entries, and their numbers.
#[derive(Default)]
pub(super) struct Ring {
    /// The oldest first. None is empty.
    blocks: VecDeque<Block>,
    /// Of all blocks.
    bytes: usize,
    /// The entry that is added, and nothing in between.
    entry: Vec<u8>,
    /// Of the first that is still there, and the one that comes next.
    first: u64,
    next: u64,
}

/// Some entries, each after its length.
#[derive(Default)]
struct Block {
    bytes: Vec<u8>,
    count: u64,
}

/// Bytes of a number.
const NUMBER: usize = size_of::<u64>();

/// Kinds of events.
const REQUEST: u64 = 0;
const GUEST: u64 = 1;
const FAILURE: u64 = 2;

impl Ring {
    /// Adds an entry; the oldest go, if there is no room for it.
    pub(super) fn push(&mut self, entry: &Entry) {
        self.entry.clear();
        Writer(&mut self.entry).entry(entry);
        let bytes = NUMBER + self.entry.len();
        if self.blocks.back().is_none_or(|last| last.bytes.len() + bytes > BLOCK_BYTES) {
            let room = self.drop_until_fits(bytes);
            self.blocks.push_back(room);
        }
        if let Some(last) = self.blocks.back_mut() {
            last.bytes.extend_from_slice(&self.entry.len().to_le_bytes());
            last.bytes.extend_from_slice(&self.entry);
            last.count += 1;
        }
        (self.bytes, self.next) = (self.bytes + bytes, self.next + 1);
    }

    /// Drops the oldest blocks, until a block with so much and others like it fit; an empty block, if there is one to be had.
    fn drop_until_fits(&mut self, bytes: usize) -> Block {
        let mut empty = Block::default();
        while self.bytes + bytes.max(BLOCK_BYTES) > LOG_RING_BYTES_MAX
            && let Some(oldest) = self.blocks.pop_front()
        {
            (self.bytes, self.first) = (self.bytes - oldest.bytes.len(), self.first + oldest.count);
            empty = oldest;
        }
        // One that had a large entry would be large for ever.
        if empty.bytes.capacity() > 2 * BLOCK_BYTES {
            return Block::default();
        }
        empty.bytes.clear();
        empty.count = 0;
        empty
    }

    /// The number that the next entry gets.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// What was added from number `from` on, and how many of that are gone.
    pub(super) fn since(&self, from: u64) -> (Kept, u64) {
        let missed = self.first.saturating_sub(from);
        let mut skipped = from.clamp(self.first, self.next) - self.first;
        let mut bytes = Vec::new();
        for block in &self.blocks {
            if bytes.is_empty() && block.count <= skipped {
                skipped -= block.count;
            } else {
                bytes.extend_from_slice(&block.bytes);
            }
        }
        (Kept { bytes, skipped }, missed)
    }
}

/// A copy of what was in a ring, without the first entries.
pub(super) struct Kept {
    bytes: Vec<u8>,
    skipped: u64,
}

impl Kept {
    /// The entries.
    pub(super) fn entries(&self) -> Vec<Entry> {
        let mut rest = Reader(&self.bytes);
        let kept = std::iter::from_fn(|| rest.next()).skip(self.skipped as usize);
        kept.map(|bytes| Reader(bytes).entry()).collect()
    }
}

/// Puts an entry into bytes.
struct Writer<'b>(&'b mut Vec<u8>);

impl Writer<'_> {
    fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.0.extend_from_slice(text.as_bytes());
    }

    /// A text that another follows.
    fn name(&mut self, text: &str) {
        self.number(text.len() as u64);
        self.text(text);
    }

    fn entry(&mut self, entry: &Entry) {
        self.number(entry.time_ms);
        self.name(entry.request.as_str());
        match &entry.event {
            Event::Request { line, status, micros, cpu_micros, bytes, version, error } => {
                self.number(REQUEST);
                self.number((*status).into());
                [micros, cpu_micros, bytes].into_iter().for_each(|number| self.number(*number));
                self.number(version.map_or(0, |version| u64::from(version) + 1));
                self.name(error.as_deref().unwrap_or_default());
                self.text(line);
            }
            Event::Guest { line } => {
                self.number(GUEST);
                self.text(line);
            }
            Event::Failure { name, message } => {
                self.number(FAILURE);
                self.name(name);
                self.text(message);
            }
        }
    }
}

/// Takes entries out of bytes that a [`Writer`] has put there.
struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (bytes, rest) = self.0.split_at(count);
        self.0 = rest;
        bytes
    }

    /// The next of several, each after its length.
    fn next(&mut self) -> Option<&'b [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let count = self.number() as usize;
        Some(self.bytes(count))
    }

    fn number(&mut self) -> u64 {
        self.bytes(NUMBER).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    fn text(&mut self, bytes: usize) -> String {
        String::from_utf8_lossy(self.bytes(bytes)).into_owned()
    }

    fn name(&mut self) -> String {
        let bytes = self.number() as usize;
        self.text(bytes)
    }

    /// The rest.
    fn last(&mut self) -> String {
        self.text(self.0.len())
    }

    fn entry(&mut self) -> Entry {
        let time_ms = self.number();
        let request = RequestId::try_from(self.name()).expect("it was written as an id");
        Entry { time_ms, request, event: self.event() }
    }

    fn event(&mut self) -> Event {
        match self.number() {
            REQUEST => Event::Request {
                status: self.number() as u16,
                micros: self.number(),
                cpu_micros: self.number(),
                bytes: self.number(),
                version: self.number().checked_sub(1).map(|version| version as u32),
                error: Some(self.name()).filter(|name| !name.is_empty()),
                line: self.last(),
            },
            GUEST => Event::Guest { line: self.last() },
            _ => Event::Failure { name: self.name(), message: self.last() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(version: Option<u32>, error: Option<&str>) -> Event {
        let (line, error) = ("GET /ä".to_string(), error.map(str::to_string));
        Event::Request { line, status: 599, micros: u64::MAX, cpu_micros: 1 << 40, bytes: 0, version, error }
    }

    #[test]
    fn what_was_put_in_comes_out_wherever_the_ring_begins() {
        let events = [
            request(None, None),
            request(Some(0), Some("wall_limit")),
            request(Some(u32::MAX), None),
            Event::Guest { line: String::new() },
            Event::Guest { line: "x".repeat(4_000) },
            Event::Failure { name: "guest_trap".into(), message: "two\nlines".into() },
        ];
        let entry = |number: u64| {
            let request = RequestId::try_from(format!("r{}", number % 1_000)).unwrap();
            Entry { time_ms: number, request, event: events[number as usize % events.len()].clone() }
        };
        let mut ring = Ring::default();
        for number in 0..2_000 {
            ring.push(&entry(number));
            let bytes: usize = ring.blocks.iter().map(|block| block.bytes.len()).sum();
            assert!(bytes == ring.bytes && bytes <= LOG_RING_BYTES_MAX && ring.next() == number + 1);
        }
        let (kept, missed) = ring.since(0);
        assert!(missed > 1_000 && missed < 1_900, "{missed}");
        assert_eq!(kept.entries(), (missed..2_000).map(entry).collect::<Vec<_>>());
        let of = |from: u64| (ring.since(from).0.entries(), ring.since(from).1);
        assert_eq!(of(1_990), ((1_990..2_000).map(entry).collect(), 0));
        assert_eq!((of(2_000), of(u64::MAX)), ((vec![], 0), (vec![], 0)));
    }

    #[test]
    fn one_that_is_larger_than_the_ring_is_alone_in_it() {
        let large = Entry {
            time_ms: 1,
            request: RequestId::known("r"),
            event: Event::Guest { line: "x".repeat(LOG_RING_BYTES_MAX) },
        };
        let mut ring = Ring::default();
        (0..3).for_each(|_| ring.push(&large));
        assert_eq!(ring.since(0).0.entries(), [large]);
        assert_eq!(ring.since(0).1, 2);
    }
}
