//! Arguments and environment: lists of strings, copied out as C wants them.

use std::sync::Arc;

use selvedge_runtime::GuestPtr;

use crate::Wasi;
use crate::errno::Answer;
use crate::memory::check;

/// Strings one after the other, each with its zero byte, and where each begins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Strings {
    bytes: Arc<[u8]>,
    starts: Arc<[u32]>,
}

impl Strings {
    /// Strings without zero bytes, in all no longer than [`crate::limits::STRINGS_BYTES_MAX`].
    pub(crate) fn new<'s>(strings: impl Iterator<Item = &'s [u8]>) -> Strings {
        let (mut bytes, mut starts) = (Vec::new(), Vec::new());
        for string in strings {
            starts.push(bytes.len() as u32);
            bytes.extend_from_slice(string);
            bytes.push(0);
        }
        Strings { bytes: bytes.into(), starts: starts.into() }
    }

    fn get(&self, mem: &mut [u8], pointers: GuestPtr<u32>, buffer: GuestPtr<u8>) -> Answer {
        let pointers = pointers.slice(self.starts.len() as u32);
        pointers.bytes(mem)?;
        buffer.slice(self.bytes.len() as u32).bytes_mut(mem)?.copy_from_slice(&self.bytes);
        // The buffer is in the memory, so its addresses have 32 bits.
        pointers.write(mem, self.starts.iter().map(|start| buffer.address() as u32 + start))?;
        Ok(())
    }

    fn sizes(&self, mem: &mut [u8], count: GuestPtr<u32>, bytes: GuestPtr<u32>) -> Answer {
        check(mem, bytes)?;
        count.write(mem, &(self.starts.len() as u32))?;
        Ok(bytes.write(mem, &(self.bytes.len() as u32))?)
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
        let strings = Strings::new([&b"ab"[..], b"", b"c"].into_iter());
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
}
