//! What is known at one point of a function.
//!
//! **Names.** Comparisons and selections speak of values, not of places, so cells carry names
//! ([`crate::value::Cell`]). A name is made by one instruction for one register. Where paths meet, a
//! place keeps its name only if it has the same on all of them. So before an instruction that makes name
//! `n`, no place has the name `n` in the final states: on the path by which the instruction is first reached
//! nothing can have it, and that path takes part in every meeting on the way. (When a block
//! is found to begin in the middle of another, that one is looked at again first, so that it does.)
//!
//! **Epochs** are names of what tables hold: each block begins one, and so does each call. A block's does not
//! depend on the ways that lead to it, so that looking at it again finds the same keys in the same places.

use selvedge_contract::limits::STACK_UNCHECKED_BYTES_MAX;

use crate::budget::Budget;
use crate::report::Checked;
use crate::slots::Slots;
use crate::value::{Cell, Growth, Ptr, Region, Value};

/// Numbers of the registers, as in the encoding.
pub(crate) mod reg {
    pub(crate) const RAX: usize = 0;
    pub(crate) const RCX: usize = 1;
    pub(crate) const RDX: usize = 2;
    pub(crate) const RBX: usize = 3;
    pub(crate) const RSP: usize = 4;
    pub(crate) const RBP: usize = 5;
    pub(crate) const RSI: usize = 6;
    pub(crate) const RDI: usize = 7;
    pub(crate) const R8: usize = 8;
    pub(crate) const R9: usize = 9;
    pub(crate) const R10: usize = 10;
    /// What a callee gives back as it was, in both conventions, the stack pointer left out.
    pub(crate) const SAVED: [usize; 6] = [RBX, RBP, 12, 13, 14, 15];
    pub(crate) const NAMES: [&str; 16] =
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15"];
}

/// Which comparison the flags hold.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flags {
    /// They may say something that the guest must not know.
    Secret,
    /// They say something about numbers of the guest's.
    Plain,
    /// `a - b`, both of so many bytes.
    Cmp(usize, Cell, Cell),
    /// Whether this is 0.
    Test(Cell),
    /// Whether a bit is set, in the carry; the others may say anything.
    Carry,
    /// Whether all bits were 0; if not, what has this name is this. The other flags may say anything.
    Scan(u32, Cell),
}

/// What is known of a vector register: which bytes may be looked at, whether all are zero, and a name as cells
/// have it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Vector {
    pub(crate) shown: u16,
    pub(crate) zero: bool,
    pub(crate) id: u32,
}

impl Vector {
    pub(crate) const SECRET: Vector = Vector { shown: 0, zero: false, id: 0 };

    /// One whose low bytes, so many, may be looked at.
    pub(crate) fn passed(bytes: u8) -> Vector {
        Vector { shown: u16::MAX.checked_shr(16 - u32::from(bytes.min(16))).unwrap_or(0), ..Vector::SECRET }
    }

    /// Whether so many low bytes may be looked at.
    pub(crate) fn shows(self, bytes: u8) -> bool {
        self.shown.trailing_ones() >= u32::from(bytes)
    }

    fn join(self, new: Vector) -> Vector {
        let id = if self.id == new.id { self.id } else { 0 };
        Vector { shown: self.shown & new.shown, zero: self.zero && new.zero, id }
    }
}

/// What is known at one point.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) regs: [Cell; 16],
    pub(crate) vectors: [Vector; 16],
    pub(crate) flags: Flags,
    pub(crate) frame: Slots,
    /// The area for results in the caller's frame.
    pub(crate) area: Slots,
    /// Lowest place in the frame that was compared with the limit; [`i64::MAX`] if none was.
    pub(crate) compared: i64,
    /// What tables hold may differ between two epochs.
    pub(crate) epoch: u32,
}

impl State {
    /// Where the stack pointer is.
    pub(crate) fn rsp(&self) -> i64 {
        match self.regs[reg::RSP].value {
            Value::Ptr(Ptr { to: Region::Frame, lo, .. }) => lo,
            // Whatever writes the stack pointer keeps it in the frame; if not, nothing is above it.
            _ => 1 << 40,
        }
    }

    /// Lowest place in the frame that may be touched.
    pub(crate) fn floor(&self) -> i64 {
        self.compared.min(-(STACK_UNCHECKED_BYTES_MAX as i64))
    }

    /// Pays for what was done to the frame since the last time.
    pub(crate) fn charge(&mut self, budget: &mut Budget) -> Checked {
        self.frame.charge(budget)?;
        self.area.charge(budget)
    }

    /// Pays for a copy that is used and dropped.
    pub(crate) fn charge_visit(&self, budget: &mut Budget) -> Checked {
        budget.scan(self.frame.references() + self.area.references())
    }

    /// Pays for a copy that is kept.
    pub(crate) fn charge_copy(&self, budget: &mut Budget) -> Checked {
        self.charge_visit(budget)?;
        let references = self.frame.references() + self.area.references();
        // Twice: collections that grow keep room for as much again.
        budget.memory(2 * size_of::<State>() + references * size_of::<usize>())
    }

    /// Keeps what holds of both; says whether anything changed. The epoch is the place's.
    pub(crate) fn join(&mut self, new: &State, growth: Growth) -> bool {
        let mut changed = false;
        for (old, new) in self.regs.iter_mut().zip(&new.regs) {
            changed |= old.widen(new, growth);
        }
        for (old, new) in self.vectors.iter_mut().zip(&new.vectors) {
            // Most functions use few, or none.
            if *old != Vector::SECRET {
                changed |= replace(old, old.join(*new));
            }
        }
        let flags = self.flags.join(new.flags);
        changed |= replace(&mut self.flags, flags);
        changed |= self.frame.join(&new.frame, growth);
        changed |= self.area.join(&new.area, growth);
        let compared = self.compared.max(new.compared);
        changed | replace(&mut self.compared, compared)
    }

    /// Forgets the names of what has none there.
    pub(crate) fn keep_names_of(&mut self, there: &State) {
        for (cell, _) in self.regs.iter_mut().zip(&there.regs).filter(|(_, there)| there.id == 0) {
            cell.id = 0;
        }
        self.frame.keep_names_of(&there.frame);
    }
}

fn replace<T: PartialEq>(old: &mut T, new: T) -> bool {
    let changed = *old != new;
    *old = new;
    changed
}

impl Flags {
    fn join(self, new: Flags) -> Flags {
        match (self, new) {
            _ if self == new => self,
            // Of some only one flag may be read.
            (Flags::Secret | Flags::Carry | Flags::Scan(..), _) => Flags::Secret,
            (_, Flags::Secret | Flags::Carry | Flags::Scan(..)) => Flags::Secret,
            _ => Flags::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_vector_so_many_bytes_are_passed() {
        assert_eq!(
            [0, 1, 8, 15, 16, 17].map(|bytes| Vector::passed(bytes).shown),
            [0, 1, 0xff, 0x7fff, 0xffff, 0xffff]
        );
    }

    #[test]
    fn a_registers_name_stays_where_both_have_one() {
        let state = |ids: [u32; 2]| {
            let mut regs = [Cell::ANY; 16];
            regs.iter_mut().zip(ids).for_each(|(cell, id)| cell.id = id);
            State {
                regs,
                vectors: [Vector::SECRET; 16],
                flags: Flags::Plain,
                frame: Slots::new(0),
                area: Slots::new(0),
                compared: i64::MAX,
                epoch: 0,
            }
        };
        let mut kept = state([7, 8]);
        kept.keep_names_of(&state([9, 0]));
        assert_eq!([kept.regs[0].id, kept.regs[1].id], [7, 0]);
        assert_eq!(kept.regs[1].value, Cell::ANY.value, "what is known of the value stays");
    }
}
