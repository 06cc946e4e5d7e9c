//! Loads and stores: where they may go, and what they find there.

use selvedge_contract::trap::TrapCode;
use selvedge_contract::vmctx::{Field, import_function, memory_def, table_def, table_entry};

use super::Exec;
use crate::facts::{Entries, Memory};
use crate::report::{Checked, Rule, Violation, ensure};
use crate::value::{Bound, Cell, Key, Num, Ptr, Region, Value};

fn undeclared<T>() -> Checked<T> {
    Err(Violation::new(Rule::Context, "there is no field here that code may use so"))
}

/// A loaded number of so many bytes.
fn number(size: usize) -> Cell {
    Cell::new(Value::Num(Num::ANY.truncate(size)))
}

impl Exec<'_, '_> {
    /// Loads up to eight bytes.
    pub(super) fn load(&mut self, size: usize) -> Checked<Cell> {
        ensure(matches!(size, 1 | 2 | 4 | 8), Rule::Instruction, "a load of this width is not on the list")?;
        let ptr = self.address()?;
        match ptr.to {
            Region::Frame => {
                let at = self.exact_frame(ptr, size)?;
                Ok(self.named_slot(at, size))
            }
            Region::Area => {
                let at = self.exact_area(ptr, size)?;
                Ok(self.state.area.read(at, size))
            }
            Region::Context if ptr.lo < 0 => self.load_context(ptr, size).map(Cell::new),
            Region::MemoryDef(memory) => self.load_memory_def(memory, ptr, size).map(Cell::new),
            Region::TableDef(table) => self.load_table_def(table, ptr, size).map(Cell::new),
            Region::Entries(table) | Region::EntriesUpTo(table) => {
                self.load_import_entry(table, ptr, size).map(Cell::new)
            }
            Region::Text => self.load_constant(ptr, size).map(Cell::new),
            _ => self.plain(ptr, size, false).map(|()| number(size)),
        }
    }

    /// Stores up to eight bytes.
    pub(super) fn store(&mut self, size: usize, cell: Cell) -> Checked {
        ensure(matches!(size, 1 | 2 | 4 | 8), Rule::Instruction, "a store of this width is not on the list")?;
        let ptr = self.address()?;
        match ptr.to {
            Region::Frame => {
                let at = self.exact_frame(ptr, size)?;
                self.state.frame.write(at, size, cell);
                Ok(())
            }
            _ => self.store_number(ptr, size, cell.value.readable().into()),
        }
    }

    /// Loads up to sixteen bytes into a vector register; says which of them may be looked at.
    pub(super) fn load_wide(&mut self, size: usize) -> Checked<u16> {
        let ptr = self.address()?;
        let slots = match ptr.to {
            Region::Frame => {
                self.exact_frame(ptr, size)?;
                &self.state.frame
            }
            Region::Area => {
                self.exact_area(ptr, size)?;
                &self.state.area
            }
            Region::Text => return self.constant_bytes(ptr, size).map(|_| u16::MAX),
            _ => return self.plain(ptr, size, false).map(|()| u16::MAX),
        };
        let halves = (0..size).step_by(8).map(|at| (at, slots.readable(ptr.lo + at as i64, (size - at).min(8))));
        Ok(halves.fold(0, |shown, (at, bytes)| shown | ((1 << bytes) - 1) << at))
    }

    /// Stores up to sixteen bytes of a vector register.
    pub(super) fn store_wide(&mut self, size: usize, shown: u16) -> Checked {
        let ptr = self.address()?;
        if ptr.to != Region::Frame {
            return self.store_number(ptr, size, shown.trailing_ones() as usize);
        }
        let at = self.exact_frame(ptr, size)?;
        for half in (0..size).step_by(8) {
            let readable = (shown >> half).trailing_ones() as usize;
            let size = (size - half).min(8);
            self.state.frame.fill(at + half as i64, size, readable.min(size));
        }
        Ok(())
    }

    /// What a slot holds; a number gets a name, for it may be compared here and used from there again.
    fn named_slot(&mut self, at: i64, size: usize) -> Cell {
        let mut cell = self.state.frame.read(at, size);
        if cell.id == 0 && size == 8 && at % 8 == 0 && matches!(cell.value, Value::Num(num) if num.lo != num.hi) {
            cell.id = (self.at << 5 | 16) + 1;
            self.state.frame.write(at, size, cell);
        }
        cell
    }

    fn store_number(&mut self, ptr: Ptr, size: usize, readable: usize) -> Checked {
        ensure(readable >= size, Rule::Secret, "what is stored may not be shown to the guest")?;
        match ptr.to {
            Region::Area => {
                let at = self.exact_area(ptr, size)?;
                self.state.area.fill(at, size, size);
                Ok(())
            }
            _ => self.plain(ptr, size, true),
        }
    }

    /// An access to what holds nothing but numbers: memories, globals, the values of an entry trampoline.
    fn plain(&mut self, ptr: Ptr, size: usize, write: bool) -> Checked {
        match ptr.to {
            Region::Context if ptr.lo < 0 => self.own_global(ptr, size, write),
            Region::Context => {
                let first = self.walk.facts.imported_memories;
                self.heap(first, ptr, size, false)
            }
            Region::Memory(memory) => self.heap(memory, ptr, size, false),
            Region::MemoryUpTo(memory) => self.heap(memory, ptr, size, true),
            Region::Global(import) => {
                let cell = self.walk.facts.imported_global(import);
                self.global(cell, ptr, size, write)
            }
            Region::Values => self.values(ptr, size),
            Region::MemoryDef(_) if !write => imported_size(ptr, memory_def::SIZE, size),
            Region::TableDef(_) if !write => imported_size(ptr, table_def::SIZE, size),
            _ if write => Err(Violation::new(Rule::Context, "this may not be written")),
            _ => undeclared(),
        }
    }

    fn heap(&mut self, memory: u32, ptr: Ptr, size: usize, bounded: bool) -> Checked {
        let entry = self.walk.trap(self.at);
        let listed = entry == Some(TrapCode::MemoryOutOfBounds);
        ensure(listed, Rule::Trap, "it may fault, but the trap table does not call it a memory access")?;
        let Some(Memory { reach, guard, .. }) = self.walk.facts.memories.get(memory as usize) else {
            return Err(Violation::new(Rule::Heap, "there is no such memory"));
        };
        let reach = if bounded { Some(*guard) } else { *reach };
        let end = ptr.hi.checked_add(size as i64).and_then(|end| u64::try_from(end).ok());
        let inside = ptr.lo >= 0 && reach.zip(end).is_some_and(|(reach, end)| end <= reach);
        if !inside {
            return Err(Violation::new(Rule::Heap, format!("it may reach {end:x?} bytes of {reach:x?}")));
        }
        self.walk.counts.heap_accesses += 1;
        Ok(())
    }

    fn own_global(&self, ptr: Ptr, size: usize, write: bool) -> Checked {
        let field = ptr.is_exact().and_then(|at| i32::try_from(at).ok());
        match field.and_then(|at| self.walk.facts.layout.field_at(at)) {
            Some(Field::Global { defined, offset }) => {
                let cell = self.walk.facts.global(defined);
                self.global(cell, Ptr::exact(Region::Context, offset.into()), size, write)
            }
            // A size may be looked at as a float's bits, too.
            Some(Field::MemoryDef { offset, .. }) if !write => size_field(offset, memory_def::SIZE, size),
            Some(Field::TableDef { offset, .. }) if !write => size_field(offset, table_def::SIZE, size),
            // How much it counts is between the guest and the host: no one else's safety hangs on it.
            Some(Field::Meter | Field::MeterWanted) if self.walk.facts.contract.metered && size == 8 => Ok(()),
            _ if write => Err(Violation::new(Rule::Context, "this may not be written")),
            _ => undeclared(),
        }
    }

    /// An access at `ptr` bytes from the start of a global's cell.
    fn global(&self, cell: Option<(u8, bool)>, ptr: Ptr, size: usize, write: bool) -> Checked {
        let Some(((bytes, mutable), at)) = cell.zip(ptr.is_exact()) else { return undeclared() };
        let inside = at >= 0 && at + size as i64 <= bytes.into();
        ensure(inside, Rule::Context, "the access is wider than the global")?;
        ensure(mutable || !write, Rule::Context, "the global is not mutable")
    }

    fn values(&self, ptr: Ptr, size: usize) -> Checked {
        let inside = ptr.is_exact().is_some_and(|at| at >= 0 && at + size as i64 <= self.values_bytes());
        ensure(inside, Rule::Frame, "there is no such value to pass")
    }

    fn exact_frame(&self, ptr: Ptr, size: usize) -> Checked<i64> {
        let Some(at) = ptr.is_exact() else {
            return Err(Violation::new(Rule::Frame, "the place in the frame is not known"));
        };
        self.frame_range(at, size as i64)?;
        Ok(at)
    }

    fn exact_area(&self, ptr: Ptr, size: usize) -> Checked<i64> {
        let inside = |at: &i64| *at >= 0 && *at + size as i64 <= self.own_area_bytes();
        ptr.is_exact()
            .filter(inside)
            .map_or_else(|| Err(Violation::new(Rule::Frame, "this lies outside the caller's area for results")), Ok)
    }

    fn load_context(&mut self, ptr: Ptr, size: usize) -> Checked<Value> {
        let facts = self.walk.facts;
        let field = ptr.is_exact().and_then(|at| facts.layout.field_at(i32::try_from(at).ok()?));
        let Some(field) = field else { return self.load_own_entry(ptr, size) };
        if let Field::Global { .. } = field {
            return self.plain(ptr, size, false).map(|()| number(size).value);
        }
        let value = match field {
            Field::StackLimit => Value::StackLimit(0),
            Field::HostCall => Value::HostCall,
            Field::Builtin => Value::Builtin,
            Field::Raise => Value::Raise,
            Field::FuncrefBase => Value::ANY,
            Field::Meter | Field::MeterLimit if facts.contract.metered => Value::ANY,
            Field::MemoryDef { defined, offset } => {
                return self.load_memory_def(
                    facts.imported_memories + defined,
                    Ptr { lo: offset.into(), hi: offset.into(), ..ptr },
                    size,
                );
            }
            Field::TableDef { offset, .. } => return table_size(offset.into(), size),
            Field::ImportGlobal(import) => pointer(Region::Global(import)),
            Field::ImportTable(import) => pointer(Region::TableDef(import)),
            Field::ImportMemory(import) => pointer(Region::MemoryDef(import)),
            Field::ImportFunction { import, offset } if offset == import_function::CODE as u32 => {
                Value::ImportCode(import)
            }
            Field::ImportFunction { import, offset } if offset == import_function::CTX as u32 => {
                Value::ImportContext(import)
            }
            Field::Meter
            | Field::MeterLimit
            | Field::MeterWanted
            | Field::ImportFunction { .. }
            | Field::Global { .. } => {
                return undeclared();
            }
        };
        ensure(size == 8, Rule::Context, "the field is eight bytes wide")?;
        Ok(value)
    }

    fn load_memory_def(&self, memory: u32, ptr: Ptr, size: usize) -> Checked<Value> {
        let Some(known) = self.walk.facts.memories.get(memory as usize) else { return undeclared() };
        let field = ptr.is_exact().and_then(|at| i32::try_from(at).ok());
        match (field, size) {
            (Some(memory_def::BASE), 8) => Ok(pointer(Region::Memory(memory))),
            (Some(memory_def::SIZE), 4 | 8) => Ok(number(size).value),
            (Some(memory_def::BOUND), 8) => Ok(known.bound.map_or(Value::UpTo(Bound::Memory(memory), 0), Value::exact)),
            _ => undeclared(),
        }
    }

    fn load_table_def(&self, table: u32, ptr: Ptr, size: usize) -> Checked<Value> {
        let Some(at) = ptr.is_exact() else { return undeclared() };
        let functions = self.walk.facts.imported_tables.get(table as usize).copied().unwrap_or(false);
        match (i32::try_from(at), size) {
            (Ok(table_def::BASE), 8) if functions => Ok(pointer(Region::Entries(table))),
            (Ok(table_def::BOUND), 8) if functions => Ok(Value::UpTo(Bound::Table(table), 0)),
            (Ok(table_def::OWNER), 8) if functions => Ok(Value::Owner(table)),
            _ => table_size(at, size),
        }
    }

    /// A field of an entry of one of the module's own tables.
    fn load_own_entry(&self, ptr: Ptr, size: usize) -> Checked<Value> {
        let end = ptr.hi.saturating_add(size as i64);
        let found = self.walk.facts.tables.iter().find(|t| ptr.lo >= t.start && end <= t.end);
        let Some(Entries { table, start, .. }) = found else {
            if ptr.is_exact().is_some() {
                return undeclared();
            }
            return Err(Violation::new(Rule::Table, "this is no declared field, and in no table whatever the index"));
        };
        self.entry_field(*table, ptr.lo - start, ptr, size)
    }

    /// A field of an entry of an imported table.
    fn load_import_entry(&self, table: u32, ptr: Ptr, size: usize) -> Checked<Value> {
        // Only the null entry is known to be there without looking at the bound.
        let bounded = matches!(ptr.to, Region::EntriesUpTo(_)) && ptr.is_exact().is_some();
        ensure(bounded, Rule::Table, "the index is not bounded by the table's own bound")?;
        self.entry_field(table, ptr.lo, Ptr { zeros: Bound::ENTRY_SHIFT, ..ptr }, size)
    }

    /// A field `at` bytes from where the entries start, plus whatever the pointer's index adds.
    fn entry_field(&self, table: u32, at: i64, ptr: Ptr, size: usize) -> Checked<Value> {
        let bytes = i64::from(table_entry::BYTES);
        let entry = at.div_euclid(bytes);
        let exact = ptr.is_exact().is_some() && !matches!(ptr.to, Region::EntriesUpTo(_));
        let index = match exact {
            true => Key::EXACT | entry as u64,
            false => u64::from(ptr.var),
        };
        let aligned = exact || ptr.zeros >= Bound::ENTRY_SHIFT && entry == 0 && ptr.var != 0;
        ensure(aligned && size == 8, Rule::Table, "which field of which entry this reads is not known")?;
        let key = Key { table, index, epoch: self.state.epoch };
        match at.rem_euclid(bytes) as i32 {
            table_entry::CODE => Ok(Value::Code(key)),
            table_entry::SIGNATURE => Ok(Value::Signature(key)),
            table_entry::CTX => Ok(Value::RawContext(key)),
            _ => Err(Violation::new(Rule::Table, "code has no use for this field of an entry")),
        }
    }

    fn load_constant(&mut self, ptr: Ptr, size: usize) -> Checked<Value> {
        let known = ptr.is_exact().is_some();
        let bytes = self.constant_bytes(ptr, size)?;
        if !known {
            return Ok(number(size).value);
        }
        let value = bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        Ok(Value::exact(value))
    }

    /// All bytes that a read of constants may see.
    pub(super) fn constant_bytes(&mut self, ptr: Ptr, size: usize) -> Checked<&[u8]> {
        self.walk.data(ptr.lo..ptr.hi.saturating_add(size as i64))
    }
}

fn pointer(to: Region) -> Value {
    Value::Ptr(Ptr::exact(to, 0))
}

/// Reading the size in a definition, and nothing else of it.
fn size_field(at: u32, field: i32, size: usize) -> Checked {
    if i64::from(at) == i64::from(field) && matches!(size, 4 | 8) { Ok(()) } else { undeclared() }
}

/// The same of a definition in another context.
fn imported_size(ptr: Ptr, field: i32, size: usize) -> Checked {
    ptr.is_exact().and_then(|at| u32::try_from(at).ok()).map_or_else(undeclared, |at| size_field(at, field, size))
}

fn table_size(at: i64, size: usize) -> Checked<Value> {
    match (i32::try_from(at), size) {
        (Ok(table_def::SIZE), 4 | 8) => Ok(number(size).value),
        _ => undeclared(),
    }
}
