//! The fixed-width tables, read in place: loading a large artifact touches only what it uses.

use super::TextFunction;
use crate::contract::Contract;
use crate::trap::{TrapCode, TrapSite};

fn u32_at(bytes: &[u8], index: usize) -> Option<u32> {
    let at = index.checked_mul(4)?;
    Some(u32::from_le_bytes(bytes.get(at..at.checked_add(4)?)?.try_into().ok()?))
}

/// The last index in `0..count` whose key is at most `wanted`; keys ascend.
fn last_at_most(count: usize, wanted: u32, key: impl Fn(usize) -> u32) -> Option<usize> {
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low + (high - low) / 2;
        if key(middle) <= wanted { low = middle + 1 } else { high = middle }
    }
    low.checked_sub(1)
}

/// Where a text function lies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionRecord {
    /// Offset in text.
    pub text_offset: u32,
    /// Bytes, constants after the code included.
    pub text_len: u32,
    /// Index of its type in the contract; for [`TextFunction::BadCall`] 0.
    pub ty: u32,
    /// Offset of its body in the WebAssembly binary; 0 for generated functions.
    pub wasm_offset: u32,
}

impl FunctionRecord {
    pub(super) const BYTES: usize = 16;

    pub(super) fn encode(&self) -> [u8; Self::BYTES] {
        let mut out = [0; Self::BYTES];
        let fields = [self.text_offset, self.text_len, self.ty, self.wasm_offset];
        for (slot, field) in out.chunks_exact_mut(4).zip(fields) {
            slot.copy_from_slice(&field.to_le_bytes());
        }
        out
    }

    /// The offset in text just after it.
    pub fn text_end(&self) -> u32 {
        self.text_offset + self.text_len
    }
}

/// The function table: text functions in ascending order of offset.
#[derive(Clone, Copy, Debug)]
pub struct FunctionTable<'a>(pub(super) &'a [u8]);

impl<'a> FunctionTable<'a> {
    /// Number of records.
    pub fn len(&self) -> usize {
        self.0.len() / FunctionRecord::BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A record by index.
    pub fn get(&self, index: usize) -> Option<FunctionRecord> {
        let at = index.checked_mul(FunctionRecord::BYTES)?;
        let bytes = self.0.get(at..at.checked_add(FunctionRecord::BYTES)?)?;
        Some(FunctionRecord {
            text_offset: u32_at(bytes, 0)?,
            text_len: u32_at(bytes, 1)?,
            ty: u32_at(bytes, 2)?,
            wasm_offset: u32_at(bytes, 3)?,
        })
    }

    /// A text function's record.
    pub fn of(&self, function: TextFunction, contract: &Contract) -> Option<FunctionRecord> {
        self.get(function.index(contract))
    }

    /// All records.
    pub fn iter(&self) -> impl Iterator<Item = FunctionRecord> + 'a {
        let table = *self;
        (0..table.len()).filter_map(move |i| table.get(i))
    }

    /// The function that covers an offset in text, with its index.
    pub fn find(&self, text_offset: u32) -> Option<(usize, FunctionRecord)> {
        let index = last_at_most(self.len(), text_offset, |i| self.get(i).map_or(u32::MAX, |r| r.text_offset))?;
        let record = self.get(index)?;
        (text_offset < record.text_end()).then_some((index, record))
    }
}

/// The trap table: which instructions may trap, and why. Offsets ascend strictly.
#[derive(Clone, Copy, Debug)]
pub struct TrapTable<'a>(pub(super) &'a [u8]);

impl TrapTable<'_> {
    /// Bytes per entry: an offset, then, after all offsets, a code.
    pub(super) const BYTES: usize = 5;

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len() / Self::BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An entry by index: offset in text, and trap byte.
    pub fn get(&self, index: usize) -> Option<(u32, u8)> {
        let codes = self.0.get(self.len() * 4..)?;
        Some((u32_at(self.0, index)?, *codes.get(index)?))
    }

    /// Why the instruction at exactly this offset in text may trap.
    pub fn find(&self, text_offset: u32) -> Option<TrapCode> {
        self.find_site(text_offset).map(|site| site.code)
    }

    /// The same, with what a meter needs to know.
    pub fn find_site(&self, text_offset: u32) -> Option<TrapSite> {
        let index = last_at_most(self.len(), text_offset, |i| u32_at(self.0, i).unwrap_or(u32::MAX))?;
        let (at, code) = self.get(index)?;
        if at == text_offset { TrapSite::from_byte(code) } else { None }
    }
}

/// The address table: which wasm offset each stretch of code comes from. Offsets in text ascend strictly.
#[derive(Clone, Copy, Debug)]
pub struct AddressTable<'a>(pub(super) &'a [u8]);

impl AddressTable<'_> {
    pub(super) const BYTES: usize = 8;
    /// The wasm offset of code that comes from no instruction.
    pub const NONE: u32 = u32::MAX;

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.len() / Self::BYTES
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// An entry by index: where a stretch starts in text, and its wasm offset.
    pub fn get(&self, index: usize) -> Option<(u32, u32)> {
        Some((u32_at(self.0, index.checked_mul(2)?)?, u32_at(self.0, index.checked_mul(2)? + 1)?))
    }

    /// The wasm offset of the code at an offset in text.
    pub fn find(&self, text_offset: u32) -> Option<u32> {
        let index = last_at_most(self.len(), text_offset, |i| self.get(i).map_or(u32::MAX, |e| e.0))?;
        self.get(index).map(|e| e.1).filter(|offset| *offset != Self::NONE)
    }
}

/// Function names by index in the module, imports included: `count + 1` offsets, then the bytes.
#[derive(Clone, Copy, Debug)]
pub struct NameTable<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) count: usize,
}

impl<'a> NameTable<'a> {
    /// The name of a function, if it has one.
    pub fn get(&self, function: u32) -> Option<&'a str> {
        let index = function as usize;
        if index >= self.count {
            return None;
        }
        let text = self.bytes.get((self.count + 1) * 4..)?;
        let (from, to) = (u32_at(self.bytes, index)?, u32_at(self.bytes, index + 1)?);
        std::str::from_utf8(text.get(from as usize..to as usize)?).ok().filter(|name| !name.is_empty())
    }
}
