//! Values and endings in words that both engines share.

/// A value. Functions are known by the export they are, host objects by their number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// Bits of a number or vector, with its width and kind.
    I32(u32),
    /// 64-bit integer.
    I64(u64),
    /// Bits of a 32-bit float.
    F32(u32),
    /// Bits of a 64-bit float.
    F64(u64),
    /// A vector.
    V128(u128),
    /// A function, or null.
    FuncRef(Option<String>),
    /// A host object, or null.
    ExternRef(Option<u32>),
}

/// Type of a [`Value`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Type {
    /// 32-bit integer.
    I32,
    /// 64-bit integer.
    I64,
    /// 32-bit float.
    F32,
    /// 64-bit float.
    F64,
    /// Vector.
    V128,
    /// Function.
    FuncRef,
    /// Host object.
    ExternRef,
}

/// Why a guest trapped, as far as the engines tell the same reasons apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum TrapKind {
    /// A memory access beyond its size.
    Memory,
    /// A table access or indirect call beyond the table's size.
    Table,
    /// An indirect call of nothing.
    NullCall,
    /// An indirect call of a function of another type.
    CallType,
    /// A result that does not fit.
    Overflow,
    /// A division by zero.
    DivisionByZero,
    /// A conversion of what is no number.
    Conversion,
    /// `unreachable`.
    Unreachable,
}

/// How an instantiation or a call ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Ending {
    /// With these results.
    Returned(Vec<Value>),
    /// With a trap.
    Trapped(TrapKind),
    /// The stack was used up: where that happens is each engine's own.
    StackExhausted,
    /// Some other way, which is a difference if the other engine did anything else.
    Failed(String),
}

/// Whether this says the same as the other engine's value: NaNs are alike whatever their bits.
pub(crate) fn same(ours: &Value, peers: &Value) -> bool {
    match (ours, peers) {
        (Value::F32(a), Value::F32(b)) => a == b || (f32::from_bits(*a).is_nan() && f32::from_bits(*b).is_nan()),
        (Value::F64(a), Value::F64(b)) => a == b || (f64::from_bits(*a).is_nan() && f64::from_bits(*b).is_nan()),
        _ => ours == peers,
    }
}

/// Whether two lists of values say the same.
pub(crate) fn all_same(ours: &[Value], peers: &[Value]) -> bool {
    ours.len() == peers.len() && ours.iter().zip(peers).all(|(a, b)| same(a, b))
}

/// Whether two endings say the same.
pub(crate) fn same_ending(ours: &Ending, peers: &Ending) -> bool {
    match (ours, peers) {
        (Ending::Returned(a), Ending::Returned(b)) => all_same(a, b),
        (Ending::Failed(_), _) | (_, Ending::Failed(_)) => false,
        _ => ours == peers,
    }
}
