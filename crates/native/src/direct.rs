//! Host calls whose values are passed in registers.
//!
//! Guest functions and System V pass the first values in the same registers: a context, or what stands for it, and
//! five integers in `rdi`, `rsi`, `rdx`, `rcx`, `r8`, `r9`; eight floats in `xmm0` to `xmm7`; a single result in
//! `rax` or `xmm0`. So if all values of an import fit, its slot leads to the `direct_call` stub, which changes the
//! stack, touches no value and calls [`serve_integer`] or [`serve_float`]: no thunk, no array. Guests pass the
//! address of the import's slot in the context's place: from there all else is found.
//!
//! The other way round, a host that knows a function's type enters it with its values in registers
//! ([`crate::enter_direct`]): no trampoline, no array.

use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_contract::types::ValType;
use selvedge_contract::vmctx::{header, import_function};

use crate::RawValue;
use crate::arena::SlotId;
use crate::control::{Control, Parked, State, reason};
use crate::host::{Address, Host, HostBody, HostVerdict, Served, slot_of, stop};

const INTEGERS: usize = 5;
const FLOATS: usize = 8;

/// Parameters and results of a function whose values are passed in registers.
pub(crate) type DirectTypes = (&'static [ValType], &'static [ValType]);

/// The types of a body whose values are passed in registers; `None` if they do not fit.
pub(crate) fn types<H: Host, B: HostBody<H>>() -> Option<DirectTypes> {
    const { fit(B::PARAMS, B::RESULTS) }.then_some((B::PARAMS, B::RESULTS))
}

/// What the stub calls for a body.
pub(crate) fn entry<H: Host, B: HostBody<H>>() -> Address {
    if const { returns_float(B::RESULTS) } {
        Address(serve_float::<H, B> as *const ())
    } else {
        Address(serve_integer::<H, B> as *const ())
    }
}

const fn is_float(ty: ValType) -> bool {
    matches!(ty, ValType::F32 | ValType::F64)
}

const fn returns_float(results: &[ValType]) -> bool {
    !results.is_empty() && is_float(results[0])
}

const fn fit(params: &[ValType], results: &[ValType]) -> bool {
    let (mut at, mut floats) = (0, 0);
    while at < params.len() {
        if matches!(params[at], ValType::V128) {
            return false;
        }
        floats += is_float(params[at]) as usize;
        at += 1;
    }
    let in_registers = floats <= FLOATS && params.len() - floats <= INTEGERS;
    in_registers && (results.is_empty() || results.len() == 1 && !matches!(results[0], ValType::V128))
}

/// In `rax` and `rdx`.
#[repr(C)]
struct Integer {
    /// A [`reason`](crate::control::reason).
    why: u64,
    value: u64,
}

/// In `rax` and `xmm0`.
#[repr(C)]
struct Float {
    why: u64,
    value: f64,
}

/// Serves a host call on the host's stack, for bodies with at most one result, which is no float.
///
/// # Safety
/// Called by the `direct_call` stub: `slot` is an import slot that was linked with the body under its types, in a
/// context of the arena that `control.view` lends; that view is the `H::View` that entered, stopped in `run`.
unsafe extern "sysv64" fn serve_integer<H: Host, B: HostBody<H>>(
    slot: u64,
    i0: u64,
    i1: u64,
    i2: u64,
    i3: u64,
    i4: u64,
    f0: f64,
    f1: f64,
    f2: f64,
    f3: f64,
    f4: f64,
    f5: f64,
    f6: f64,
    f7: f64,
) -> Integer {
    let registers = Registers { integers: [i0, i1, i2, i3, i4], floats: [f0, f1, f2, f3, f4, f5, f6, f7] };
    // SAFETY: the caller's promise.
    let (why, value) = unsafe { serve::<H, B>(slot, registers) };
    Integer { why, value }
}

/// As [`serve_integer`], for bodies whose result is a float.
///
/// # Safety
/// As for [`serve_integer`].
unsafe extern "sysv64" fn serve_float<H: Host, B: HostBody<H>>(
    slot: u64,
    i0: u64,
    i1: u64,
    i2: u64,
    i3: u64,
    i4: u64,
    f0: f64,
    f1: f64,
    f2: f64,
    f3: f64,
    f4: f64,
    f5: f64,
    f6: f64,
    f7: f64,
) -> Float {
    let registers = Registers { integers: [i0, i1, i2, i3, i4], floats: [f0, f1, f2, f3, f4, f5, f6, f7] };
    // SAFETY: the caller's promise.
    let (why, value) = unsafe { serve::<H, B>(slot, registers) };
    Float { why, value: f64::from_bits(value) }
}

/// What registers hold when a guest calls: the integers, then the floats.
struct Registers {
    integers: [u64; INTEGERS],
    floats: [f64; FLOATS],
}

/// No register.
const NOWHERE: usize = usize::MAX;

/// The number of the register that passes a function's `nth` parameter.
const fn register(params: &[ValType], nth: usize) -> usize {
    if nth >= params.len() {
        return NOWHERE;
    }
    let (mut at, mut floats) = (0, 0);
    while at < nth {
        floats += is_float(params[at]) as usize;
        at += 1;
    }
    if is_float(params[nth]) { INTEGERS + floats } else { nth - floats }
}

impl Registers {
    #[inline(always)]
    fn get(&self, number: usize) -> RawValue {
        match number {
            NOWHERE => 0,
            0..INTEGERS => self.integers[number].into(),
            _ => self.floats[number - INTEGERS].to_bits().into(),
        }
    }

    /// What a body's `nth` slot begins with: the parameter, or zero; nothing if it has no such slot.
    #[inline(always)]
    fn nth<H: Host, B: HostBody<H>, const NTH: usize>(&self) -> MaybeUninit<RawValue> {
        if const { NTH < B::VALUES } {
            MaybeUninit::new(self.get(const { register(B::PARAMS, NTH) }))
        } else {
            MaybeUninit::uninit()
        }
    }

    /// The parameters of a function, by their types; nothing else is looked at. Not a loop, so that each value is
    /// known to the Rust compiler to be a register.
    #[inline(always)]
    fn values<H: Host, B: HostBody<H>>(&self) -> [MaybeUninit<RawValue>; INTEGERS + FLOATS] {
        [
            self.nth::<H, B, 0>(),
            self.nth::<H, B, 1>(),
            self.nth::<H, B, 2>(),
            self.nth::<H, B, 3>(),
            self.nth::<H, B, 4>(),
            self.nth::<H, B, 5>(),
            self.nth::<H, B, 6>(),
            self.nth::<H, B, 7>(),
            self.nth::<H, B, 8>(),
            self.nth::<H, B, 9>(),
            self.nth::<H, B, 10>(),
            self.nth::<H, B, 11>(),
            self.nth::<H, B, 12>(),
        ]
    }
}

/// The types of a function, known to the Rust compiler.
pub trait ValueTypes {
    /// Of its parameters.
    const PARAMS: &'static [ValType];
    /// Of its results.
    const RESULTS: &'static [ValType];
}

/// How the values of a function are passed in registers: the same for two types if they are passed alike.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape(u32);

impl Shape {
    /// They do not fit registers.
    const NONE: Shape = Shape(0);

    /// That of a type.
    pub const fn of(params: &[ValType], results: &[ValType]) -> Shape {
        if !fit(params, results) {
            return Shape::NONE;
        }
        // A first bit, so that the number of parameters shows; then one for each, and two for the result.
        let (mut bits, mut at) = (1, 0);
        while at < params.len() {
            bits = bits << 1 | is_float(params[at]) as u32;
            at += 1;
        }
        Shape(bits << 2 | (results.len() << 1) as u32 | returns_float(results) as u32)
    }

    /// Whether the values fit registers.
    pub const fn is_direct(self) -> bool {
        self.0 != Shape::NONE.0
    }
}

/// Parameters for a guest, in the order of registers; those it does not read are uninitialised.
pub(crate) struct RegisterValues {
    pub(crate) integers: [MaybeUninit<u64>; INTEGERS],
    pub(crate) floats: [MaybeUninit<u64>; FLOATS],
}

/// The place among the parameters of what a register passes, counted as [`register`] does.
const fn parameter(params: &[ValType], number: usize) -> usize {
    let mut at = 0;
    while at < params.len() {
        if register(params, at) == number {
            return at;
        }
        at += 1;
    }
    NOWHERE
}

impl RegisterValues {
    /// The values of an array, by their types.
    #[inline(always)]
    pub(crate) fn of<V: ValueTypes>(values: &[RawValue]) -> RegisterValues {
        let get = |at| match at {
            NOWHERE => MaybeUninit::uninit(),
            at => MaybeUninit::new(values[at] as u64),
        };
        RegisterValues {
            integers: [
                get(const { parameter(V::PARAMS, 0) }),
                get(const { parameter(V::PARAMS, 1) }),
                get(const { parameter(V::PARAMS, 2) }),
                get(const { parameter(V::PARAMS, 3) }),
                get(const { parameter(V::PARAMS, 4) }),
            ],
            floats: [
                get(const { parameter(V::PARAMS, INTEGERS) }),
                get(const { parameter(V::PARAMS, INTEGERS + 1) }),
                get(const { parameter(V::PARAMS, INTEGERS + 2) }),
                get(const { parameter(V::PARAMS, INTEGERS + 3) }),
                get(const { parameter(V::PARAMS, INTEGERS + 4) }),
                get(const { parameter(V::PARAMS, INTEGERS + 5) }),
                get(const { parameter(V::PARAMS, INTEGERS + 6) }),
                get(const { parameter(V::PARAMS, INTEGERS + 7) }),
            ],
        }
    }
}

/// The registers that a guest's result may be in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Returned {
    pub(crate) integer: u64,
    pub(crate) float: u64,
}

impl Returned {
    /// The result of a function, if it has one.
    #[inline(always)]
    pub(crate) fn value<V: ValueTypes>(self) -> u64 {
        if const { returns_float(V::RESULTS) } { self.float } else { self.integer }
    }
}

/// Reads a field of an import slot or context.
///
/// # Safety
/// It lies there, aligned, in a living slot.
#[inline(always)]
unsafe fn field(base: u64, offset: i32) -> u64 {
    // SAFETY: the caller's promise.
    unsafe { (base.wrapping_add_signed(offset.into()) as *const u64).read() }
}

/// Serves a call; returns why guest code goes on or not, and the result.
///
/// # Safety
/// As for [`serve_integer`].
#[inline(always)]
unsafe fn serve<H: Host, B: HostBody<H>>(slot: u64, registers: Registers) -> (u64, u64) {
    // SAFETY: the caller's promise; linking wrote these fields.
    let (context, served, control) = unsafe {
        let context = field(slot, import_function::OWNER);
        let served = &*(field(slot, import_function::HOST) as *const Served<B>);
        (context, served, field(context, header::ACTIVATION) as *const Control)
    };
    let mut values = registers.values::<H, B>();
    // SAFETY: `values` has initialised as many as the body has slots.
    let values = unsafe { std::slice::from_raw_parts_mut(values.as_mut_ptr().cast::<RawValue>(), B::VALUES) };
    let called = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise; `run` does not use the view until the stubs return.
        let (view, number) = unsafe { (&mut *(&*(*control).state()).view.cast::<H::View<'_>>(), slot_of(context)) };
        served.body.call(view, number, values)
    }));
    match called {
        Ok(HostVerdict::Resume) => (0, values.first().map_or(0, |value| *value as u64)),
        // SAFETY: as below; the guest is stopped at its call.
        Ok(HostVerdict::Suspend) if B::MAY_SUSPEND => unsafe {
            (suspend(&mut *(*control).state(), slot, std::ptr::from_ref(served).cast(), values).into(), 0)
        },
        // SAFETY: the control block outlives the call; nested entries have restored it.
        called => (unsafe { stop_direct(control, slot, called) }.into(), 0),
    }
}

/// Parks a call: its parameters go below the guest's frame, where its result will be, and below them its import slot.
///
/// # Safety
/// As for [`serve_integer`], on its thread, before the stub goes on.
#[inline]
unsafe fn suspend(state: &mut State, slot: u64, served: *const (), params: &[RawValue]) -> u32 {
    // Aligned, and with room for a result that nobody looks at.
    let values = ((state.guest_rsp & !15) - size_of_val(params).max(16) as u64) as *mut RawValue;
    // SAFETY: `guest_rsp` is that of the stub's frame, below which nothing is kept, and the stack's reserve has room; `slot`
    // is one, whose owner lies there.
    unsafe {
        values.copy_from_nonoverlapping(params.as_ptr(), params.len());
        let below = values.cast::<u64>().sub(1);
        below.write(slot);
        state.guest_rsp = below as u64;
        let context = field(slot, import_function::OWNER);
        state.parked = Some(Parked::HostCall { values, count: params.len() as u32, served, context });
    }
    reason::SUSPENDED
}

/// As [`crate::host::again`], for bodies whose values are passed in registers.
///
/// # Safety
/// As there.
pub(crate) unsafe fn again<H: Host, B: HostBody<H>>(
    served: *const (),
    view: &mut H::View<'_>,
    slot: SlotId,
    values: *mut RawValue,
) -> HostVerdict {
    // SAFETY: the caller's promise.
    let (body, values) = unsafe {
        let body = &(*served.cast::<Served<B>>()).body;
        (body, std::slice::from_raw_parts_mut(values, B::VALUES))
    };
    body.call(view, slot, values)
}

/// A call after which guest code does not go on.
///
/// # Safety
/// As for [`serve_integer`], on its thread.
#[cold]
unsafe fn stop_direct(control: *const Control, slot: u64, called: std::thread::Result<HostVerdict>) -> u32 {
    // SAFETY: the caller's promise.
    let state = unsafe { &mut *(*control).state() };
    state.direct = slot;
    let called = match called {
        Ok(HostVerdict::Suspend) => Err(Box::new("a host function of a fixed type cannot suspend its guest") as _),
        called => called,
    };
    stop(state, called, None)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ValType::{ExternRef, F32, F64, FuncRef, I32, I64, V128};

    #[test]
    fn what_fits_registers_is_direct() {
        assert!(fit(&[], &[]) && fit(&[I32, I64, FuncRef, ExternRef, I32], &[F64]));
        assert!(fit(&[F32, I32, F64, I32, F32, F64, I32, F32, F64, I32, F32, F64, I32], &[ExternRef]));
        assert!(!fit(&[I32; 6], &[]) && !fit(&[F32; 9], &[]));
        assert!(!fit(&[V128], &[]) && !fit(&[], &[V128]) && !fit(&[], &[I32, I32]));
    }

    #[test]
    fn parameters_are_in_registers_by_kind_in_order() {
        let params = [I32, F64, I64, F32, ExternRef];
        let numbers = [0, 1, 2, 3, 4, 5].map(|nth| register(&params, nth));
        assert_eq!(numbers, [0, INTEGERS, 1, INTEGERS + 1, 2, NOWHERE]);
        let back = [0, INTEGERS, 1, INTEGERS + 1, 2, 3, INTEGERS + 2].map(|number| parameter(&params, number));
        assert_eq!(back, [0, 1, 2, 3, 4, NOWHERE, NOWHERE]);
    }

    #[test]
    fn a_shape_tells_apart_what_is_passed_otherwise() {
        let lists: [&[ValType]; 7] = [&[], &[I32], &[F32], &[I32, F64], &[F64, I32], &[F64, F64], &[I64, I32, I32]];
        let results: [&[ValType]; 3] = [&[], &[I64], &[F32]];
        let types: Vec<_> = lists.into_iter().flat_map(|params| results.map(|results| (params, results))).collect();
        for (n, one) in types.iter().enumerate() {
            for (m, other) in types.iter().enumerate() {
                assert_eq!(Shape::of(one.0, one.1) == Shape::of(other.0, other.1), n == m, "{one:?} {other:?}");
            }
        }
        assert_eq!(Shape::of(&[I32, F32], &[]), Shape::of(&[FuncRef, F64], &[]));
        assert!(Shape::of(&[], &[]).is_direct() && !Shape::of(&[V128], &[]).is_direct());
    }
}
