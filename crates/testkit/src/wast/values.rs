//! Values as scripts write them, and the patterns that results must match.

use anyhow::{Result, bail, ensure};
use selvedge_runtime::Val;
use wast::core::{AbstractHeapType, HeapType, NanPattern, V128Pattern, WastArgCore, WastRetCore};
use wast::token::{F32, F64};
use wast::{WastArg, WastRet};

use super::script::Script;

/// An argument's value.
pub(super) fn argument(script: &mut Script, arg: &WastArg) -> Result<Val> {
    let WastArg::Core(arg) = arg else { bail!("components are not supported") };
    Ok(match arg {
        WastArgCore::I32(value) => Val::I32(*value),
        WastArgCore::I64(value) => Val::I64(*value),
        WastArgCore::F32(value) => Val::F32(value.bits),
        WastArgCore::F64(value) => Val::F64(value.bits),
        WastArgCore::V128(value) => Val::V128(u128::from_le_bytes(value.to_le_bytes())),
        WastArgCore::RefNull(ty) => null(ty)?,
        WastArgCore::RefExtern(number) => Val::ExternRef(Some(script.extern_ref(*number)?)),
        WastArgCore::RefHost(_) => bail!("host references of garbage collection are not supported"),
    })
}

fn null(ty: &HeapType) -> Result<Val> {
    match ty {
        HeapType::Abstract { ty: AbstractHeapType::Func | AbstractHeapType::NoFunc, .. } => Ok(Val::FuncRef(None)),
        HeapType::Abstract { ty: AbstractHeapType::Extern | AbstractHeapType::NoExtern, .. } => {
            Ok(Val::ExternRef(None))
        }
        other => bail!("references to {other:?} are not supported"),
    }
}

/// Checks results against their patterns.
pub(super) fn check(script: &mut Script, results: &[Val], expected: &[WastRet]) -> Result<()> {
    ensure!(
        results.len() == expected.len(),
        "expected {} results, got {}: {}",
        expected.len(),
        results.len(),
        show(results)
    );
    for (result, pattern) in results.iter().zip(expected) {
        let WastRet::Core(pattern) = pattern else { bail!("components are not supported") };
        ensure!(matches(script, result, pattern)?, "expected {pattern:x?}, got {}", show(results));
    }
    Ok(())
}

fn matches(script: &mut Script, result: &Val, pattern: &WastRetCore) -> Result<bool> {
    Ok(match (result, pattern) {
        (Val::I32(result), WastRetCore::I32(value)) => result == value,
        (Val::I64(result), WastRetCore::I64(value)) => result == value,
        (Val::F32(bits), WastRetCore::F32(pattern)) => f32_matches(*bits, pattern),
        (Val::F64(bits), WastRetCore::F64(pattern)) => f64_matches(*bits, pattern),
        (Val::V128(bits), WastRetCore::V128(pattern)) => v128_matches(*bits, pattern),
        (Val::FuncRef(None) | Val::ExternRef(None), WastRetCore::RefNull(None)) => true,
        (result, WastRetCore::RefNull(Some(ty))) => *result == null(ty)?,
        (Val::ExternRef(Some(_)), WastRetCore::RefExtern(None)) => true,
        (Val::ExternRef(Some(object)), WastRetCore::RefExtern(Some(number))) => {
            *object == script.extern_ref(*number)?
        }
        (Val::FuncRef(Some(_)), WastRetCore::RefFunc(None)) => true,
        (result, WastRetCore::Either(patterns)) => {
            for pattern in patterns {
                if matches(script, result, pattern)? {
                    return Ok(true);
                }
            }
            false
        }
        _ => false,
    })
}

fn f32_matches(bits: u32, pattern: &NanPattern<F32>) -> bool {
    match pattern {
        NanPattern::CanonicalNan => bits & 0x7fff_ffff == 0x7fc0_0000,
        NanPattern::ArithmeticNan => bits & 0x7fc0_0000 == 0x7fc0_0000,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn f64_matches(bits: u64, pattern: &NanPattern<F64>) -> bool {
    const QUIET: u64 = 0x7ff8_0000_0000_0000;
    match pattern {
        NanPattern::CanonicalNan => bits & (u64::MAX >> 1) == QUIET,
        NanPattern::ArithmeticNan => bits & QUIET == QUIET,
        NanPattern::Value(value) => bits == value.bits,
    }
}

fn v128_matches(bits: u128, pattern: &V128Pattern) -> bool {
    let lane = |index: usize, width: usize| (bits >> (index * width)) as u64;
    match pattern {
        V128Pattern::I8x16(lanes) => lanes.iter().enumerate().all(|(i, l)| lane(i, 8) as i8 == *l),
        V128Pattern::I16x8(lanes) => lanes.iter().enumerate().all(|(i, l)| lane(i, 16) as i16 == *l),
        V128Pattern::I32x4(lanes) => lanes.iter().enumerate().all(|(i, l)| lane(i, 32) as i32 == *l),
        V128Pattern::I64x2(lanes) => lanes.iter().enumerate().all(|(i, l)| lane(i, 64) as i64 == *l),
        V128Pattern::F32x4(lanes) => lanes.iter().enumerate().all(|(i, l)| f32_matches(lane(i, 32) as u32, l)),
        V128Pattern::F64x2(lanes) => lanes.iter().enumerate().all(|(i, l)| f64_matches(lane(i, 64), l)),
    }
}

/// Values for people: numbers and, where rounding could hide it, bits.
pub(super) fn show(values: &[Val]) -> String {
    let one = |value: &Val| match value {
        Val::I32(value) => format!("i32 {value}"),
        Val::I64(value) => format!("i64 {value}"),
        Val::F32(bits) => format!("f32 {} ({bits:#x})", f32::from_bits(*bits)),
        Val::F64(bits) => format!("f64 {} ({bits:#x})", f64::from_bits(*bits)),
        Val::V128(bits) => format!("v128 {bits:#034x}"),
        Val::FuncRef(func) => format!("funcref {}", if func.is_some() { "(a function)" } else { "null" }),
        Val::ExternRef(object) => format!("externref {}", if object.is_some() { "(an object)" } else { "null" }),
    };
    if values.is_empty() { "nothing".to_owned() } else { values.iter().map(one).collect::<Vec<_>>().join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nan_patterns_are_the_specifications() {
        for bits in [0x7fc0_0000, 0xffc0_0000] {
            assert!(f32_matches(bits, &NanPattern::CanonicalNan) && f32_matches(bits, &NanPattern::ArithmeticNan));
        }
        assert!(f32_matches(0x7fe0_0001, &NanPattern::ArithmeticNan));
        for bits in [0x7fa0_0000, 0x7f80_0000, 0x3f80_0000] {
            assert!(!f32_matches(bits, &NanPattern::ArithmeticNan), "{bits:#x}");
        }
        assert!(f64_matches(0xfff8_0000_0000_0000, &NanPattern::CanonicalNan));
        assert!(!f64_matches(0xfff8_0000_0000_0001, &NanPattern::CanonicalNan));
        assert!(f64_matches(0xfff8_0000_0000_0001, &NanPattern::ArithmeticNan));
    }
}
