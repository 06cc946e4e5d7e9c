//! Rust types as WebAssembly values: what typed calls and typed host functions are made of.
//!
//! All traits here are sealed: a wrong implementation would put values where others are expected.

use selvedge_contract::types::{FuncType, ValType};
use selvedge_native::RawValue;

use crate::core::StoreId;
use crate::error::HostError;
use crate::externref::ExternRef;
use crate::func::Func;
use crate::guest::GuestPtr;
use crate::value::{extern_from_bits, extern_to_bits, func_from_bits, func_to_bits};

mod sealed {
    pub trait Sealed {}
}
use sealed::Sealed;

/// A 128-bit vector, lane 0 in the lowest bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct V128(pub u128);

/// A type that can stand for one value: `i32`, `u32`, `i64`, `u64`, `f32`, `f64`, [`V128`], `Option<Func>`,
/// `Option<ExternRef>`, and [`GuestPtr`] for an `i32` address.
pub trait WasmType: Sized + Sealed {
    /// The value type it stands for.
    const TYPE: ValType;

    /// Its slot, or `None` for a handle of another store.
    #[doc(hidden)]
    fn into_raw(self, store: StoreId) -> Option<RawValue>;

    /// The value in a slot, whose upper bytes may be anything.
    #[doc(hidden)]
    fn from_raw(raw: RawValue, store: StoreId) -> Self;
}

macro_rules! wasm_type {
    ($(($($generic:ident)?) $rust:ty, $ty:ident, |$value:pat_param, $s1:pat_param| $into:expr,
        |$raw:pat_param, $s2:pat_param| $from:expr;)*) => {
        $(
            impl$(<$generic>)? Sealed for $rust {}
            impl$(<$generic>)? WasmType for $rust {
                const TYPE: ValType = ValType::$ty;
                #[inline]
                fn into_raw(self, $s1: StoreId) -> Option<RawValue> {
                    let $value = self;
                    $into
                }
                #[inline]
                fn from_raw($raw: RawValue, $s2: StoreId) -> Self {
                    $from
                }
            }
        )*
    };
}

wasm_type! {
    () i32, I32, |v, _| Some((v as u32).into()), |raw, _| raw as i32;
    () u32, I32, |v, _| Some(v.into()), |raw, _| raw as u32;
    () i64, I64, |v, _| Some((v as u64).into()), |raw, _| raw as i64;
    () u64, I64, |v, _| Some(v.into()), |raw, _| raw as u64;
    () f32, F32, |v, _| Some(v.to_bits().into()), |raw, _| f32::from_bits(raw as u32);
    () f64, F64, |v, _| Some(v.to_bits().into()), |raw, _| f64::from_bits(raw as u64);
    () V128, V128, |v, _| Some(v.0), |raw, _| V128(raw);
    () Option<Func>, FuncRef, |v, store| func_to_bits(v, store).map(Into::into),
        |raw, store| func_from_bits(raw as u64, store);
    () Option<ExternRef>, ExternRef, |v, store| extern_to_bits(v, store).map(Into::into),
        |raw, store| extern_from_bits(raw as u64, store);
    (T) GuestPtr<T>, I32, |v, _| u32::try_from(v.address()).ok().map(Into::into),
        |raw, _| GuestPtr::new(raw as u32);
}

/// Parameters of a typed call: `()`, a [`WasmType`], or a tuple of up to sixteen.
pub trait WasmParams: Sealed {
    /// Their types.
    const TYPES: &'static [ValType];

    /// How many values.
    #[doc(hidden)]
    const COUNT: usize = Self::TYPES.len();

    /// Writes them to slots, as many as [`WasmParams::COUNT`]; `None` for a handle of another store.
    #[doc(hidden)]
    fn store(self, slots: &mut [RawValue], store: StoreId) -> Option<()>;
}

/// Results of a typed call: `()`, a [`WasmType`], or a tuple of up to sixteen.
pub trait WasmResults: WasmParams + Sized {
    /// Reads them from slots, as many as [`WasmParams::COUNT`].
    #[doc(hidden)]
    fn load(slots: &[RawValue], store: StoreId) -> Self;
}

impl<A: WasmType> WasmParams for A {
    const TYPES: &'static [ValType] = &[A::TYPE];

    #[inline]
    fn store(self, slots: &mut [RawValue], store: StoreId) -> Option<()> {
        slots[0] = self.into_raw(store)?;
        Some(())
    }
}

impl<A: WasmType> WasmResults for A {
    #[inline]
    fn load(slots: &[RawValue], store: StoreId) -> A {
        A::from_raw(slots[0], store)
    }
}

macro_rules! tuple {
    ($($name:ident $index:tt),*) => {
        impl<$($name: WasmType),*> Sealed for ($($name,)*) {}

        impl<$($name: WasmType),*> WasmParams for ($($name,)*) {
            const TYPES: &'static [ValType] = &[$($name::TYPE),*];

            #[inline]
            #[expect(clippy::allow_attributes, reason = "the macro also makes the empty tuple")]
            #[allow(unused_variables, reason = "the empty tuple stores nothing")]
            fn store(self, slots: &mut [RawValue], store: StoreId) -> Option<()> {
                $(slots[$index] = self.$index.into_raw(store)?;)*
                Some(())
            }
        }

        impl<$($name: WasmType),*> WasmResults for ($($name,)*) {
            #[inline]
            #[allow(unused_variables, clippy::unused_unit, reason = "the empty tuple loads nothing")]
            fn load(slots: &[RawValue], store: StoreId) -> Self {
                ($($name::from_raw(slots[$index], store),)*)
            }
        }
    };
}

/// Calls a macro with every list of names and indices up to sixteen.
macro_rules! for_each_arity {
    ($macro:ident) => {
        $macro!();
        $macro!(P0 0);
        $macro!(P0 0, P1 1);
        $macro!(P0 0, P1 1, P2 2);
        $macro!(P0 0, P1 1, P2 2, P3 3);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9, P10 10);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9, P10 10, P11 11);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9, P10 10, P11 11, P12 12);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9, P10 10, P11 11, P12 12, P13 13);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9, P10 10, P11 11, P12 12, P13 13, P14 14);
        $macro!(P0 0, P1 1, P2 2, P3 3, P4 4, P5 5, P6 6, P7 7, P8 8, P9 9, P10 10, P11 11, P12 12, P13 13, P14 14, P15 15);
    };
}
pub(crate) use for_each_arity;

for_each_arity!(tuple);

/// Most values that a typed call or host function has.
pub(crate) const TYPED_VALUES_MAX: usize = 16;

/// What a typed host function may return: [`WasmResults`], or a `Result` of them and [`HostError`].
pub trait HostResults {
    /// The values.
    type Values: WasmResults;

    /// Values or error.
    #[doc(hidden)]
    fn into_result(self) -> Result<Self::Values, HostError>;
}

impl<R: WasmResults> HostResults for R {
    type Values = R;

    #[inline]
    fn into_result(self) -> Result<R, HostError> {
        Ok(self)
    }
}

impl<R: WasmResults> HostResults for Result<R, HostError> {
    type Values = R;

    #[inline]
    fn into_result(self) -> Result<R, HostError> {
        self
    }
}

/// The function type of parameters and results.
pub(crate) fn func_type<P: WasmParams, R: WasmParams>() -> FuncType {
    FuncType::new(P::TYPES, R::TYPES)
}
