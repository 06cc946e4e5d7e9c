//! A machine that runs the programs: what the processor does with them, nothing of it taken from the verifier.

use std::collections::HashMap;

use selvedge_contract::vmctx::table_entry;

use super::op::{Alu, Cond, Mem, Op, Reg};
use super::random::{Random, mix};
use super::world::{DEPTH, Entry, Place, Token, World};
use crate::state::reg::{RAX, RCX, RDI, RDX, RSI, RSP, SAVED};

/// The flags that programs use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct FlagBits {
    pub(super) carry: bool,
    pub(super) zero: bool,
    pub(super) sign: bool,
    pub(super) overflow: bool,
}

/// When an instruction is executed, the same on both machines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    pub(super) step: u64,
    /// Tables and memories hold something else after each call.
    pub(super) version: u64,
}

/// Whom the verifier takes a call to be for: of `(i64, i64) -> i64`, else of `(i32) -> i32`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Callee {
    pub(super) binary: bool,
}

/// What an instruction did that others may notice: it must be the same on both machines.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Effect {
    /// The next instruction; none after the last.
    pub(super) next: Option<usize>,
    /// Where it went outside of the frame, and what was given away: stored or passed.
    seen: Option<(Place, u64)>,
    passed: [u64; 2],
}

/// Why a machine does not go on.
#[derive(Debug)]
pub(super) enum Stop {
    /// It came to what is not modelled.
    Unmodelled,
    Wrong(String),
}

impl From<String> for Stop {
    fn from(what: String) -> Stop {
        Stop::Wrong(what)
    }
}

/// A value, and what it was read from if that was a table's entry.
type Known = (u64, Option<Token>);

pub(super) struct Machine {
    /// The first or the second.
    pub(super) number: usize,
    pub(super) regs: [u64; 16],
    pub(super) tokens: [Option<Token>; 16],
    /// The stack, from `DEPTH` below the first stack pointer; the last eight bytes are the return address.
    stack: Vec<u8>,
    slot_tokens: HashMap<i64, Token>,
    pub(super) flags: FlagBits,
    /// The operands that the flags were set by, cut to their size.
    pub(super) compared: [u64; 2],
    /// What the registers held first.
    pub(super) first: [u64; 16],
    pub(super) return_address: u64,
}

fn mask(size: usize) -> u64 {
    if size == 8 { u64::MAX } else { (1 << (8 * size)) - 1 }
}

fn wide(number: i32) -> u64 {
    i64::from(number) as u64
}

impl Machine {
    /// One that was just entered; `parameter` is the only thing that it shares with the other.
    pub(super) fn new(number: usize, world: &World<'_>, random: &mut Random, parameter: u32) -> Machine {
        let mut regs = [0; 16].map(|_: u64| random.next());
        regs[RSP] = world.frame[number];
        regs[RDI] = world.context[number];
        regs[RSI] = regs[RSI] & !mask(4) | u64::from(parameter);
        let mut stack: Vec<u8> = (0..DEPTH + 8).map(|_| random.next() as u8).collect();
        let return_address = 0x9000_0000 + number as u64;
        stack[DEPTH as usize..].copy_from_slice(&return_address.to_le_bytes());
        Machine {
            number,
            regs,
            tokens: [None; 16],
            stack,
            slot_tokens: HashMap::new(),
            flags: FlagBits::of(random.next()),
            compared: [0; 2],
            first: regs,
            return_address,
        }
    }

    /// The stack pointer, from the first.
    pub(super) fn rsp(&self, world: &World<'_>) -> i64 {
        self.regs[RSP].wrapping_sub(world.frame[self.number]) as i64
    }

    /// Eight bytes of the stack, from the first stack pointer.
    pub(super) fn slot(&self, at: i64) -> Known {
        (self.stack_bytes(at, 8), self.slot_tokens.get(&at).copied())
    }

    fn stack_bytes(&self, at: i64, size: usize) -> u64 {
        let from = (at + DEPTH) as usize;
        self.stack[from..from + size].iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte))
    }

    /// The host, or a callee, was below the stack pointer.
    pub(super) fn disturb(&mut self, world: &World<'_>, random: &mut Random) {
        let rsp = self.rsp(world);
        for at in (1..=6).map(|slot| rsp - 8 * slot).filter(|at| *at >= -DEPTH) {
            self.put(at, 8, (random.next(), None));
        }
    }

    fn put(&mut self, at: i64, size: usize, (value, token): Known) {
        let from = (at + DEPTH) as usize;
        self.stack[from..from + size].copy_from_slice(&value.to_le_bytes()[..size]);
        for touched in [at, at + size as i64 - 1] {
            self.slot_tokens.remove(&(touched.div_euclid(8) * 8));
        }
        if let (8, 0, Some(token)) = (size, at % 8, token) {
            self.slot_tokens.insert(at, token);
        }
    }

    fn load(&self, world: &World<'_>, now: Moment, address: u64, size: usize) -> Result<(Known, Place), Stop> {
        let place = world.place(self.number, self.rsp(world), address, size)?;
        let in_memory = |which: u64, at: u64| (mix([world.seed ^ which, at, now.step]) & mask(size), None);
        let found = match place {
            Place::Frame(at) if size == 8 => self.slot(at),
            Place::Frame(at) => (self.stack_bytes(at, size), None),
            Place::Word(word) => (world.word(self.number, word) & mask(size), None),
            Place::Entries(table, at) if size == 8 => {
                let bytes = u64::from(table_entry::BYTES);
                let entry = Entry { table, index: at / bytes, version: now.version };
                let (value, token) = world.entry_word(self.number, entry, (at % bytes) as i32)?;
                (value, Some(token))
            }
            Place::Entries(..) => return Err(Stop::Wrong(format!("{size} bytes of a table's entry are read"))),
            Place::Memory(at) => in_memory(1, at),
            Place::Wide(at) => in_memory(2, at),
            Place::Unmodelled => return Err(Stop::Unmodelled),
        };
        Ok((found, place))
    }

    fn store(&mut self, world: &World<'_>, address: u64, size: usize, known: Known) -> Result<Effect, Stop> {
        let place = world.place(self.number, self.rsp(world), address, size)?;
        let given = match place {
            Place::Frame(at) => {
                self.put(at, size, known);
                0
            }
            Place::Memory(_) | Place::Wide(_) => known.0 & mask(size),
            _ => return Err(Stop::Wrong(format!("{place:?} is written"))),
        };
        Ok(Effect { seen: Some((place, given)), ..Effect::default() })
    }

    fn known(&self, reg: Reg) -> Known {
        (self.regs[reg], self.tokens[reg])
    }

    fn set(&mut self, reg: Reg, size: usize, (value, token): Known) {
        let old = self.regs[reg];
        (self.regs[reg], self.tokens[reg]) = match size {
            8 => (value, token),
            4 => (value & mask(4), None),
            _ => (old & !mask(size) | value & mask(size), None),
        };
    }

    fn address(&self, at: Mem) -> u64 {
        let index = at.index.map_or(0, |index| self.regs[index]);
        self.regs[at.base].wrapping_add(index).wrapping_add(wide(at.disp))
    }

    /// Executes an instruction of a register and something else.
    fn compute(&mut self, op: Alu, size: usize, to: Reg, from: Known) {
        if op == Alu::Mov {
            return self.set(to, size, from);
        }
        let result = self.alu(op, size, self.regs[to] & mask(size), from.0 & mask(size));
        if !op.compares() {
            self.set(to, size, (result, None));
        }
    }

    /// The result of what sets flags.
    fn alu(&mut self, op: Alu, size: usize, a: u64, b: u64) -> u64 {
        let bits = 8 * size as u32;
        let sign = |value: u64| value >> (bits - 1) & 1 == 1;
        let result = match op {
            Alu::Mov => b,
            Alu::Add => a.wrapping_add(b),
            Alu::Sub | Alu::Cmp => a.wrapping_sub(b),
            Alu::And | Alu::Test => a & b,
            Alu::Or => a | b,
            Alu::Xor => a ^ b,
            Alu::Imul => a.wrapping_mul(b),
        } & mask(size);
        let (carry, overflow) = match op {
            Alu::Add => (result < a, sign(a) == sign(b) && sign(a) != sign(result)),
            Alu::Sub | Alu::Cmp => (a < b, sign(a) != sign(b) && sign(a) != sign(result)),
            Alu::Imul => {
                let lost = (u128::from(a) * u128::from(b)) >> bits != 0;
                (lost, lost)
            }
            _ => (false, false),
        };
        self.flags = FlagBits { carry, zero: result == 0, sign: sign(result), overflow };
        self.compared = [a, b];
        result
    }

    fn shift(&mut self, left: bool, size: usize, reg: Reg, by: u8) {
        let bits = 8 * size as u32;
        let by = u32::from(by) & (bits - 1);
        let old = self.regs[reg] & mask(size);
        let result = if left { old << by } else { old >> by } & mask(size);
        if by > 0 {
            let last_out = if left { old >> (bits - by) } else { old >> (by - 1) };
            let (zero, sign) = (result == 0, result >> (bits - 1) == 1);
            self.flags = FlagBits { carry: last_out & 1 == 1, zero, sign, overflow: false };
        }
        self.set(reg, size, (result, None));
    }

    /// Of what is not found it leaves the register alone; other flags than zero are undefined.
    fn scan(&mut self, size: usize, to: Reg, from: Reg) {
        let scanned = self.regs[from] & mask(size);
        if scanned != 0 {
            self.set(to, size, (scanned.trailing_zeros().into(), None));
        }
        let undefined = mix([self.regs[RAX], self.regs[RCX], self.regs[RDX]]);
        self.flags = FlagBits { zero: scanned == 0, ..FlagBits::of(undefined) };
    }

    /// A function is called and returns: it leaves something of its own in what it need not restore.
    fn call(&mut self, world: &World<'_>, now: Moment, callee: Callee) -> Effect {
        let passed = if callee.binary { [self.regs[RSI], self.regs[RDX]] } else { [self.regs[RSI] & mask(4), 0] };
        let own = now.version * 2 + self.number as u64;
        for reg in (0..16).filter(|reg| *reg != RSP && !SAVED.contains(reg)) {
            self.set(reg, 8, (mix([world.seed ^ 3, own, reg as u64 * 1000 + now.step]), None));
        }
        let shown = mask(if callee.binary { 8 } else { 4 });
        let result = mix([world.seed, now.version, now.step]);
        self.regs[RAX] = self.regs[RAX] & !shown | result & shown;
        self.flags = FlagBits::of(mix([world.seed ^ 9, own, 5]));
        Effect { passed, ..Effect::default() }
    }

    /// What is called is the stub for bad calls, or an entry's code with that entry's type and context.
    fn target_is_right(&self, world: &World<'_>, code: Reg, callee: Callee) -> Result<(), String> {
        let Some(Token { field: table_entry::CODE, entry }) = self.tokens[code] else {
            let bad = self.regs[code] == world.bad_call(self.number);
            return if bad { Ok(()) } else { Err("what is called is no function".into()) };
        };
        let wanted = if callee.binary { world.module.binary } else { world.module.unary };
        if world.signature(entry) != wanted {
            return Err(format!("a function of another type is called: {entry:?}"));
        }
        let (given, token) = self.known(RDI);
        let (context, _) = world.entry_word(self.number, entry, table_entry::CTX)?;
        let right = match token {
            Some(token) => context != 0 && token == (Token { field: table_entry::CTX, entry }),
            None => context == 0 && given == world.owner_of(entry.table)[self.number],
        };
        if right { Ok(()) } else { Err(format!("{entry:?} is called with another's context: {token:?}")) }
    }

    /// Executes an instruction.
    pub(super) fn step(
        &mut self,
        number: usize,
        op: Op,
        world: &World<'_>,
        now: Moment,
        callee: Callee,
    ) -> Result<Effect, Stop> {
        let mut effect = self.execute(op, world, now, callee)?;
        effect.next = match op {
            Op::Ud2 => None,
            Op::Jmp(to) => Some(to),
            Op::Jcc(cond, to) if self.flags.are(cond) => Some(to),
            _ => Some(number + 1),
        };
        Ok(effect)
    }

    fn execute(&mut self, op: Op, world: &World<'_>, now: Moment, callee: Callee) -> Result<Effect, Stop> {
        let mut effect = Effect::default();
        let above = |machine: &Machine, at: i32| machine.regs[RSP].wrapping_add(wide(at));
        match op {
            Op::Regs(op, size, to, from) => self.compute(op, size, to, self.known(from)),
            Op::Imm(op, size, to, number) => self.compute(op, size, to, (wide(number), None)),
            Op::Slot(op, size, to, at) => {
                let (known, _) = self.load(world, now, above(self, at), size)?;
                self.compute(op, size, to, known);
            }
            Op::MovAbs(to, number) => self.set(to, 8, (number, None)),
            Op::Shl(size, reg, by) => self.shift(true, size, reg, by),
            Op::Shr(size, reg, by) => self.shift(false, size, reg, by),
            Op::Cmov(cond, size, to, from) => {
                // Of four bytes it clears the upper ones whether it moves or not.
                let known = self.known(if self.flags.are(cond) { from } else { to });
                self.set(to, size, known);
            }
            Op::CmovSlot(cond, to, at) => {
                let (known, _) = self.load(world, now, above(self, at), 8)?;
                if self.flags.are(cond) {
                    self.set(to, 8, known);
                }
            }
            Op::Set(cond, to) => self.set(to, 1, (self.flags.are(cond).into(), None)),
            Op::Lea(to, base, index, scale, disp) => {
                let scaled = self.regs[index].wrapping_mul(scale.into());
                self.set(to, 8, (self.regs[base].wrapping_add(scaled).wrapping_add(wide(disp)), None));
            }
            Op::Load(size, to, at) => {
                let (known, place) = self.load(world, now, self.address(at), size)?;
                self.set(to, size.max(4), known);
                effect.seen = Some((place, 0));
            }
            Op::Store(size, at, from) => effect = self.store(world, self.address(at), size, self.known(from))?,
            Op::Xchg(a, b) => {
                self.regs.swap(a, b);
                self.tokens.swap(a, b);
            }
            Op::Push(from) => {
                let known = self.known(from);
                self.regs[RSP] -= 8;
                self.store(world, self.regs[RSP], 8, known)?;
            }
            Op::Pop(to) => {
                let (known, _) = self.load(world, now, self.regs[RSP], 8)?;
                self.regs[RSP] += 8;
                self.set(to, 8, known);
            }
            Op::Bsf(size, to, from) => self.scan(size, to, from),
            Op::Movzx(to, from) => self.set(to, 4, (self.regs[from] & 0xff, None)),
            Op::Movsxd(to, from) => self.set(to, 8, (wide(self.regs[from] as i32), None)),
            Op::LeaBadCall(to) => self.set(to, 8, (world.bad_call(self.number), None)),
            Op::Call => {
                own_context(self.regs[RDI], world.context[self.number])?;
                effect = self.call(world, now, callee);
            }
            Op::CallReg(code) => {
                self.target_is_right(world, code, callee)?;
                effect = self.call(world, now, callee);
            }
            Op::AddRsp(by) => self.compute(Alu::Add, 8, RSP, (wide(by), None)),
            Op::Jcc(..) | Op::Jmp(_) | Op::Ud2 => {}
        }
        Ok(effect)
    }
}

fn own_context(given: u64, own: u64) -> Result<(), String> {
    if given == own { Ok(()) } else { Err("a function of the module gets another context".into()) }
}

impl FlagBits {
    /// Any flags.
    fn of(bits: u64) -> FlagBits {
        FlagBits { carry: bits & 1 == 1, zero: bits & 2 == 2, sign: bits & 4 == 4, overflow: bits & 8 == 8 }
    }

    fn are(self, cond: Cond) -> bool {
        match cond {
            Cond::B => self.carry,
            Cond::Be => self.carry || self.zero,
            Cond::E => self.zero,
            Cond::Ne => !self.zero,
            Cond::A => !self.carry && !self.zero,
            Cond::Ae => !self.carry,
        }
    }
}
