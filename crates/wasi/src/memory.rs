//! Arguments that lie in guest memory: paths, scattered buffers, places for results.
//!
//! Whatever a guest says is checked here before anything is done with it; what comes out is a slice of
//! its memory or a [`GuestPath`]. Buffers that a guest lets overlap are legal and harmless.

use std::io::{IoSlice, IoSliceMut};
use std::ops::{Deref, DerefMut, Range};

use selvedge_runtime::{GuestPtr, GuestValue, touch, touch_mut};

use crate::errno::{Answer, Errno};
use crate::limits::{BOUNCE_BYTES_MAX, IOVECS_MAX, PATH_BYTES_MAX};
use crate::types::Iovec;

/// A path from a guest: not empty, relative, UTF-8, no zero bytes, not too long.
///
/// It can still lead anywhere, by `..` and symbolic links: only [`crate::resolve`] may follow it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct GuestPath<'m>(&'m [u8]);

impl<'m> GuestPath<'m> {
    /// Reads and checks a path.
    pub(crate) fn read(mem: &'m [u8], start: GuestPtr<u8>, len: u32) -> Answer<GuestPath<'m>> {
        let bytes = path_bytes(mem, start, len)?;
        match bytes.first() {
            None => Err(Errno::Noent),
            Some(b'/') => Err(Errno::Notcapable),
            Some(_) => Ok(GuestPath(bytes)),
        }
    }

    /// Its bytes.
    pub(crate) fn bytes(self) -> &'m [u8] {
        self.0
    }

    /// The first bytes of a path that was checked, up to after a slash; `None` if there are none.
    pub(crate) fn prefix(path: &'m [u8], len: usize) -> Option<GuestPath<'m>> {
        (len > 0).then_some(GuestPath(&path[..len]))
    }

    #[cfg(test)]
    pub(crate) fn of(path: &'m str) -> GuestPath<'m> {
        GuestPath(path.as_bytes())
    }
}

fn path_bytes(mem: &[u8], start: GuestPtr<u8>, len: u32) -> Answer<&[u8]> {
    if len > PATH_BYTES_MAX {
        return Err(Errno::Nametoolong);
    }
    let bytes = start.slice(len).bytes(mem)?;
    if bytes.contains(&0) {
        return Err(Errno::Inval);
    }
    std::str::from_utf8(bytes).map_err(|_| Errno::Ilseq)?;
    Ok(bytes)
}

/// Checks that a result can be put there later.
pub(crate) fn check<T: GuestValue>(mem: &[u8], place: GuestPtr<T>) -> Answer {
    place.read(mem)?;
    Ok(())
}

/// Buffers that need no list on the heap.
const FEW: usize = 2;

/// Where the buffers of a scattered read or write are.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Buffers {
    Few([Range<usize>; FEW], usize),
    Many(Vec<Range<usize>>),
}

impl Deref for Buffers {
    type Target = [Range<usize>];

    fn deref(&self) -> &[Range<usize>] {
        match self {
            Buffers::Few(few, count) => &few[..*count],
            Buffers::Many(many) => many,
        }
    }
}

impl DerefMut for Buffers {
    fn deref_mut(&mut self) -> &mut [Range<usize>] {
        match self {
            Buffers::Few(few, count) => &mut few[..*count],
            Buffers::Many(many) => many,
        }
    }
}

/// Where the buffers of a scattered read or write are; all of them exist.
pub(crate) fn buffers(mem: &[u8], iovecs: GuestPtr<Iovec>, count: u32) -> Answer<Buffers> {
    if count > IOVECS_MAX {
        return Err(Errno::Inval);
    }
    let place = |iovec: Iovec| {
        iovec.start.slice(iovec.len).bytes(mem)?;
        let start = iovec.start.address() as usize;
        Ok(start..start + iovec.len as usize)
    };
    let mut places = iovecs.slice(count).values(mem)?.map(place);
    if places.len() > FEW {
        return places.collect::<Answer<_>>().map(Buffers::Many);
    }
    let mut few = [const { 0..0 }; FEW];
    let count = places.len();
    few.iter_mut().zip(&mut places).try_for_each(|(at, place)| place.map(|place| *at = place))?;
    Ok(Buffers::Few(few, count))
}

/// What is left of buffers of which so many bytes are filled.
pub(crate) fn after(buffers: &[Range<usize>], mut filled: usize) -> Vec<Range<usize>> {
    let rest = buffers.iter().map(|range| {
        let now = filled.min(range.len());
        filled -= now;
        range.start + now..range.end
    });
    rest.collect()
}

/// Lets `write` have the buffers of a write. They may overlap.
pub(crate) fn gather<'m, R>(mem: &'m [u8], buffers: &[Range<usize>], write: impl FnOnce(&[IoSlice<'m>]) -> R) -> R {
    let slice = |range: &Range<usize>| {
        let bytes = &mem[range.clone()];
        touch(bytes);
        IoSlice::new(bytes)
    };
    if buffers.len() > FEW {
        return write(&buffers.iter().map(slice).collect::<Vec<_>>());
    }
    let mut few = [IoSlice::new(&[]); FEW];
    for (place, range) in few.iter_mut().zip(buffers) {
        *place = slice(range);
    }
    write(&few[..buffers.len()])
}

/// Lets `read` fill buffers and returns how much it did. Buffers that lie in order and apart are filled where
/// they are, others through a copy.
pub(crate) fn scatter<E>(
    mem: &mut [u8],
    buffers: &[Range<usize>],
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
) -> Result<usize, E> {
    if !buffers.is_sorted_by(|a, b| a.end <= b.start) {
        return bounce(mem, buffers, read);
    }
    let (mut rest, mut at) = (mem, 0);
    let mut slices = Vec::with_capacity(buffers.len());
    for range in buffers {
        let (buffer, after) = rest[range.start - at..].split_at_mut(range.len());
        touch_mut(buffer);
        slices.push(IoSliceMut::new(buffer));
        (rest, at) = (after, range.end);
    }
    read(&mut slices)
}

fn bounce<E>(
    mem: &mut [u8],
    buffers: &[Range<usize>],
    read: impl FnOnce(&mut [IoSliceMut<'_>]) -> Result<usize, E>,
) -> Result<usize, E> {
    let total = buffers.iter().fold(0usize, |sum, range| sum.saturating_add(range.len()));
    let mut copy = vec![0; total.min(BOUNCE_BYTES_MAX)];
    let done = read(&mut [IoSliceMut::new(&mut copy)])?;
    let mut filled = &copy[..done];
    for range in buffers {
        let (now, later) = filled.split_at(range.len().min(filled.len()));
        mem[range.start..range.start + now.len()].copy_from_slice(now);
        filled = later;
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(bytes: &[u8]) -> impl FnOnce(&mut [IoSliceMut<'_>]) -> Answer<usize> {
        move |slices| {
            let mut left = bytes;
            for slice in slices {
                let (now, later) = left.split_at(slice.len().min(left.len()));
                slice[..now.len()].copy_from_slice(now);
                left = later;
            }
            Ok(bytes.len() - left.len())
        }
    }

    #[test]
    fn paths_are_checked() {
        let mem = b"a/b\0\xff/x";
        let path = |start, len| GuestPath::read(mem, GuestPtr::new(start), len).map(GuestPath::bytes);
        assert_eq!(path(0, 3), Ok(&b"a/b"[..]));
        assert_eq!(path(0, 0), Err(Errno::Noent));
        assert_eq!(path(0, 4), Err(Errno::Inval));
        assert_eq!(path(4, 1), Err(Errno::Ilseq));
        assert_eq!(path(5, 2), Err(Errno::Notcapable));
        assert_eq!(path(6, 2), Err(Errno::Fault));
        assert_eq!(path(u32::MAX, 2), Err(Errno::Fault));
        assert_eq!(path(0, u32::MAX), Err(Errno::Nametoolong));
    }

    #[test]
    fn every_buffer_must_exist() {
        let mut mem = [0; 64];
        Iovec { start: GuestPtr::new(32), len: 32 }.write(&mut mem[0..8]);
        Iovec { start: GuestPtr::new(33), len: 32 }.write(&mut mem[8..16]);
        Iovec { start: GuestPtr::new(u32::MAX), len: u32::MAX }.write(&mut mem[16..24]);
        let at = |address, count| buffers(&mem, GuestPtr::new(address), count);
        assert_eq!(at(0, 1).unwrap().len(), 1);
        assert_eq!(at(0, 2), Err(Errno::Fault));
        assert_eq!(at(16, 1), Err(Errno::Fault));
        assert_eq!(at(60, 1), Err(Errno::Fault));
        assert_eq!(at(0, u32::MAX), Err(Errno::Inval));
        assert_eq!(at(u32::MAX - 7, 1), Err(Errno::Fault));
    }

    #[test]
    fn reads_are_scattered_in_order_overlapping_or_not() {
        let mut mem = *b"..........";
        assert_eq!(scatter(&mut mem, &[1..3, 3..3, 5..8], fill(b"abcd")), Ok(4));
        assert_eq!(&mem, b".ab..cd...");
        let mut mem = *b"..........";
        assert_eq!(scatter(&mut mem, &[5..8, 1..3], fill(b"abcd")), Ok(4));
        assert_eq!(&mem, b".d...abc..");
        let mut mem = *b"..........";
        assert_eq!(scatter(&mut mem, &[1..4, 2..4], fill(b"abcde")), Ok(5));
        assert_eq!(&mem, b".ade......");
    }
}
