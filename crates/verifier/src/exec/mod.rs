//! What one instruction does to a state, and whether it may.
//!
//! Everything is denied that is not listed: by mnemonic here and in [`vector`], by operand kinds and
//! widths where operands are read and written.

mod access;
mod address;
mod arithmetic;
mod calls;
mod general;
mod list;
mod select;
mod vector;

use iced_x86::{ConditionCode, CpuidFeature, Instruction, Mnemonic, OpKind, Register};
use selvedge_contract::cpu::CpuFeatures;

use crate::report::{Checked, Rule, Violation, ensure};
use crate::state::{Flags, State};
use crate::value::{Cell, Value, mask};
use crate::walk::Walk;

/// An instruction about to be executed.
pub(crate) struct Exec<'w, 'a> {
    pub(crate) walk: &'w mut Walk<'a>,
    pub(crate) state: &'w mut State,
    pub(crate) insn: &'w Instruction,
    /// Its offset in the function.
    pub(crate) at: u32,
}

/// The number and size of a general register that may be named. The high byte registers may not.
pub(crate) fn general(register: Register) -> Option<(usize, usize)> {
    let within = |first: Register, last: Register| {
        (first..=last).contains(&register).then(|| register as usize - first as usize)
    };
    within(Register::RAX, Register::R15)
        .map(|n| (n, 8))
        .or_else(|| within(Register::EAX, Register::R15D).map(|n| (n, 4)))
        .or_else(|| within(Register::AX, Register::R15W).map(|n| (n, 2)))
        .or_else(|| within(Register::AL, Register::BL).map(|n| (n, 1)))
        .or_else(|| within(Register::SPL, Register::R15L).map(|n| (n + 4, 1)))
}

/// The number of a 16-byte vector register.
pub(crate) fn vector_register(register: Register) -> Option<usize> {
    (Register::XMM0..=Register::XMM15).contains(&register).then(|| register as usize - Register::XMM0 as usize)
}

/// The contract declares what the processor must be able to do.
pub(crate) fn features(instruction: &Instruction, declared: CpuFeatures) -> Checked {
    for feature in instruction.cpuid_features() {
        let needed = match feature {
            CpuidFeature::INTEL8086
            | CpuidFeature::INTEL186
            | CpuidFeature::INTEL286
            | CpuidFeature::INTEL386
            | CpuidFeature::INTEL486
            | CpuidFeature::X64
            | CpuidFeature::CMOV
            | CpuidFeature::SSE
            | CpuidFeature::SSE2 => continue,
            CpuidFeature::SSE3 => CpuFeatures::SSE3,
            CpuidFeature::SSSE3 => CpuFeatures::SSSE3,
            CpuidFeature::SSE4_1 => CpuFeatures::SSE41,
            CpuidFeature::SSE4_2 => CpuFeatures::SSE42,
            CpuidFeature::POPCNT => CpuFeatures::POPCNT,
            CpuidFeature::LZCNT => CpuFeatures::LZCNT,
            CpuidFeature::BMI1 => CpuFeatures::BMI1,
            CpuidFeature::BMI2 => CpuFeatures::BMI2,
            CpuidFeature::AVX => CpuFeatures::AVX,
            CpuidFeature::AVX2 => CpuFeatures::AVX2,
            CpuidFeature::FMA => CpuFeatures::FMA,
            CpuidFeature::AVX512F => CpuFeatures::AVX512F,
            CpuidFeature::AVX512VL => CpuFeatures::AVX512VL,
            CpuidFeature::AVX512DQ => CpuFeatures::AVX512DQ,
            CpuidFeature::AVX512_BITALG => CpuFeatures::AVX512BITALG,
            CpuidFeature::AVX512_VBMI => CpuFeatures::AVX512VBMI,
            _ => return Err(Violation::new(Rule::Instruction, format!("it belongs to {feature:?}"))),
        };
        let problem = "the contract does not declare the processor feature it needs";
        ensure(declared.contains(needed), Rule::Instruction, problem)?;
    }
    Ok(())
}

impl Exec<'_, '_> {
    /// Executes it; says whether control may go on after it.
    pub(crate) fn step(&mut self) -> Checked<bool> {
        match self.insn.mnemonic() {
            Mnemonic::Ud2 => self.ud2(),
            // The host goes on behind it when the meter is refilled, with everything as it was.
            Mnemonic::Int3 if self.walk.facts.contract.metered => Ok(true),
            Mnemonic::Call => self.call().map(|()| true),
            Mnemonic::Ret => self.ret().map(|()| false),
            Mnemonic::Jmp => self.jump().map(|()| false),
            _ if self.insn.is_jcc_short_or_near() => self.branch().map(|()| true),
            _ if self.general()? => Ok(true),
            _ => self.vector().map(|()| true),
        }
    }

    fn ud2(&mut self) -> Checked<bool> {
        let entry = self.walk.trap(self.at).is_some();
        ensure(entry, Rule::Trap, "it traps, but the trap table does not say why")?;
        Ok(false)
    }

    /// An instruction that is not on the list.
    fn denied<T>(&self) -> Checked<T> {
        Err(Violation::new(Rule::Instruction, "this instruction, or this form of it, is not on the list"))
    }

    /// Bytes of an operand.
    fn size(&self, operand: u32) -> Checked<usize> {
        match self.insn.op_kind(operand) {
            OpKind::Register => {
                let register = self.insn.op_register(operand);
                let vector = vector_register(register).map(|_| 16);
                general(register).map(|(_, size)| size).or(vector).map_or_else(|| self.denied(), Ok)
            }
            OpKind::Memory => Ok(self.insn.memory_size().size()),
            _ => self.denied(),
        }
    }

    /// The general register that an operand is, with its size.
    fn register(&self, operand: u32) -> Option<(usize, usize)> {
        (self.insn.op_kind(operand) == OpKind::Register).then(|| general(self.insn.op_register(operand)))?
    }

    /// What a register holds, under a name.
    fn named(&mut self, register: usize) -> Cell {
        let at = self.at;
        let cell = &mut self.state.regs[register];
        if cell.id == 0 {
            cell.id = (at << 5 | register as u32) + 1;
        }
        *cell
    }

    /// A register's low bytes, zero-extended. The name stays if the value does.
    fn read_register(&mut self, (register, size): (usize, usize)) -> Cell {
        let cell = self.named(register);
        let value = cell.value.truncate(size);
        let whole = cell.value.num().hi <= mask(size);
        Cell { value, id: if whole { cell.id } else { 0 } }
    }

    /// Writes a register: four bytes clear the upper half, fewer leave the rest. A name is the whole value's.
    fn write_register(&mut self, (register, size): (usize, usize), cell: Cell) -> Checked {
        let old = self.state.regs[register].value;
        let new = match size {
            8 => cell,
            4 => Cell { value: cell.value.truncate(4), id: if cell.value.num().hi <= mask(4) { cell.id } else { 0 } },
            _ => Cell::new(merge(old, cell.value, size)),
        };
        if register == crate::state::reg::RSP {
            self.check_stack_pointer(new.value)?;
        }
        self.state.regs[register] = new;
        if register == crate::state::reg::RSP {
            self.forget_below_stack_pointer();
        }
        Ok(())
    }

    /// Reads an operand of up to eight bytes.
    fn read(&mut self, operand: u32) -> Checked<Cell> {
        let kind = self.insn.op_kind(operand);
        match kind {
            OpKind::Register => match self.register(operand) {
                Some(register) => Ok(self.read_register(register)),
                None => self.denied(),
            },
            OpKind::Memory => {
                let size = self.size(operand)?;
                self.load(size)
            }
            OpKind::Immediate8
            | OpKind::Immediate16
            | OpKind::Immediate32
            | OpKind::Immediate64
            | OpKind::Immediate8to16
            | OpKind::Immediate8to32
            | OpKind::Immediate8to64
            | OpKind::Immediate32to64 => Ok(Cell::new(Value::exact(self.insn.immediate(operand)))),
            _ => self.denied(),
        }
    }

    /// Reads an operand as this many bytes: immediates are sign-extended and cut.
    fn read_as(&mut self, operand: u32, size: usize) -> Checked<Cell> {
        let cell = self.read(operand)?;
        if cell.value.num().hi <= mask(size) {
            return Ok(cell);
        }
        match cell.value.num().is_exact() {
            Some(n) => Ok(Cell::new(Value::exact(n & mask(size)))),
            None => Ok(Cell::new(cell.value.truncate(size))),
        }
    }

    /// Writes an operand of up to eight bytes.
    fn write(&mut self, operand: u32, cell: Cell) -> Checked {
        match self.insn.op_kind(operand) {
            OpKind::Register => match self.register(operand) {
                Some(register) => self.write_register(register, cell),
                None => self.denied(),
            },
            OpKind::Memory => {
                let size = self.size(operand)?;
                self.store(size, cell)
            }
            _ => self.denied(),
        }
    }

    /// What arithmetic leaves in the flags.
    fn set_flags(&mut self, readable: bool) {
        self.state.flags = if readable { Flags::Plain } else { Flags::Secret };
    }

    fn read_flags(&self) -> Checked {
        let readable = match (self.state.flags, self.insn.condition_code()) {
            (Flags::Secret, _) => false,
            (Flags::Carry, condition) => matches!(condition, ConditionCode::b | ConditionCode::ae),
            (Flags::Scan(..), condition) => matches!(condition, ConditionCode::e | ConditionCode::ne),
            _ => true,
        };
        ensure(readable, Rule::Secret, "the flags say something about what may not be read")
    }
}

/// A register after its low bytes were written.
fn merge(old: Value, new: Value, size: usize) -> Value {
    let (old, new) = (old.num(), new.num());
    let shown = usize::from(new.bytes).min(size);
    let bytes = if shown < size { shown as u8 } else { old.bytes.max(size as u8) };
    let num = crate::value::Num { lo: 0, hi: old.hi | mask(size), zeros: 0, bytes };
    Value::Num(num.tidy())
}
