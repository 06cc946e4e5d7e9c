//! Locals, and the operators that move values about.
//!
//! Locals are variables of Cranelift's SSA construction, which remembers each of them for each block. In
//! a function with very many of both that would take memory without bound: there, locals live in the
//! frame instead.

use cranelift_codegen::ir::immediates::{Ieee32, Ieee64};
use cranelift_codegen::ir::{ConstantData, InstBuilder, StackSlot, StackSlotData, StackSlotKind, Type, Value, types};
use cranelift_frontend::Variable;
use selvedge_contract::types::FuncType;
use wasmparser::{BinaryReader, FuncValidator, ValType, ValidatorResources};

use super::Translator;
use crate::signature::clif_type;

/// Locals times an estimate of the blocks, above which locals live in the frame.
/// (the most seen in a real program is 3.8 million).
const VARIABLE_CELLS_MAX: usize = 1 << 24;
/// Bytes of code in which at most one block starts, on average.
const BLOCK_BYTES: usize = 4;
/// Bytes of a local in the frame.
const CELL_BYTES: u32 = 16;

/// Where the locals are.
pub(super) enum Locals {
    /// Variable `i` is local `i`.
    Variables,
    /// Local `i` is the cell `i` of a stack slot.
    Frame { slot: StackSlot, types: Vec<Type> },
}

/// Reads and validates the declarations at the start of a body: how many of which type.
pub(super) fn read(
    reader: &mut BinaryReader<'_>,
    validator: &mut FuncValidator<ValidatorResources>,
) -> wasmparser::Result<Vec<(u32, ValType)>> {
    let mut declared = Vec::new();
    for _ in 0..reader.read_var_u32()? {
        let offset = reader.original_position();
        let (count, ty) = (reader.read_var_u32()?, reader.read()?);
        validator.define_locals(offset, count, ty)?;
        if count > 0 {
            declared.push((count, ty));
        }
    }
    Ok(declared)
}

fn local_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::Ref(_) => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

impl Translator<'_, '_> {
    /// Declares parameters and locals, and gives them their first values.
    pub(super) fn declare_locals(&mut self, ty: &FuncType, declared: &[(u32, ValType)], body_bytes: usize) {
        let mut all: Vec<Type> = ty.params.iter().map(|ty| clif_type(*ty)).collect();
        for (count, ty) in declared {
            all.extend(std::iter::repeat_n(local_type(*ty), *count as usize));
        }
        if all.len().saturating_mul(body_bytes / BLOCK_BYTES) > VARIABLE_CELLS_MAX {
            let bytes = all.len() as u32 * CELL_BYTES;
            let data = StackSlotData::new(StackSlotKind::ExplicitSlot, bytes, 4);
            let slot = self.builder.create_sized_stack_slot(data);
            self.locals = Locals::Frame { slot, types: all.clone() };
        } else {
            for ty in &all {
                self.builder.declare_var(*ty);
            }
        }
        self.initialise(ty.params.len(), &all);
    }

    fn initialise(&mut self, params: usize, all: &[Type]) {
        let entry = self.builder.current_block().expect("in the entry block");
        for index in 0..params {
            let value = self.builder.block_params(entry)[1 + index];
            self.set_local(index as u32, value);
        }
        let mut zero: Option<(Type, Value)> = None;
        for (index, ty) in all.iter().enumerate().skip(params) {
            let value = match zero {
                Some((known, value)) if known == *ty => value,
                _ => self.zero(*ty),
            };
            zero = Some((*ty, value));
            self.set_local(index as u32, value);
        }
    }

    fn zero(&mut self, ty: Type) -> Value {
        match ty {
            types::F32 => self.ins().f32const(Ieee32::with_bits(0)),
            types::F64 => self.ins().f64const(Ieee64::with_bits(0)),
            types::I8X16 => {
                let zero = self.builder.func.dfg.constants.insert(ConstantData::from([0; 16].as_slice()));
                self.ins().vconst(ty, zero)
            }
            _ => self.ins().iconst(ty, 0),
        }
    }

    fn set_local(&mut self, local: u32, value: Value) {
        match self.locals {
            Locals::Variables => self.builder.def_var(Variable::from_u32(local), value),
            Locals::Frame { slot, .. } => {
                self.ins().stack_store(types::I64, value, slot, (local * CELL_BYTES) as i32);
            }
        }
    }

    pub(super) fn visit_local_get(&mut self, local: u32) {
        let value = match &self.locals {
            Locals::Variables => self.builder.use_var(Variable::from_u32(local)),
            Locals::Frame { slot, types } => {
                let (slot, ty) = (*slot, types[local as usize]);
                self.ins().stack_load(types::I64, ty, slot, (local * CELL_BYTES) as i32)
            }
        };
        self.in_local = Some(value);
        self.push(value);
    }

    pub(super) fn visit_local_set(&mut self, local: u32) {
        let value = self.pop();
        self.set_local(local, value);
    }

    pub(super) fn visit_local_tee(&mut self, local: u32) {
        let value = self.pop();
        self.set_local(local, value);
        self.in_local = Some(value);
        self.push(value);
    }

    /// Whether the value is what the local last named holds.
    pub(super) fn lives_on(&self, value: Value) -> bool {
        self.in_local == Some(value)
    }

    pub(super) fn visit_drop(&mut self) {
        self.pop();
    }

    pub(super) fn visit_select(&mut self) {
        let (first, second, condition) = self.pop3();
        let value = self.ins().select(condition, first, second);
        self.push(value);
    }

    pub(super) fn visit_typed_select(&mut self, _: ValType) {
        self.visit_select();
    }

    pub(super) fn visit_typed_select_multi(&mut self, _: Vec<ValType>) {
        self.visit_select();
    }
}
