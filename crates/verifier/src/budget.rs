//! What the proof of one function may cost (rule 20). Counted and not timed, so that the answer is the same everywhere.
//!
//! A unit of work is about what it takes to look at a plain instruction, or at eight slots of a frame. Everything whose
//! cost depends on more than the instruction at hand is charged by its size: joins, jump tables, constants, parameters.

use crate::report::{Checked, Rule, ensure};

/// Units for each byte of a function. Real ones take less than one, the most that any was seen to take is twenty (a
/// switch in a loop, in clang).
const WORK_PER_BYTE: u64 = 64;
/// Units for the smallest.
const WORK_MIN: u64 = 4096;
/// Memory for what is known of a function, beside a few bytes for each of its own. Real ones take up to forty megabytes.
const MEMORY_BYTES_MAX: usize = 512 << 20;
/// The deepest frame: slots are counted from its top.
pub(crate) const FRAME_BYTES_MAX: i64 = 64 << 20;
/// Things that are looked at one after the other, without thinking, in the time of one unit.
const SCANNED_PER_UNIT: usize = 16;

/// What is left for a function.
pub(crate) struct Budget {
    work: u64,
    memory_bytes: usize,
}

impl Budget {
    /// For a function of so many bytes.
    pub(crate) fn new(code_bytes: usize) -> Budget {
        let work = (code_bytes as u64 * WORK_PER_BYTE).max(WORK_MIN);
        Budget { work, memory_bytes: MEMORY_BYTES_MAX }
    }

    /// Takes so many units.
    pub(crate) fn work(&mut self, units: usize) -> Checked {
        let left = self.work.checked_sub(units as u64);
        self.work = left.unwrap_or(0);
        ensure(left.is_some(), Rule::Budget, "looking at this function takes too long")
    }

    /// Takes the work of walking over so many things.
    pub(crate) fn scan(&mut self, things: usize) -> Checked {
        self.work(things / SCANNED_PER_UNIT)
    }

    /// Takes memory that is kept until the proof ends.
    pub(crate) fn memory(&mut self, bytes: usize) -> Checked {
        let left = self.memory_bytes.checked_sub(bytes);
        self.memory_bytes = left.unwrap_or(0);
        ensure(left.is_some(), Rule::Budget, "what is known of this function takes too much memory")
    }
}
