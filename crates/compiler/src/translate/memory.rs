//! Linear memory: addresses, scalar loads and stores, and what the host does to whole memories.
//!
//! An address is `base + index + offset`. The index is clamped, unless whatever it is the sum stays within the
//! reservation and its guard: to the bound less the offset's *class*, the offset rounded down, so that accesses
//! near each other share one clamp; what is left of the offset stays within the guard. So every access lies in
//! the memory or faults, even if branches are mispredicted: there are none.

use cranelift_codegen::cursor::{Cursor, FuncCursor};
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Type, Value, types};
use selvedge_contract::abi::Builtin;
use selvedge_contract::limits::{DENSE_GUARD_BYTES, RESERVATION_BYTES_MAX, WASM_PAGE_BYTES};
use selvedge_contract::vmctx::{Reach, memory_def};
use wasmparser::{MemArg, MemArgTarget};

use super::meter::Amount;
use super::{Address, Translator, flags};
use crate::module::MemoryAccess;

/// Offsets are rounded down to this: what is left of them, and an access after it, fits into every guard.
const OFFSET_CLASS_BYTES: u64 = 4 << 10;
/// Classes beyond this do not fit an instruction's displacement.
const DISPLACEMENT_CLASS_MAX: u64 = (1 << 31) - OFFSET_CLASS_BYTES;
const _: () = assert!(OFFSET_CLASS_BYTES + 16 <= DENSE_GUARD_BYTES);

/// An index within its bounds, and how much of the operator's offset is in it already.
struct Index {
    value: Value,
    holds: u64,
}

fn memory_index(memarg: &MemArg) -> u32 {
    match memarg.target {
        MemArgTarget::Memory(memory) => memory,
        // Refused by validation: arrays belong to another proposal.
        MemArgTarget::Array(_) => 0,
    }
}

impl<'m> Translator<'m, '_> {
    fn memory(&self, memory: u32) -> &'m MemoryAccess {
        &self.module.memories[memory as usize]
    }

    /// Pops an index and makes the address of an access of `bytes` bytes; whatever the index, it lies in
    /// the memory, its reservation or its guard.
    pub(crate) fn address(&mut self, memarg: &MemArg, bytes: u32) -> Address {
        let memory = memory_index(memarg);
        let access = self.memory(memory);
        let index = self.pop();
        let index = self.loaded_wide(index).unwrap_or_else(|| self.widen(index));
        let near = memarg.offset.checked_add(u64::from(bytes)).is_some_and(|end| end <= access.guard_bytes);
        let class = if near { 0 } else { memarg.offset & !(OFFSET_CLASS_BYTES - 1) };
        let index = match access.bound {
            Some(bound) => self.within(index, class, bound, access.memory64),
            None => self.within_definition(index, class, memory),
        };
        let base = self.memory_base(memory);
        let base = self.ins().iadd(base, index.value);
        Address { base, offset: (memarg.offset - index.holds) as i32, flags: self.heap_flags() }
    }

    /// A 32-bit value that was loaded, extended without a sign by the load itself. Loads do that anyway, but
    /// Cranelift knows it only of those whose result is 64 bits wide.
    fn loaded_wide(&mut self, value: Value) -> Option<Value> {
        let func = &mut *self.builder.func;
        let inst = func.dfg.value_def(func.dfg.resolve_aliases(value)).inst()?;
        let (opcode, base, offset, flags) = match func.dfg.insts[inst] {
            InstructionData::Load { opcode, arg, offset, flags } => (opcode, arg, offset, flags),
            // This value has been through here before.
            InstructionData::Unary { opcode: Opcode::Ireduce, arg } => {
                let load = func.dfg.value_def(arg).inst()?;
                let extends =
                    matches!(func.dfg.insts[load].opcode(), Opcode::Uload8 | Opcode::Uload16 | Opcode::Uload32);
                return extends.then_some(arg);
            }
            _ => return None,
        };
        let flags = func.dfg.mem_flags[flags];
        let mut cursor = FuncCursor::new(func).at_inst(inst);
        cursor.use_srcloc(inst);
        let wide = match (opcode, cursor.func.dfg.value_type(value)) {
            (Opcode::Load, types::I32) => cursor.ins().uload32(flags, base, offset),
            (Opcode::Uload8, types::I32) => cursor.ins().uload8(types::I64, flags, base, offset),
            (Opcode::Uload16, types::I32) => cursor.ins().uload16(types::I64, flags, base, offset),
            _ => return None,
        };
        func.replace(inst).ireduce(types::I32, wide);
        Some(wide)
    }

    /// The index, but so little that index and class are at most the bound.
    fn within(&mut self, index: Value, class: u64, bound: u64, memory64: bool) -> Index {
        // Nothing is in bounds. A limit of 0 would be a test for zero, and no clamp to the verifier.
        let Some(limit) = bound.checked_sub(class).filter(|limit| *limit > 0) else {
            return Index { value: self.number(bound), holds: class };
        };
        let most = self.known_index(index).or((!memory64).then_some(u32::MAX.into()));
        let index = if most.is_some_and(|most| most <= limit) {
            index
        } else {
            let limit = self.number(limit);
            self.clamp(index, limit)
        };
        if class <= DISPLACEMENT_CLASS_MAX {
            return Index { value: index, holds: 0 };
        }
        Index { value: self.ins().iadd_imm_u(index, class as i64), holds: class }
    }

    /// What an index is, if it is a constant.
    fn known_index(&self, index: Value) -> Option<u64> {
        let dfg = &self.builder.func.dfg;
        match dfg.insts[dfg.value_def(dfg.resolve_aliases(index)).inst()?] {
            InstructionData::UnaryImm { opcode: Opcode::Iconst, imm } => {
                let bits = dfg.value_type(index).bits();
                Some(imm.bits() as u64 & (u64::MAX >> (64 - bits)))
            }
            InstructionData::Unary { opcode: Opcode::Uextend, arg } => self.known_index(arg),
            _ => None,
        }
    }

    /// The same with a bound that only the memory's definition knows.
    fn within_definition(&mut self, index: Value, class: u64, memory: u32) -> Index {
        let bound = self.memory_field(memory, memory_def::BOUND);
        if class > RESERVATION_BYTES_MAX {
            return Index { value: bound, holds: class };
        }
        let index = self.clamp(index, bound);
        if class == 0 {
            return Index { value: index, holds: 0 };
        }
        let sum = self.ins().iadd_imm_u(index, class as i64);
        Index { value: self.clamp(sum, bound), holds: class }
    }

    fn clamp(&mut self, index: Value, limit: Value) -> Value {
        let beyond = self.ins().icmp(IntCC::UnsignedGreaterThan, index, limit);
        self.ins().select_spectre_guard(beyond, limit, index)
    }

    fn memory_base(&mut self, memory: u32) -> Value {
        match self.memory(memory).reach {
            Reach::Inline(0) => self.vmctx,
            Reach::Inline(_) | Reach::Definition(_) | Reach::Imported(_) => self.memory_field(memory, memory_def::BASE),
        }
    }

    /// A field of a memory's definition that never changes.
    fn memory_field(&mut self, memory: u32, field: i32) -> Value {
        let (base, offset) = self.memory_definition(memory);
        self.ins().load(types::I64, flags::FIXED_FIELD, base, offset + field)
    }

    fn memory_definition(&mut self, memory: u32) -> (Value, i32) {
        let (vmctx, access) = (self.vmctx, self.memory(memory));
        match access.reach {
            Reach::Imported(slot) => (self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, slot), 0),
            Reach::Inline(_) | Reach::Definition(_) => (vmctx, access.definition),
        }
    }

    fn address_type(&self, memory: u32) -> Type {
        if self.memory(memory).memory64 { types::I64 } else { types::I32 }
    }

    pub(super) fn visit_memory_size(&mut self, memory: u32) {
        let (base, offset) = self.memory_definition(memory);
        let flags = self.regions.context();
        let bytes = self.ins().load(types::I64, flags, base, offset + memory_def::SIZE);
        let pages = self.ins().ushr_imm_u(bytes, i64::from(WASM_PAGE_BYTES.trailing_zeros()));
        let size = match self.address_type(memory) {
            types::I32 => self.ins().ireduce(types::I32, pages),
            _ => pages,
        };
        self.push(size);
    }

    pub(super) fn visit_memory_grow(&mut self, memory: u32) {
        let delta = self.pop();
        self.count_amount(delta, Amount::Pages);
        let ty = self.address_type(memory);
        let memory = self.number(memory);
        let old = self.host_call_for(Builtin::MemoryGrow, &[memory, delta], ty);
        self.push(old);
    }

    pub(super) fn visit_memory_copy(&mut self, to: u32, from: u32) {
        let (dst, src, len) = self.pop3();
        self.count_amount(len, Amount::Bytes);
        let (to, from) = (self.number(to), self.number(from));
        self.host_call(Builtin::MemoryCopy, &[to, from, dst, src, len]);
    }

    pub(super) fn visit_memory_fill(&mut self, memory: u32) {
        let (dst, byte, len) = self.pop3();
        self.count_amount(len, Amount::Bytes);
        let memory = self.number(memory);
        self.host_call(Builtin::MemoryFill, &[memory, dst, byte, len]);
    }

    pub(super) fn visit_memory_init(&mut self, segment: u32, memory: u32) {
        let (dst, src, len) = self.pop3();
        self.count_amount(len, Amount::Bytes);
        let (memory, segment) = (self.number(memory), self.number(segment));
        self.host_call(Builtin::MemoryInit, &[memory, segment, dst, src, len]);
    }

    pub(super) fn visit_data_drop(&mut self, segment: u32) {
        let segment = self.number(segment);
        self.host_call(Builtin::DataDrop, &[segment]);
    }
}

/// `operator: instruction bytes (result type)`.
macro_rules! loads {
    ($($name:ident: $inst:ident $bytes:literal $(($ty:ident))?;)*) => {
        impl Translator<'_, '_> {$(
            pub(super) fn $name(&mut self, memarg: MemArg) {
                let Address { base, offset, flags } = self.address(&memarg, $bytes);
                let value = self.ins().$inst($(types::$ty,)? flags, base, offset);
                self.push(value);
            }
        )*}
    };
}

/// `operator: instruction bytes`.
macro_rules! stores {
    ($($name:ident: $inst:ident $bytes:literal;)*) => {
        impl Translator<'_, '_> {$(
            pub(super) fn $name(&mut self, memarg: MemArg) {
                let value = self.pop();
                let Address { base, offset, flags } = self.address(&memarg, $bytes);
                self.ins().$inst(flags, value, base, offset);
            }
        )*}
    };
}

loads! {
    visit_i32_load: load 4 (I32);
    visit_i64_load: load 8 (I64);
    visit_f32_load: load 4 (F32);
    visit_f64_load: load 8 (F64);
    visit_i32_load8_s: sload8 1 (I32);
    visit_i32_load8_u: uload8 1 (I32);
    visit_i32_load16_s: sload16 2 (I32);
    visit_i32_load16_u: uload16 2 (I32);
    visit_i64_load8_s: sload8 1 (I64);
    visit_i64_load8_u: uload8 1 (I64);
    visit_i64_load16_s: sload16 2 (I64);
    visit_i64_load16_u: uload16 2 (I64);
    visit_i64_load32_s: sload32 4;
    visit_i64_load32_u: uload32 4;
}

stores! {
    visit_i32_store: store 4;
    visit_i64_store: store 8;
    visit_f32_store: store 4;
    visit_f64_store: store 8;
    visit_i32_store8: istore8 1;
    visit_i32_store16: istore16 2;
    visit_i64_store8: istore8 1;
    visit_i64_store16: istore16 2;
    visit_i64_store32: istore32 4;
}
