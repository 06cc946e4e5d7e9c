//! Guest pointers: allegations until checked against a memory.
//!
//! A [`GuestPtr`] or [`GuestSlice`] is only a number that a guest said. It cannot be followed; it can be
//! *validated* against the bytes of a memory, and what validation yields is the access itself. Nothing is
//! kept: after the guest has run again, validate again.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use thiserror::Error;

/// The guest named bytes that its memory does not have. The guest's fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("the guest named {len} bytes at {address:#x}, its memory has {memory_bytes}")]
pub struct GuestFault {
    /// Where.
    pub address: u64,
    /// How many bytes.
    pub len: u64,
    /// Size of the memory.
    pub memory_bytes: u64,
}

/// The range of `len` bytes at `address`, if the memory has it.
pub(crate) fn range(address: u64, len: u64, memory_bytes: usize) -> Option<Range<usize>> {
    let end = address.checked_add(len).filter(|end| *end <= memory_bytes as u64)?;
    Some(address as usize..end as usize)
}

fn checked(address: u64, len: u64, memory_bytes: usize) -> Result<Range<usize>, GuestFault> {
    let fault = GuestFault { address, len, memory_bytes: memory_bytes as u64 };
    range(address, len, memory_bytes).ok_or(fault)
}

/// A value of fixed size in guest memory. Integers and floats are little-endian; a host that shares
/// structures with its guests implements it for those.
pub trait GuestValue: Sized {
    /// Its size.
    const BYTES: u32;

    /// Decodes it from exactly [`GuestValue::BYTES`] bytes. Bytes that mean nothing must yield some value.
    fn read(bytes: &[u8]) -> Self;

    /// Encodes it into exactly [`GuestValue::BYTES`] bytes.
    fn write(&self, bytes: &mut [u8]);
}

macro_rules! guest_value {
    ($($number:ty),*) => {
        $(impl GuestValue for $number {
            const BYTES: u32 = size_of::<$number>() as u32;

            #[inline]
            fn read(bytes: &[u8]) -> Self {
                let mut own = [0; size_of::<$number>()];
                own.copy_from_slice(bytes);
                <$number>::from_le_bytes(own)
            }

            #[inline]
            fn write(&self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

guest_value!(u8, u16, u32, u64, u128, i8, i16, i32, i64, f32, f64);

impl<T> GuestValue for GuestPtr<T> {
    const BYTES: u32 = 4;

    fn read(bytes: &[u8]) -> Self {
        GuestPtr::new(u32::read(bytes))
    }

    fn write(&self, bytes: &mut [u8]) {
        (self.address as u32).write(bytes);
    }
}

/// Where a guest says a `T` is.
pub struct GuestPtr<T> {
    address: u64,
    marker: PhantomData<fn() -> T>,
}

impl<T> GuestPtr<T> {
    /// A pointer into a memory with 32-bit addresses.
    #[inline]
    pub fn new(address: u32) -> GuestPtr<T> {
        GuestPtr::new64(address.into())
    }

    /// A pointer into a memory with 64-bit addresses.
    #[inline]
    pub fn new64(address: u64) -> GuestPtr<T> {
        GuestPtr { address, marker: PhantomData }
    }

    /// The alleged address.
    #[inline]
    pub fn address(self) -> u64 {
        self.address
    }

    /// Whether it is 0, which many interfaces take for "none".
    pub fn is_null(self) -> bool {
        self.address == 0
    }

    /// The same address, said to hold something else.
    pub fn cast<U>(self) -> GuestPtr<U> {
        GuestPtr::new64(self.address)
    }

    /// So many bytes further, for fields. Saturates: beyond every memory is beyond every memory.
    pub fn byte_add(self, bytes: u64) -> GuestPtr<T> {
        GuestPtr::new64(self.address.saturating_add(bytes))
    }

    /// `len` values from here.
    pub fn slice(self, len: u32) -> GuestSlice<T> {
        GuestSlice { start: self, len: len.into() }
    }
}

impl<T: GuestValue> GuestPtr<T> {
    /// The value there.
    ///
    /// # Errors
    /// If the memory does not have it.
    #[inline]
    pub fn read(self, memory: &[u8]) -> Result<T, GuestFault> {
        Ok(T::read(&memory[checked(self.address, T::BYTES.into(), memory.len())?]))
    }

    /// Puts a value there.
    ///
    /// # Errors
    /// If the memory does not have the place.
    #[inline]
    pub fn write(self, memory: &mut [u8], value: &T) -> Result<(), GuestFault> {
        let range = checked(self.address, T::BYTES.into(), memory.len())?;
        value.write(&mut memory[range]);
        Ok(())
    }

    /// `count` values further.
    pub fn offset(self, count: u64) -> GuestPtr<T> {
        self.byte_add(count.saturating_mul(T::BYTES.into()))
    }
}

/// Where a guest says some `T`s are, one after the other.
pub struct GuestSlice<T> {
    start: GuestPtr<T>,
    len: u64,
}

impl<T> GuestSlice<T> {
    /// The alleged address of the first.
    pub fn start(self) -> GuestPtr<T> {
        self.start
    }

    /// The alleged number.
    #[expect(clippy::len_without_is_empty, reason = "no container: a claim about one")]
    pub fn len(self) -> u64 {
        self.len
    }
}

impl<T: GuestValue> GuestSlice<T> {
    fn range(self, memory_bytes: usize) -> Result<Range<usize>, GuestFault> {
        checked(self.start.address, self.len.saturating_mul(T::BYTES.into()), memory_bytes)
    }

    /// The bytes there.
    ///
    /// # Errors
    /// If the memory does not have them all.
    pub fn bytes(self, memory: &[u8]) -> Result<&[u8], GuestFault> {
        let range = self.range(memory.len())?;
        Ok(&memory[range])
    }

    /// The bytes there, writable.
    ///
    /// # Errors
    /// If the memory does not have them all.
    pub fn bytes_mut(self, memory: &mut [u8]) -> Result<&mut [u8], GuestFault> {
        let range = self.range(memory.len())?;
        Ok(&mut memory[range])
    }

    /// The values there, decoded one by one.
    ///
    /// # Errors
    /// If the memory does not have them all.
    pub fn values(self, memory: &[u8]) -> Result<impl ExactSizeIterator<Item = T>, GuestFault> {
        Ok(self.bytes(memory)?.chunks_exact(T::BYTES.max(1) as usize).map(T::read))
    }

    /// Puts values there, as many as fit, and says how many.
    ///
    /// # Errors
    /// If the memory does not have the whole slice.
    pub fn write(self, memory: &mut [u8], values: impl IntoIterator<Item = T>) -> Result<usize, GuestFault> {
        let places = self.bytes_mut(memory)?.chunks_exact_mut(T::BYTES.max(1) as usize);
        Ok(places.zip(values).map(|(place, value)| value.write(place)).count())
    }
}

impl GuestSlice<u8> {
    /// The text there.
    ///
    /// # Errors
    /// If the memory does not have it. Within, the `Err` says it is not UTF-8.
    pub fn text(self, memory: &[u8]) -> Result<Result<&str, std::str::Utf8Error>, GuestFault> {
        self.bytes(memory).map(std::str::from_utf8)
    }
}

impl<T> Clone for GuestPtr<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for GuestPtr<T> {}

impl<T> PartialEq for GuestPtr<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for GuestPtr<T> {}

impl<T> fmt::Debug for GuestPtr<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestPtr({:#x})", self.address)
    }
}

impl<T> Clone for GuestSlice<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for GuestSlice<T> {}

impl<T> fmt::Debug for GuestSlice<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestSlice({:#x}, {})", self.start.address, self.len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_little_endian() {
        let mut memory = [0; 8];
        GuestPtr::<u32>::new(2).write(&mut memory, &0x0403_0201).unwrap();
        assert_eq!(memory, [0, 0, 1, 2, 3, 4, 0, 0]);
        assert_eq!(GuestPtr::<u16>::new(3).read(&memory), Ok(0x0302));
        assert_eq!(GuestPtr::<u8>::new(2).slice(3).values(&memory).unwrap().collect::<Vec<_>>(), [1, 2, 3]);
    }

    #[test]
    fn no_number_a_guest_can_say_leads_outside() {
        let memory = [7; 16];
        for address in [0, 1, 8, 12, 13, 15, 16, 17, u32::MAX as u64, u64::MAX - 3, u64::MAX] {
            let fits = address <= 12;
            assert_eq!(GuestPtr::<u32>::new64(address).read(&memory).is_ok(), fits, "{address}");
            for len in [0u32, 1, 16, 17, u32::MAX] {
                let slice = GuestPtr::<u64>::new64(address).slice(len);
                let fits = address as u128 + len as u128 * 8 <= 16;
                assert_eq!(slice.bytes(&memory).is_ok(), fits, "{address} {len}");
            }
        }
        assert!(GuestPtr::<u64>::new(8).offset(u64::MAX).byte_add(9).read(&memory).is_err());
    }
}
