//! CPU features that an artifact's code needs beyond x86-64.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident = $bit:literal, $text:literal;)*) => {
        impl CpuFeatures {
            $($(#[$doc])* pub const $name: CpuFeatures = CpuFeatures(1 << $bit);)*

            /// Every feature with its name as in `/proc/cpuinfo`.
            pub const NAMED: &[(CpuFeatures, &str)] = &[$((CpuFeatures::$name, $text)),*];
        }
    };
}

/// A set of CPU features.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct CpuFeatures(pub u32);

features! {
    /// SSE3.
    SSE3 = 0, "sse3";
    /// Supplemental SSE3.
    SSSE3 = 1, "ssse3";
    /// SSE 4.1.
    SSE41 = 2, "sse4_1";
    /// SSE 4.2.
    SSE42 = 3, "sse4_2";
    /// Population count.
    POPCNT = 4, "popcnt";
    /// AVX.
    AVX = 5, "avx";
    /// AVX2.
    AVX2 = 6, "avx2";
    /// Fused multiply-add.
    FMA = 7, "fma";
    /// Bit manipulation 1.
    BMI1 = 8, "bmi1";
    /// Bit manipulation 2.
    BMI2 = 9, "bmi2";
    /// Leading-zero count.
    LZCNT = 10, "lzcnt";
    /// 16-byte compare and exchange.
    CMPXCHG16B = 11, "cx16";
    /// AVX-512 bit algorithms.
    AVX512BITALG = 12, "avx512_bitalg";
    /// AVX-512 doubleword and quadword.
    AVX512DQ = 13, "avx512dq";
    /// AVX-512 foundation.
    AVX512F = 14, "avx512f";
    /// AVX-512 vector byte manipulation.
    AVX512VBMI = 15, "avx512vbmi";
    /// AVX-512 vector length.
    AVX512VL = 16, "avx512vl";
}

impl CpuFeatures {
    /// x86-64-v2 of the psABI: what every artifact may use unless told otherwise.
    pub const X86_64_V2: CpuFeatures = CpuFeatures(0b1000_0001_1111);
    /// x86-64-v3 of the psABI, as far as generated code uses it.
    pub const X86_64_V3: CpuFeatures = CpuFeatures(0b1111_1111_1111);

    /// Every feature that generated code may use.
    pub const ALL: CpuFeatures = CpuFeatures((1 << Self::NAMED.len()) - 1);

    /// Both sets together.
    pub fn union(self, other: CpuFeatures) -> CpuFeatures {
        CpuFeatures(self.0 | other.0)
    }

    /// Whether every feature of `other` is in this set.
    pub fn contains(self, other: CpuFeatures) -> bool {
        self.0 & other.0 == other.0
    }

    /// The features of this set that `other` lacks.
    pub fn missing_in(self, other: CpuFeatures) -> CpuFeatures {
        CpuFeatures(self.0 & !other.0)
    }

    /// What the processor this runs on has.
    pub fn host() -> CpuFeatures {
        let mut found = CpuFeatures::default();
        macro_rules! detect {
            ($($feature:tt => $flag:ident,)*) => {
                $(if std::arch::is_x86_feature_detected!($feature) { found = found.union(CpuFeatures::$flag); })*
            };
        }
        detect! {
            "sse3" => SSE3, "ssse3" => SSSE3, "sse4.1" => SSE41, "sse4.2" => SSE42, "popcnt" => POPCNT,
            "avx" => AVX, "avx2" => AVX2, "fma" => FMA, "bmi1" => BMI1, "bmi2" => BMI2, "lzcnt" => LZCNT,
            "cmpxchg16b" => CMPXCHG16B, "avx512bitalg" => AVX512BITALG, "avx512dq" => AVX512DQ,
            "avx512f" => AVX512F, "avx512vbmi" => AVX512VBMI, "avx512vl" => AVX512VL,
        }
        found
    }

    /// The names of the features in this set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMED.iter().filter(move |(f, _)| self.contains(*f)).map(|(_, name)| *name)
    }
}

impl fmt::Display for CpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().collect::<Vec<_>>().join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_what_the_psabi_says() {
        assert_eq!(CpuFeatures::X86_64_V2.to_string(), "sse3 ssse3 sse4_1 sse4_2 popcnt cx16");
        let v3 = CpuFeatures::X86_64_V3.missing_in(CpuFeatures::X86_64_V2);
        assert_eq!(v3.to_string(), "avx avx2 fma bmi1 bmi2 lzcnt");
        assert_eq!(CpuFeatures::ALL.names().count(), CpuFeatures::NAMED.len());
    }
}
