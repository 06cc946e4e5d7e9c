//! Relaxed operators: of the results that the specification allows, the one that x86-64 computes
//! fastest. Each is a function of its operands and of the contract's CPU features, nothing else.
//!
//! The truncations to unsigned lanes have no faster form that is allowed: they saturate.

use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use selvedge_contract::cpu::CpuFeatures;

use super::Translator;

vector_binary! {
    x86_pshufb { I8X16 visit_i8x16_relaxed_swizzle }
    x86_pmulhrsw { I16X8 visit_i16x8_relaxed_q15mulr_s }
    x86_pmaddubsw { I8X16 visit_i16x8_relaxed_dot_i8x16_i7x16_s }
}

macro_rules! relaxed {
    ($($method:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                self.$method(types::$lanes);
            }
        )*)*}
    };
}

relaxed! {
    vector_pmin { F32X4 visit_f32x4_relaxed_min, F64X2 visit_f64x2_relaxed_min }
    vector_pmax { F32X4 visit_f32x4_relaxed_max, F64X2 visit_f64x2_relaxed_max }
    relaxed_madd { F32X4 visit_f32x4_relaxed_madd, F64X2 visit_f64x2_relaxed_madd }
    relaxed_nmadd { F32X4 visit_f32x4_relaxed_nmadd, F64X2 visit_f64x2_relaxed_nmadd }
    relaxed_blend {
        I8X16 visit_i8x16_relaxed_laneselect, I32X4 visit_i32x4_relaxed_laneselect, I64X2 visit_i64x2_relaxed_laneselect
    }
}

impl Translator<'_, '_> {
    /// `x * y + z`, rounded once where the CPU can.
    fn relaxed_madd(&mut self, lanes: Type) {
        let (x, y, z) = self.pop3_lanes(lanes);
        let result = if self.features().contains(CpuFeatures::FMA) {
            self.ins().fma(x, y, z)
        } else {
            let product = self.ins().fmul(x, y);
            self.ins().fadd(product, z)
        };
        self.push_v128(result);
    }

    /// `z - x * y`, rounded once where the CPU can.
    fn relaxed_nmadd(&mut self, lanes: Type) {
        let (x, y, z) = self.pop3_lanes(lanes);
        let result = if self.features().contains(CpuFeatures::FMA) {
            let negated = self.ins().fneg(x);
            self.ins().fma(negated, y, z)
        } else {
            let product = self.ins().fmul(x, y);
            self.ins().fsub(z, product)
        };
        self.push_v128(result);
    }

    /// Selects each lane by its highest bit.
    fn relaxed_blend(&mut self, lanes: Type) {
        let (if_set, if_clear, mask) = self.pop3_lanes(lanes);
        let result = self.ins().blendv(mask, if_set, if_clear);
        self.push_v128(result);
    }

    /// There is no blend of 16-bit lanes.
    pub(crate) fn visit_i16x8_relaxed_laneselect(&mut self) {
        self.visit_v128_bitselect();
    }

    pub(crate) fn visit_i32x4_relaxed_trunc_f32x4_s(&mut self) {
        let x = self.pop_lanes(types::F32X4);
        let result = self.ins().x86_cvtt2dq(types::I32X4, x);
        self.push_v128(result);
    }

    pub(crate) fn visit_i32x4_relaxed_trunc_f32x4_u(&mut self) {
        self.visit_i32x4_trunc_sat_f32x4_u();
    }

    pub(crate) fn visit_i32x4_relaxed_trunc_f64x2_u_zero(&mut self) {
        self.visit_i32x4_trunc_sat_f64x2_u_zero();
    }

    /// The products' sums of two as 16 bits, of those the sums of two as 32 bits, and the third operand.
    pub(crate) fn visit_i32x4_relaxed_dot_i8x16_i7x16_add_s(&mut self) {
        let sum = self.pop_lanes(types::I32X4);
        let (x, y) = self.pop2_lanes(types::I8X16);
        let pairs = self.ins().x86_pmaddubsw(x, y);
        let fours = self.sums_of_neighbours(pairs);
        let result = self.ins().iadd(fours, sum);
        self.push_v128(result);
    }

    fn sums_of_neighbours(&mut self, x: Value) -> Value {
        let low = self.ins().swiden_low(x);
        let high = self.ins().swiden_high(x);
        self.ins().iadd_pairwise(low, high)
    }
}
