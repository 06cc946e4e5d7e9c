//! Why guest code stops: one byte, written into trap tables and passed to the host.

use std::fmt;
use std::num::NonZeroU8;

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A trap of the core specification (appendix "Implementation Limitations" for the stack).
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        #[repr(u8)]
        pub enum TrapCode { $($(#[$doc])* $name = $code,)* }

        impl TrapCode {
            /// Every trap code.
            pub const ALL: &[TrapCode] = &[$(TrapCode::$name),*];

            /// The code that a trap table's byte stands for.
            pub fn from_byte(byte: u8) -> Option<TrapCode> {
                match byte { $($code => Some(TrapCode::$name),)* _ => None }
            }
        }

        impl fmt::Display for TrapCode {
            /// The specification's wording, as its test scripts expect it.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(TrapCode::$name => $text,)* })
            }
        }
    };
}

traps! {
    /// The stack limit was reached.
    StackOverflow = 1, "call stack exhausted";
    /// A load, store or bulk operation beyond a memory's size.
    MemoryOutOfBounds = 2, "out of bounds memory access";
    /// A table access beyond the table's size.
    TableOutOfBounds = 3, "out of bounds table access";
    /// `call_indirect` with an index beyond the table's size.
    UndefinedElement = 4, "undefined element";
    /// `call_indirect` on a null entry.
    UninitializedElement = 5, "uninitialized element";
    /// `call_indirect` on a function of another type.
    IndirectCallTypeMismatch = 6, "indirect call type mismatch";
    /// Signed division or truncation whose result does not fit.
    IntegerOverflow = 7, "integer overflow";
    /// Division by zero.
    IntegerDivisionByZero = 8, "integer divide by zero";
    /// Truncation of a NaN.
    InvalidConversion = 9, "invalid conversion to integer";
    /// `unreachable` was executed.
    Unreachable = 10, "unreachable";
}

impl TrapCode {
    /// The byte in a trap table.
    pub fn byte(self) -> NonZeroU8 {
        NonZeroU8::new(self as u8).expect("trap codes start at 1")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_codes_are_inverse() {
        let known = (0..=u8::MAX).filter_map(TrapCode::from_byte).collect::<Vec<_>>();
        assert_eq!(known, TrapCode::ALL);
        assert!(TrapCode::ALL.iter().all(|code| TrapCode::from_byte(code.byte().get()) == Some(*code)));
    }
}
