//! What to say about an artifact that cannot be proved: written for the person who must find the bug.

use std::collections::VecDeque;
use std::fmt;

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction};
use selvedge_contract::artifact::TextFunction;

use crate::state::reg::NAMES;
use crate::state::{Flags, State};
use crate::value::{Num, Value};

macro_rules! rules {
    ($($name:ident = $number:literal, $text:literal;)*) => {
        /// The rules, by their numbers in this crate's documentation.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
        #[expect(missing_docs, reason = "each is explained under its number in the crate's documentation")]
        pub enum Rule { $($name = $number,)* }

        impl Rule {
            /// Every rule.
            pub const ALL: &[Rule] = &[$(Rule::$name),*];

            /// What it says, in a few words.
            pub fn text(self) -> &'static str {
                match self { $(Rule::$name => $text,)* }
            }
        }
    };
}

rules! {
    Metadata = 1, "the tables agree with the contract";
    Bytes = 2, "every byte of text has one meaning";
    Instruction = 3, "only instructions of the list, and only of declared features";
    Branch = 4, "branches lead to instructions of the same function";
    JumpTable = 5, "jump tables are bounded and lead into the function";
    Address = 6, "an access goes through a pointer the code may use";
    Heap = 7, "heap accesses stay in their memory and its guard";
    Frame = 8, "frame accesses stay in the frame";
    Context = 9, "the context is accessed only where and as declared";
    Table = 10, "table entries are read through a bounded index";
    Constant = 11, "constants lie in the function";
    Call = 12, "calls lead to functions, with their context";
    Arguments = 13, "callees get the parameters their type says";
    IndirectCall = 14, "indirect calls check the signature of the entry they take";
    HostCall = 15, "host calls pass a known index and values in the frame";
    Return = 16, "functions return to their caller, registers and stack restored";
    Stack = 17, "the stack is compared with its limit before it is used";
    Trap = 18, "the trap table says the truth";
    Secret = 19, "nothing is read that may be the host's or another's";
    Budget = 20, "the proof ends within its budget";
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule {}: {}", *self as u32, self.text())
    }
}

/// A rule that is not kept, or not known to be.
#[derive(Debug)]
pub(crate) struct Violation {
    pub(crate) rule: Rule,
    pub(crate) detail: String,
}

impl Violation {
    /// Makes one; boxed, for it is rare.
    pub(crate) fn new(rule: Rule, detail: impl Into<String>) -> Box<Violation> {
        Box::new(Violation { rule, detail: detail.into() })
    }
}

/// What went wrong, or not.
pub(crate) type Checked<T = ()> = Result<T, Box<Violation>>;

/// Refuses unless it is so.
pub(crate) fn ensure(good: bool, rule: Rule, detail: &str) -> Checked {
    if good { Ok(()) } else { Err(Violation::new(rule, detail)) }
}

/// Why one function, or the artifact as a whole, was refused.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The function; `None` if it is about no one in particular.
    pub function: Option<TextFunction>,
    /// Its name in the artifact, if it has one.
    pub name: Option<String>,
    /// Offset in text.
    pub offset: u32,
    /// The instruction there.
    pub instruction: String,
    /// Those that led to it, from its block's start or a little before it, each with its offset in text.
    pub before: Vec<String>,
    /// The rule.
    pub rule: Rule,
    /// What exactly is wrong.
    pub detail: String,
    /// What was known before the instruction.
    pub state: String,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.function, &self.name) {
            (Some(function), Some(name)) => write!(f, "{function:?} {name}")?,
            (Some(function), None) => write!(f, "{function:?}")?,
            (None, _) => write!(f, "the artifact")?,
        }
        write!(f, " at {:#x} of text", self.offset)?;
        write!(f, "\n  {}\n  {}", self.rule, self.detail)?;
        for line in &self.before {
            write!(f, "\n      {line}")?;
        }
        if !self.instruction.is_empty() {
            write!(f, "\n  --> {:8x}: {}", self.offset, self.instruction)?;
        }
        for line in self.state.lines() {
            write!(f, "\n    {line}")?;
        }
        Ok(())
    }
}

/// An instruction as people read it.
pub(crate) fn disassemble(instruction: &Instruction) -> String {
    let mut text = String::new();
    if !instruction.is_invalid() && instruction.len() > 0 {
        let mut formatter = GasFormatter::new();
        formatter.options_mut().set_rip_relative_addresses(true);
        formatter.options_mut().set_uppercase_hex(false);
        formatter.format(instruction, &mut text);
    }
    text
}

/// Instructions that led to one, as people read them: at most so many.
const BEFORE_MAX: usize = 8;

/// The instructions from `from` to before `at`, both offsets in `code`, which lies at `start` in text.
pub(crate) fn lead(code: &[u8], start: u32, from: u32, at: u32) -> Vec<String> {
    let Some(range) = code.get(from as usize..at as usize) else { return Vec::new() };
    let decoder = Decoder::with_ip(64, range, (start + from).into(), DecoderOptions::NONE);
    // A block may be as long as its function: no more is kept than is shown.
    let mut last = VecDeque::with_capacity(BEFORE_MAX);
    for instruction in decoder {
        last.truncate(BEFORE_MAX - 1);
        last.push_front(instruction);
    }
    last.iter().rev().map(|instruction| format!("{:8x}: {}", instruction.ip(), disassemble(instruction))).collect()
}

/// A state as people read it: what is known, line by line.
pub(crate) fn describe(state: &State) -> String {
    let known = |value: Value| value != Value::SECRET && value != Value::ANY;
    let mut lines = Vec::new();
    for (name, cell) in NAMES.iter().zip(&state.regs).filter(|(_, cell)| known(cell.value)) {
        lines.push(format!("{name} = {}", value(cell.value)));
    }
    let secret: Vec<_> =
        NAMES.iter().zip(&state.regs).filter(|(_, c)| c.value == Value::SECRET).map(|(n, _)| *n).collect();
    lines.push(format!("unknown, not to be read: {}", secret.join(" ")));
    let compared = if state.compared == i64::MAX {
        "not compared with its limit".into()
    } else {
        format!("compared with its limit down to {}", signed(state.compared))
    };
    lines.push(format!("the stack is {compared}"));
    lines.push(format!("flags: {}", flags(state.flags)));
    lines.join("\n")
}

fn flags(flags: Flags) -> String {
    match flags {
        Flags::Secret => "not to be read".into(),
        Flags::Carry => "whether a bit is set".into(),
        Flags::Plain => "of numbers, nothing more is known".into(),
        Flags::Cmp(size, a, b) => format!("{size} bytes compared: {} with {}", value(a.value), value(b.value)),
        Flags::Test(of) => format!("whether this is 0: {}", value(of.value)),
        Flags::Scan(_, found) => format!("whether no bit was found, else this: {}", value(found.value)),
    }
}

/// An offset as people write it, with its sign.
fn signed(offset: i64) -> String {
    let sign = if offset < 0 { '-' } else { '+' };
    format!("{sign} {:#x}", offset.unsigned_abs())
}

fn value(value: Value) -> String {
    match value {
        Value::Num(num) if num == Num::SECRET => "unknown, not to be read".into(),
        Value::Num(Num { lo, hi, bytes: 8, .. }) if lo == hi => format!("number {lo:#x}"),
        Value::Num(Num { lo, hi, bytes: 8, .. }) => format!("number {lo:#x}..={hi:#x}"),
        Value::Num(Num { lo, hi, bytes, .. }) => format!("number {lo:#x}..={hi:#x}, low {bytes} bytes to be read"),
        Value::Ptr(p) if p.lo == p.hi => format!("{:?} {}", p.to, signed(p.lo)),
        Value::Ptr(p) => format!("{:?} {}, and up to {:#x} more", p.to, signed(p.lo), p.hi.abs_diff(p.lo)),
        other => format!("{other:?}"),
    }
}
