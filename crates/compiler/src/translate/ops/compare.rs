//! Comparisons of scalars. Cranelift answers in 8 bits, WebAssembly wants 32: branches and selects see
//! through the extension.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, types};

use super::Translator;

macro_rules! compare {
    ($inst:ident: $($cc:ident :: $cond:ident { $($name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let (x, y) = self.pop2();
                let answer = self.ins().$inst($cc::$cond, x, y);
                let result = self.ins().uextend(types::I32, answer);
                self.push(result);
            }
        )*)*}
    };
}

macro_rules! is_zero {
    ($($name:ident),*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop();
                let answer = self.ins().icmp_imm_u(IntCC::Equal, x, 0);
                let result = self.ins().uextend(types::I32, answer);
                self.push(result);
            }
        )*}
    };
}

is_zero! { visit_i32_eqz, visit_i64_eqz }

compare! { icmp:
    IntCC::Equal { visit_i32_eq, visit_i64_eq }
    IntCC::NotEqual { visit_i32_ne, visit_i64_ne }
    IntCC::SignedLessThan { visit_i32_lt_s, visit_i64_lt_s }
    IntCC::UnsignedLessThan { visit_i32_lt_u, visit_i64_lt_u }
    IntCC::SignedGreaterThan { visit_i32_gt_s, visit_i64_gt_s }
    IntCC::UnsignedGreaterThan { visit_i32_gt_u, visit_i64_gt_u }
    IntCC::SignedLessThanOrEqual { visit_i32_le_s, visit_i64_le_s }
    IntCC::UnsignedLessThanOrEqual { visit_i32_le_u, visit_i64_le_u }
    IntCC::SignedGreaterThanOrEqual { visit_i32_ge_s, visit_i64_ge_s }
    IntCC::UnsignedGreaterThanOrEqual { visit_i32_ge_u, visit_i64_ge_u }
}

compare! { fcmp:
    FloatCC::Equal { visit_f32_eq, visit_f64_eq }
    FloatCC::NotEqual { visit_f32_ne, visit_f64_ne }
    FloatCC::LessThan { visit_f32_lt, visit_f64_lt }
    FloatCC::GreaterThan { visit_f32_gt, visit_f64_gt }
    FloatCC::LessThanOrEqual { visit_f32_le, visit_f64_le }
    FloatCC::GreaterThanOrEqual { visit_f32_ge, visit_f64_ge }
}
