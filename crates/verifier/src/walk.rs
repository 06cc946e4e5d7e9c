//! One function: its instructions, found from its start, its blocks, and the way to a fixed point.
//!
//! Nothing says beforehand what is code: instructions are those that the proof reaches. Each byte gets one
//! meaning, once. A block is a place that a branch leads to; executing one goes on until the code ends or
//! another block begins, whose state then takes part. Lowest first, which in our compiler's order of
//! blocks is nearly always the only time.

#[cfg(test)]
#[path = "../tests/hunt/mod.rs"]
mod hunt;
pub mod straight;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::ops::Range;

use iced_x86::{Decoder, DecoderOptions, Instruction};
use selvedge_contract::artifact::{FunctionRecord, TextFunction};
use selvedge_contract::trap::{TrapCode, TrapSite};

use crate::budget::Budget;
use crate::convention::{Convention, Place};
use crate::exec::{Exec, features};
use crate::facts::Facts;
use crate::report::{Checked, Refusal, Rule, Violation, describe, disassemble, ensure, lead};
use crate::slots::Slots;
use crate::state::reg::{self, RDI, RDX, RSI, RSP};
use crate::state::{Flags, State, Vector};
use crate::value::{Cell, Growth, Num, Ptr, Region, Value};

/// How often a function is proved anew, with what was learnt of names, before it is refused.
const LOOKS_MAX: usize = 3;
/// Bytes of a function: names of values hold an offset.
const FUNCTION_BYTES_MAX: usize = 1 << 26;

/// Meanings of bytes; from [`FIRST_BLOCK`] on, a block starts here.
const UNKNOWN: u32 = 0;
const START: u32 = 1;
const INSIDE: u32 = 2;
const DATA: u32 = 3;
const TABLE: u32 = 4;
/// Unknown, but if an instruction starts here, so does a block.
const HEAD: u32 = 5;
const FIRST_BLOCK: u32 = 6;

/// Who calls the function, and what it may do.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Role<'a> {
    /// A guest function; of a host thunk, its import.
    Guest(&'a Convention, Option<u32>),
    /// An entry trampoline for guest functions of this convention, with so many values.
    Entry(&'a Convention, usize),
    /// It is only entered by mistake, whatever the registers hold.
    BadCall,
}

/// What was counted on the way.
#[derive(Clone, Copy, Default, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Instructions.
    pub instructions: u64,
    /// How often they were looked at.
    pub steps: u64,
    /// Accesses to linear memories.
    pub heap_accesses: u64,
    /// Calls through tables.
    pub indirect_calls: u64,
}

/// Which block starts where bytes have this meaning.
fn block_number(meaning: u32) -> Option<usize> {
    meaning.checked_sub(FIRST_BLOCK).map(|number| number as usize)
}

fn is_unknown(meaning: u32) -> bool {
    matches!(meaning, UNKNOWN | HEAD)
}

/// Meanings of bytes of which nothing is known.
fn unknown(code: &[u8]) -> Vec<u32> {
    vec![UNKNOWN; code.len()]
}

/// The same, but for where it is jumped back to, as far as bytes show. If a block is found to begin in the middle of
/// another, both are looked at once more; so loops' blocks had better begin where they do. It may be wrong: what looks
/// like a jump may be none, or one that nothing leads to.
fn heads(code: &[u8]) -> Vec<u32> {
    let mut meaning = unknown(code);
    for (at, bytes) in code.windows(6).enumerate() {
        let (end, distance) = match *bytes {
            [0x0f, 0x80..=0x8f, a, b, c, 0xff] => (at + 6, [a, b, c, 0xff]),
            [0xe9, a, b, c, 0xff, _] => (at + 5, [a, b, c, 0xff]),
            _ => continue,
        };
        let target = end.checked_add_signed(i32::from_le_bytes(distance) as isize);
        if let Some(meaning) = target.and_then(|target| meaning.get_mut(target)) {
            *meaning = HEAD;
        }
    }
    meaning
}

struct Block {
    start: u32,
    state: State,
    queued: bool,
    /// Whether its first instruction was.
    decoded: bool,
}

struct TrapEntry {
    at: u32,
    code: Option<TrapCode>,
    used: bool,
}

/// A function being proved.
pub(crate) struct Walk<'a> {
    pub(crate) facts: &'a Facts<'a>,
    pub(crate) role: Role<'a>,
    pub(crate) counts: Counts,
    /// Where it starts in text.
    pub(crate) start: u32,
    code: &'a [u8],
    meaning: Vec<u32>,
    blocks: Vec<Block>,
    queue: BinaryHeap<Reverse<u32>>,
    traps: Vec<TrapEntry>,
    /// The entry after the one that was last asked for: most are asked for in order.
    next_trap: usize,
    pub(crate) budget: Budget,
    /// Where an earlier look found blocks, and what it knew there in the end.
    earlier: HashMap<u32, State>,
}

/// Proves a text function.
///
/// A block is looked at as soon as one way to it is known, perhaps as a part of another. What it names then by that
/// way's names and epochs it may name otherwise when others are known, and what follows takes the two for different
/// values. Who begins with the blocks and names that are left in the end does not. Before all that it is looked at with
/// the blocks that it seems to have (`heads`): most are proved so, and in less time. Some have fewer.
pub(crate) fn prove(facts: &Facts<'_>, number: usize) -> Result<Counts, Box<Refusal>> {
    match look(facts, number, &mut HashMap::new(), heads) {
        Err(refusal) if refusal.rule != Rule::Budget => {}
        done => return done,
    }
    let mut earlier = HashMap::new();
    for _ in 1..LOOKS_MAX {
        match look(facts, number, &mut earlier, unknown) {
            Err(refusal) if !earlier.is_empty() && refusal.rule != Rule::Budget => {}
            done => return done,
        }
    }
    look(facts, number, &mut earlier, unknown)
}

/// Proves a text function, or leaves behind what is known of its blocks if some were looked at twice.
fn look(
    facts: &Facts<'_>,
    number: usize,
    earlier: &mut HashMap<u32, State>,
    meaning: fn(&[u8]) -> Vec<u32>,
) -> Result<Counts, Box<Refusal>> {
    let record = facts.records[number];
    let mut spot = Spot::default();
    let refuse = |violation: Box<Violation>, spot: &Spot, code: &[u8]| {
        Box::new(Refusal {
            function: facts.counts.at(number),
            name: None,
            offset: record.text_offset + spot.at,
            before: lead(code, record.text_offset, spot.block, spot.at),
            instruction: disassemble(&spot.instruction),
            rule: violation.rule,
            detail: violation.detail,
            state: spot.before.as_ref().map(describe).unwrap_or_default(),
        })
    };
    let taken = std::mem::take(earlier);
    let mut walk = Walk::new(facts, number, record, taken, meaning).map_err(|v| refuse(v, &spot, &[]))?;
    match walk.run(&mut spot) {
        Ok(()) => Ok(walk.counts),
        Err(violation) => {
            let refusal = refuse(violation, &spot, walk.code);
            if walk.counts.steps > walk.counts.instructions {
                *earlier = walk.blocks.into_iter().map(|block| (block.start, block.state)).collect();
            }
            Err(refusal)
        }
    }
}

/// What is being looked at.
#[derive(Default)]
struct Spot {
    /// Where its block starts.
    block: u32,
    at: u32,
    instruction: Instruction,
    /// What was known before an instruction that is refused.
    before: Option<State>,
}

impl<'a> Walk<'a> {
    fn new(
        facts: &'a Facts<'a>,
        number: usize,
        record: FunctionRecord,
        earlier: HashMap<u32, State>,
        meaning: fn(&[u8]) -> Vec<u32>,
    ) -> Checked<Walk<'a>> {
        let range = record.text_offset as usize..record.text_end() as usize;
        let code = facts.text.get(range).unwrap_or_default();
        ensure(!code.is_empty(), Rule::Bytes, "the function has no code")?;
        ensure(code.len() <= FUNCTION_BYTES_MAX, Rule::Budget, "the function is too large")?;
        let mut walk = Walk {
            facts,
            role: role(facts, number, record)?,
            counts: Counts::default(),
            start: record.text_offset,
            code,
            meaning: meaning(code),
            blocks: Vec::new(),
            queue: BinaryHeap::new(),
            traps: traps(facts, record)?,
            next_trap: 0,
            budget: Budget::new(code.len()),
            earlier,
        };
        let state = walk.entry_state();
        walk.reach(-1, 0, &state)?;
        Ok(walk)
    }

    /// Bytes of the function.
    pub(crate) fn len(&self) -> u32 {
        self.code.len() as u32
    }

    /// Looks at blocks until nothing new is learnt, then at what is left over.
    fn run(&mut self, spot: &mut Spot) -> Checked {
        let code = self.code;
        let mut decoder = Decoder::with_ip(64, code, self.start.into(), DecoderOptions::NONE);
        while let Some(Reverse(start)) = self.queue.pop() {
            let block = &mut self.blocks[(self.meaning[start as usize] - FIRST_BLOCK) as usize];
            block.queued = false;
            block.state.charge_visit(&mut self.budget)?;
            let mut state = block.state.clone();
            (spot.block, spot.at) = (start, start);
            loop {
                self.decode(&mut decoder, spot.at, &mut spot.instruction)?;
                self.counts.steps += 1;
                self.budget.work(1)?;
                let result = Exec { walk: self, state: &mut state, insn: &spot.instruction, at: spot.at }.step();
                match result {
                    Ok(true) => {}
                    Ok(false) => break,
                    Err(violation) => {
                        spot.before = Some(state);
                        return Err(violation);
                    }
                }
                state.charge(&mut self.budget)?;
                spot.at += spot.instruction.len() as u32;
                if self.ends_block(spot.at) {
                    self.reach(i64::from(spot.at) - 1, spot.at.into(), &state)?;
                    break;
                }
            }
        }
        (spot.block, spot.instruction) = (u32::MAX, Instruction::default());
        self.account(&mut spot.at)
    }

    /// Whether another block begins here, or the function is at its end.
    fn ends_block(&self, at: u32) -> bool {
        self.meaning.get(at as usize).is_none_or(|meaning| *meaning >= HEAD)
            || !self.earlier.is_empty() && self.earlier.contains_key(&at)
    }

    /// Decodes the instruction at an offset and gives its bytes their meaning.
    fn decode(&mut self, decoder: &mut Decoder<'_>, at: u32, instruction: &mut Instruction) -> Checked {
        let start = at as usize;
        if decoder.position() != start {
            decoder.set_position(start).map_err(|_| Violation::new(Rule::Branch, "beyond the function"))?;
            decoder.set_ip(u64::from(self.start) + u64::from(at));
        }
        decoder.decode_out(instruction);
        ensure(!instruction.is_invalid(), Rule::Instruction, "these bytes are no instruction")?;
        // What was looked at once keeps its meaning, and may be executed again.
        let decoded = match block_number(self.meaning[start]) {
            Some(number) => std::mem::replace(&mut self.blocks[number].decoded, true),
            None => self.meaning[start] == START,
        };
        if decoded {
            return Ok(());
        }
        let one = matches!(self.meaning[start], UNKNOWN | HEAD..);
        ensure(one, Rule::Bytes, "this is the middle of another instruction, or data")?;
        let inside = start + 1..start + instruction.len();
        let free = self.meaning[inside.clone()].iter().all(|meaning| matches!(*meaning, UNKNOWN | HEAD | INSIDE));
        ensure(free, Rule::Bytes, "another instruction, or data, starts inside this one")?;
        crate::encoding::check(&self.code[start..start + instruction.len()])?;
        features(instruction, self.facts.contract.cpu)?;
        if is_unknown(self.meaning[start]) {
            self.meaning[start] = START;
        }
        self.counts.instructions += 1;
        self.meaning[inside].fill(INSIDE);
        Ok(())
    }

    /// Control may come from one offset to another, counted from the function's start, with this state.
    pub(crate) fn reach(&mut self, from: i64, offset: i64, state: &State) -> Checked {
        let inside = usize::try_from(offset).ok().filter(|at| *at < self.code.len());
        let Some(at) = inside else {
            return Err(Violation::new(Rule::Branch, "control leaves the function here without a call or return"));
        };
        let meaning = self.meaning[at];
        ensure(!matches!(meaning, INSIDE | DATA | TABLE), Rule::Branch, "this leads into an instruction, or to data")?;
        self.budget.work(1)?;
        let Some(number) = block_number(meaning) else { return self.begin_block(at, meaning, state) };
        let block = &mut self.blocks[number];
        let same = block.state.regs[RSP].value == state.regs[RSP].value;
        ensure(same, Rule::Frame, "the stack pointer depends on the way that led here")?;
        // Every loop has a way back, to where it is or before.
        let growth = if offset > from { Growth::Exact } else { Growth::Stepwise };
        let changed = block.state.join(state, growth);
        block.state.charge(&mut self.budget)?;
        if changed && !block.queued {
            block.queued = true;
            self.queue.push(Reverse(block.start));
        }
        Ok(())
    }

    /// A block begins here, with this state.
    fn begin_block(&mut self, at: usize, meaning: u32, state: &State) -> Checked {
        state.charge_copy(&mut self.budget)?;
        self.meaning[at] = FIRST_BLOCK + self.blocks.len() as u32;
        if meaning == START {
            self.look_again_before(at)?;
        }
        let mut state = State { epoch: meeting(at as u32), ..state.clone() };
        if let Some(known) = self.earlier.get(&(at as u32)) {
            // What that costs is paid when the block is looked at.
            state.keep_names_of(known);
        }
        self.blocks.push(Block { start: at as u32, state, queued: true, decoded: meaning == START });
        self.queue.push(Reverse(at as u32));
        Ok(())
    }

    /// Queues the block that leads on to this instruction of it: a block begins there now, in whose state the way
    /// through takes part before anything is made of it.
    fn look_again_before(&mut self, at: usize) -> Checked {
        let mut before = self.meaning[..at].iter().enumerate().rev();
        let found = before.find_map(|(start, meaning)| Some((start, block_number(*meaning)?)));
        let Some((start, number)) = found else { return Ok(()) };
        self.budget.scan(at - start)?;
        let block = &mut self.blocks[number];
        if !block.queued {
            block.queued = true;
            self.queue.push(Reverse(block.start));
        }
        Ok(())
    }

    /// Bytes of the function that are read as constants; `range` is of offsets in text.
    pub(crate) fn data(&mut self, range: Range<i64>) -> Checked<&'a [u8]> {
        self.claim(range, DATA)
    }

    /// Bytes of the function that are a jump table.
    pub(crate) fn table(&mut self, range: Range<i64>) -> Checked<&'a [u8]> {
        self.claim(range, TABLE)
    }

    fn claim(&mut self, range: Range<i64>, wanted: u32) -> Checked<&'a [u8]> {
        let from = usize::try_from(range.start - i64::from(self.start)).ok();
        let to = usize::try_from(range.end - i64::from(self.start)).ok();
        let found = from.zip(to).filter(|(from, to)| from < to && *to <= self.code.len());
        let Some((from, to)) = found else {
            return Err(Violation::new(Rule::Constant, "what is read lies outside the function"));
        };
        self.budget.scan(to - from)?;
        let meanings = &mut self.meaning[from..to];
        let free = meanings.iter().all(|meaning| is_unknown(*meaning) || *meaning == wanted);
        ensure(free, Rule::Bytes, "what is read as data here is code, or data of another kind")?;
        meanings.fill(wanted);
        Ok(&self.code[from..to])
    }

    /// The trap table's entry for an instruction that may trap.
    pub(crate) fn trap(&mut self, at: u32) -> Option<TrapCode> {
        let next = Some(self.next_trap).filter(|next| self.traps.get(*next).is_some_and(|entry| entry.at == at));
        let nth = next.or_else(|| self.traps.binary_search_by_key(&at, |entry| entry.at).ok())?;
        self.next_trap = nth + 1;
        let entry = &mut self.traps[nth];
        entry.used = true;
        entry.code
    }

    /// Every trap entry belongs to an instruction that may trap, every byte has a meaning.
    fn account(&mut self, at: &mut u32) -> Checked {
        if let Some(entry) = self.traps.iter().find(|entry| !entry.used) {
            *at = entry.at;
            return Err(Violation::new(Rule::Trap, "the trap table has an entry for what cannot trap"));
        }
        let is_code = |meaning: &u32| matches!(*meaning, START | INSIDE | FIRST_BLOCK..);
        let end = self.meaning.iter().rposition(is_code).map_or(0, |last| last + 1);
        let mut from = 0;
        while let Some(lost) = self.meaning[from..end].iter().position(|meaning| is_unknown(*meaning)) {
            let lost = from + lost;
            let known = self.meaning[lost..].iter().position(|meaning| !is_unknown(*meaning));
            from = known.map_or(end, |known| lost + known);
            if !self.is_idle(lost, from)? {
                *at = lost as u32;
                return Err(Violation::new(Rule::Bytes, "nothing leads to these bytes, but code follows them"));
            }
        }
        Ok(())
    }

    /// Whether bytes that nothing leads to are entries of a jump table that its index never takes, or jumps to
    /// what is known.
    fn is_idle(&mut self, start: usize, end: usize) -> Checked<bool> {
        let after_table = start.checked_sub(1).is_some_and(|before| self.meaning[before] == TABLE);
        let entries = if after_table { (end - start) / 4 } else { 0 };
        for entries in 0..=entries {
            if self.are_jumps(start + 4 * entries, end)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn are_jumps(&mut self, start: usize, end: usize) -> Checked<bool> {
        let mut decoder = Decoder::with_ip(64, &self.code[start..end], start as u64, DecoderOptions::NONE);
        for instruction in &mut decoder {
            self.budget.work(1)?;
            let target = self.meaning.get(instruction.near_branch_target() as usize);
            let known = target.is_some_and(|meaning| matches!(*meaning, START | FIRST_BLOCK..));
            if !instruction.is_jmp_short_or_near() || !known {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn entry_state(&self) -> State {
        let mut regs = [Cell::SECRET; 16];
        regs[RSP].value = Value::Ptr(Ptr::exact(Region::Frame, 0));
        for saved in reg::SAVED {
            regs[saved].value = Value::Saved(saved as u8);
        }
        let (stack_bytes, area_bytes) = match self.role {
            Role::Guest(convention, _) => (convention.stack_bytes, convention.area_bytes),
            Role::Entry(..) | Role::BadCall => (0, 0),
        };
        let mut frame = Slots::new(8 + i64::from(stack_bytes));
        frame.write(0, 8, Cell::new(Value::Return));
        let mut state = State {
            regs,
            vectors: [Vector::SECRET; 16],
            flags: Flags::Secret,
            frame,
            area: Slots::new(area_bytes.into()),
            compared: i64::MAX,
            epoch: 0,
        };
        match self.role {
            Role::Guest(convention, _) => guest_parameters(convention, &mut state),
            Role::Entry(..) => {
                state.regs[RDI].value = Value::Ptr(Ptr::exact(Region::Context, 0));
                state.regs[RSI].value = Value::EntryCode;
                state.regs[RDX].value = Value::Ptr(Ptr::exact(Region::Values, 0));
            }
            Role::BadCall => {}
        }
        state
    }
}

fn guest_parameters(convention: &Convention, state: &mut State) {
    state.regs[convention.context].value = Value::Ptr(Ptr::exact(Region::Context, 0));
    if convention.area_bytes > 0 {
        state.regs[Convention::AREA].value = Value::Ptr(Ptr::exact(Region::Area, 0));
    }
    for (place, bytes) in &convention.params {
        match *place {
            Place::General(reg) => state.regs[reg].value = Value::Num(Num::partly(*bytes)),
            Place::Vector(reg) => state.vectors[reg] = Vector::passed(*bytes),
            Place::Memory(at) => state.frame.fill(8 + i64::from(at), (*bytes).into(), (*bytes).into()),
        }
    }
}

/// The epoch that begins with a block; that of a call is even.
fn meeting(start: u32) -> u32 {
    start << 1 | 1
}

fn role<'a>(facts: &'a Facts<'a>, number: usize, record: FunctionRecord) -> Checked<Role<'a>> {
    let untyped = || Violation::new(Rule::Metadata, "the function's type does not exist");
    match facts.counts.at(number) {
        Some(TextFunction::Entry(ty)) => {
            let ty = facts.contract.types.get(ty as usize).ok_or_else(untyped)?;
            let convention = facts.conventions.get(record.ty as usize).ok_or_else(untyped)?;
            Ok(Role::Entry(convention, ty.params.len().max(ty.results.len())))
        }
        Some(TextFunction::BadCall) => Ok(Role::BadCall),
        Some(function) => {
            let import = if let TextFunction::HostThunk(import) = function { Some(import) } else { None };
            Ok(Role::Guest(facts.guest_convention(number).ok_or_else(untyped)?, import))
        }
        None => Err(untyped()),
    }
}

fn traps(facts: &Facts<'_>, record: FunctionRecord) -> Checked<Vec<TrapEntry>> {
    let table = &facts.traps;
    let (mut low, mut high) = (0, table.len());
    while low < high {
        let middle = low + (high - low) / 2;
        let before = table.get(middle).is_some_and(|(at, _)| at < record.text_offset);
        if before { low = middle + 1 } else { high = middle }
    }
    let entries = (low..table.len()).map_while(|nth| table.get(nth).filter(|(at, _)| *at < record.text_end()));
    let entry = |(at, code): (u32, u8)| TrapEntry {
        at: at - record.text_offset,
        code: TrapSite::from_byte(code).map(|site| site.code),
        used: false,
    };
    Ok(entries.map(entry).collect())
}
