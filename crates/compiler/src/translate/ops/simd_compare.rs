//! Comparisons of lanes: all bits of a lane set, or none.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, types};

use super::Translator;

macro_rules! vector_compare {
    ($inst:ident: $($cc:ident :: $cond:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let (x, y) = self.pop2_lanes(types::$lanes);
                let result = self.ins().$inst($cc::$cond, x, y);
                self.push_v128(result);
            }
        )*)*}
    };
}

vector_compare! { icmp:
    IntCC::Equal { I8X16 visit_i8x16_eq, I16X8 visit_i16x8_eq, I32X4 visit_i32x4_eq, I64X2 visit_i64x2_eq }
    IntCC::NotEqual { I8X16 visit_i8x16_ne, I16X8 visit_i16x8_ne, I32X4 visit_i32x4_ne, I64X2 visit_i64x2_ne }
    IntCC::SignedLessThan {
        I8X16 visit_i8x16_lt_s, I16X8 visit_i16x8_lt_s, I32X4 visit_i32x4_lt_s, I64X2 visit_i64x2_lt_s
    }
    IntCC::SignedGreaterThan {
        I8X16 visit_i8x16_gt_s, I16X8 visit_i16x8_gt_s, I32X4 visit_i32x4_gt_s, I64X2 visit_i64x2_gt_s
    }
    IntCC::SignedLessThanOrEqual {
        I8X16 visit_i8x16_le_s, I16X8 visit_i16x8_le_s, I32X4 visit_i32x4_le_s, I64X2 visit_i64x2_le_s
    }
    IntCC::SignedGreaterThanOrEqual {
        I8X16 visit_i8x16_ge_s, I16X8 visit_i16x8_ge_s, I32X4 visit_i32x4_ge_s, I64X2 visit_i64x2_ge_s
    }
    IntCC::UnsignedLessThan { I8X16 visit_i8x16_lt_u, I16X8 visit_i16x8_lt_u, I32X4 visit_i32x4_lt_u }
    IntCC::UnsignedGreaterThan { I8X16 visit_i8x16_gt_u, I16X8 visit_i16x8_gt_u, I32X4 visit_i32x4_gt_u }
    IntCC::UnsignedLessThanOrEqual { I8X16 visit_i8x16_le_u, I16X8 visit_i16x8_le_u, I32X4 visit_i32x4_le_u }
    IntCC::UnsignedGreaterThanOrEqual { I8X16 visit_i8x16_ge_u, I16X8 visit_i16x8_ge_u, I32X4 visit_i32x4_ge_u }
}

vector_compare! { fcmp:
    FloatCC::Equal { F32X4 visit_f32x4_eq, F64X2 visit_f64x2_eq }
    FloatCC::NotEqual { F32X4 visit_f32x4_ne, F64X2 visit_f64x2_ne }
    FloatCC::LessThan { F32X4 visit_f32x4_lt, F64X2 visit_f64x2_lt }
    FloatCC::GreaterThan { F32X4 visit_f32x4_gt, F64X2 visit_f64x2_gt }
    FloatCC::LessThanOrEqual { F32X4 visit_f32x4_le, F64X2 visit_f64x2_le }
    FloatCC::GreaterThanOrEqual { F32X4 visit_f32x4_ge, F64X2 visit_f64x2_ge }
}
