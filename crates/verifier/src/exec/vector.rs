//! Instructions on vector registers. Of a register only this is known: which of its bytes may be looked
//! at, and whether it is zero.

use iced_x86::{EncodingKind, Mnemonic, OpKind};

use super::{Exec, list, vector_register};
use crate::report::{Checked, Rule, ensure};
use crate::state::Vector;
use crate::value::{Cell, Ptr, Region, Value};

/// How an instruction uses vector registers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Shape {
    /// Moves all bytes; memory need not be aligned.
    Move,
    /// The same, memory must be aligned.
    MoveAligned,
    /// Moves so many low bytes: between registers they are merged, from memory zero-extended.
    MoveLow(usize),
    /// Moves so many low bytes and clears the others; other operand a general register, a vector or memory.
    MoveExtend(usize),
    /// Byte by byte, of all operands.
    Bitwise,
    /// All bytes of all operands.
    Packed,
    /// All bytes of operand 1 only.
    PackedFrom,
    /// The low bytes (so many) of the last operand, and of the first where it is read; the rest stays.
    Scalar(usize, bool),
    /// From the low bytes (so many) of the last operand, or all of it (0), to the low bytes (so many).
    Convert(usize, usize),
    /// From the low bytes of a vector to a general register.
    ToGeneral(usize),
    /// A lane of so many bytes to a general register or memory.
    Extract(usize),
    /// A lane of so many bytes of a vector that is otherwise kept.
    Insert(usize),
    /// `insertps`.
    InsertSingle,
    /// The low half of the last operand to the high half.
    High,
    /// Lanes of four bytes by a constant: all of one operand, or half of each of two.
    Shuffle(bool),
    /// The low lanes of two bytes by a constant.
    ShuffleLow,
    /// Bytes by a vector.
    ShuffleBytes,
    /// Compares the low bytes (so many) into the flags.
    Flags(usize),
    /// The low bytes (so many) of the last operand become all.
    Spread(usize),
}

const ALL: u16 = u16::MAX;

/// So many low bytes.
fn low(bytes: usize) -> u16 {
    if bytes >= 16 { ALL } else { (1 << bytes) - 1 }
}

/// All bytes or none.
fn all_if(shown: bool) -> u16 {
    if shown { ALL } else { 0 }
}

/// Lane `from` of so many bytes, moved to lane `to`.
fn lane(mask: u16, bytes: usize, from: usize, to: usize) -> u16 {
    (mask >> (bytes * from) & low(bytes)) << (bytes * to)
}

impl Exec<'_, '_> {
    /// Executes an instruction on vector registers.
    pub(super) fn vector(&mut self) -> Checked {
        let mnemonic = self.insn.mnemonic();
        let Some(shape) = list::shape(mnemonic) else { return self.denied() };
        if self.insn.code().encoding() == EncodingKind::EVEX && !list::may_be_evex(mnemonic) {
            return self.denied();
        }
        // Nothing here knows of lanes that are left out. Prefixes that say so are refused before.
        if self.insn.has_op_mask() || self.insn.is_broadcast() {
            return self.denied();
        }
        self.check_alignment(shape)?;
        match shape {
            Shape::Move | Shape::MoveAligned => self.move_whole(),
            Shape::MoveLow(bytes) => self.move_low(bytes),
            Shape::MoveExtend(bytes) => self.move_extend(bytes),
            Shape::Bitwise => self.bitwise(),
            Shape::Packed => self.packed(),
            Shape::PackedFrom => self.whole(1).and_then(|whole| self.set_vector(all_if(whole))),
            Shape::Scalar(bytes, merges) => self.scalar(bytes, bytes, merges),
            Shape::Convert(from, to) => self.scalar(from, to, false),
            Shape::ToGeneral(bytes) => self.lane_to_general(bytes, 0),
            Shape::Extract(bytes) => self.extract(bytes),
            Shape::Insert(bytes) => self.insert(bytes),
            Shape::InsertSingle => self.insert_single(),
            Shape::High => self.insert_high(),
            Shape::Shuffle(both) => self.shuffle(both),
            Shape::ShuffleLow => self.shuffle_low(),
            Shape::ShuffleBytes => self.shuffle_bytes(),
            Shape::Flags(bytes) => self.vector_flags(bytes),
            Shape::Spread(bytes) => self.spread(bytes),
        }
    }

    /// Legacy encodings fault on 16 bytes of unaligned memory, and so do some moves in any encoding.
    fn check_alignment(&mut self, shape: Shape) -> Checked {
        let memory = (0..self.insn.op_count()).any(|operand| self.insn.op_kind(operand) == OpKind::Memory);
        let size = self.insn.memory_size().size();
        let tolerant = self.is_apart() && shape != Shape::MoveAligned;
        if !memory || size < 16 || tolerant || shape == Shape::Move {
            return Ok(());
        }
        // Text and contexts lie on pages.
        let aligned = match self.effective()? {
            Value::Ptr(Ptr { to: Region::Text | Region::Context, lo, zeros, .. }) => lo % 16 == 0 && zeros >= 4,
            _ => false,
        };
        ensure(aligned, Rule::Address, "its memory operand must be aligned, which is not known")
    }

    /// The number of an operand that is a vector register.
    fn vector_number(&self, operand: u32) -> Option<usize> {
        (self.insn.op_kind(operand) == OpKind::Register).then(|| vector_register(self.insn.op_register(operand)))?
    }

    /// Which bytes of an operand may be looked at. Of memory, those that are read are the low ones.
    fn shown(&mut self, operand: u32) -> Checked<u16> {
        if let Some(number) = self.vector_number(operand) {
            return Ok(self.state.vectors[number].shown);
        }
        match self.insn.op_kind(operand) {
            OpKind::Register => match self.register(operand) {
                Some(register) => Ok(low(self.read_register(register).value.readable().into())),
                None => self.denied(),
            },
            OpKind::Memory => {
                let size = self.insn.memory_size().size();
                ensure(
                    matches!(size, 1 | 2 | 4 | 8 | 16),
                    Rule::Instruction,
                    "an access of this width is not on the list",
                )?;
                self.load_wide(size)
            }
            _ => Ok(ALL),
        }
    }

    fn shows(&mut self, operand: u32, bytes: usize) -> Checked<bool> {
        Ok(self.shown(operand)? & low(bytes) == low(bytes))
    }

    fn whole(&mut self, operand: u32) -> Checked<bool> {
        let size = match self.insn.op_kind(operand) {
            OpKind::Memory => self.insn.memory_size().size(),
            _ => 16,
        };
        self.shows(operand, size)
    }

    fn set_vector(&mut self, shown: u16) -> Checked {
        let Some(number) = self.vector_number(0) else { return self.denied() };
        self.state.vectors[number] = Vector { shown, zero: false, id: 0 };
        Ok(())
    }

    fn store_vector(&mut self, bytes: usize) -> Checked {
        let Some(number) = self.vector_number(1) else { return self.denied() };
        let size = self.insn.memory_size().size();
        ensure(size == bytes, Rule::Instruction, "a store of this width is not on the list")?;
        self.store_wide(size, self.state.vectors[number].shown)
    }

    fn move_whole(&mut self) -> Checked {
        if self.insn.op0_kind() == OpKind::Memory {
            return self.store_vector(16);
        }
        let shown = self.shown(1)?;
        self.set_vector(shown)?;
        if let (Some(to), Some(from)) = (self.vector_number(0), self.vector_number(1)) {
            self.vector_name(1);
            self.state.vectors[to] = self.state.vectors[from];
        }
        Ok(())
    }

    /// The name of what a vector register holds; 0 if the operand is none.
    fn vector_name(&mut self, operand: u32) -> u32 {
        let Some(number) = self.vector_number(operand) else { return 0 };
        let vector = &mut self.state.vectors[number];
        if vector.id == 0 {
            vector.id = (self.at << 5 | 16 | number as u32) + 1;
        }
        vector.id
    }

    fn move_low(&mut self, bytes: usize) -> Checked {
        if self.insn.op0_kind() == OpKind::Memory {
            return self.store_vector(bytes);
        }
        if self.insn.op1_kind() == OpKind::Memory {
            return self.move_extend(bytes);
        }
        let sources = self.sources();
        let (kept, moved) = (self.shown(sources.start)?, self.shown(sources.end - 1)?);
        self.set_vector(kept & !low(bytes) | moved & low(bytes))
    }

    fn move_extend(&mut self, bytes: usize) -> Checked {
        if self.insn.op0_kind() == OpKind::Memory {
            return self.store_vector(bytes);
        }
        if self.register(0).is_some() {
            return self.lane_to_general(bytes, 0);
        }
        let shown = self.shown(1)?;
        self.set_vector(shown | !low(bytes))
    }

    /// The operands that are read: all but a separate destination.
    fn sources(&self) -> std::ops::Range<u32> {
        let mnemonic = self.insn.mnemonic();
        let fused =
            (Mnemonic::Vfmadd132pd..=Mnemonic::Vfnmsub231ss).contains(&mnemonic) || mnemonic == Mnemonic::Vpermi2b;
        u32::from(self.is_apart() && !fused)..self.insn.op_count()
    }

    /// Whether its encoding has room for a destination apart from the sources.
    fn is_apart(&self) -> bool {
        matches!(self.insn.code().encoding(), EncodingKind::VEX | EncodingKind::EVEX)
    }

    /// The last operand that is no constant.
    fn last(&self) -> u32 {
        let last = self.insn.op_count() - 1;
        if self.insn.op_kind(last) == OpKind::Immediate8 { last - 1 } else { last }
    }

    /// The constant at the end; 0 if there is none.
    fn constant(&self) -> usize {
        self.insn.immediate8().into()
    }

    /// Whether the result does not depend on the operands: `x ^ x` (`Some(true)`), `x == x`.
    fn idiom(&mut self) -> Option<bool> {
        let (first, last) = (self.sources().start, self.insn.op_count() - 1);
        let name = self.vector_name(last);
        if name == 0 || name != self.vector_name(first) {
            return None;
        }
        match self.insn.mnemonic() {
            Mnemonic::Pxor | Mnemonic::Xorps | Mnemonic::Xorpd => Some(true),
            Mnemonic::Vpxor | Mnemonic::Vxorps | Mnemonic::Vxorpd => Some(true),
            Mnemonic::Pcmpeqb | Mnemonic::Pcmpeqw | Mnemonic::Pcmpeqd | Mnemonic::Pcmpeqq => Some(false),
            Mnemonic::Vpcmpeqb | Mnemonic::Vpcmpeqw | Mnemonic::Vpcmpeqd | Mnemonic::Vpcmpeqq => Some(false),
            _ => None,
        }
    }

    /// Sets operand 0, unless the result is the same whatever the operands.
    fn set_unless_idiom(&mut self, shown: u16) -> Checked {
        let idiom = self.idiom();
        self.set_vector(if idiom.is_some() { ALL } else { shown })?;
        if let Some(number) = self.vector_number(0) {
            self.state.vectors[number].zero = idiom == Some(true);
        }
        Ok(())
    }

    fn bitwise(&mut self) -> Checked {
        let mut shown = ALL;
        for operand in self.sources() {
            shown &= self.shown(operand)?;
        }
        self.set_unless_idiom(shown)
    }

    fn packed(&mut self) -> Checked {
        let mut whole = true;
        for operand in self.sources() {
            whole &= self.whole(operand)?;
        }
        if matches!(self.insn.mnemonic(), Mnemonic::Blendvpd | Mnemonic::Blendvps | Mnemonic::Pblendvb) {
            whole &= self.state.vectors[0].shown == ALL;
        }
        self.set_unless_idiom(all_if(whole))
    }

    fn scalar(&mut self, from: usize, to: usize, merges: bool) -> Checked {
        let (sources, last) = (self.sources(), self.last());
        let from = if from > 0 { from } else { self.size(last)? };
        let mut shown = true;
        for operand in sources.clone().filter(|operand| *operand == last || merges) {
            shown &= self.shows(operand, from)?;
        }
        let kept = self.shown(sources.start)? & !low(to);
        self.set_vector(kept | if shown { low(to) } else { 0 })
    }

    /// A lane of operand 1 to a general register or memory.
    fn lane_to_general(&mut self, bytes: usize, nth: usize) -> Checked {
        let shown = lane(self.shown(1)?, bytes, nth, 0) == low(bytes);
        self.write(0, Cell::new(super::general::opaque(shown)))
    }

    fn extract(&mut self, bytes: usize) -> Checked {
        let nth = self.constant() % (16 / bytes);
        self.lane_to_general(bytes, nth)
    }

    fn insert(&mut self, bytes: usize) -> Checked {
        let nth = self.constant() % (16 / bytes);
        let kept = self.shown(self.sources().start)? & !lane(ALL, bytes, 0, nth);
        let shown = self.shown(self.last())?;
        self.set_vector(kept | lane(shown, bytes, 0, nth))
    }

    fn insert_single(&mut self) -> Checked {
        let constant = self.constant();
        let last = self.last();
        let from = if self.insn.op_kind(last) == OpKind::Memory { 0 } else { constant >> 6 & 3 };
        let to = constant >> 4 & 3;
        let zeroed = (0..4).filter(|nth| constant >> nth & 1 == 1).fold(0, |mask, nth| mask | lane(ALL, 4, 0, nth));
        let kept = self.shown(self.sources().start)? & !lane(ALL, 4, 0, to);
        let shown = self.shown(last)?;
        self.set_vector(kept | lane(shown, 4, from, to) | zeroed)
    }

    fn insert_high(&mut self) -> Checked {
        let kept = self.shown(self.sources().start)? & low(8);
        let shown = self.shown(self.last())?;
        self.set_vector(kept | lane(shown, 8, 0, 1))
    }

    fn shuffle(&mut self, both: bool) -> Checked {
        let constant = self.constant();
        let second = self.shown(self.last())?;
        let first = if both { self.shown(self.sources().start)? } else { second };
        let lanes = (0..4).map(|nth| lane(if nth < 2 { first } else { second }, 4, constant >> (2 * nth) & 3, nth));
        let shown = lanes.fold(0, |mask, lane| mask | lane);
        self.set_vector(shown)
    }

    fn shuffle_low(&mut self) -> Checked {
        let constant = self.constant();
        let source = self.shown(self.last())?;
        let lanes = (0..4).map(|nth| lane(source, 2, constant >> (2 * nth) & 3, nth));
        let shown = lanes.fold(source & !low(8), |mask, lane| mask | lane);
        self.set_vector(shown)
    }

    fn shuffle_bytes(&mut self) -> Checked {
        let zero = self.vector_number(self.last()).is_some_and(|number| self.state.vectors[number].zero);
        if !zero {
            return self.packed();
        }
        let shown = self.shown(self.sources().start)? & 1 == 1;
        self.set_vector(all_if(shown))
    }

    fn vector_flags(&mut self, bytes: usize) -> Checked {
        let shown = self.shows(0, bytes)? & self.shows(1, bytes)?;
        self.set_flags(shown);
        Ok(())
    }

    fn spread(&mut self, bytes: usize) -> Checked {
        let shown = self.shows(self.last(), bytes)?;
        self.set_vector(all_if(shown))
    }
}
