//! What the verifier claims at one point, held against two machines that are there.

use std::collections::HashMap;

use selvedge_contract::vmctx::table_entry;

use super::machine::Machine;
use super::world::{BOTH, Entry, Table, Token, World};
use crate::facts::Facts;
use crate::report::describe;
use crate::state::{Flags, State};
use crate::value::{Bound, Cell, Key, Num, Ptr, Region, Value};

type Held = Result<(), String>;

/// One place on both machines: what it holds, and what that was read from.
#[derive(Clone, Copy, Debug)]
struct Pair {
    values: [u64; 2],
    tokens: [Option<Token>; 2],
}

impl Pair {
    fn of(parts: [(u64, Option<Token>); 2]) -> Pair {
        Pair { values: parts.map(|(value, _)| value), tokens: parts.map(|(_, token)| token) }
    }

    fn same(self) -> bool {
        self.values[0] == self.values[1]
    }
}

/// Holds a state against the machines; says what is claimed and not so.
pub(super) fn check(state: &State, machines: &[Machine; 2], world: &World<'_>, facts: &Facts<'_>) -> Held {
    let claims = Claims { world, facts, machines, names: HashMap::new(), keys: HashMap::new() };
    claims.all(state).map_err(|what| format!("{what}\n{}", describe(state)))
}

struct Claims<'c> {
    world: &'c World<'c>,
    facts: &'c Facts<'c>,
    machines: &'c [Machine; 2],
    /// What each name names on the two machines.
    names: HashMap<u32, [u64; 2]>,
    /// Which entry each key is of.
    keys: HashMap<(u32, u64, u32), Entry>,
}

impl Claims<'_> {
    fn all(mut self, state: &State) -> Held {
        let machines = self.machines;
        for (number, cell) in state.regs.iter().enumerate() {
            let pair = Pair::of(BOTH.map(|m| (machines[m].regs[number], machines[m].tokens[number])));
            self.cell(*cell, pair).map_err(|what| format!("register {number}: {what}"))?;
        }
        for at in (state.rsp()..=0).step_by(8) {
            let pair = Pair::of(BOTH.map(|m| machines[m].slot(at)));
            self.cell(state.frame.read(at, 8), pair).map_err(|what| format!("slot {at:#x}: {what}"))?;
        }
        held(state.compared >= self.world.stack_limit, || "so low the stack was not compared".into())?;
        self.flags(state)
    }

    /// A place holds what is claimed.
    fn cell(&mut self, cell: Cell, pair: Pair) -> Held {
        self.name(cell.id, pair.values)?;
        self.value(cell.value, pair).map_err(|what| format!("{what}: {pair:x?} is not {:?}", cell.value))
    }

    /// A name names one value on each machine.
    fn name(&mut self, name: u32, values: [u64; 2]) -> Held {
        let known = *self.names.entry(name).or_insert(values);
        held(name == 0 || known == values, || format!("name {name:#x} is of {known:x?} and {values:x?}"))
    }

    fn value(&mut self, value: Value, pair: Pair) -> Held {
        let world = self.world;
        let is = |wanted: [u64; 2]| held(pair.values == wanted, || "it is something else".into());
        match value {
            Value::Num(num) => number(num, pair),
            Value::Ptr(ptr) => self.pointer(ptr, pair),
            Value::UpTo(bound, shift) => self.bounded(bound, shift, pair),
            Value::Saved(reg) => is(BOTH.map(|m| self.machines[m].first[usize::from(reg)])),
            Value::Return => is(BOTH.map(|m| self.machines[m].return_address)),
            Value::StackLimit(more) => is(world.frame.map(|at| at.wrapping_add_signed(world.stack_limit + more))),
            Value::Owner(0) => is(world.owner),
            Value::Code(key) => self.entry_field(key, table_entry::CODE, pair),
            Value::Signature(key) => self.entry_field(key, table_entry::SIGNATURE, pair),
            Value::RawContext(key) => self.entry_field(key, table_entry::CTX, pair),
            Value::Context(key) => self.context(key, pair),
            Value::Callable(key, ty) => self.callable(key, ty, pair),
            _ => Err("nothing here is that".into()),
        }
    }

    fn pointer(&mut self, ptr: Ptr, pair: Pair) -> Held {
        let world = self.world;
        let (bases, more, zeros_max) = match ptr.to {
            Region::Context => (world.context, 0, 63),
            Region::Frame => (world.frame, 0, 63),
            Region::Text => (world.text, 0, 63),
            Region::TableDef(0) => (world.table_def, 0, 63),
            Region::MemoryDef(1) => (world.memory_def, 0, 63),
            Region::Entries(0) => (world.entries, 0, 63),
            Region::EntriesUpTo(0) => (world.entries, world.table_bound << Bound::ENTRY_SHIFT, Bound::ENTRY_SHIFT),
            Region::Memory(1) => (world.wide, 0, 63),
            Region::MemoryUpTo(1) => (world.wide, world.wide_bound, 0),
            _ => return Err("nobody has such a region".into()),
        };
        let offsets = BOTH.map(|m| pair.values[m].wrapping_sub(bases[m]) as i64);
        for at in offsets {
            held(at >= ptr.lo && at <= ptr.hi + more as i64, || format!("it points to {at:+#x}"))?;
            let by = at.wrapping_sub(ptr.lo) as u64;
            held(by.trailing_zeros() >= ptr.zeros.min(zeros_max).into(), || format!("{by:#x} is not aligned"))?;
        }
        self.name(ptr.var, offsets.map(|at| at.wrapping_sub(ptr.lo) as u64))
    }

    fn bounded(&self, bound: Bound, shift: u8, pair: Pair) -> Held {
        let most = match bound {
            Bound::Table(0) => self.world.table_bound,
            Bound::Memory(1) => self.world.wide_bound,
            _ => return Err("nobody has such a bound".into()),
        };
        let within = |value: u64| value <= most << shift && value.trailing_zeros() >= shift.into();
        held(pair.values.into_iter().all(within), || format!("it is beyond {:#x}, or not shifted", most << shift))?;
        held(pair.same(), || "it tells something".into())
    }

    /// Both hold the same field of the same entry, which is the key's.
    fn entry_field(&mut self, key: Key, field: i32, pair: Pair) -> Held {
        let [Some(first), Some(second)] = pair.tokens else { return Err("it was read from no entry".into()) };
        held(first == second && first.field == field, || "it is another field, or of two entries".into())?;
        self.key(key, first.entry)
    }

    /// A key is of one entry, as it was between two calls.
    fn key(&mut self, key: Key, entry: Entry) -> Held {
        let own = Table::of(key.table, self.facts.imported_tables.len());
        held(own == Some(entry.table), || "it is of another table".into())?;
        let exact = key.index >= Key::EXACT;
        held(!exact || key.index & 0xffff_ffff == entry.index, || "it is of another entry".into())?;
        let known = *self.keys.entry((key.table, key.index, key.epoch)).or_insert(entry);
        held(known == entry, || format!("its key is of {known:?}, too"))
    }

    /// An entry's context, or that of its table's owner.
    fn context(&mut self, key: Key, pair: Pair) -> Held {
        let own = Table::of(key.table, self.facts.imported_tables.len()).ok_or("nobody has such a table")?;
        let owner = self.world.owner_of(own);
        for m in BOTH {
            match pair.tokens[m] {
                Some(Token { field: table_entry::CTX, entry }) if pair.values[m] != 0 => self.key(key, entry)?,
                None if pair.values[m] == owner[m] => {}
                _ => return Err("it is no context of that table".into()),
            }
        }
        Ok(())
    }

    /// An entry's code of that type, or the stub for bad calls.
    fn callable(&mut self, key: Key, ty: u32, pair: Pair) -> Held {
        let wanted = self.facts.contract.types[ty as usize].signature_id();
        for m in BOTH {
            match pair.tokens[m] {
                Some(Token { field: table_entry::CODE, entry }) => {
                    self.key(key, entry)?;
                    held(self.world.signature(entry) == wanted, || "it has another type".into())?;
                }
                None if pair.values[m] == self.world.bad_call(m) => {}
                _ => return Err("it is nothing to call".into()),
            }
        }
        Ok(())
    }

    fn flags(&mut self, state: &State) -> Held {
        let [a, b] = BOTH.map(|m| self.machines[m].flags);
        let tell = |same: bool| held(same, || format!("the flags tell something: {a:?} and {b:?}"));
        match state.flags {
            Flags::Secret => Ok(()),
            Flags::Plain | Flags::Test(_) => tell(a == b),
            Flags::Carry => tell(a.carry == b.carry),
            Flags::Scan(name, found) => {
                tell(a.zero == b.zero)?;
                if a.zero { Ok(()) } else { self.scanned(state, name, found) }
            }
            Flags::Cmp(_, x, y) => {
                tell(a == b)?;
                self.compared(x, 0)?;
                self.compared(y, 1)
            }
        }
    }

    /// What has this name holds what was found.
    fn scanned(&self, state: &State, name: u32, found: Cell) -> Held {
        for reg in (0..16).filter(|reg| state.regs[*reg].id == name) {
            let pair = Pair::of(BOTH.map(|m| (self.machines[m].regs[reg], None)));
            number(found.value.num(), pair).map_err(|what| format!("register {reg}, scanned for: {what}"))?;
        }
        Ok(())
    }

    fn compared(&mut self, cell: Cell, operand: usize) -> Held {
        // Of a signature it is not known any more which entry it was read from.
        if matches!(cell.value, Value::Signature(_)) {
            return Ok(());
        }
        let pair = Pair::of(BOTH.map(|m| (self.machines[m].compared[operand], None)));
        self.cell(cell, pair).map_err(|what| format!("operand {operand} of the comparison: {what}"))
    }
}

fn number(num: Num, pair: Pair) -> Held {
    let Num { lo, hi, zeros, bytes } = num;
    let shown = if bytes >= 8 { u64::MAX } else { (1 << (8 * bytes)) - 1 };
    held((pair.values[0] ^ pair.values[1]) & shown == 0, || "it tells something".into())?;
    let within = |value: u64| (lo..=hi).contains(&value) && value.trailing_zeros() >= zeros.into();
    held(pair.values.into_iter().all(within), || "it is out of its bounds, or not aligned".into())
}

fn held(so: bool, what: impl FnOnce() -> String) -> Held {
    if so { Ok(()) } else { Err(what()) }
}
