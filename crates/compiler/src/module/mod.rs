//! What a module says about itself, validated, capped and laid out: everything the translation of one
//! function needs to know about the rest.
//!
//! Invariants: whatever is here has been validated against the features its options allow and counted against
//! `selvedge_contract::limits`; index spaces are WebAssembly's; nothing changes while functions compile.

mod access;
mod convert;
mod data;
mod names;
mod parse;
mod plan;
mod sections;

use selvedge_contract::artifact::{TextCounts, TextFunction};
use selvedge_contract::types::{FuncType, GlobalType};
use selvedge_contract::vmctx::VmLayout;
use selvedge_contract::{ConstOp, Contract};
use wasmparser::{FuncToValidate, FunctionBody, ValidatorResources, WasmFeatures};

pub(crate) use access::{MemoryAccess, TableAccess};
pub(crate) use parse::parse;

/// A module, as the translation of its functions sees it.
pub(crate) struct Module {
    /// What it may use of WebAssembly.
    pub(crate) features: WasmFeatures,
    /// What goes into the artifact.
    pub(crate) contract: Contract,
    /// Where its state lies.
    pub(crate) layout: VmLayout,
    /// What its text consists of.
    pub(crate) text: TextCounts,
    /// Type index of each function, imports included.
    pub(crate) function_types: Vec<u32>,
    /// Number of imported functions.
    pub(crate) imported_functions: u32,
    /// Signature id of each type.
    pub(crate) signature_ids: Vec<u64>,
    /// Name of each function, imports included; empty where there is none.
    pub(crate) names: Vec<String>,
    /// How code reaches each memory.
    pub(crate) memories: Vec<MemoryAccess>,
    /// How code reaches each table.
    pub(crate) tables: Vec<TableAccess>,
    /// The type of each global.
    pub(crate) global_types: Vec<GlobalType>,
    /// What each immutable global with a constant initialiser holds; `None` for the others.
    pub(crate) constants: Vec<Option<ConstOp>>,
}

/// A module with what only some steps need.
pub(crate) struct Parsed<'a> {
    /// What translation needs.
    pub(crate) module: Module,
    /// The bodies of the functions it defines, in order, not yet validated.
    pub(crate) bodies: Vec<Body<'a>>,
    /// The pages of the memory image.
    pub(crate) image: Vec<u8>,
    /// The bytes of the data segments that are not in the image.
    pub(crate) data: Vec<u8>,
    /// DWARF sections to keep.
    pub(crate) debug: Vec<(String, Vec<u8>)>,
}

/// A function's body, not yet validated.
pub(crate) type Body<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

impl Module {
    /// The type of a function.
    pub(crate) fn function_type(&self, function: u32) -> &FuncType {
        self.func_type(self.function_types[function as usize])
    }

    /// A type by index.
    pub(crate) fn func_type(&self, ty: u32) -> &FuncType {
        &self.contract.types[ty as usize]
    }

    /// The index of a function among those the module defines, if it does.
    pub(crate) fn defined(&self, function: u32) -> Option<u32> {
        function.checked_sub(self.imported_functions)
    }

    /// The text index of a text function.
    pub(crate) fn text_index(&self, function: TextFunction) -> u32 {
        self.text.index(function) as u32
    }

    /// The text function at a text index.
    pub(crate) fn text_function(&self, index: u32) -> TextFunction {
        self.text.at(index as usize).expect("the index of a text function")
    }

    /// Number of text functions.
    pub(crate) fn text_functions(&self) -> u32 {
        self.text.total() as u32
    }

    /// A text function, for people.
    pub(crate) fn describe(&self, index: u32) -> String {
        match self.text_function(index) {
            TextFunction::Defined(i) => {
                let (function, name) = self.named(self.imported_functions + i);
                format!("function {function} {name}").trim_end().to_string()
            }
            TextFunction::HostThunk(i) => format!("host thunk of import {i}"),
            TextFunction::ImportThunk(i) => format!("import thunk of import {i}"),
            TextFunction::Entry(i) => format!("entry of type {i}"),
            TextFunction::BadCall => "bad call".into(),
        }
    }

    /// A function's index and name, for errors.
    pub(crate) fn named(&self, function: u32) -> (u32, String) {
        (function, self.names.get(function as usize).cloned().unwrap_or_default())
    }
}
