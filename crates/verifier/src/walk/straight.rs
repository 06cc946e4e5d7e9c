//! What the verifier knows after a few instructions without branches, from a state that the caller describes: so that
//! tests can compare it with what a processor does. Proves nothing.

use selvedge_contract::artifact::{ArtifactIndex, FunctionRecord};
use selvedge_contract::trap::TrapCode;

use super::{HashMap, TrapEntry, Walk, unknown};
use crate::exec::Exec;
use crate::facts::Facts;
use crate::report::{Checked, Violation};
use crate::state::reg::RSP;
use crate::state::{Flags, State, Vector};
use crate::value::{Cell, Num, Ptr, Region, Value};

/// What is known of eight bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// A number between two bounds, with so many low bits of zero, of which so many low bytes may be looked at.
    Number {
        /// The least it can be.
        lo: u64,
        /// The most.
        hi: u64,
        /// Low bits of zero.
        zeros: u8,
        /// Low bytes that tell the guest nothing it must not know.
        bytes: u8,
    },
    /// An address, so many bytes from the start of the context or frame.
    Pointer {
        /// Whether from the frame's start.
        frame: bool,
        /// The least it can be.
        lo: i64,
        /// The most.
        hi: i64,
        /// Low bits of zero in the difference from the least.
        zeros: u8,
    },
    /// Something else.
    Other,
}

/// What is known at one place, as far as a processor can tell.
#[derive(Clone, Debug)]
pub struct Knowledge {
    /// The general registers, by their numbers. The stack pointer is a pointer into the frame.
    pub registers: [Known; 16],
    /// For each vector register, the bytes of its lower half that may be looked at, and whether all of it is zero.
    pub vectors: [(u16, bool); 16],
    /// Bits of the flags register that may be looked at. Before, all of [`STATUS`] or none.
    pub flags: u64,
    /// The frame, from its start downwards, in eight bytes each.
    pub frame: Vec<Known>,
}

/// What is known after `code`, if all of it may be executed; else how far it goes, and why not further.
///
/// # Errors
/// If the code is refused.
pub fn after(
    artifact: &[u8],
    index: &ArtifactIndex,
    code: &[u8],
    before: &Knowledge,
) -> Result<Knowledge, (u32, String)> {
    let facts = Facts { text: code, ..Facts::new(artifact, index) };
    let record = FunctionRecord { text_offset: 0, text_len: code.len() as u32, ty: 0, wasm_offset: 0 };
    let mut at = 0;
    let state = execute(&facts, record, before, &mut at).map_err(|violation| (at, violation.detail))?;
    let slots = 0..before.frame.len();
    Ok(Knowledge {
        registers: state.regs.map(|cell| known(cell.value)),
        vectors: state.vectors.map(|vector| (vector.shown, vector.zero)),
        flags: readable(state.flags),
        frame: slots.map(|nth| known(state.frame.read(place(nth), 8).value)).collect(),
    })
}

/// Carry, parity, zero, sign, overflow: what conditions look at.
pub const STATUS: u64 = 0x8c5;
const CARRY: u64 = 0x1;
const ZERO: u64 = 0x40;

fn readable(flags: Flags) -> u64 {
    match flags {
        Flags::Secret => 0,
        Flags::Carry => CARRY,
        Flags::Scan(..) => ZERO,
        Flags::Plain | Flags::Cmp(..) | Flags::Test(_) => STATUS,
    }
}

/// Where a slot of the frame is.
fn place(nth: usize) -> i64 {
    -8 * (nth as i64 + 1)
}

fn execute(facts: &Facts<'_>, record: FunctionRecord, before: &Knowledge, at: &mut u32) -> Checked<State> {
    let mut walk = Walk::new(facts, 0, record, HashMap::new(), unknown)?;
    // Whatever may fault is a division.
    let entry = |at| TrapEntry { at, code: Some(TrapCode::IntegerDivisionByZero), used: false };
    walk.traps = (0..record.text_len).map(entry).collect();
    let mut state = described(walk.blocks[0].state.clone(), before);
    let mut decoder = iced_x86::Decoder::with_ip(64, facts.text, 0, iced_x86::DecoderOptions::NONE);
    let mut instruction = iced_x86::Instruction::default();
    while *at < record.text_len {
        walk.decode(&mut decoder, *at, &mut instruction)?;
        let next = Exec { walk: &mut walk, state: &mut state, insn: &instruction, at: *at }.step()?;
        if !next || instruction.is_jcc_short_or_near() {
            return Err(Violation::new(crate::Rule::Branch, "code without branches is asked for"));
        }
        *at += instruction.len() as u32;
    }
    Ok(state)
}

/// A state as it is described.
fn described(mut state: State, before: &Knowledge) -> State {
    for (register, known) in state.regs.iter_mut().zip(&before.registers) {
        *register = Cell::new(value(*known));
    }
    for (vector, (shown, _)) in state.vectors.iter_mut().zip(&before.vectors) {
        *vector = Vector { shown: *shown, ..Vector::SECRET };
    }
    state.flags = if before.flags == STATUS { Flags::Plain } else { Flags::Secret };
    for (nth, known) in before.frame.iter().enumerate() {
        state.frame.write(place(nth), 8, Cell::new(value(*known)));
    }
    debug_assert!(state.rsp() <= 0 && matches!(state.regs[RSP].value, Value::Ptr(_)));
    state
}

fn value(known: Known) -> Value {
    match known {
        Known::Number { lo, hi, zeros, bytes } => Value::Num(Num { lo, hi, zeros, bytes }),
        Known::Pointer { frame, lo, hi, zeros } => {
            Value::Ptr(Ptr { to: if frame { Region::Frame } else { Region::Context }, lo, hi, var: 0, zeros })
        }
        Known::Other => Value::SECRET,
    }
}

fn known(value: Value) -> Known {
    match value {
        Value::Num(Num { lo, hi, zeros, bytes }) => Known::Number { lo, hi, zeros, bytes },
        Value::Ptr(Ptr { to: to @ (Region::Frame | Region::Context), lo, hi, zeros, .. }) => {
            Known::Pointer { frame: to == Region::Frame, lo, hi, zeros }
        }
        _ => Known::Other,
    }
}
