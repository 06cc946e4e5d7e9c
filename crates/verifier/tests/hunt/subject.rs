//! The module whose first function the programs are, and the verifier's proof of one.

use std::collections::HashMap;
use std::ops::Range;

use selvedge_compiler::{Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::{ArtifactIndex, FunctionRecord, TextFunction};
use selvedge_contract::trap::TrapCode;

use super::super::{LOOKS_MAX, Spot, TrapEntry, Walk, heads, unknown};
use super::encode::{BAD_CALL_AT, CALLEE_AT};
use crate::facts::Facts;
use crate::report::{Rule, Violation};

/// A compiled module.
pub(super) struct Subject {
    artifact: Vec<u8>,
    index: ArtifactIndex,
    pub(super) module: Module,
}

/// What programs use of it.
pub(super) struct Module {
    /// Where the own table's entries lie, from the context.
    pub(super) own_entries: Range<i64>,
    /// Bytes reserved for the own memory.
    pub(super) own_reservation: u64,
    /// Where the context has the definition of the imported table.
    pub(super) lent_table: i32,
    /// And that of the imported memory of 64 bits.
    pub(super) wide_memory: i32,
    /// The signature of `(i32) -> (i32)`.
    pub(super) unary: u64,
    /// The signature of `(i64, i64) -> (i64)`.
    pub(super) binary: u64,
}

impl Subject {
    pub(super) fn new(memory: MemoryLayout) -> Subject {
        let options = Options { memory, threads: Some(1), ..Options::default() };
        let artifact = compile(include_bytes!("../rules/module.wat"), &options, &()).expect("it compiles");
        let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
        let module = Module::of(&Facts::new(&artifact, &index));
        Subject { artifact, index, module }
    }

    /// Everything to know about the module when its first function has this code.
    pub(super) fn facts<'a>(&'a self, code: &'a [u8]) -> Facts<'a> {
        let mut facts = Facts { text: code, ..Facts::new(&self.artifact, &self.index) };
        for (number, record) in facts.records.iter_mut().enumerate().skip(1) {
            record.text_offset = CALLEE_AT + 64 * (number as u32 - 1);
        }
        facts.records[0] = FunctionRecord { text_offset: 0, text_len: code.len() as u32, ..facts.records[0] };
        let bad_call = facts.counts.index(TextFunction::BadCall);
        facts.records[bad_call].text_offset = BAD_CALL_AT;
        facts.pages = crate::facts::pages(&facts.records, BAD_CALL_AT as usize + 64);
        facts
    }
}

impl Module {
    fn of(facts: &Facts<'_>) -> Module {
        let signature = |text: &str| {
            let ty = facts.contract.types.iter().find(|ty| ty.to_string() == text);
            ty.expect("the module has that type").signature_id()
        };
        let own = facts.tables[0];
        let memory = facts.memories[facts.imported_memories as usize];
        Module {
            own_entries: own.start..own.end,
            own_reservation: memory.bound.expect("the own memory's is known"),
            lent_table: facts.layout.import_table(0),
            wide_memory: facts.layout.import_memory(1),
            unary: signature("(i32) -> (i32)"),
            binary: signature("(i64, i64) -> (i64)"),
        }
    }
}

/// Proves the first function as [`super::super::prove`] does; the walk as it ended, or where it is refused.
///
/// Everything may trap, and nothing must: the trap table is not what is looked at.
pub(super) fn prove<'a>(facts: &'a Facts<'a>) -> Result<Walk<'a>, (u32, Box<Violation>)> {
    let mut earlier = HashMap::new();
    match look(facts, &mut HashMap::new(), heads) {
        Err((_, violation)) if violation.rule != Rule::Budget => {}
        done => return done,
    }
    for _ in 1..LOOKS_MAX {
        match look(facts, &mut earlier, unknown) {
            Err((_, violation)) if !earlier.is_empty() && violation.rule != Rule::Budget => {}
            done => return done,
        }
    }
    look(facts, &mut earlier, unknown)
}

fn look<'a>(
    facts: &'a Facts<'a>,
    earlier: &mut HashMap<u32, crate::state::State>,
    meaning: fn(&[u8]) -> Vec<u32>,
) -> Result<Walk<'a>, (u32, Box<Violation>)> {
    let record = facts.records[0];
    let taken = std::mem::take(earlier);
    let mut walk = Walk::new(facts, 0, record, taken, meaning).map_err(|violation| (0, violation))?;
    let entry = |at| TrapEntry { at, code: Some(TrapCode::MemoryOutOfBounds), used: false };
    walk.traps = (0..record.text_len).map(entry).collect();
    let mut spot = Spot::default();
    match walk.run(&mut spot) {
        // What is left over when nothing more is learnt is of no interest.
        Err(violation) if spot.block != u32::MAX => {
            if walk.counts.steps > walk.counts.instructions {
                *earlier = walk.blocks.into_iter().map(|block| (block.start, block.state)).collect();
            }
            Err((spot.at, violation))
        }
        _ => Ok(walk),
    }
}
