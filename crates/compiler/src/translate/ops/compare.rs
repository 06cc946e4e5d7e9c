//! Comparisons of scalars. Cranelift answers in 8 bits, WebAssembly wants 32: branches and selects see
//! through the extension.

use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::{InstBuilder, Opcode, Value, types};

use super::Translator;

macro_rules! compare {
    ($inst:ident: $($cc:ident :: $cond:ident { $($name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self) {
                let (x, y) = self.pop2();
                let answer = self.ins().$inst($cc::$cond, x, y);
                self.push_answer(answer);
            }
        )*)*}
    };
}

impl Translator<'_, '_> {
    pub(crate) fn visit_i32_eqz(&mut self) {
        let zero = self.ins().iconst(types::I32, 0);
        self.push(zero);
        self.visit_i32_eq();
    }

    pub(crate) fn visit_i64_eqz(&mut self) {
        let x = self.pop();
        let answer = self.ins().icmp_imm_u(IntCC::Equal, x, 0);
        self.push_answer(answer);
    }

    pub(crate) fn visit_i32_eq(&mut self) {
        self.compare_updated(IntCC::Equal);
    }

    pub(crate) fn visit_i32_ne(&mut self) {
        self.compare_updated(IntCC::NotEqual);
    }

    /// Compares for (in)equality. Cranelift makes `i == end - 1` of `i + 1 == end`: where the sum lives on,
    /// as the counter of a loop does, both would, and every round would move one to the other. It does not
    /// see through the extensions, which cost nothing.
    fn compare_updated(&mut self, condition: IntCC) {
        let (mut x, mut y) = self.pop2();
        let sum = self.operands(x, Opcode::Iadd).is_some_and(|[_, step]| self.integer(step).is_some());
        if sum && self.lives_on(x) && self.integer(y).is_some() {
            (x, y) = (self.widen(x), self.widen(y));
        }
        let answer = self.ins().icmp(condition, x, y);
        self.push_answer(answer);
    }

    fn push_answer(&mut self, answer: Value) {
        let result = self.ins().uextend(types::I32, answer);
        self.push(result);
    }
}

compare! { icmp:
    IntCC::Equal { visit_i64_eq }
    IntCC::NotEqual { visit_i64_ne }
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
