//! Why guest code stops: one byte, written into trap tables and passed to the host.

use std::fmt;
use std::num::NonZeroU8;

macro_rules! traps {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// A trap of the core specification (appendix "Implementation Limitations" for the stack), or the end of
        /// what metered code may execute.
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
    /// Metered code has executed what it may ([`crate::meter`]); not a trap of the specification.
    MeterExhausted = 11, "instruction limit reached";
}

impl TrapCode {
    /// The byte in a trap table.
    pub fn byte(self) -> NonZeroU8 {
        NonZeroU8::new(self as u8).expect("trap codes start at 1")
    }
}

/// What a trap table says about an instruction that may trap.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TrapSite {
    /// Why it traps.
    pub code: TrapCode,
    /// Operators executed, it included, that the meter does not count yet when it does; 0 in code that is not
    /// metered, and for all but accesses to memory.
    pub uncounted: u8,
}

impl TrapSite {
    /// Bytes above this are accesses to memory after so many uncounted operators.
    const UNCOUNTED_BASE: u8 = 15;
    /// The most operators that a site can say are uncounted; code generators keep the bytes above for themselves.
    pub const UNCOUNTED_MAX: u8 = 250 - TrapSite::UNCOUNTED_BASE;

    /// An access to memory after so many uncounted operators, itself included.
    ///
    /// # Panics
    /// If they are more than [`TrapSite::UNCOUNTED_MAX`].
    pub fn memory(uncounted: u8) -> TrapSite {
        assert!(uncounted <= TrapSite::UNCOUNTED_MAX, "the meter is stored before that");
        TrapSite { code: TrapCode::MemoryOutOfBounds, uncounted }
    }

    /// The byte in a trap table.
    pub fn byte(self) -> NonZeroU8 {
        match self.uncounted {
            0 => self.code.byte(),
            n => NonZeroU8::new(TrapSite::UNCOUNTED_BASE + n).expect("it is more than 15"),
        }
    }

    /// The site that a trap table's byte stands for.
    pub fn from_byte(byte: u8) -> Option<TrapSite> {
        match byte.checked_sub(TrapSite::UNCOUNTED_BASE) {
            Some(uncounted @ 1..=TrapSite::UNCOUNTED_MAX) => Some(TrapSite::memory(uncounted)),
            _ => TrapCode::from_byte(byte).map(TrapSite::from),
        }
    }
}

impl From<TrapCode> for TrapSite {
    fn from(code: TrapCode) -> TrapSite {
        TrapSite { code, uncounted: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_sites_are_inverse() {
        let sites: Vec<_> = (0..=u8::MAX).filter_map(|byte| Some((byte, TrapSite::from_byte(byte)?))).collect();
        assert_eq!(sites.len(), TrapCode::ALL.len() + usize::from(TrapSite::UNCOUNTED_MAX));
        assert!(sites.iter().all(|(byte, site)| site.byte().get() == *byte && *byte <= 250));
    }

    #[test]
    fn bytes_and_codes_are_inverse() {
        let known = (0..=u8::MAX).filter_map(TrapCode::from_byte).collect::<Vec<_>>();
        assert_eq!(known, TrapCode::ALL);
        assert!(TrapCode::ALL.iter().all(|code| TrapCode::from_byte(code.byte().get()) == Some(*code)));
    }
}
