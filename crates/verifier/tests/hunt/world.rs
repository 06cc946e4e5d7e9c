//! What lies around a program, twice: where it lies differs, and with it every address.

use selvedge_contract::vmctx::{header, memory_def, table_def, table_entry};

use super::encode::BAD_CALL_AT;
use super::random::{Random, mix};
use super::subject::Module;
use crate::facts::Facts;

/// The two machines.
pub(super) const BOTH: [usize; 2] = [0, 1];
/// Bytes of the stack that machines have below their first stack pointer.
pub(super) const DEPTH: i64 = 4096;

/// A table of functions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Table {
    Own,
    Lent,
}

impl Table {
    /// Which one the verifier calls by this number, if so many are imported: the first is lent, others are not read.
    pub(super) fn of(number: u32, imported: usize) -> Option<Table> {
        match number {
            0 => Some(Table::Lent),
            _ if number as usize >= imported => Some(Table::Own),
            _ => None,
        }
    }
}

/// What was read of a table's entry, between which calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) field: i32,
    pub(super) entry: Entry,
}

/// An entry as it was between two calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Entry {
    pub(super) table: Table,
    pub(super) index: u64,
    pub(super) version: u64,
}

/// A word that the runtime wrote.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Word {
    StackLimit,
    TableDef,
    TableEntries,
    TableSize,
    TableBound,
    TableOwner,
    MemoryDef,
    MemoryBase,
    MemorySize,
    MemoryBound,
}

/// What an address means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Place {
    /// From the first stack pointer.
    Frame(i64),
    Word(Word),
    /// A table's entries, and bytes from their start.
    Entries(Table, u64),
    /// The own memory.
    Memory(u64),
    /// The imported memory of 64 bits.
    Wide(u64),
    /// Another part of the context: the machines do not go on.
    Unmodelled,
}

/// Where all of it lies on the two machines, and what they have in common.
pub(super) struct World<'m> {
    pub(super) module: &'m Module,
    pub(super) context: [u64; 2],
    pub(super) frame: [u64; 2],
    pub(super) text: [u64; 2],
    pub(super) table_def: [u64; 2],
    pub(super) entries: [u64; 2],
    pub(super) owner: [u64; 2],
    pub(super) memory_def: [u64; 2],
    pub(super) wide: [u64; 2],
    /// From the first stack pointer.
    pub(super) stack_limit: i64,
    /// Entries reserved for the imported table.
    pub(super) table_bound: u64,
    /// Bytes reserved for the imported memory.
    pub(super) wide_bound: u64,
    wide_guard: u64,
    own_reach: u64,
    pub(super) seed: u64,
}

impl<'m> World<'m> {
    pub(super) fn new(seed: u64, random: &mut Random, module: &'m Module, facts: &Facts<'_>) -> World<'m> {
        let mut two = |base: u64| {
            let mut near = |base: u64| base + (random.below(1 << 20) << 16);
            [near(base), near(base + 0x80_0000_0000)]
        };
        World {
            module,
            context: two(0x7200_0000_0000),
            // Where a call leaves it: eight bytes beside a multiple of sixteen.
            frame: two(0x7000_0000_0000).map(|frame| frame + 8),
            text: two(0x1000_0000_0000),
            table_def: two(0x2000_0000_0000),
            entries: two(0x3000_0000_0000),
            owner: two(0x4000_0000_0000),
            memory_def: two(0x4800_0000_0000),
            wide: two(0x5800_0000_0000),
            stack_limit: random.pick(&[-2048, -2048, -2048, -1000, -100]),
            table_bound: random.pick(&[0, 1, 5, 100, 10_000_000]),
            wide_bound: random.pick(&[0, 65536, 1 << 32, 64 << 30]),
            wide_guard: facts.memories[1].guard,
            own_reach: facts.memories[facts.imported_memories as usize].reach.expect("the own memory's is known"),
            seed,
        }
    }

    /// The stub for bad calls.
    pub(super) fn bad_call(&self, machine: usize) -> u64 {
        self.text[machine] + u64::from(BAD_CALL_AT)
    }

    /// What so many bytes at an address are, if they may be touched; the frame begins at the stack pointer.
    pub(super) fn place(&self, machine: usize, rsp: i64, address: u64, size: usize) -> Result<Place, String> {
        let from = |bases: [u64; 2]| address.wrapping_sub(bases[machine]) as i64;
        let (frame, context) = (from(self.frame), from(self.context));
        let end = |offset: i64| offset.saturating_add(size as i64);
        if frame >= rsp && end(frame) <= 8 {
            return Ok(Place::Frame(frame));
        }
        let entries = &self.module.own_entries;
        if context >= entries.start && end(context) <= entries.end {
            return Ok(Place::Entries(Table::Own, (context - entries.start) as u64));
        }
        if context >= 0 && end(context) as u64 <= self.own_reach {
            return Ok(Place::Memory(context as u64));
        }
        if let Some(word) = self.word_at(machine, address, size) {
            return Ok(Place::Word(word));
        }
        if (-600..0).contains(&context) && size == 8 {
            return Ok(Place::Unmodelled);
        }
        // One more: the null entry.
        let entries = from(self.entries);
        if entries >= 0 && end(entries) as u64 <= u64::from(table_entry::BYTES) * (self.table_bound + 1) {
            return Ok(Place::Entries(Table::Lent, entries as u64));
        }
        let wide = from(self.wide);
        if wide >= 0 && end(wide) as u64 <= self.wide_bound + self.wide_guard {
            return Ok(Place::Wide(wide as u64));
        }
        Err(format!("{size} bytes at {address:#x} are nobody's (frame {frame:+#x}, context {context:+#x})"))
    }

    fn word_at(&self, machine: usize, address: u64, size: usize) -> Option<Word> {
        let module = self.module;
        let words = [
            (self.context, header::STACK_LIMIT, Word::StackLimit),
            (self.context, module.lent_table, Word::TableDef),
            (self.context, module.wide_memory, Word::MemoryDef),
            (self.table_def, table_def::BASE, Word::TableEntries),
            (self.table_def, table_def::SIZE, Word::TableSize),
            (self.table_def, table_def::BOUND, Word::TableBound),
            (self.table_def, table_def::OWNER, Word::TableOwner),
            (self.memory_def, memory_def::BASE, Word::MemoryBase),
            (self.memory_def, memory_def::SIZE, Word::MemorySize),
            (self.memory_def, memory_def::BOUND, Word::MemoryBound),
        ];
        let is_at = |base: [u64; 2], disp: i32| address == base[machine].wrapping_add_signed(disp.into());
        let found = words.into_iter().find(|(base, disp, _)| is_at(*base, *disp));
        found.map(|(.., word)| word).filter(|word| size == 8 || matches!(word, Word::TableSize | Word::MemorySize))
    }

    /// What a word holds.
    pub(super) fn word(&self, machine: usize, word: Word) -> u64 {
        match word {
            Word::StackLimit => self.frame[machine].wrapping_add_signed(self.stack_limit),
            Word::TableDef => self.table_def[machine],
            Word::TableEntries => self.entries[machine],
            Word::TableSize => self.table_bound / 2,
            Word::TableBound => self.table_bound,
            Word::TableOwner => self.owner[machine],
            Word::MemoryDef => self.memory_def[machine],
            Word::MemoryBase => self.wide[machine],
            Word::MemorySize => self.wide_bound / 2,
            Word::MemoryBound => self.wide_bound,
        }
    }

    /// A word of an entry, and what it is.
    pub(super) fn entry_word(&self, machine: usize, entry: Entry, field: i32) -> Result<(u64, Token), String> {
        let word = match field {
            table_entry::CODE => {
                0x5100_0000_0000 + mix([self.seed, entry.version * 2 + machine as u64, entry.index]) % 0xffff_ffff
            }
            table_entry::SIGNATURE => self.signature(entry),
            table_entry::CTX => self.entry_context(machine, entry),
            _ => return Err(format!("no code may read at {field:#x} of an entry")),
        };
        Ok((word, Token { field, entry }))
    }

    /// The signature id in an entry.
    pub(super) fn signature(&self, entry: Entry) -> u64 {
        let Entry { table, index, version } = entry;
        // An entry of no function has none.
        let ids = [self.module.unary, self.module.binary, 0];
        ids[(mix([self.seed ^ table as u64, version, index]) % 3) as usize]
    }

    /// The context in an entry: of one in three the table's owner's.
    fn entry_context(&self, machine: usize, entry: Entry) -> u64 {
        let Entry { table, index, version } = entry;
        let which = mix([self.seed ^ 77 ^ table as u64, version, index]);
        if which.is_multiple_of(3) { 0 } else { 0x6100_0000_0000 + ((which % 1000) << 16) + ((machine as u64) << 40) }
    }

    /// The context of a table's owner.
    pub(super) fn owner_of(&self, table: Table) -> [u64; 2] {
        match table {
            Table::Own => self.context,
            Table::Lent => self.owner,
        }
    }
}
