//! Lanes moved: splats, single lanes, shuffles and swizzles.

use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Type, Value, types};

use super::Translator;

/// `lanes operator`: a scalar of the lane's type in every lane.
macro_rules! splat {
    ($($lanes:ident $name:ident),*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self) {
                let x = self.pop_lane(types::$lanes.lane_type());
                let result = self.ins().splat(types::$lanes, x);
                self.push_v128(result);
            }
        )*}
    };
}

splat! {
    I8X16 visit_i8x16_splat, I16X8 visit_i16x8_splat, I32X4 visit_i32x4_splat, I64X2 visit_i64x2_splat,
    F32X4 visit_f32x4_splat, F64X2 visit_f64x2_splat
}

/// `lanes operator`: a lane of the stack's own type.
macro_rules! extract_lane {
    ($($lanes:ident $name:ident),*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self, lane: u8) {
                let vector = self.pop_lanes(types::$lanes);
                let result = self.ins().extractlane(vector, lane);
                self.push(result);
            }
        )*}
    };
}

extract_lane! {
    I32X4 visit_i32x4_extract_lane, I64X2 visit_i64x2_extract_lane,
    F32X4 visit_f32x4_extract_lane, F64X2 visit_f64x2_extract_lane
}

/// `extension { lanes operator, … }`: a lane narrower than the stack's types.
macro_rules! extract_narrow_lane {
    ($($extend:ident { $($lanes:ident $name:ident),* })*) => {
        impl Translator<'_, '_> {$($(
            pub(crate) fn $name(&mut self, lane: u8) {
                let vector = self.pop_lanes(types::$lanes);
                let extracted = self.ins().extractlane(vector, lane);
                let result = self.ins().$extend(types::I32, extracted);
                self.push(result);
            }
        )*)*}
    };
}

extract_narrow_lane! {
    sextend { I8X16 visit_i8x16_extract_lane_s, I16X8 visit_i16x8_extract_lane_s }
    uextend { I8X16 visit_i8x16_extract_lane_u, I16X8 visit_i16x8_extract_lane_u }
}

/// `lanes operator`: one lane replaced by a scalar.
macro_rules! replace_lane {
    ($($lanes:ident $name:ident),*) => {
        impl Translator<'_, '_> {$(
            pub(crate) fn $name(&mut self, lane: u8) {
                let x = self.pop_lane(types::$lanes.lane_type());
                let vector = self.pop_lanes(types::$lanes);
                let result = self.ins().insertlane(vector, x, lane);
                self.push_v128(result);
            }
        )*}
    };
}

replace_lane! {
    I8X16 visit_i8x16_replace_lane, I16X8 visit_i16x8_replace_lane,
    I32X4 visit_i32x4_replace_lane, I64X2 visit_i64x2_replace_lane,
    F32X4 visit_f32x4_replace_lane, F64X2 visit_f64x2_replace_lane
}

impl Translator<'_, '_> {
    /// Pops a scalar as a lane of this type: 8 and 16 bits come as the low part of an `i32`.
    fn pop_lane(&mut self, lane: Type) -> Value {
        let x = self.pop();
        if lane.bits() < 32 { self.ins().ireduce(lane, x) } else { x }
    }

    pub(crate) fn visit_i8x16_shuffle(&mut self, lanes: [u8; 16]) {
        let (x, y) = self.pop2_lanes(types::I8X16);
        let (x, y, lanes) = match source(lanes) {
            Source::First => (x, x, single_source_form(lanes)),
            Source::Second => (y, y, single_source_form(lanes)),
            Source::Both => (x, y, lanes),
        };
        let lanes = self.builder.func.dfg.immediates.push(lanes.as_slice().into());
        let result = self.ins().shuffle(x, y, lanes);
        self.push_v128(result);
    }

    pub(crate) fn visit_i8x16_swizzle(&mut self) {
        let (x, indices) = self.pop2_lanes(types::I8X16);
        let result = if self.indices_suit_pshufb(indices) {
            self.ins().x86_pshufb(x, indices)
        } else {
            self.ins().swizzle(x, indices)
        };
        self.push_v128(result);
    }

    /// Whether `pshufb` and `swizzle` agree on these indices: they do below 16 and from 128 on. Table
    /// look-ups by nibble, the usual swizzle, mask or shift their indices to be below 16.
    fn indices_suit_pshufb(&self, indices: Value) -> bool {
        let below_16 = |value| self.constant_bytes(value).is_some_and(|bytes| bytes.iter().all(|&b| b < 16));
        match self.defined_by(indices) {
            Some(InstructionData::UnaryConst { .. }) => {
                self.constant_bytes(indices).is_some_and(|bytes| bytes.iter().all(|&b| !(16..128).contains(&b)))
            }
            Some(InstructionData::Binary { opcode: Opcode::Band, args }) => args.into_iter().any(below_16),
            Some(InstructionData::Binary { opcode: Opcode::Ushr, args: [_, count] }) => self.is_const(count, 4..=7),
            _ => false,
        }
    }

    /// The bytes of a vector that is a constant.
    fn constant_bytes(&self, vector: Value) -> Option<&[u8]> {
        match self.defined_by(self.without_bitcasts(vector))? {
            InstructionData::UnaryConst { opcode: Opcode::Vconst, constant_handle } => {
                Some(self.builder.func.dfg.constants.get(constant_handle).as_slice())
            }
            _ => None,
        }
    }

    /// Whether a scalar is a constant within these bounds.
    fn is_const(&self, scalar: Value, bounds: std::ops::RangeInclusive<i64>) -> bool {
        match self.defined_by(scalar) {
            Some(InstructionData::UnaryImm { opcode: Opcode::Iconst, imm }) => bounds.contains(&imm.bits()),
            _ => false,
        }
    }
}

/// Which operands a shuffle takes its lanes from.
enum Source {
    First,
    Second,
    Both,
}

fn source(lanes: [u8; 16]) -> Source {
    if lanes.iter().all(|&lane| lane < 16) {
        Source::First
    } else if lanes.iter().all(|&lane| lane >= 16) {
        Source::Second
    } else {
        Source::Both
    }
}

/// The lanes of a shuffle of a vector with itself, numbered so that Cranelift sees one instruction where
/// there is one: interleaving two copies, or concatenating and shifting them, needs no constant.
fn single_source_form(lanes: [u8; 16]) -> [u8; 16] {
    let lanes = lanes.map(|lane| lane % 16);
    // A rotation by whole 32-bit lanes is better left to `pshufd`.
    let rotations = (1..16).filter(|by| by % 4 != 0).map(|by| std::array::from_fn(|i| i as u8 + by));
    let interleavings = [1, 2].into_iter().flat_map(|width| [0, 8].map(|from| interleaving(width, from)));
    let same = |form: &[u8; 16]| form.map(|lane| lane % 16) == lanes;
    rotations.chain(interleavings).find(same).unwrap_or(lanes)
}

/// Pieces of `width` bytes in turn from both operands, beginning at byte `from` of each.
fn interleaving(width: usize, from: usize) -> [u8; 16] {
    std::array::from_fn(|i| {
        let (piece, byte) = (i / width, i % width);
        (from + piece / 2 * width + byte + piece % 2 * 16) as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn single_source_shuffles_find_their_form() {
        let duplicated = [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7];
        assert_eq!(single_source_form(duplicated), [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23]);
        let high_pairs = [24, 25, 24, 25, 26, 27, 26, 27, 28, 29, 28, 29, 30, 31, 30, 31];
        assert_eq!(single_source_form(high_pairs), [8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31]);
        let rotated = [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2];
        assert_eq!(single_source_form(rotated), [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18]);
        let reversed = [15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0];
        assert_eq!(single_source_form(reversed), reversed);
    }
}
