//! Arithmetic on lanes of integers.

use cranelift_codegen::ir::{InstBuilder, types};

use super::Translator;

vector_unary! {
    ineg { I8X16 visit_i8x16_neg, I16X8 visit_i16x8_neg, I32X4 visit_i32x4_neg, I64X2 visit_i64x2_neg }
    iabs { I8X16 visit_i8x16_abs, I16X8 visit_i16x8_abs, I32X4 visit_i32x4_abs, I64X2 visit_i64x2_abs }
    popcnt { I8X16 visit_i8x16_popcnt }
}

vector_binary! {
    iadd { I8X16 visit_i8x16_add, I16X8 visit_i16x8_add, I32X4 visit_i32x4_add, I64X2 visit_i64x2_add }
    isub { I8X16 visit_i8x16_sub, I16X8 visit_i16x8_sub, I32X4 visit_i32x4_sub, I64X2 visit_i64x2_sub }
    imul { I16X8 visit_i16x8_mul, I32X4 visit_i32x4_mul, I64X2 visit_i64x2_mul }
    sadd_sat { I8X16 visit_i8x16_add_sat_s, I16X8 visit_i16x8_add_sat_s }
    uadd_sat { I8X16 visit_i8x16_add_sat_u, I16X8 visit_i16x8_add_sat_u }
    ssub_sat { I8X16 visit_i8x16_sub_sat_s, I16X8 visit_i16x8_sub_sat_s }
    usub_sat { I8X16 visit_i8x16_sub_sat_u, I16X8 visit_i16x8_sub_sat_u }
    smin { I8X16 visit_i8x16_min_s, I16X8 visit_i16x8_min_s, I32X4 visit_i32x4_min_s }
    umin { I8X16 visit_i8x16_min_u, I16X8 visit_i16x8_min_u, I32X4 visit_i32x4_min_u }
    smax { I8X16 visit_i8x16_max_s, I16X8 visit_i16x8_max_s, I32X4 visit_i32x4_max_s }
    umax { I8X16 visit_i8x16_max_u, I16X8 visit_i16x8_max_u, I32X4 visit_i32x4_max_u }
    avg_round { I8X16 visit_i8x16_avgr_u, I16X8 visit_i16x8_avgr_u }
    sqmul_round_sat { I16X8 visit_i16x8_q15mulr_sat_s }
}

/// `instruction { lanes operator, … }`: all lanes shifted by one scalar.
macro_rules! vector_shift {
    ($($inst:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let count = self.pop();
                let x = self.pop_lanes(types::$lanes);
                let result = self.ins().$inst(x, count);
                self.push_v128(result);
            }
        )*)*}
    };
}

vector_shift! {
    ishl { I8X16 visit_i8x16_shl, I16X8 visit_i16x8_shl, I32X4 visit_i32x4_shl, I64X2 visit_i64x2_shl }
    sshr { I8X16 visit_i8x16_shr_s, I16X8 visit_i16x8_shr_s, I32X4 visit_i32x4_shr_s, I64X2 visit_i64x2_shr_s }
    ushr { I8X16 visit_i8x16_shr_u, I16X8 visit_i16x8_shr_u, I32X4 visit_i32x4_shr_u, I64X2 visit_i64x2_shr_u }
}

/// `widening instruction { narrow lanes operator, … }`: the products of one half's lanes, widened.
macro_rules! extended_multiply {
    ($($widen:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let (x, y) = self.pop2_lanes(types::$lanes);
                let x = self.ins().$widen(x);
                let y = self.ins().$widen(y);
                let result = self.ins().imul(x, y);
                self.push_v128(result);
            }
        )*)*}
    };
}

extended_multiply! {
    swiden_low {
        I8X16 visit_i16x8_extmul_low_i8x16_s, I16X8 visit_i32x4_extmul_low_i16x8_s, I32X4 visit_i64x2_extmul_low_i32x4_s
    }
    swiden_high {
        I8X16 visit_i16x8_extmul_high_i8x16_s, I16X8 visit_i32x4_extmul_high_i16x8_s,
        I32X4 visit_i64x2_extmul_high_i32x4_s
    }
    uwiden_low {
        I8X16 visit_i16x8_extmul_low_i8x16_u, I16X8 visit_i32x4_extmul_low_i16x8_u, I32X4 visit_i64x2_extmul_low_i32x4_u
    }
    uwiden_high {
        I8X16 visit_i16x8_extmul_high_i8x16_u, I16X8 visit_i32x4_extmul_high_i16x8_u,
        I32X4 visit_i64x2_extmul_high_i32x4_u
    }
}

/// `(widen low, widen high) { narrow lanes operator, … }`: the sums of neighbours, widened. Cranelift
/// makes one multiply-add of it.
macro_rules! extended_add_pairwise {
    ($(($low:ident, $high:ident) { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::$lanes);
                let low = self.ins().$low(x);
                let high = self.ins().$high(x);
                let result = self.ins().iadd_pairwise(low, high);
                self.push_v128(result);
            }
        )*)*}
    };
}

extended_add_pairwise! {
    (swiden_low, swiden_high) { I8X16 visit_i16x8_extadd_pairwise_i8x16_s, I16X8 visit_i32x4_extadd_pairwise_i16x8_s }
    (uwiden_low, uwiden_high) { I8X16 visit_i16x8_extadd_pairwise_i8x16_u, I16X8 visit_i32x4_extadd_pairwise_i16x8_u }
}

impl Translator<'_, '_> {
    /// The sums of neighbouring products, in the shape that Cranelift makes one multiply-add of.
    pub(crate) fn visit_i32x4_dot_i16x8_s(&mut self) {
        let (x, y) = self.pop2_lanes(types::I16X8);
        let (x_low, y_low) = (self.ins().swiden_low(x), self.ins().swiden_low(y));
        let low = self.ins().imul(x_low, y_low);
        let (x_high, y_high) = (self.ins().swiden_high(x), self.ins().swiden_high(y));
        let high = self.ins().imul(x_high, y_high);
        let result = self.ins().iadd_pairwise(low, high);
        self.push_v128(result);
    }
}
