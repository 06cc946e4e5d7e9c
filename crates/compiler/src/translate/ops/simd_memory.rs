//! Loads and stores of vectors and of their lanes. Memory and lanes are both little-endian.

use cranelift_codegen::ir::{InstBuilder, Type, Value, types};
use wasmparser::MemArg;

use super::Translator;

/// `instruction operator`: 8 bytes whose lanes are widened to twice their size.
macro_rules! load_extend {
    ($($inst:ident $name:ident,)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self, memarg: MemArg) {
                let at = self.address(&memarg, 8);
                let result = self.ins().$inst(at.flags, at.base, at.offset);
                self.push_v128(result);
            }
        )*}
    };
}

load_extend! {
    sload8x8 visit_v128_load8x8_s,
    uload8x8 visit_v128_load8x8_u,
    sload16x4 visit_v128_load16x4_s,
    uload16x4 visit_v128_load16x4_u,
    sload32x2 visit_v128_load32x2_s,
    uload32x2 visit_v128_load32x2_u,
}

/// `instruction { lanes operator, … }`: one lane loaded and made a vector by the instruction.
macro_rules! load_one {
    ($($inst:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self, memarg: MemArg) {
                let lane = self.load_part(types::$lanes.lane_type(), memarg);
                let result = self.ins().$inst(types::$lanes, lane);
                self.push_v128(result);
            }
        )*)*}
    };
}

load_one! {
    splat {
        I8X16 visit_v128_load8_splat, I16X8 visit_v128_load16_splat,
        I32X4 visit_v128_load32_splat, I64X2 visit_v128_load64_splat
    }
    scalar_to_vector { I32X4 visit_v128_load32_zero, I64X2 visit_v128_load64_zero }
}

/// `lanes operator`: one lane loaded into a vector.
macro_rules! load_lane {
    ($($lanes:ident $name:ident,)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self, memarg: MemArg, lane: u8) {
                let vector = self.pop_lanes(types::$lanes);
                let loaded = self.load_part(types::$lanes.lane_type(), memarg);
                let result = self.ins().insertlane(vector, loaded, lane);
                self.push_v128(result);
            }
        )*}
    };
}

load_lane! {
    I8X16 visit_v128_load8_lane,
    I16X8 visit_v128_load16_lane,
    I32X4 visit_v128_load32_lane,
    I64X2 visit_v128_load64_lane,
}

/// `lanes, lanes for lane 0, operator`: one lane stored. The lowest lane of floats is stored in one
/// move, of integers in two.
macro_rules! store_lane {
    ($($lanes:ident, $lanes_lowest:ident, $name:ident;)*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self, memarg: MemArg, lane: u8) {
                let lanes = if lane == 0 { types::$lanes_lowest } else { types::$lanes };
                let vector = self.pop_lanes(lanes);
                let part = self.ins().extractlane(vector, lane);
                self.store_part(part, memarg);
            }
        )*}
    };
}

store_lane! {
    I8X16, I8X16, visit_v128_store8_lane;
    I16X8, I16X8, visit_v128_store16_lane;
    I32X4, F32X4, visit_v128_store32_lane;
    I64X2, F64X2, visit_v128_store64_lane;
}

impl Translator<'_, '_> {
    pub(crate) fn visit_v128_load(&mut self, memarg: MemArg) {
        let result = self.load_part(types::I8X16, memarg);
        self.push_v128(result);
    }

    pub(crate) fn visit_v128_store(&mut self, memarg: MemArg) {
        let vector = self.pop();
        let vector = self.without_bitcasts(vector);
        self.store_part(vector, memarg);
    }

    fn load_part(&mut self, part: Type, memarg: MemArg) -> Value {
        let at = self.address(&memarg, part.bytes());
        self.ins().load(part, at.flags, at.base, at.offset)
    }

    fn store_part(&mut self, value: Value, memarg: MemArg) {
        let bytes = self.builder.func.dfg.value_type(value).bytes();
        let at = self.address(&memarg, bytes);
        self.ins().store(at.flags, value, at.base, at.offset);
    }
}
