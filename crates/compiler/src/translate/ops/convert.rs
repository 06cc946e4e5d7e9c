//! Conversions between scalar types.
//!
//! The trapping truncations trap in Cranelift's instructions: for NaN with "bad conversion", out of
//! range with "integer overflow".

use cranelift_codegen::ir::{InstBuilder, MemFlagsData, types};

use super::Translator;

/// `instruction { result type: operators; … }`.
macro_rules! convert {
    ($($inst:ident { $($to:ident: $($name:ident),*;)* })*) => {
        impl Translator<'_, '_> {$($($(
            pub(crate) fn $name(&mut self) {
                let x = self.pop();
                let result = self.ins().$inst(types::$to, x);
                self.push(result);
            }
        )*)*)*}
    };
}

convert! {
    ireduce { I32: visit_i32_wrap_i64; }
    sextend { I64: visit_i64_extend_i32_s; }
    uextend { I64: visit_i64_extend_i32_u; }
    fpromote { F64: visit_f64_promote_f32; }
    fdemote { F32: visit_f32_demote_f64; }
    fcvt_to_sint {
        I32: visit_i32_trunc_f32_s, visit_i32_trunc_f64_s;
        I64: visit_i64_trunc_f32_s, visit_i64_trunc_f64_s;
    }
    fcvt_to_uint {
        I32: visit_i32_trunc_f32_u, visit_i32_trunc_f64_u;
        I64: visit_i64_trunc_f32_u, visit_i64_trunc_f64_u;
    }
    fcvt_to_sint_sat {
        I32: visit_i32_trunc_sat_f32_s, visit_i32_trunc_sat_f64_s;
        I64: visit_i64_trunc_sat_f32_s, visit_i64_trunc_sat_f64_s;
    }
    fcvt_to_uint_sat {
        I32: visit_i32_trunc_sat_f32_u, visit_i32_trunc_sat_f64_u;
        I64: visit_i64_trunc_sat_f32_u, visit_i64_trunc_sat_f64_u;
    }
    fcvt_from_sint {
        F32: visit_f32_convert_i32_s, visit_f32_convert_i64_s;
        F64: visit_f64_convert_i32_s, visit_f64_convert_i64_s;
    }
    fcvt_from_uint {
        F32: visit_f32_convert_i32_u, visit_f32_convert_i64_u;
        F64: visit_f64_convert_i32_u, visit_f64_convert_i64_u;
    }
}

/// `operator => result type`, the bits unchanged.
macro_rules! reinterpret {
    ($($name:ident => $to:ident,)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop();
                let result = self.ins().bitcast(types::$to, MemFlagsData::new(), x);
                self.push(result);
            }
        )*}
    };
}

reinterpret! {
    visit_i32_reinterpret_f32 => I32,
    visit_i64_reinterpret_f64 => I64,
    visit_f32_reinterpret_i32 => F32,
    visit_f64_reinterpret_i64 => F64,
}

/// `operator => low part, result type`: the low part sign-extended.
macro_rules! sign_extend {
    ($($name:ident => $part:ident, $to:ident;)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop();
                let part = self.ins().ireduce(types::$part, x);
                let result = self.ins().sextend(types::$to, part);
                self.push(result);
            }
        )*}
    };
}

sign_extend! {
    visit_i32_extend8_s => I8, I32;
    visit_i32_extend16_s => I16, I32;
    visit_i64_extend8_s => I8, I64;
    visit_i64_extend16_s => I16, I64;
    visit_i64_extend32_s => I32, I64;
}
