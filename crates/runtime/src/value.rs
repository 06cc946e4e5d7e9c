//! Values as the dynamic interface sees them.

use selvedge_contract::abi::FuncRefBits;
use selvedge_contract::types::{FuncType, ValType};
use selvedge_native::RawValue;

use crate::core::StoreId;
use crate::externref::ExternRef;
use crate::func::Func;

/// A value. Floats and vectors are their bits, so that NaNs pass unchanged; [`Val::from`] takes numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Val {
    /// 32-bit integer.
    I32(i32),
    /// 64-bit integer.
    I64(i64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// A 128-bit vector, lane 0 in the lowest bits.
    V128(u128),
    /// A function, or null.
    FuncRef(Option<Func>),
    /// A host object, or null.
    ExternRef(Option<ExternRef>),
}

impl Val {
    /// Its type.
    pub fn ty(&self) -> ValType {
        match self {
            Val::I32(_) => ValType::I32,
            Val::I64(_) => ValType::I64,
            Val::F32(_) => ValType::F32,
            Val::F64(_) => ValType::F64,
            Val::V128(_) => ValType::V128,
            Val::FuncRef(_) => ValType::FuncRef,
            Val::ExternRef(_) => ValType::ExternRef,
        }
    }

    /// Zero or null of a type.
    pub fn default_of(ty: ValType) -> Val {
        match ty {
            ValType::I32 => Val::I32(0),
            ValType::I64 => Val::I64(0),
            ValType::F32 => Val::F32(0),
            ValType::F64 => Val::F64(0),
            ValType::V128 => Val::V128(0),
            ValType::FuncRef => Val::FuncRef(None),
            ValType::ExternRef => Val::ExternRef(None),
        }
    }

    /// The 32-bit integer, if it is one.
    pub fn i32(&self) -> Option<i32> {
        if let Val::I32(value) = self { Some(*value) } else { None }
    }

    /// The 64-bit integer, if it is one.
    pub fn i64(&self) -> Option<i64> {
        if let Val::I64(value) = self { Some(*value) } else { None }
    }

    /// The 32-bit float, if it is one.
    pub fn f32(&self) -> Option<f32> {
        if let Val::F32(bits) = self { Some(f32::from_bits(*bits)) } else { None }
    }

    /// The 64-bit float, if it is one.
    pub fn f64(&self) -> Option<f64> {
        if let Val::F64(bits) = self { Some(f64::from_bits(*bits)) } else { None }
    }

    /// Its slot, or `None` for a handle of another store.
    pub(crate) fn to_raw(self, store: StoreId) -> Option<RawValue> {
        Some(match self {
            Val::I32(value) => (value as u32).into(),
            Val::F32(bits) => bits.into(),
            Val::I64(value) => (value as u64).into(),
            Val::F64(bits) => bits.into(),
            Val::V128(bits) => bits,
            Val::FuncRef(func) => func_to_bits(func, store)?.into(),
            Val::ExternRef(object) => extern_to_bits(object, store)?.into(),
        })
    }

    /// The value of a type in a slot, whose upper bytes may be anything.
    pub(crate) fn from_raw(ty: ValType, raw: RawValue, store: StoreId) -> Val {
        match ty {
            ValType::I32 => Val::I32(raw as i32),
            ValType::I64 => Val::I64(raw as i64),
            ValType::F32 => Val::F32(raw as u32),
            ValType::F64 => Val::F64(raw as u64),
            ValType::V128 => Val::V128(raw),
            ValType::FuncRef => Val::FuncRef(func_from_bits(raw as u64, store)),
            ValType::ExternRef => Val::ExternRef(extern_from_bits(raw as u64, store)),
        }
    }
}

/// The parameter types that these values have.
pub(crate) fn types_of(values: &[Val]) -> Vec<ValType> {
    values.iter().map(Val::ty).collect()
}

/// Whether values have these types.
pub(crate) fn fit(values: &[Val], types: &[ValType]) -> bool {
    values.len() == types.len() && values.iter().zip(types).all(|(value, ty)| value.ty() == *ty)
}

/// What a call of a function with these parameters says it is.
pub(crate) fn used_as(params: &[Val], ty: &FuncType) -> FuncType {
    FuncType::new(types_of(params), ty.results.clone())
}

pub(crate) fn func_to_bits(func: Option<Func>, store: StoreId) -> Option<u64> {
    match func {
        None => Some(0),
        Some(func) => (func.store == store).then(|| FuncRefBits::new(func.instance, func.function).0),
    }
}

pub(crate) fn func_from_bits(bits: u64, store: StoreId) -> Option<Func> {
    let (instance, function) = FuncRefBits(bits).parts()?;
    Some(Func { store, instance, function })
}

pub(crate) fn extern_to_bits(object: Option<ExternRef>, store: StoreId) -> Option<u64> {
    match object {
        None => Some(0),
        Some(object) => (object.store == store).then_some(object.bits),
    }
}

pub(crate) fn extern_from_bits(bits: u64, store: StoreId) -> Option<ExternRef> {
    (bits != 0).then_some(ExternRef { store, bits })
}

macro_rules! from_number {
    ($($number:ty => $variant:ident $convert:expr;)*) => {
        $(impl From<$number> for Val {
            fn from(value: $number) -> Val {
                let convert: fn($number) -> _ = $convert;
                Val::$variant(convert(value))
            }
        })*
    };
}

from_number! {
    i32 => I32 |v| v;
    u32 => I32 |v| v as i32;
    i64 => I64 |v| v;
    u64 => I64 |v| v as i64;
    f32 => F32 f32::to_bits;
    f64 => F64 f64::to_bits;
}
