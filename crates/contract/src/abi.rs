//! How guest code and host call each other.
//!
//! * **Guest functions** use Cranelift's `tail` convention: `(vmctx, params…) -> results`. So do host functions whose
//!   code an import slot holds: five integers, eight floats and one result are where System V has them.
//! * **Entry trampolines**, one per function type, use System V: `(vmctx, code, values*)`; they load the
//!   parameters from `values`, call `code`, and store the results there.
//! * **Host thunks** call the context's `host_call` slot, System V: `(vmctx, offset: i64, values*)`. The
//!   offset is that of the import's slot in the context ([`crate::vmctx::VmLayout::import_function`]). The
//!   values lie in the guest's frame: parameters in, results out.
//! * **Builtins** go through the `builtin` slot, System V: `(vmctx, index: u32, values*)`, with a [`Builtin`]'s
//!   index.
//! * **Explicit traps** go through the `raise` slot, System V: `(vmctx, code: u32)`, which does not return.
//!
//! `values` is an array of [`VALUE_BYTES`]-byte slots, little-endian, upper bytes of a narrower value
//! undefined.

use serde::{Deserialize, Serialize};

/// Size of one slot in a `values` array.
pub const VALUE_BYTES: usize = 16;

/// Version of this ABI and of the context's layout; an artifact states the one it was compiled for.
pub const ABI_VERSION: u32 = 6;

macro_rules! builtins {
    ($($(#[$doc:meta])* $name:ident = $index:literal, $values:literal;)*) => {
        /// What generated code asks of the runtime. All values are 64-bit slots; 32-bit ones are zero-extended
        /// by the caller, and results that are 32 bits wide are zero-extended by the runtime.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
        #[repr(u32)]
        pub enum Builtin { $($(#[$doc])* $name = $index,)* }

        impl Builtin {
            /// The builtin of an index.
            pub fn from_index(index: u32) -> Option<Builtin> {
                match index { $($index => Some(Builtin::$name),)* _ => None }
            }

            /// Slots in its `values` array.
            pub fn values(self) -> usize {
                match self { $(Builtin::$name => $values,)* }
            }
        }
    };
}

builtins! {
    /// `(memory, delta_pages) -> old_pages or -1` (as a 64-bit -1).
    MemoryGrow = 0, 2;
    /// `(dst_memory, src_memory, dst, src, len)`.
    MemoryCopy = 1, 5;
    /// `(memory, dst, byte, len)`.
    MemoryFill = 2, 4;
    /// `(memory, segment, dst, src, len)`.
    MemoryInit = 3, 5;
    /// `(segment)`.
    DataDrop = 4, 1;
    /// `(table, index) -> reference`.
    TableGet = 5, 2;
    /// `(table, index, reference)`.
    TableSet = 6, 3;
    /// `(table, init reference, delta) -> old size or -1` (as a 64-bit -1).
    TableGrow = 7, 3;
    /// `(table, dst, reference, len)`.
    TableFill = 8, 4;
    /// `(dst_table, src_table, dst, src, len)`.
    TableCopy = 9, 5;
    /// `(table, segment, dst, src, len)`.
    TableInit = 10, 5;
    /// `(segment)`.
    ElemDrop = 11, 1;
    /// `(table, index, signature id)`: why a `call_indirect` failed; always traps.
    IndirectCallFailed = 12, 3;
}

impl Builtin {
    /// How many of its slots hold results when it returns.
    pub fn results(self) -> usize {
        usize::from(matches!(self, Builtin::MemoryGrow | Builtin::TableGet | Builtin::TableGrow))
    }
}

/// A function reference as a guest value: null is 0, else `(instance + 1) << 32 | (function + 1)`, where
/// `instance` numbers the instances of a store and `function` the module's functions, imports included.
/// In a table's image the upper half is 0: "the instance that owns the table".
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct FuncRefBits(pub u64);

impl FuncRefBits {
    /// The null reference.
    pub const NULL: FuncRefBits = FuncRefBits(0);

    /// What a context's `funcref_base` field holds for an instance: a function's reference less `function + 1`.
    pub fn base(instance: u32) -> u64 {
        (u64::from(instance) + 1) << 32
    }

    /// A reference to a function of an instance.
    pub fn new(instance: u32, function: u32) -> FuncRefBits {
        FuncRefBits(Self::base(instance) | (u64::from(function) + 1))
    }

    /// Instance and function, or `None` for null and for bits no one made.
    pub fn parts(self) -> Option<(u32, u32)> {
        let instance = u32::try_from(self.0 >> 32).ok()?.checked_sub(1)?;
        Some((instance, (self.0 as u32).checked_sub(1)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn funcref_bits_round_trip() {
        assert_eq!(FuncRefBits::new(0, 0).parts(), Some((0, 0)));
        assert_eq!(FuncRefBits::new(7, 999_999).parts(), Some((7, 999_999)));
        assert_eq!(FuncRefBits::NULL.parts(), None);
        assert_eq!(FuncRefBits(5).parts(), None);
    }

    #[test]
    fn builtin_indices_round_trip() {
        assert_eq!(Builtin::from_index(Builtin::TableInit as u32), Some(Builtin::TableInit));
        assert_eq!(Builtin::from_index(0), Some(Builtin::MemoryGrow));
        assert_eq!(Builtin::from_index(u32::MAX), None);
    }
}
