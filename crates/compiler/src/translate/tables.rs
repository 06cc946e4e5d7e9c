//! Tables: reached directly by indirect calls, otherwise through the host.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use selvedge_contract::abi::Builtin;
use selvedge_contract::vmctx::{Reach, table_def};

use super::meter::Amount;
use super::{Translator, flags};

impl Translator<'_, '_> {
    /// Base and displacement of a table's entries, and the context of its owner.
    pub(super) fn table_entries(&mut self, table: u32) -> (Value, i32, Value) {
        let vmctx = self.vmctx;
        let Reach::Inline(offset) = self.module.tables[table as usize].reach else {
            let base = self.table_field(table, table_def::BASE);
            let owner = self.table_field(table, table_def::OWNER);
            return (base, 0, owner);
        };
        (vmctx, offset, vmctx)
    }

    /// An index no larger than the table's bound, where its null entry lies.
    pub(super) fn clamp_to_table(&mut self, index: Value, table: u32) -> Value {
        let bound = match self.module.tables[table as usize].bound {
            Some(bound) => self.number(bound),
            None => self.table_field(table, table_def::BOUND),
        };
        let beyond = self.ins().icmp(IntCC::UnsignedGreaterThan, index, bound);
        self.ins().select_spectre_guard(beyond, bound, index)
    }

    /// A field of a table's definition that never changes.
    fn table_field(&mut self, table: u32, field: i32) -> Value {
        let (base, offset) = self.table_definition(table);
        self.ins().load(types::I64, flags::FIXED_FIELD, base, offset + field)
    }

    fn table_definition(&mut self, table: u32) -> (Value, i32) {
        let (vmctx, access) = (self.vmctx, &self.module.tables[table as usize]);
        match access.reach {
            Reach::Imported(slot) => (self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, slot), 0),
            Reach::Inline(_) | Reach::Definition(_) => (vmctx, access.definition),
        }
    }

    fn index_type(&self, table: u32) -> Type {
        if self.module.tables[table as usize].table64 { types::I64 } else { types::I32 }
    }

    pub(super) fn visit_table_get(&mut self, table: u32) {
        let index = self.pop();
        let table = self.number(table);
        let reference = self.host_call_for(Builtin::TableGet, &[table, index], types::I64);
        self.push(reference);
    }

    pub(super) fn visit_table_set(&mut self, table: u32) {
        let (index, reference) = self.pop2();
        let table = self.number(table);
        self.host_call(Builtin::TableSet, &[table, index, reference]);
    }

    pub(super) fn visit_table_size(&mut self, table: u32) {
        let (base, offset) = self.table_definition(table);
        let (ty, flags) = (self.index_type(table), self.regions.context());
        let size = self.ins().load(ty, flags, base, offset + table_def::SIZE);
        self.push(size);
    }

    pub(super) fn visit_table_grow(&mut self, table: u32) {
        let (reference, delta) = self.pop2();
        self.count_amount(delta, Amount::Elements);
        let ty = self.index_type(table);
        let table = self.number(table);
        let old = self.host_call_for(Builtin::TableGrow, &[table, reference, delta], ty);
        self.push(old);
    }

    pub(super) fn visit_table_fill(&mut self, table: u32) {
        let (at, reference, len) = self.pop3();
        self.count_amount(len, Amount::Elements);
        let table = self.number(table);
        self.host_call(Builtin::TableFill, &[table, at, reference, len]);
    }

    pub(super) fn visit_table_copy(&mut self, to: u32, from: u32) {
        let (dst, src, len) = self.pop3();
        self.count_amount(len, Amount::Elements);
        let (to, from) = (self.number(to), self.number(from));
        self.host_call(Builtin::TableCopy, &[to, from, dst, src, len]);
    }

    pub(super) fn visit_table_init(&mut self, segment: u32, table: u32) {
        let (dst, src, len) = self.pop3();
        self.count_amount(len, Amount::Elements);
        let (table, segment) = (self.number(table), self.number(segment));
        self.host_call(Builtin::TableInit, &[table, segment, dst, src, len]);
    }

    pub(super) fn visit_elem_drop(&mut self, segment: u32) {
        let segment = self.number(segment);
        self.host_call(Builtin::ElemDrop, &[segment]);
    }
}
