//! Random programs. Parts of them are what compilers write (`pattern`); the rest is anything, most of it written over
//! them and through them. What the verifier refuses is left out later.

use selvedge_contract::vmctx::{header, memory_def, table_def, table_entry};

use super::op::{Alu, Cond, Mem, Op, Reg};
use super::random::Random;
use super::subject::Module;
use crate::state::reg::{R8, R9, RAX, RBX, RCX, RDI, RDX, RSI, RSP};

/// Registers that anything may be done to.
const FREE: [Reg; 10] = [RAX, RCX, RDX, RBX, RSI, RDI, R8, R9, 12, 13];
/// Bytes of the frame, and slots of it that are used.
const FRAME: i32 = 0x88;
const SLOTS: u64 = 6;
/// Instructions at the start that compare the stack with its limit and make the frame: nothing jumps there.
pub(super) const PROLOGUE: usize = 5;
/// Where the context is kept, mostly.
const CONTEXT: Reg = RBX;

/// A program. It ends with two traps; the prologue jumps to the last.
pub(super) fn program(random: &mut Random, module: &Module) -> Vec<Op> {
    let mut writer = Writer { random, module, ops: prologue(), wanted: 0 };
    writer.wanted = 8 + writer.random.below(50) as usize;
    let often = writer.random.pick(&[4, 12, 12, 40]);
    while writer.ops.len() < writer.wanted {
        if writer.random.once_in(often) { writer.pattern() } else { writer.noise() }
    }
    let Writer { mut ops, .. } = writer;
    ops.extend([Op::Ud2, Op::Ud2]);
    let last = ops.len() - 1;
    for to in ops.iter_mut().filter_map(Op::target) {
        *to = if *to == usize::MAX { last } else { PROLOGUE + *to % (last - PROLOGUE) };
    }
    ops
}

fn prologue() -> Vec<Op> {
    vec![
        Op::Load(8, RAX, at(RDI, header::STACK_LIMIT)),
        Op::Imm(Alu::Add, 8, RAX, FRAME + 64),
        Op::Regs(Alu::Cmp, 8, RSP, RAX),
        Op::Jcc(Cond::B, usize::MAX),
        Op::AddRsp(-FRAME),
        Op::Regs(Alu::Mov, 8, CONTEXT, RDI),
        Op::Store(8, at(RSP, 0), RDI),
    ]
}

fn at(base: Reg, disp: i32) -> Mem {
    Mem { base, index: None, disp }
}

fn indexed(base: Reg, index: Reg, disp: i32) -> Mem {
    Mem { base, index: Some(index), disp }
}

/// Reads the fields of an entry.
fn read_entry(entry: Mem, [code, signature, context]: [Reg; 3]) -> [Op; 3] {
    let field = |to, offset| Op::Load(8, to, Mem { disp: entry.disp + offset, ..entry });
    [field(code, table_entry::CODE), field(signature, table_entry::SIGNATURE), field(context, table_entry::CTX)]
}

struct Writer<'w> {
    random: &'w mut Random,
    module: &'w Module,
    ops: Vec<Op>,
    /// About how long the program will be.
    wanted: usize,
}

impl Writer<'_> {
    fn reg(&mut self) -> Reg {
        self.random.pick(&FREE)
    }

    fn size(&mut self) -> usize {
        self.random.pick(&[4, 8, 8])
    }

    fn whole_slot(&mut self) -> i32 {
        8 * self.random.below(SLOTS) as i32
    }

    /// A slot, or what is in the middle of two.
    fn slot(&mut self) -> i32 {
        if self.random.once_in(12) { self.random.below(8 * SLOTS - 8) as i32 } else { self.whole_slot() }
    }

    fn number(&mut self) -> i32 {
        self.random.pick(&[0, 1, 2, 5, 8, 20, 21, 31, 32, 255, 4096, -1, -8, i32::MAX])
    }

    /// What compilers write to reach a memory or to call through a table, with noise in it; often a loop.
    fn pattern(&mut self) {
        let regs = self.regs();
        let start = self.ops.len();
        let (list, result) = match self.random.below(8) {
            0 | 1 => (self.call_by_own_table(regs), RAX),
            2 | 3 => (self.call_by_lent_table(regs), RAX),
            4 => (self.wide_access(regs), regs[2]),
            5 | 6 => (self.pointers(regs), regs[0]),
            _ => (self.own_access(regs), regs[2]),
        };
        self.weave(&list);
        if self.random.once_in(2) {
            let to = start + self.random.below((self.ops.len() - start) as u64) as usize;
            let compare = Op::Imm(Alu::Cmp, 4, result, self.number());
            self.ops.extend([compare, Op::Jcc(self.random.pick(&Cond::ALL), to.saturating_sub(PROLOGUE))]);
        }
    }

    /// Registers for a pattern; in half of them those come first that a call leaves alone.
    fn regs(&mut self) -> [Reg; 9] {
        let mut regs = [12, 13, 14, 15, RAX, RCX, R8, R9, 10];
        if self.random.once_in(2) {
            self.random.shuffle(&mut regs[..4]);
        } else {
            self.random.shuffle(&mut regs);
        }
        regs
    }

    fn index(&mut self, to: Reg) -> Op {
        match self.random.below(4) {
            0 => Op::Regs(Alu::Mov, 4, to, self.reg()),
            1 => Op::Regs(Alu::Mov, 4, to, RSI),
            2 => Op::Slot(Alu::Mov, 4, to, self.whole_slot()),
            _ => Op::Load(4, to, at(CONTEXT, 16)),
        }
    }

    fn call_by_own_table(&mut self, regs: [Reg; 9]) -> Vec<Op> {
        let [index, code, bound, signature, context, entry, ..] = regs;
        let base = if self.random.once_in(4) { RDI } else { CONTEXT };
        let entries = &self.module.own_entries;
        let start = entries.start as i32;
        let last = (entries.end - entries.start) as i32 / table_entry::BYTES as i32 - 1;
        let mut list = vec![
            self.index(index),
            Op::Imm(Alu::Mov, 4, bound, last),
            Op::Regs(Alu::Cmp, 8, index, bound),
            Op::Cmov(Cond::A, 8, index, bound),
            Op::Shl(8, index, 5),
        ];
        if self.random.once_in(2) {
            list.push(Op::Store(8, at(RSP, self.whole_slot()), index));
        }
        let field = if self.random.once_in(2) {
            list.push(Op::Lea(entry, base, index, 1, start));
            at(entry, 0)
        } else {
            indexed(base, index, start)
        };
        list.extend(read_entry(field, [code, signature, context]));
        list.extend(self.call(regs, CONTEXT));
        list
    }

    fn call_by_lent_table(&mut self, regs: [Reg; 9]) -> Vec<Op> {
        let [index, code, base, signature, context, table, ..] = regs;
        let mut list = vec![
            Op::Load(8, table, at(CONTEXT, self.module.lent_table)),
            Op::Load(8, base, at(table, table_def::BOUND)),
            self.index(index),
            Op::Regs(Alu::Cmp, 8, index, base),
            Op::Cmov(Cond::A, 8, index, base),
            Op::Shl(8, index, 5),
            Op::Load(8, base, at(table, table_def::BASE)),
        ];
        list.extend(read_entry(indexed(base, index, 0), [code, signature, context]));
        list.push(Op::Load(8, base, at(table, table_def::OWNER)));
        list.extend(self.call(regs, base));
        list
    }

    /// Two pointers into a table in one register, one after the other: in a loop they meet.
    fn pointers(&mut self, regs: [Reg; 9]) -> Vec<Op> {
        let [first, second, pointer, code, lent, ..] = regs;
        let (mut list, base, start) = if self.random.once_in(2) {
            (vec![], CONTEXT, self.module.own_entries.start as i32)
        } else {
            let table = Op::Load(8, lent, at(CONTEXT, self.module.lent_table));
            (vec![table, Op::Load(8, lent, at(lent, table_def::BASE))], lent, 0)
        };
        for index in [first, second] {
            list.extend([self.index(index), Op::Imm(Alu::And, 4, index, self.random.pick(&[0xe0, 0xe0, 0x60, 0x38]))]);
        }
        list.extend([
            Op::Lea(pointer, base, first, 1, start),
            Op::Load(8, code, at(pointer, table_entry::CODE)),
            Op::Lea(pointer, base, second, 1, start + self.random.pick(&[0, 0, 8])),
        ]);
        list
    }

    /// Calls an entry's code, with the entry's context or its owner's.
    fn call(&mut self, regs: [Reg; 9], owner: Reg) -> Vec<Op> {
        let [_, code, _, signature, context, _, wanted, bad, _] = regs;
        let module = self.module;
        let id = self.random.pick(&[module.unary, module.unary, module.binary]);
        let (chosen, choice) = if self.random.once_in(2) {
            (code, Op::Cmov(Cond::Ne, 8, code, bad))
        } else {
            (bad, Op::Cmov(Cond::E, 8, bad, code))
        };
        vec![
            Op::MovAbs(wanted, id),
            Op::LeaBadCall(bad),
            Op::Regs(Alu::Cmp, 8, signature, wanted),
            choice,
            Op::Regs(Alu::Test, 8, context, context),
            Op::Cmov(Cond::E, 8, context, owner),
            Op::Imm(Alu::Mov, 4, RSI, 7),
            Op::Imm(Alu::Mov, 4, RDX, 7),
            Op::Regs(Alu::Mov, 8, RDI, context),
            Op::CallReg(chosen),
        ]
    }

    /// To the imported memory, whose bound only the instance knows.
    fn wide_access(&mut self, regs: [Reg; 9]) -> Vec<Op> {
        let [index, base, number, _, _, memory, ..] = regs;
        let mut near = || self.random.below(8000) as i32;
        vec![
            Op::Load(8, memory, at(CONTEXT, self.module.wide_memory)),
            Op::Load(8, base, at(memory, memory_def::BOUND)),
            Op::Regs(Alu::Cmp, 8, index, base),
            Op::Cmov(Cond::A, 8, index, base),
            Op::Load(8, base, at(memory, memory_def::BASE)),
            Op::Load(4, number, indexed(base, index, near())),
            Op::Store(4, indexed(base, index, near()), number),
        ]
    }

    /// To the own memory, whose reservation is known: a dense one has no room for any index.
    fn own_access(&mut self, regs: [Reg; 9]) -> Vec<Op> {
        let [index, bound, number, ..] = regs;
        let most = self.module.own_reservation as i64 as u64;
        vec![
            self.index(index),
            Op::MovAbs(bound, most),
            Op::Regs(Alu::Cmp, 8, index, bound),
            Op::Cmov(Cond::A, 8, index, bound),
            Op::Load(4, number, indexed(CONTEXT, index, self.random.below(8000) as i32)),
            Op::Store(4, indexed(CONTEXT, index, self.random.below(8000) as i32), number),
        ]
    }

    /// Writes a list with something else between its instructions, and parts of it kept and taken back.
    fn weave(&mut self, list: &[Op]) {
        let often = 2 + self.random.below(12);
        for op in list {
            if self.random.once_in(often) {
                self.noise();
            }
            self.ops.push(*op);
            if self.random.once_in(10) {
                let (keep, reg) = (self.whole_slot(), self.reg());
                self.ops.push(Op::Store(8, at(RSP, keep), reg));
            }
            if self.random.once_in(12) {
                let (reg, kept) = (self.reg(), self.whole_slot());
                self.ops.push(Op::Slot(Alu::Mov, 8, reg, kept));
            }
        }
    }

    /// Writes any instruction, or few.
    fn noise(&mut self) {
        let op = match self.random.below(30) {
            0..=9 => self.arithmetic(),
            10..=18 => self.moved(),
            19..=26 => self.other(),
            27 => {
                self.ops.extend([Op::Regs(Alu::Mov, 8, RDI, CONTEXT), Op::Imm(Alu::Mov, 4, RSI, 3)]);
                Op::Call
            }
            28 => {
                let reg = self.reg();
                self.ops.push(Op::Push(reg));
                if self.random.once_in(2) {
                    self.noise();
                }
                Op::Pop(self.reg())
            }
            _ => self.jump(),
        };
        // Without the context little is accepted.
        if !op.writes(CONTEXT) || self.random.once_in(8) {
            self.ops.push(op);
        }
    }

    fn arithmetic(&mut self) -> Op {
        let (size, a, b) = (self.size(), self.reg(), self.reg());
        match self.random.below(10) {
            0..=3 => Op::Regs(Alu::Mov, size, a, b),
            4 => Op::Regs(self.random.pick(&[Alu::Add, Alu::Sub, Alu::And, Alu::Or, Alu::Xor, Alu::Imul]), size, a, b),
            5 => {
                let op = self.random.pick(&[Alu::Add, Alu::Sub, Alu::And, Alu::Or, Alu::Xor, Alu::Mov]);
                Op::Imm(op, size, a, self.number())
            }
            6 | 7 => Op::Regs(Alu::Cmp, size, a, b),
            8 => Op::Imm(Alu::Cmp, size, a, self.number()),
            _ => Op::Slot(Alu::Cmp, size, a, self.slot()),
        }
    }

    /// Selections, spills and reloads.
    fn moved(&mut self) -> Op {
        let (cond, size, a, b, slot) = (self.random.pick(&Cond::ALL), self.size(), self.reg(), self.reg(), self.slot());
        match self.random.below(9) {
            0 | 1 => Op::Cmov(cond, size, a, b),
            2 => Op::CmovSlot(cond, a, slot),
            3..=5 => Op::Store(self.random.pick(&[1, 4, 8, 8, 8]), at(RSP, slot), a),
            _ => Op::Slot(Alu::Mov, size, a, slot),
        }
    }

    fn other(&mut self) -> Op {
        let (size, a, b) = (self.size(), self.reg(), self.reg());
        let width = self.random.pick(&[1, 4, 8]);
        match self.random.below(8) {
            0 => {
                let by = self.random.pick(&[0, 1, 5, 5, 31, 32, 33, 63]);
                if self.random.once_in(2) { Op::Shl(size, a, by) } else { Op::Shr(size, a, by) }
            }
            1 => self.sum(a, b),
            2 => Op::Load(width, a, self.somewhere()),
            3 => {
                let (base, disp) = (self.random.pick(&[RDI, CONTEXT, RAX, RCX]), self.random.pick(&[0, 8, 4096]));
                Op::Store(width, indexed(base, a, disp), b)
            }
            4 => Op::Xchg(a, b),
            5 => self.random.pick(&[Op::Bsf(size, a, b), Op::Movzx(a, b), Op::Movsxd(a, b)]),
            6 => Op::Regs(Alu::Test, 8, a, a),
            _ => Op::Set(self.random.pick(&Cond::ALL), a),
        }
    }

    fn sum(&mut self, to: Reg, index: Reg) -> Op {
        let base = self.random.pick(&[RDI, CONTEXT, RAX, RCX, RSI, R8]);
        let disp = self.random.pick(&[0, 0, 8, 64, -32, self.module.own_entries.start as i32]);
        Op::Lea(to, base, index, self.random.pick(&[1, 1, 2, 8]), disp)
    }

    /// A place that may be one.
    fn somewhere(&mut self) -> Mem {
        let entries = self.module.own_entries.start as i32;
        let base = self.random.pick(&[RDI, CONTEXT, RAX, RCX, RSI]);
        let index = if self.random.once_in(3) { None } else { Some(self.reg()) };
        let (signature, context) = (entries + table_entry::SIGNATURE, entries + table_entry::CTX);
        Mem { base, index, disp: self.random.pick(&[0, 8, 4096, entries, signature, context]) }
    }

    /// To where something begins, most often back.
    fn jump(&mut self) -> Op {
        let limit = if self.random.once_in(2) { self.ops.len() + 1 } else { self.wanted + 20 };
        let to = (self.random.below(limit as u64) as usize).saturating_sub(PROLOGUE);
        if self.random.once_in(6) { Op::Jmp(to) } else { Op::Jcc(self.random.pick(&Cond::ALL), to) }
    }
}
