//! From the code of all functions to one text: placed in order, each on a cache line, and every call
//! resolved. Nothing is left to do at load time.

use selvedge_contract::artifact::{AddressTable, FunctionRecord, TextFunction};
use selvedge_contract::limits::TEXT_BYTES_MAX;
use selvedge_contract::trap::TrapSite;

use crate::codegen::{Call, Code};
use crate::error::CompileError;
use crate::module::{Body, Module};

/// A cache line: how a loop lies in them decides how fast it runs, and should not depend on the functions before.
const ALIGN: usize = 64;
/// `int3`: what lies between functions traps.
const PADDING: u8 = 0xcc;

/// The linked text and its tables.
#[derive(Default)]
pub(crate) struct Text {
    pub(crate) bytes: Vec<u8>,
    pub(crate) functions: Vec<FunctionRecord>,
    pub(crate) traps: Vec<(u32, TrapSite)>,
    pub(crate) addresses: Vec<(u32, u32)>,
}

/// Links the code of all text functions, in order.
pub(crate) fn link(module: &Module, bodies: &[Body<'_>], code: Vec<Code>) -> Result<Text, CompileError> {
    let total: usize = code.iter().map(|code| code.bytes.len().next_multiple_of(ALIGN)).sum();
    CompileError::cap("the code's bytes", total as u64, TEXT_BYTES_MAX)?;
    let mut text = Text { bytes: Vec::with_capacity(total), ..Text::default() };
    let mut calls = Vec::new();
    for (index, code) in (0u32..).zip(code) {
        text.place(module, bodies, index, code, &mut calls);
    }
    calls.iter().for_each(|call| text.resolve(*call));
    Ok(text)
}

impl Text {
    fn place(&mut self, module: &Module, bodies: &[Body<'_>], index: u32, code: Code, calls: &mut Vec<Call>) {
        let start = self.bytes.len() as u32;
        let (ty, wasm_offset) = match module.text_function(index) {
            TextFunction::Defined(i) => {
                (module.function_types[(module.imported_functions + i) as usize], bodies[i as usize].1.range().start)
            }
            TextFunction::HostThunk(i) | TextFunction::ImportThunk(i) => (module.function_types[i as usize], 0),
            TextFunction::Entry(ty) => (ty, 0),
            TextFunction::BadCall => (0, 0),
        };
        let record = FunctionRecord {
            text_offset: start,
            text_len: code.bytes.len() as u32,
            ty,
            wasm_offset: wasm_offset as u32,
        };
        self.functions.push(record);
        self.bytes.extend_from_slice(&code.bytes);
        self.bytes.resize(self.bytes.len().next_multiple_of(ALIGN), PADDING);
        self.traps.extend(code.traps.iter().map(|(at, trap)| (start + at, *trap)));
        // The prologue belongs to the function as a whole, the generated functions to no one.
        let first = if wasm_offset == 0 { AddressTable::NONE } else { wasm_offset as u32 };
        if code.addresses.first().is_none_or(|(at, _)| *at > 0) {
            self.addresses.push((start, first));
        }
        self.addresses.extend(code.addresses.iter().map(|(at, wasm)| (start + at, *wasm)));
        calls.extend(code.calls.iter().map(|call| Call { at: start + call.at, ..*call }));
    }

    fn resolve(&mut self, call: Call) {
        let target = self.functions[call.target as usize].text_offset;
        let displacement = i64::from(target) - i64::from(call.at) + i64::from(call.addend);
        let displacement = i32::try_from(displacement).expect("text is smaller than 2 GiB");
        let at = call.at as usize;
        self.bytes[at..at + 4].copy_from_slice(&displacement.to_le_bytes());
    }
}
