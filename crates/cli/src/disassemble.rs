//! Machine code for people: instructions with the names of what they call, the traps they may raise and the
//! WebAssembly they come from.

use std::fmt::Write;

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, OpKind, SymbolResolver, SymbolResult};
use selvedge_contract::artifact::{FunctionRecord, TextFunction};

use crate::artifact::Artifact;

/// Where comments begin.
const COMMENT_COLUMN: usize = 56;

/// The listing of all text functions.
pub(crate) fn all(artifact: &Artifact) -> String {
    let mut lister = Lister::new(artifact);
    artifact.text_functions().for_each(|(function, record)| lister.function(function, record));
    lister.out
}

/// The listing of some.
pub(crate) fn some(artifact: &Artifact, functions: &[(TextFunction, FunctionRecord)]) -> String {
    let mut lister = Lister::new(artifact);
    functions.iter().for_each(|(function, record)| lister.function(*function, *record));
    lister.out
}

struct Lister<'a> {
    artifact: &'a Artifact,
    formatter: GasFormatter,
    out: String,
}

/// Names what lies in other functions; jumps within a function stay numbers.
struct Symbols {
    /// Start and name of each function, ascending.
    names: Vec<(u64, String)>,
}

impl SymbolResolver for Symbols {
    fn symbol(
        &mut self,
        instruction: &Instruction,
        _operand: u32,
        instruction_operand: Option<u32>,
        address: u64,
        _address_size: u32,
    ) -> Option<SymbolResult<'_>> {
        let branches = instruction_operand.is_some_and(|n| instruction.op_kind(n) == OpKind::NearBranch64);
        if !branches && !instruction.is_ip_rel_memory_operand() {
            return None;
        }
        let at = self.function(address)?;
        if self.function(instruction.ip()) == Some(at) {
            return None;
        }
        let (start, name) = &self.names[at];
        Some(SymbolResult::with_str(*start, name))
    }
}

impl Symbols {
    fn function(&self, address: u64) -> Option<usize> {
        self.names.partition_point(|(start, _)| *start <= address).checked_sub(1)
    }
}

impl<'a> Lister<'a> {
    fn new(artifact: &'a Artifact) -> Lister<'a> {
        let names = artifact.text_functions();
        let names = names.map(|(f, record)| (record.text_offset.into(), format!("<{}>", artifact.describe(f))));
        let symbols = Symbols { names: names.collect() };
        let mut formatter = GasFormatter::with_options(Some(Box::new(symbols)), None);
        let options = formatter.options_mut();
        options.set_branch_leading_zeros(false);
        options.set_rip_relative_addresses(true);
        options.set_uppercase_hex(false);
        Lister { artifact, formatter, out: String::new() }
    }

    fn function(&mut self, function: TextFunction, record: FunctionRecord) {
        let name = self.artifact.describe(function);
        let wasm = if record.wasm_offset == 0 { String::new() } else { format!("wasm {:#x}, ", record.wasm_offset) };
        let _ = writeln!(self.out, "{:08x} <{name}>: # {wasm}{} bytes", record.text_offset, record.text_len);
        let range = record.text_offset as usize..record.text_end() as usize;
        let code = self.artifact.text().get(range).unwrap_or_default();
        let decoder = Decoder::with_ip(64, code, record.text_offset.into(), DecoderOptions::NONE);
        let mut wasm_before = None;
        for instruction in decoder {
            self.instruction(&instruction, &mut wasm_before);
        }
        self.out.push('\n');
    }

    fn instruction(&mut self, instruction: &Instruction, wasm_before: &mut Option<u32>) {
        let at = instruction.ip() as u32;
        let mut line = format!("{at:8x}: ");
        if instruction.is_invalid() {
            let byte = self.artifact.text().get(at as usize).copied().unwrap_or_default();
            let _ = write!(line, ".byte {byte:#04x}");
        } else {
            self.formatter.format(instruction, &mut line);
        }
        let comment = self.comment(at, wasm_before);
        let _ = match comment.is_empty() {
            true => writeln!(self.out, "{line}"),
            false => writeln!(self.out, "{line:<COMMENT_COLUMN$} # {comment}"),
        };
    }

    fn comment(&self, at: u32, wasm_before: &mut Option<u32>) -> String {
        let (index, bytes) = (&self.artifact.index, &self.artifact.bytes);
        let trap = index.traps(bytes).find(at).map(|code| format!("trap: {code}"));
        let wasm = index.addresses(bytes).find(at);
        let changed = if wasm == *wasm_before { None } else { wasm.map(|offset| format!("wasm {offset:#x}")) };
        *wasm_before = wasm;
        trap.into_iter().chain(changed).collect::<Vec<_>>().join(", ")
    }
}
