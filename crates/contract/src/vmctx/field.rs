//! From an offset back to what lies there: what a reader of machine code asks.

use super::{GLOBAL_BYTES, VmLayout, header, import_function, memory_def, table_def};

/// What lies at an offset below the context pointer, as far as generated code may read it. An `offset` in
/// a variant is the distance from the start of the thing itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the fields are explained by the enum and its variants")]
pub enum Field {
    /// [`header::STACK_LIMIT`].
    StackLimit,
    /// [`header::HOST_CALL`].
    HostCall,
    /// [`header::BUILTIN`].
    Builtin,
    /// [`header::RAISE`].
    Raise,
    /// [`header::FUNCREF_BASE`].
    FuncrefBase,
    /// [`header::METER`], which metered code may write.
    Meter,
    /// [`header::METER_LIMIT`], of metered code.
    MeterLimit,
    /// [`header::METER_WANTED`], which metered code may write.
    MeterWanted,
    /// In the cell of one of the module's own globals, which code may write if it is mutable.
    Global { defined: u32, offset: u32 },
    /// In the definition of one of its own memories.
    MemoryDef { defined: u32, offset: u32 },
    /// In the definition of one of its own tables.
    TableDef { defined: u32, offset: u32 },
    /// The pointer to an imported global's cell.
    ImportGlobal(u32),
    /// The pointer to an imported table's definition.
    ImportTable(u32),
    /// The pointer to an imported memory's definition.
    ImportMemory(u32),
    /// In an imported function's slot.
    ImportFunction { import: u32, offset: u32 },
}

impl VmLayout {
    fn is_metered(&self) -> bool {
        self.header_bytes == header::METERED_BYTES
    }

    /// What generated code may read at this offset from the context pointer, table entries left out.
    pub fn field_at(&self, offset: i32) -> Option<Field> {
        match offset {
            header::STACK_LIMIT => return Some(Field::StackLimit),
            header::HOST_CALL => return Some(Field::HostCall),
            header::BUILTIN => return Some(Field::Builtin),
            header::RAISE => return Some(Field::Raise),
            header::FUNCREF_BASE => return Some(Field::FuncrefBase),
            header::METER => return Some(Field::Meter),
            header::METER_LIMIT if self.is_metered() => return Some(Field::MeterLimit),
            header::METER_WANTED if self.is_metered() => return Some(Field::MeterWanted),
            _ => {}
        }
        // Each kind ends where the next begins, in the order of the picture above.
        let within = |start: i32, end: i32, bytes: u32| {
            let at = u32::try_from(offset.checked_sub(start)?).ok()?;
            (offset < end).then_some((at / bytes, at % bytes))
        };
        let header = -(self.header_bytes as i32);
        if let Some((nth, offset)) = within(self.globals, header, GLOBAL_BYTES) {
            return Some(Field::Global { defined: self.globals_count - 1 - nth, offset });
        }
        if let Some((defined, offset)) = within(self.memories, self.globals, memory_def::BYTES) {
            return Some(Field::MemoryDef { defined, offset });
        }
        if let Some((defined, offset)) = within(self.tables, self.memories, table_def::BYTES) {
            return Some(Field::TableDef { defined, offset });
        }
        if let Some((import, offset)) = within(self.import_functions, self.import_memories, import_function::BYTES) {
            return Some(Field::ImportFunction { import, offset });
        }
        let pointer = |start, end, make: fn(u32) -> Field| match within(start, end, 8) {
            Some((import, 0)) => Some(make(import)),
            _ => None,
        };
        pointer(self.import_globals, self.tables, Field::ImportGlobal)
            .or_else(|| pointer(self.import_tables, self.import_globals, Field::ImportTable))
            .or_else(|| pointer(self.import_memories, self.import_tables, Field::ImportMemory))
    }
}
