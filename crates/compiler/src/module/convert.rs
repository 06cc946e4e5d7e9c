//! From `wasmparser`'s types to the contract's.

use selvedge_contract::limits::CONST_OPS_MAX;
use selvedge_contract::types::{FuncType, GlobalType, MemoryType, RefType, TableType, ValType};
use selvedge_contract::{ConstExpr, ConstOp};
use wasmparser::Operator;

use crate::error::{CompileError, Place};

fn unsupported<T>(message: &str, offset: Option<u64>) -> Result<T, CompileError> {
    let place = Place { offset, function: None };
    Err(CompileError::Unsupported { feature: "gc".into(), message: message.into(), place })
}

pub(super) fn val_type(ty: wasmparser::ValType) -> Result<ValType, CompileError> {
    Ok(match ty {
        wasmparser::ValType::I32 => ValType::I32,
        wasmparser::ValType::I64 => ValType::I64,
        wasmparser::ValType::F32 => ValType::F32,
        wasmparser::ValType::F64 => ValType::F64,
        wasmparser::ValType::V128 => ValType::V128,
        wasmparser::ValType::Ref(ty) => ref_type(ty)?.into(),
    })
}

pub(super) fn ref_type(ty: wasmparser::RefType) -> Result<RefType, CompileError> {
    if ty == wasmparser::RefType::FUNCREF {
        Ok(RefType::Func)
    } else if ty == wasmparser::RefType::EXTERNREF {
        Ok(RefType::Extern)
    } else {
        unsupported(&format!("the reference type {ty}"), None)
    }
}

pub(super) fn func_type(ty: &wasmparser::FuncType) -> Result<FuncType, CompileError> {
    let list = |types: &[wasmparser::ValType]| types.iter().map(|ty| val_type(*ty)).collect::<Result<Vec<_>, _>>();
    Ok(FuncType { params: list(ty.params())?, results: list(ty.results())? })
}

pub(super) fn memory_type(ty: &wasmparser::MemoryType) -> MemoryType {
    MemoryType { min_pages: ty.initial, max_pages: ty.maximum, memory64: ty.memory64 }
}

pub(super) fn table_type(ty: &wasmparser::TableType) -> Result<TableType, CompileError> {
    let element = ref_type(ty.element_type)?;
    Ok(TableType { element, min: ty.initial, max: ty.maximum, table64: ty.table64 })
}

pub(super) fn global_type(ty: &wasmparser::GlobalType) -> Result<GlobalType, CompileError> {
    Ok(GlobalType { value: val_type(ty.content_type)?, mutable: ty.mutable })
}

pub(super) fn const_expr(expr: &wasmparser::ConstExpr<'_>) -> Result<ConstExpr, CompileError> {
    let mut ops = Vec::new();
    let mut reader = expr.get_operators_reader();
    while !reader.eof() {
        let offset = reader.original_position();
        match reader.read()? {
            Operator::End => {}
            op => ops.push(const_op(&op, offset)?),
        }
        CompileError::cap("the operators of a constant expression", ops.len() as u64, CONST_OPS_MAX)?;
    }
    Ok(ConstExpr(ops))
}

fn const_op(op: &Operator<'_>, offset: u64) -> Result<ConstOp, CompileError> {
    Ok(match *op {
        Operator::I32Const { value } => ConstOp::I32Const(value),
        Operator::I64Const { value } => ConstOp::I64Const(value),
        Operator::F32Const { value } => ConstOp::F32Const(value.bits()),
        Operator::F64Const { value } => ConstOp::F64Const(value.bits()),
        Operator::V128Const { value } => ConstOp::V128Const(u128::from_le_bytes(*value.bytes())),
        Operator::GlobalGet { global_index } => ConstOp::GlobalGet(global_index),
        Operator::RefNull { hty } => ConstOp::RefNull(heap_type(hty, offset)?),
        Operator::RefFunc { function_index } => ConstOp::RefFunc(function_index),
        Operator::I32Add => ConstOp::I32Add,
        Operator::I32Sub => ConstOp::I32Sub,
        Operator::I32Mul => ConstOp::I32Mul,
        Operator::I64Add => ConstOp::I64Add,
        Operator::I64Sub => ConstOp::I64Sub,
        Operator::I64Mul => ConstOp::I64Mul,
        _ => return unsupported("an operator in a constant expression", Some(offset)),
    })
}

fn heap_type(ty: wasmparser::HeapType, offset: u64) -> Result<RefType, CompileError> {
    if ty == wasmparser::HeapType::FUNC {
        Ok(RefType::Func)
    } else if ty == wasmparser::HeapType::EXTERN {
        Ok(RefType::Extern)
    } else {
        unsupported("a heap type", Some(offset))
    }
}

/// What a constant expression of integer constants alone comes to, extended to 64 bits without a sign.
pub(super) fn evaluate(expr: &ConstExpr) -> Option<u64> {
    let mut stack: Vec<u64> = Vec::new();
    for op in &expr.0 {
        match op {
            ConstOp::I32Const(value) => stack.push(u64::from(*value as u32)),
            ConstOp::I64Const(value) => stack.push(*value as u64),
            _ => {
                let (rhs, lhs) = (stack.pop()?, stack.pop()?);
                stack.push(combine(*op, lhs, rhs)?);
            }
        }
    }
    stack.pop()
}

fn combine(op: ConstOp, lhs: u64, rhs: u64) -> Option<u64> {
    let narrow = |value: u64| u64::from(value as u32);
    Some(match op {
        ConstOp::I32Add => narrow(lhs.wrapping_add(rhs)),
        ConstOp::I32Sub => narrow(lhs.wrapping_sub(rhs)),
        ConstOp::I32Mul => narrow(lhs.wrapping_mul(rhs)),
        ConstOp::I64Add => lhs.wrapping_add(rhs),
        ConstOp::I64Sub => lhs.wrapping_sub(rhs),
        ConstOp::I64Mul => lhs.wrapping_mul(rhs),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_evaluated() {
        let expr = |ops: &[ConstOp]| evaluate(&ConstExpr(ops.to_vec()));
        assert_eq!(expr(&[ConstOp::I32Const(-1)]), Some(0xffff_ffff));
        assert_eq!(expr(&[ConstOp::I32Const(-1), ConstOp::I32Const(2), ConstOp::I32Add]), Some(1));
        assert_eq!(expr(&[ConstOp::I64Const(3), ConstOp::I64Const(4), ConstOp::I64Sub]), Some(u64::MAX));
        assert_eq!(expr(&[ConstOp::GlobalGet(0)]), None);
    }
}
