//! What generated code asks of the runtime: growth, bulk operations, tables.
//!
//! Everything comes from a guest: indices of segments and tables as the artifact's code states them,
//! addresses and lengths as the guest computed them. All are 64 bits wide here, so a sum is checked once
//! and fits or does not. Nothing is written unless all of it may be.
//!
//! What may take long is done in pieces. When guest code is asked to end meanwhile, the rest is left undone: it does not
//! go on, so that nobody misses it.

use std::ops::Range;

use selvedge_contract::abi::{Builtin, FuncRefBits};
use selvedge_contract::trap::TrapCode;
use selvedge_contract::types::RefType;
use selvedge_contract::{ElementItems, SegmentMode};
use selvedge_native::{HostVerdict, RawValue, SlotId};

use crate::core::{Core, Place};
use crate::error::HostError;
use crate::guest::range;

/// Why a builtin does not return.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The guest is at fault.
    Trap(TrapCode),
    /// The code asks for what its module does not have, which validated code cannot.
    Damaged,
}

type Outcome<T> = Result<T, Refusal>;

/// What is copied out of a segment, and where to.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) to: u64,
    pub(crate) from: u64,
    pub(crate) len: u64,
}

/// What a growing operation returns when it fails.
const FAILED: u64 = u64::MAX;

const MEMORY: Refusal = Refusal::Trap(TrapCode::MemoryOutOfBounds);
const TABLE: Refusal = Refusal::Trap(TrapCode::TableOutOfBounds);

/// Bytes of memory, and elements of tables, that are written between two looks at what is asked for: some hundred
/// microseconds' work, also where each page is touched for the first time.
const PIECE_BYTES: u64 = 1 << 20;
const PIECE_ELEMENTS: u64 = 1 << 13;

/// Ranges that make up one from 0, in order.
fn pieces(len: u64, piece: u64) -> impl DoubleEndedIterator<Item = Range<u64>> {
    (0..len.div_ceil(piece)).map(move |nth| nth * piece..len.min((nth + 1).saturating_mul(piece)))
}

/// Serves a host call that names a builtin.
pub(crate) fn serve(core: &mut Core, slot: SlotId, index: u32, values: &mut [RawValue]) -> HostVerdict {
    let served = match Builtin::from_index(index) {
        Some(builtin) => dispatch(core, slot, builtin, values),
        None => Err(Refusal::Damaged),
    };
    match served {
        Ok(()) => HostVerdict::Resume,
        Err(Refusal::Trap(code)) => HostVerdict::Trap(code),
        Err(Refusal::Damaged) => {
            core.pending =
                Some(HostError::message("the artifact's code asks for what its module does not have: it is damaged"));
            HostVerdict::Leave
        }
    }
}

fn dispatch(core: &mut Core, slot: SlotId, builtin: Builtin, values: &mut [RawValue]) -> Outcome<()> {
    let arg = |i: usize| values.get(i).map_or(0, |value| *value as u64);
    let (a, b, c, d, e) = (arg(0), arg(1), arg(2), arg(3), arg(4));
    let index = |value: u64| u32::try_from(value).map_err(|_| Refusal::Damaged);
    let result = match builtin {
        Builtin::MemoryGrow => core.guest_memory_grow(slot, index(a)?, b)?,
        Builtin::MemoryCopy => return core.guest_memory_copy(slot, (index(a)?, c), (index(b)?, d), e),
        Builtin::MemoryFill => return core.guest_memory_fill(slot, index(a)?, b, c as u8, d),
        Builtin::MemoryInit => {
            return core.guest_memory_init(slot, index(a)?, index(b)?, Span { to: c, from: d, len: e });
        }
        Builtin::DataDrop => return core.guest_data_drop(slot, index(a)?),
        Builtin::TableGet => core.guest_table_get(slot, index(a)?, b)?,
        Builtin::TableSet => return core.guest_table_fill(slot, index(a)?, b, c, 1),
        Builtin::TableGrow => core.guest_table_grow(slot, index(a)?, b, c)?,
        Builtin::TableFill => return core.guest_table_fill(slot, index(a)?, b, c, d),
        Builtin::TableCopy => return core.guest_table_copy(slot, (index(a)?, c), (index(b)?, d), e),
        Builtin::TableInit => {
            return core.guest_table_init(slot, index(a)?, index(b)?, Span { to: c, from: d, len: e });
        }
        Builtin::ElemDrop => return core.guest_element_drop(slot, index(a)?),
        Builtin::IndirectCallFailed => return Err(core.why_indirect_call_failed(slot, index(a)?, b)),
    };
    *values.first_mut().ok_or(Refusal::Damaged)? = result.into();
    Ok(())
}

/// `len` elements from `at`, if a table of this size has them.
fn elements(at: u64, len: u64, size: u64) -> Outcome<Range<u64>> {
    let end = at.checked_add(len).filter(|end| *end <= size).ok_or(TABLE)?;
    Ok(at..end)
}

impl Core {
    fn guest_memory(&self, slot: SlotId, index: u32) -> Outcome<Place> {
        self.memory_place(slot, index).ok_or(Refusal::Damaged)
    }

    fn guest_table(&self, slot: SlotId, index: u32) -> Outcome<Place> {
        self.table_place(slot, index).ok_or(Refusal::Damaged)
    }

    fn guest_memory_grow(&mut self, slot: SlotId, memory: u32, delta_pages: u64) -> Outcome<u64> {
        let at = self.guest_memory(slot, memory)?;
        Ok(self.memory_grow(at, delta_pages).unwrap_or(FAILED))
    }

    fn guest_memory_copy(&mut self, slot: SlotId, to: (u32, u64), from: (u32, u64), len: u64) -> Outcome<()> {
        let (target, source) = (self.guest_memory(slot, to.0)?, self.guest_memory(slot, from.0)?);
        range(to.1, len, self.memory(target).len()).ok_or(MEMORY)?;
        range(from.1, len, self.memory(source).len()).ok_or(MEMORY)?;
        let copy = |core: &mut Core, piece: Range<u64>| {
            let to = (target.slot, target.defined, to.1 + piece.start);
            let from = (source.slot, source.defined, from.1 + piece.start);
            core.arena.memory_copy(to, from, piece.end - piece.start).ok_or(MEMORY)
        };
        // What is to be copied yet is not written over.
        if to.1 > from.1 {
            self.in_pieces(pieces(len, PIECE_BYTES).rev(), copy)
        } else {
            self.in_pieces(pieces(len, PIECE_BYTES), copy)
        }
    }

    /// Does so for one piece after the other, until guest code is asked to end.
    fn in_pieces(
        &mut self,
        pieces: impl Iterator<Item = Range<u64>>,
        mut work: impl FnMut(&mut Core, Range<u64>) -> Outcome<()>,
    ) -> Outcome<()> {
        for piece in pieces {
            work(self, piece)?;
            if self.arena.is_to_end() {
                break;
            }
        }
        Ok(())
    }

    fn guest_memory_fill(&mut self, slot: SlotId, memory: u32, to: u64, byte: u8, len: u64) -> Outcome<()> {
        let at = self.guest_memory(slot, memory)?;
        let to = range(to, len, self.memory(at).len()).ok_or(MEMORY)?;
        self.in_pieces(pieces(len, PIECE_BYTES), |core, piece| {
            core.memory_mut(at)[to.clone()][piece.start as usize..piece.end as usize].fill(byte);
            Ok(())
        })
    }

    /// As [`Core::memory_init`]; a segment that was placed or dropped is empty.
    fn guest_memory_init(&mut self, slot: SlotId, memory: u32, segment: u32, span: Span) -> Outcome<()> {
        let instance = self.instance(slot).ok_or(Refusal::Damaged)?;
        let data = instance.module.contract().data.get(segment as usize).ok_or(Refusal::Damaged)?;
        let empty = data.mode != SegmentMode::Passive || instance.data_is_dropped(segment);
        if empty {
            range(span.from, span.len, 0).ok_or(MEMORY)?;
        }
        self.memory_init(slot, memory, segment, span)
    }

    /// Copies part of a data segment.
    pub(crate) fn memory_init(&mut self, slot: SlotId, memory: u32, segment: u32, span: Span) -> Outcome<()> {
        let at = self.guest_memory(slot, memory)?;
        let module = &self.instances.get(slot.0 as usize).ok_or(Refusal::Damaged)?.module;
        let data = module.contract().data.get(segment as usize).ok_or(Refusal::Damaged)?;
        let all = module.index().data(module.bytes());
        let bytes = &all[range(data.offset, data.len, all.len()).ok_or(Refusal::Damaged)?];
        let target = self.arena.memory_mut(at.slot, at.defined);
        let from = range(span.from, span.len, bytes.len()).ok_or(MEMORY)?;
        let to = range(span.to, span.len, target.len()).ok_or(MEMORY)?;
        target[to].copy_from_slice(&bytes[from]);
        Ok(())
    }

    fn guest_data_drop(&mut self, slot: SlotId, segment: u32) -> Outcome<()> {
        let instance = self.instances.get_mut(slot.0 as usize).ok_or(Refusal::Damaged)?;
        instance.drop_data(segment);
        Ok(())
    }

    fn guest_element_drop(&mut self, slot: SlotId, segment: u32) -> Outcome<()> {
        let instance = self.instances.get_mut(slot.0 as usize).ok_or(Refusal::Damaged)?;
        instance.drop_element(segment);
        Ok(())
    }

    fn guest_table_get(&self, slot: SlotId, table: u32, index: u64) -> Outcome<u64> {
        let at = self.guest_table(slot, table)?;
        elements(index, 1, self.table_size(at))?;
        Ok(self.table_get(at, index))
    }

    fn guest_table_fill(&mut self, slot: SlotId, table: u32, to: u64, bits: u64, len: u64) -> Outcome<()> {
        let at = self.guest_table(slot, table)?;
        let range = elements(to, len, self.table_size(at))?;
        self.fill_elements(at, range, bits)
    }

    fn fill_elements(&mut self, at: Place, range: Range<u64>, bits: u64) -> Outcome<()> {
        self.in_pieces(pieces(range.end - range.start, PIECE_ELEMENTS), |core, piece| {
            let piece = range.start + piece.start..range.start + piece.end;
            core.table_fill(at, piece, bits).ok_or(Refusal::Damaged)
        })
    }

    fn guest_table_grow(&mut self, slot: SlotId, table: u32, bits: u64, delta: u64) -> Outcome<u64> {
        let at = self.guest_table(slot, table)?;
        if self.table_plan(at).ty.element == RefType::Func && self.table_function(bits).is_none() {
            return Err(Refusal::Damaged);
        }
        let Some(old) = self.table_grow(at, delta) else { return Ok(FAILED) };
        // New elements are null as they are.
        if bits != 0 {
            self.fill_elements(at, old..old + delta, bits)?;
        }
        Ok(old)
    }

    fn guest_table_copy(&mut self, slot: SlotId, to: (u32, u64), from: (u32, u64), len: u64) -> Outcome<()> {
        let (target, source) = (self.guest_table(slot, to.0)?, self.guest_table(slot, from.0)?);
        let to = elements(to.1, len, self.table_size(target))?;
        let from = elements(from.1, len, self.table_size(source))?;
        if self.table_plan(target).ty.element != self.table_plan(source).ty.element {
            return Err(Refusal::Damaged);
        }
        let backwards = target == source && to.start > from.start;
        self.in_pieces(pieces(len, PIECE_ELEMENTS), |core, piece| {
            for step in piece {
                let offset = if backwards { len - 1 - step } else { step };
                let bits = core.table_get(source, from.start + offset);
                let at = to.start + offset;
                core.table_fill(target, at..at + 1, bits).ok_or(Refusal::Damaged)?;
            }
            Ok(())
        })
    }

    /// As [`Core::table_init`]; a segment that was placed or dropped is empty.
    fn guest_table_init(&mut self, slot: SlotId, table: u32, segment: u32, span: Span) -> Outcome<()> {
        let instance = self.instance(slot).ok_or(Refusal::Damaged)?;
        let items = instance.module.contract().elements.get(segment as usize).ok_or(Refusal::Damaged)?;
        let empty = items.mode != SegmentMode::Passive || instance.element_is_dropped(segment);
        if empty {
            elements(span.from, span.len, 0)?;
        }
        self.table_init(slot, table, segment, span)
    }

    /// Copies part of an element segment.
    pub(crate) fn table_init(&mut self, slot: SlotId, table: u32, segment: u32, span: Span) -> Outcome<()> {
        let at = self.guest_table(slot, table)?;
        let instance = self.instance(slot).ok_or(Refusal::Damaged)?;
        let source = instance.module.contract().elements.get(segment as usize).ok_or(Refusal::Damaged)?;
        if source.ty != self.table_plan(at).ty.element {
            return Err(Refusal::Damaged);
        }
        let from = elements(span.from, span.len, source.items.len() as u64)?;
        let to = elements(span.to, span.len, self.table_size(at))?;
        for (to, from) in to.zip(from) {
            let bits = self.element(slot, segment, from as usize).ok_or(Refusal::Damaged)?;
            self.table_fill(at, to..to + 1, bits).ok_or(Refusal::Damaged)?;
        }
        Ok(())
    }

    /// The reference that an item of an element segment is.
    fn element(&self, slot: SlotId, segment: u32, item: usize) -> Option<u64> {
        let contract = self.instance(slot)?.module.contract();
        match &contract.elements.get(segment as usize)?.items {
            ElementItems::Functions(items) => Some(FuncRefBits::new(slot.0, *items.get(item)?).0),
            ElementItems::Expressions(items) => Some(self.evaluate(slot, items.get(item)?)? as u64),
        }
    }

    fn why_indirect_call_failed(&self, slot: SlotId, table: u32, index: u64) -> Refusal {
        let at = match self.guest_table(slot, table) {
            Ok(at) => at,
            Err(refusal) => return refusal,
        };
        Refusal::Trap(if index >= self.table_size(at) {
            TrapCode::UndefinedElement
        } else if self.table_get(at, index) == 0 {
            TrapCode::UninitializedElement
        } else {
            TrapCode::IndirectCallTypeMismatch
        })
    }
}
