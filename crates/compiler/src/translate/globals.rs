//! Globals: constants where they never change, otherwise cells.

use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{ConstantData, InstBuilder, MemFlagsData, Value, types};
use selvedge_contract::ConstOp;
use selvedge_contract::types::ValType;
use selvedge_contract::vmctx::Reach;

use super::{Translator, flags};
use crate::signature::clif_type;

impl Translator<'_, '_> {
    pub(super) fn visit_global_get(&mut self, global: u32) {
        let value = match self.module.constants[global as usize] {
            Some(constant) => self.constant(constant),
            None => {
                let (base, offset, flags) = self.global_cell(global);
                let ty = clif_type(self.global_type(global));
                self.ins().load(ty, flags, base, offset)
            }
        };
        self.push(value);
    }

    pub(super) fn visit_global_set(&mut self, global: u32) {
        let value = self.pop();
        let (base, offset, flags) = self.global_cell(global);
        self.ins().store(flags, value, base, offset);
    }

    fn global_type(&self, global: u32) -> ValType {
        self.module.global_types[global as usize].value
    }

    fn global_cell(&mut self, global: u32) -> (Value, i32, MemFlagsData) {
        let vmctx = self.vmctx;
        let fixed = !self.module.global_types[global as usize].mutable;
        match self.module.layout.reach_global(global) {
            Reach::Inline(offset) => {
                let flags = if fixed { flags::FIXED_FIELD } else { self.own_global(global) };
                (vmctx, offset, flags)
            }
            Reach::Imported(offset) | Reach::Definition(offset) => {
                let cell = self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, offset);
                (cell, 0, if fixed { flags::FIXED_FIELD } else { self.regions.imported_globals() })
            }
        }
    }

    fn own_global(&mut self, global: u32) -> MemFlagsData {
        let defined = global - (self.module.global_types.len() - self.module.contract.globals.len()) as u32;
        self.regions.own_global(self.builder.func, defined)
    }

    fn constant(&mut self, constant: ConstOp) -> Value {
        match constant {
            ConstOp::I32Const(value) => self.ins().iconst(types::I32, i64::from(value as u32)),
            ConstOp::I64Const(value) => self.ins().iconst(types::I64, value),
            ConstOp::F32Const(bits) => self.ins().f32const(Ieee32::with_bits(bits)),
            ConstOp::F64Const(bits) => self.ins().f64const(Ieee64::with_bits(bits)),
            ConstOp::V128Const(bits) => {
                let data = ConstantData::from(bits.to_le_bytes().as_slice());
                let handle = self.builder.func.dfg.constants.insert(data);
                self.ins().vconst(types::I8X16, handle)
            }
            // Only null is left: what is made of other operators is not folded.
            _ => self.number(0u64),
        }
    }
}
