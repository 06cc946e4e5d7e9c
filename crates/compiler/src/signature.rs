//! Signatures and types as Cranelift has them.

use cranelift_codegen::ir::{AbiParam, ArgumentPurpose, Signature, Type, types};
use cranelift_codegen::isa::CallConv;
use selvedge_contract::types::{FuncType, ValType};

/// The type that holds a value.
pub(crate) fn clif_type(ty: ValType) -> Type {
    match ty {
        ValType::I32 => types::I32,
        ValType::I64 | ValType::FuncRef | ValType::ExternRef => types::I64,
        ValType::F32 => types::F32,
        ValType::F64 => types::F64,
        ValType::V128 => types::I8X16,
    }
}

/// A guest function's: the context, then the parameters.
pub(crate) fn guest(ty: &FuncType) -> Signature {
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::special(types::I64, ArgumentPurpose::VMContext));
    signature.params.extend(ty.params.iter().map(|ty| AbiParam::new(clif_type(*ty))));
    signature.returns.extend(ty.results.iter().map(|ty| AbiParam::new(clif_type(*ty))));
    signature
}

/// Of the stub for host calls: context, offset of the import's slot, values.
pub(crate) fn host_call() -> Signature {
    system_v([types::I64, types::I64, types::I64])
}

/// Of the stub for builtins: context, index, values.
pub(crate) fn builtin() -> Signature {
    system_v([types::I64, types::I32, types::I64])
}

/// Of the stub for explicit traps: context, code.
pub(crate) fn raise() -> Signature {
    system_v([types::I64, types::I32])
}

/// Of an entry trampoline: context, code, values.
pub(crate) fn entry() -> Signature {
    let mut signature = system_v([types::I64, types::I64, types::I64]);
    signature.params[0].purpose = ArgumentPurpose::VMContext;
    signature
}

fn system_v<const N: usize>(params: [Type; N]) -> Signature {
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.extend(params.map(AbiParam::new));
    signature
}
