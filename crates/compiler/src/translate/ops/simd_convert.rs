//! Conversions between vectors of different lanes.

use cranelift_codegen::ir::{InstBuilder, types};

use super::Translator;

vector_unary! {
    swiden_low {
        I8X16 visit_i16x8_extend_low_i8x16_s, I16X8 visit_i32x4_extend_low_i16x8_s, I32X4 visit_i64x2_extend_low_i32x4_s
    }
    swiden_high {
        I8X16 visit_i16x8_extend_high_i8x16_s, I16X8 visit_i32x4_extend_high_i16x8_s,
        I32X4 visit_i64x2_extend_high_i32x4_s
    }
    uwiden_low {
        I8X16 visit_i16x8_extend_low_i8x16_u, I16X8 visit_i32x4_extend_low_i16x8_u, I32X4 visit_i64x2_extend_low_i32x4_u
    }
    uwiden_high {
        I8X16 visit_i16x8_extend_high_i8x16_u, I16X8 visit_i32x4_extend_high_i16x8_u,
        I32X4 visit_i64x2_extend_high_i32x4_u
    }
    fvdemote { F64X2 visit_f32x4_demote_f64x2_zero }
    fvpromote_low { F32X4 visit_f64x2_promote_low_f32x4 }
}

vector_binary! {
    snarrow { I16X8 visit_i8x16_narrow_i16x8_s, I32X4 visit_i16x8_narrow_i32x4_s }
    unarrow { I16X8 visit_i8x16_narrow_i16x8_u, I32X4 visit_i16x8_narrow_i32x4_u }
}

/// `instruction { lanes => result lanes, operator; … }`.
macro_rules! vector_convert {
    ($($inst:ident { $lanes:ident => $to:ident $name:ident })*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::$lanes);
                let result = self.ins().$inst(types::$to, x);
                self.push_v128(result);
            }
        )*}
    };
}

vector_convert! {
    fcvt_from_sint { I32X4 => F32X4 visit_f32x4_convert_i32x4_s }
    fcvt_from_uint { I32X4 => F32X4 visit_f32x4_convert_i32x4_u }
    fcvt_to_sint_sat { F32X4 => I32X4 visit_i32x4_trunc_sat_f32x4_s }
    fcvt_to_uint_sat { F32X4 => I32X4 visit_i32x4_trunc_sat_f32x4_u }
}

/// `operator => widening, conversion`: the two low lanes of integers as floats.
macro_rules! convert_low {
    ($($name:ident => $widen:ident, $convert:ident;)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::I32X4);
                let wide = self.ins().$widen(x);
                let result = self.ins().$convert(types::F64X2, wide);
                self.push_v128(result);
            }
        )*}
    };
}

convert_low! {
    visit_f64x2_convert_low_i32x4_s => swiden_low, fcvt_from_sint;
    visit_f64x2_convert_low_i32x4_u => uwiden_low, fcvt_from_uint;
}

/// `operator => conversion, narrowing`: two floats as integers, then two zeros. On x86-64 Cranelift
/// knows these narrowings of 64-bit lanes only in this shape, with the conversion and the zero in view.
macro_rules! truncate_zero {
    ($($name:ident => $convert:ident, $narrow:ident;)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::F64X2);
                let wide = self.ins().$convert(types::I64X2, x);
                let zero = self.vector_const(types::I64X2, &[0; 16]);
                let result = self.ins().$narrow(wide, zero);
                self.push_v128(result);
            }
        )*}
    };
}

truncate_zero! {
    visit_i32x4_trunc_sat_f64x2_s_zero => fcvt_to_sint_sat, snarrow;
    visit_i32x4_trunc_sat_f64x2_u_zero => fcvt_to_uint_sat, uunarrow;
    visit_i32x4_relaxed_trunc_f64x2_s_zero => x86_cvtt2dq, snarrow;
}
