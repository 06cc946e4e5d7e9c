//! Arithmetic on lanes of floats.

use cranelift_codegen::ir::condcodes::FloatCC;
use cranelift_codegen::ir::{InstBuilder, Type, types};

use super::Translator;

vector_unary! {
    fabs { F32X4 visit_f32x4_abs, F64X2 visit_f64x2_abs }
    fneg { F32X4 visit_f32x4_neg, F64X2 visit_f64x2_neg }
    ceil { F32X4 visit_f32x4_ceil, F64X2 visit_f64x2_ceil }
    floor { F32X4 visit_f32x4_floor, F64X2 visit_f64x2_floor }
    trunc { F32X4 visit_f32x4_trunc, F64X2 visit_f64x2_trunc }
    nearest { F32X4 visit_f32x4_nearest, F64X2 visit_f64x2_nearest }
    sqrt { F32X4 visit_f32x4_sqrt, F64X2 visit_f64x2_sqrt }
}

vector_binary! {
    fadd { F32X4 visit_f32x4_add, F64X2 visit_f64x2_add }
    fsub { F32X4 visit_f32x4_sub, F64X2 visit_f64x2_sub }
    fmul { F32X4 visit_f32x4_mul, F64X2 visit_f64x2_mul }
    fdiv { F32X4 visit_f32x4_div, F64X2 visit_f64x2_div }
    fmin { F32X4 visit_f32x4_min, F64X2 visit_f64x2_min }
    fmax { F32X4 visit_f32x4_max, F64X2 visit_f64x2_max }
}

macro_rules! pseudo_minimum {
    ($($method:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                self.$method(types::$lanes);
            }
        )*)*}
    };
}

pseudo_minimum! {
    vector_pmin { F32X4 visit_f32x4_pmin, F64X2 visit_f64x2_pmin }
    vector_pmax { F32X4 visit_f32x4_pmax, F64X2 visit_f64x2_pmax }
}

impl Translator<'_, '_> {
    /// `y < x ? y : x`, in the order of operands that Cranelift makes one `minps` of.
    pub(super) fn vector_pmin(&mut self, lanes: Type) {
        let (x, y) = self.pop2_lanes(lanes);
        let less = self.ins().fcmp(FloatCC::LessThan, y, x);
        let mask = self.as_lanes(less, lanes);
        let result = self.ins().bitselect(mask, y, x);
        self.push_v128(result);
    }

    /// `x < y ? y : x`, in the order of operands that Cranelift makes one `maxps` of.
    pub(super) fn vector_pmax(&mut self, lanes: Type) {
        let (x, y) = self.pop2_lanes(lanes);
        let less = self.ins().fcmp(FloatCC::LessThan, x, y);
        let mask = self.as_lanes(less, lanes);
        let result = self.ins().bitselect(mask, y, x);
        self.push_v128(result);
    }
}
