//! An artifact as something to look at: read and checked, never loaded.

use std::path::Path;

use anyhow::{Context, Result};
use selvedge_contract::artifact::{ArtifactIndex, FunctionRecord, TextCounts, TextFunction};
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_contract::types::{ExternType, FuncType};
use selvedge_contract::{Contract, Extern};

use crate::files;

/// An artifact's bytes and what is where in them.
pub(crate) struct Artifact {
    pub(crate) bytes: Vec<u8>,
    pub(crate) index: ArtifactIndex,
}

impl Artifact {
    /// Reads and checks a file, whole.
    pub(crate) fn read(path: &Path) -> Result<Artifact> {
        let bytes = files::read(path, ARTIFACT_BYTES_MAX)?;
        Artifact::new(bytes).with_context(|| format!("cannot read {} as an artifact", path.display()))
    }

    /// Checks an artifact.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Artifact> {
        let index = ArtifactIndex::read(&bytes)?;
        index.check_tables(&bytes)?;
        Ok(Artifact { bytes, index })
    }

    pub(crate) fn contract(&self) -> &Contract {
        &self.index.contract
    }

    /// The machine code.
    pub(crate) fn text(&self) -> &[u8] {
        self.bytes.get(self.index.text()).unwrap_or_default()
    }

    /// The functions in the text, in order, with their numbers.
    pub(crate) fn text_functions(&self) -> impl Iterator<Item = (TextFunction, FunctionRecord)> {
        let table = self.index.functions(&self.bytes);
        let counts = TextCounts::of(self.contract());
        let records = (0..table.len()).filter_map(move |number| Some((number, table.get(number)?)));
        records.filter_map(move |(number, record)| Some((counts.at(number)?, record)))
    }

    /// A text function as people call it.
    pub(crate) fn describe(&self, function: TextFunction) -> String {
        let imported = self.contract().imported_functions().count() as u32;
        match function {
            TextFunction::Defined(i) => self.name(imported + i),
            TextFunction::HostThunk(i) => format!("host thunk: {}", self.name(i)),
            TextFunction::ImportThunk(i) => format!("import thunk: {}", self.name(i)),
            TextFunction::Entry(i) => match self.contract().types.get(i as usize) {
                Some(ty) => format!("entry: {ty}"),
                None => format!("entry: type {i}"),
            },
            TextFunction::BadCall => "bad call".into(),
        }
    }

    /// The name of a function of the module: the name section's, or an import's or export's, or its number.
    pub(crate) fn name(&self, function: u32) -> String {
        let named = self.index.names(&self.bytes).get(function).map(str::to_owned);
        named.or_else(|| self.link_name(function)).unwrap_or_else(|| format!("func[{function}]"))
    }

    fn link_name(&self, function: u32) -> Option<String> {
        let contract = self.contract();
        let mut functions = contract.imports.iter().filter(|import| matches!(import.ty, ExternType::Func(_)));
        if let Some(import) = functions.nth(function as usize) {
            return Some(format!("{} {}", import.module, import.name));
        }
        let export = contract.exports.iter().find(|export| export.item == Extern::Func(function));
        export.map(|export| export.name.clone())
    }

    /// The type of a function of the module, imports first.
    fn function_type(&self, function: u32) -> Option<&FuncType> {
        let contract = self.contract();
        let imported = contract.imported_functions().count() as u32;
        let Some(defined) = function.checked_sub(imported) else {
            return contract.imported_functions().nth(function as usize);
        };
        let record = self.index.functions(&self.bytes).of(TextFunction::Defined(defined), contract)?;
        contract.types.get(record.ty as usize)
    }

    /// The type of something exported.
    pub(crate) fn item_type(&self, item: Extern) -> Option<ExternType> {
        let contract = self.contract();
        Some(match item {
            Extern::Func(i) => ExternType::Func(self.function_type(i)?.clone()),
            Extern::Table(i) => ExternType::Table(*contract.table_type(i)?),
            Extern::Memory(i) => ExternType::Memory(*contract.memory_type(i)?),
            Extern::Global(i) => ExternType::Global(*contract.global_type(i)?),
        })
    }

    /// The text functions that `wanted` names: a function's name, its number or `func[N]`, or part of a name.
    pub(crate) fn find(&self, wanted: &str) -> Vec<(TextFunction, FunctionRecord)> {
        let imported = self.contract().imported_functions().count() as u32;
        let number = wanted.strip_prefix("func[").and_then(|rest| rest.strip_suffix(']')).unwrap_or(wanted);
        if let Some(defined) = number.parse::<u32>().ok().and_then(|number| number.checked_sub(imported)) {
            return self.text_functions().filter(|(f, _)| *f == TextFunction::Defined(defined)).collect();
        }
        let named = |test: &dyn Fn(&str) -> bool| {
            self.text_functions().filter(|(function, _)| test(&self.describe(*function))).collect::<Vec<_>>()
        };
        let exact = named(&|name| name == wanted);
        if exact.is_empty() { named(&|name| name.contains(wanted)) } else { exact }
    }
}
