//! Arguments and environment: lists of strings, copied out as C wants them.

use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::errno::Answer;
use crate::limits::STRINGS_BYTES_MAX;
use crate::memory::check;

/// Strings one after the other, each with its zero byte, and where each begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    /// Zero beyond the strings: so a string that is copied here has its zero byte.
    room: Vec<u8>,
    len: usize,
    starts: Vec<u32>,
}

impl Strings {
    /// Adds a string, given in pieces. Whoever takes all makes sure that they fit, and have no zero bytes.
    // Names are constants: where that is seen, they are written by a few instructions.
    #[inline(always)]
    pub(crate) fn push<const N: usize>(&mut self, first: &[u8], separator: &[u8], more: [&[u8]; N]) {
        let more_bytes: usize = more.iter().map(|piece| piece.len()).sum();
        let bytes = first.len() + separator.len() + more_bytes + 1;
        let start = self.len;
        if self.room.len() - start < bytes {
            self.grow(bytes);
        }
        let mut to = &mut self.room[start..start + bytes];
        let mut put = |piece: &[u8]| {
            let (here, rest) = std::mem::take(&mut to).split_at_mut(piece.len());
            here.copy_from_slice(piece);
            to = rest;
        };
        put(first);
        put(separator);
        more.into_iter().for_each(put);
        self.len = start + bytes;
        self.starts.push(start as u32);
    }

    /// Makes room for so many bytes more, and for as many as there are.
    #[cold]
    fn grow(&mut self, bytes: usize) {
        self.room.resize(self.len + bytes.max(self.len), 0);
    }

    fn bytes(&self) -> &[u8] {
        &self.room[..self.len]
    }

    /// Adds all of others.
    pub(crate) fn append(&mut self, more: &Strings) {
        let (base, end) = (self.len, self.len + more.len);
        if self.room.len() < end {
            self.grow(more.len);
        }
        self.room[base..end].copy_from_slice(more.bytes());
        self.len = end;
        self.starts.extend(more.starts.iter().map(|start| (base as u32).wrapping_add(*start)));
    }

    /// Each, without its zero byte. Of more than can be counted none are right.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.starts.iter().skip(1).copied().chain([self.len as u32]);
        let string = |start: u32, end: u32| self.bytes().get(start as usize..(end as usize).saturating_sub(1));
        self.starts.iter().zip(ends).map(move |(start, end)| string(*start, end).unwrap_or_default())
    }

    /// Makes room for so many more, of so many bytes in all.
    pub(crate) fn reserve(&mut self, strings: usize, bytes: usize) {
        self.starts.reserve(strings);
        if self.room.len() - self.len < bytes {
            self.room.resize(self.len + bytes, 0);
        }
    }

    /// A string that has a zero byte, if there is one. Looked for in all at once: most have none.
    pub(crate) fn with_zero(&self) -> Option<&[u8]> {
        // In pieces that a byte can count: a compiler makes vectors of that.
        let zeros_of = |piece: &[u8]| usize::from(piece.iter().map(|byte| u8::from(*byte == 0)).sum::<u8>());
        if self.bytes().chunks(u8::MAX.into()).map(zeros_of).sum::<usize>() == self.starts.len() {
            return None;
        }
        self.iter().find(|string| string.contains(&0))
    }

    /// Whether they are no longer than [`STRINGS_BYTES_MAX`], and no more than fit.
    pub(crate) fn fit(&self) -> bool {
        self.len <= STRINGS_BYTES_MAX && self.starts.len() <= STRINGS_BYTES_MAX / 4
    }

    fn get(&self, mem: &mut [u8], pointers: GuestPtr<u32>, buffer: GuestPtr<u8>) -> Answer {
        let pointers = pointers.slice(self.starts.len() as u32);
        pointers.bytes(mem)?;
        buffer.slice(self.len as u32).bytes_mut(mem)?.copy_from_slice(self.bytes());
        // The buffer is in the memory, so its addresses have 32 bits.
        pointers.write(mem, self.starts.iter().map(|start| buffer.address() as u32 + start))?;
        Ok(())
    }

    fn sizes(&self, mem: &mut [u8], count: GuestPtr<u32>, bytes: GuestPtr<u32>) -> Answer {
        check(mem, bytes)?;
        count.write(mem, &(self.starts.len() as u32))?;
        Ok(bytes.write(mem, &(self.len as u32))?)
    }
}

impl Wasi {
    pub(crate) fn args_get(&mut self, mem: &mut [u8], argv: GuestPtr<u32>, buffer: GuestPtr<u8>) -> Answer {
        self.args.get(mem, argv, buffer)
    }

    pub(crate) fn args_sizes_get(&mut self, mem: &mut [u8], count: GuestPtr<u32>, bytes: GuestPtr<u32>) -> Answer {
        self.args.sizes(mem, count, bytes)
    }

    pub(crate) fn environ_get(&mut self, mem: &mut [u8], environ: GuestPtr<u32>, buffer: GuestPtr<u8>) -> Answer {
        self.env.get(mem, environ, buffer)
    }

    pub(crate) fn environ_sizes_get(&mut self, mem: &mut [u8], count: GuestPtr<u32>, bytes: GuestPtr<u32>) -> Answer {
        self.env.sizes(mem, count, bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errno::Errno;

    #[test]
    fn strings_lie_as_c_wants_them() {
        let mut strings = Strings::default();
        strings.push(b"a", b"", [b"b"]);
        strings.push(b"", b"", []);
        let mut last = Strings::default();
        last.push(b"", b"c", []);
        strings.append(&last);
        let mut mem = [0xaa; 24];
        strings.sizes(&mut mem, GuestPtr::new(0), GuestPtr::new(4)).unwrap();
        assert_eq!(mem[..8], [3, 0, 0, 0, 6, 0, 0, 0]);
        strings.get(&mut mem, GuestPtr::new(0), GuestPtr::new(16)).unwrap();
        assert_eq!(mem[..12], [16, 0, 0, 0, 19, 0, 0, 0, 20, 0, 0, 0]);
        assert_eq!(&mem[16..22], b"ab\0\0c\0");
        let before = mem;
        assert_eq!(strings.get(&mut mem, GuestPtr::new(0), GuestPtr::new(19)), Err(Errno::Fault));
        assert_eq!(strings.get(&mut mem, GuestPtr::new(13), GuestPtr::new(0)), Err(Errno::Fault));
        assert_eq!(strings.sizes(&mut mem, GuestPtr::new(0), GuestPtr::new(22)), Err(Errno::Fault));
        assert_eq!(mem, before);
    }

    #[test]
    fn zero_bytes_are_found() {
        for (all, expected) in [
            (&[][..], None),
            (&[&b""[..], b"a", b""], None),
            (&[b"a", b"b\0c", b"d\0"], Some(&b"b\0c"[..])),
            (&[b"", b"\0"], Some(b"\0")),
        ] {
            let mut strings = Strings::default();
            all.iter().for_each(|string| strings.push(string, b"", []));
            assert_eq!(strings.with_zero(), expected, "{all:?}");
        }
    }
}
