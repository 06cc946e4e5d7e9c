//! Vectors as 128 bits: logic, selection, and the questions whose answer is a scalar.

use cranelift_codegen::ir::{InstBuilder, InstructionData, Type, Value, types};

use super::Translator;

vector_unary! {
    bnot { I8X16 visit_v128_not }
}

vector_binary! {
    band { I8X16 visit_v128_and }
    band_not { I8X16 visit_v128_andnot }
    bor { I8X16 visit_v128_or }
    bxor { I8X16 visit_v128_xor }
}

/// `lanes operator`: whether all lanes differ from 0.
macro_rules! all_true {
    ($($lanes:ident $name:ident),*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::$lanes);
                let answer = self.ins().vall_true(x);
                let result = self.ins().uextend(types::I32, answer);
                self.push(result);
            }
        )*}
    };
}

all_true! {
    I8X16 visit_i8x16_all_true, I16X8 visit_i16x8_all_true, I32X4 visit_i32x4_all_true, I64X2 visit_i64x2_all_true
}

/// `lanes operator`: the lanes' highest bits as an integer.
macro_rules! bitmask {
    ($($lanes:ident $name:ident),*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lanes(types::$lanes);
                let result = self.ins().vhigh_bits(types::I32, x);
                self.push(result);
            }
        )*}
    };
}

bitmask! {
    I8X16 visit_i8x16_bitmask, I16X8 visit_i16x8_bitmask, I32X4 visit_i32x4_bitmask, I64X2 visit_i64x2_bitmask
}

impl Translator<'_, '_> {
    /// The lanes do not matter here: left as they are, Cranelift merges a comparison into the test.
    pub(crate) fn visit_v128_any_true(&mut self) {
        let x = self.pop();
        let x = self.without_bitcasts(x);
        let answer = self.ins().vany_true(x);
        let result = self.ins().uextend(types::I32, answer);
        self.push(result);
    }

    /// Selects in the lanes of the mask, so that Cranelift sees when it is a comparison's answer: then
    /// a blend, a minimum or a maximum does.
    pub(crate) fn visit_v128_bitselect(&mut self) {
        let mask = self.pop();
        let mask = self.without_bitcasts(mask);
        let lanes = self.lanes_of_mask(mask);
        let mask = self.as_lanes(mask, lanes);
        let (if_set, if_clear) = self.pop2_lanes(lanes);
        let result = self.ins().bitselect(mask, if_set, if_clear);
        self.push_v128(result);
    }

    /// The lanes a mask is about: those that were compared, if it is a comparison's answer.
    fn lanes_of_mask(&self, mask: Value) -> Type {
        let about = match self.defined_by(mask) {
            Some(InstructionData::FloatCompare { args, .. }) => args[0],
            _ => mask,
        };
        self.builder.func.dfg.value_type(about)
    }
}
