//! Published code: text mapped executable, with the index that explains it.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use selvedge_contract::artifact::{ArtifactIndex, FunctionRecord, TextCounts, TextFunction};
use selvedge_contract::types::FuncType;

use crate::artifact_file::ArtifactFile;
use crate::error::NativeError;
use crate::region::TextMapping;

/// An artifact whose text is mapped and may run. Shared by all its instances.
#[derive(Debug)]
pub struct Code {
    text: TextMapping,
    file: ArtifactFile,
    index: ArtifactIndex,
    counts: TextCounts,
    /// Type of each imported function.
    imports: Vec<u32>,
    /// The globals of a new instance, once there was one whose slot is used again ([`Code::share_globals`]).
    globals: OnceLock<Arc<[u8]>>,
}

impl Code {
    /// Maps an artifact's text.
    ///
    /// # Safety
    /// `index` was read from `file`, and the text keeps the contract: it touches only the slot whose context
    /// it is given, within the contract's declared extents; calls only its own functions, functions found in
    /// import slots and table entries under their types, and the context's stubs; follows the conventions of
    /// [`selvedge_contract::abi`]; and its tables are true. Either it was verified, or it comes from our
    /// compiler by way of nobody who could change it.
    ///
    /// # Errors
    /// If the function table is damaged or there is no room.
    pub unsafe fn publish(file: ArtifactFile, index: ArtifactIndex) -> Result<Arc<Code>, NativeError> {
        let contract = &index.contract;
        let functions = index.functions(file.bytes());
        let counts = TextCounts::of(contract);
        if functions.len() != counts.total() {
            return Err(NativeError::Functions("its length does not match the contract"));
        }
        let types: HashMap<&FuncType, u32> = contract.types.iter().zip(0..).collect();
        let imports = contract.imported_functions().map(|ty| types.get(ty).copied());
        let imports = imports.collect::<Option<Vec<_>>>();
        let imports = imports.ok_or(NativeError::Functions("an import has an undeclared type"))?;
        let text = TextMapping::new(&file, index.text())?;
        Ok(Arc::new(Code { text, imports, counts, index, file, globals: OnceLock::new() }))
    }

    /// What the artifact is made of.
    pub fn index(&self) -> &ArtifactIndex {
        &self.index
    }

    /// The artifact's bytes, for the index's tables.
    pub fn bytes(&self) -> &[u8] {
        self.file.bytes()
    }

    /// The offset in text of an address, if it lies there.
    pub fn text_offset_of(&self, pc: u64) -> Option<u32> {
        let offset = pc.checked_sub(self.text.base())?;
        (offset < self.index.text().len() as u64).then_some(offset as u32)
    }

    /// Keeps what the globals of a new instance are, once for all instances that begin with the same.
    pub(crate) fn share_globals(&self, bytes: &[u8]) -> Arc<[u8]> {
        let shared = self.globals.get_or_init(|| bytes.into());
        if **shared == *bytes { shared.clone() } else { bytes.into() }
    }

    pub(crate) fn file(&self) -> &ArtifactFile {
        &self.file
    }

    /// A function's record. Constant time, whatever the contract's size.
    pub(crate) fn record(&self, function: TextFunction) -> Option<FunctionRecord> {
        let index = self.counts.index(function);
        // An index past the end of its kind is another kind's.
        if self.counts.at(index) != Some(function) {
            return None;
        }
        let record = self.index.functions(self.bytes()).get(index)?;
        let end = u64::from(record.text_offset) + u64::from(record.text_len);
        (end <= self.index.text().len() as u64).then_some(record)
    }

    /// A function's address.
    pub(crate) fn address(&self, function: TextFunction) -> Option<u64> {
        Some(self.text.base() + u64::from(self.record(function)?.text_offset))
    }

    /// The type of an imported function.
    pub(crate) fn import_type(&self, import: u32) -> &FuncType {
        &self.index.contract.types[self.imports[import as usize] as usize]
    }

    /// Number of imported functions.
    pub(crate) fn import_count(&self) -> u32 {
        self.imports.len() as u32
    }

    /// A function's type; `None` for functions that only the stubs and this crate call.
    pub(crate) fn function_type(&self, function: TextFunction) -> Option<&FuncType> {
        match function {
            TextFunction::HostThunk(import) | TextFunction::ImportThunk(import) => Some(self.import_type(import)),
            TextFunction::Defined(_) => self.index.contract.types.get(self.record(function)?.ty as usize),
            TextFunction::Entry(_) | TextFunction::BadCall => None,
        }
    }
}

/// Slots that a call of this type needs.
pub(crate) fn value_count(ty: &FuncType) -> usize {
    ty.params.len().max(ty.results.len())
}
