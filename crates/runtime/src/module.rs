//! A loaded artifact: checked, mapped, shared by all its instances.
//!
//! Loading does nothing per function: large tables are read where and when they are needed, through
//! checked accessors.

use std::fs::File;
use std::io::Read;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use selvedge_contract::artifact::{ArtifactIndex, TextFunction};
use selvedge_contract::cpu::CpuFeatures;
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_contract::policy::{Policy, Verification, Violations};
use selvedge_contract::types::{ExternType, FuncType};
use selvedge_contract::{Contract, Export, Extern, Import};
use selvedge_native::{ArtifactFile, Code};

use crate::error::LoadError;
use crate::symbols::SourceCache;

/// Exports below this number are found by looking at each.
const EXPORTS_SCANNED_MAX: usize = 16;

/// Where an artifact is.
#[derive(Clone, Copy, Debug)]
pub enum Source<'a> {
    /// In a file, which is mapped: it must not change while the module lives.
    File(&'a Path),
    /// In memory; copied once into a sealed anonymous file.
    Bytes(&'a [u8]),
}

impl<'a> From<&'a Path> for Source<'a> {
    fn from(path: &'a Path) -> Source<'a> {
        Source::File(path)
    }
}

impl<'a> From<&'a [u8]> for Source<'a> {
    fn from(bytes: &'a [u8]) -> Source<'a> {
        Source::Bytes(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Source<'a> {
    fn from(bytes: &'a Vec<u8>) -> Source<'a> {
        Source::Bytes(bytes)
    }
}

/// Whose rules an artifact is loaded under.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// What is accepted.
    pub policy: &'a Policy,
    /// The text of the artifact's detached signature, if it has one.
    pub signature: Option<&'a str>,
    /// How many threads to prove with.
    pub threads: NonZeroUsize,
}

/// A loaded artifact. Cheap to clone, shared between threads.
#[derive(Clone)]
pub struct Module(Arc<ModuleInner>);

struct ModuleInner {
    code: Arc<Code>,
    imported: Imported,
    /// Positions of the exports, by name; made when first needed.
    exports_by_name: OnceLock<Vec<u32>>,
    /// The memory that is exported as `memory`: host functions ask for it in each call.
    memory: Option<u32>,
    sources: SourceCache,
}

/// For each index space, where its imports stand in the contract's list.
#[derive(Default)]
pub(crate) struct Imported {
    pub(crate) functions: Vec<u32>,
    pub(crate) tables: Vec<u32>,
    pub(crate) memories: Vec<u32>,
    pub(crate) globals: Vec<u32>,
}

impl Imported {
    fn new(contract: &Contract) -> Imported {
        let mut imported = Imported::default();
        for (position, import) in contract.imports.iter().enumerate() {
            let space = match import.ty {
                ExternType::Func(_) => &mut imported.functions,
                ExternType::Table(_) => &mut imported.tables,
                ExternType::Memory(_) => &mut imported.memories,
                ExternType::Global(_) => &mut imported.globals,
            };
            space.push(position as u32);
        }
        imported
    }
}

impl Module {
    /// Loads an artifact without proof that its code keeps its contract.
    ///
    /// Damaged, truncated and foreign artifacts are refused with an error; machine code that was tampered
    /// with is not noticed.
    ///
    /// # Safety
    /// The artifact was written by Selvedge's compiler and nobody could change it since: its code will run
    /// in this process as it stands. A file must not be changed or truncated while the module lives.
    ///
    /// # Errors
    /// If it is no artifact of this version, needs CPU features this machine lacks, or the operating system
    /// refuses.
    #[allow(unsafe_code)]
    pub unsafe fn load_trusted<'a>(source: impl Into<Source<'a>>) -> Result<Module, LoadError> {
        let source = source.into();
        // SAFETY: the caller promised that a file stays as it is while it is mapped, and that the text is what the
        // compiler wrote for the contract beside it, unchanged since. The index is read from the very bytes that
        // are published.
        let code = unsafe {
            let file = match source {
                Source::File(path) => ArtifactFile::open(path)?,
                Source::Bytes(bytes) => ArtifactFile::from_bytes(bytes)?,
            };
            let index = checked_index(&file)?;
            Code::publish(file, index)?
        };
        Ok(Module::new(code))
    }

    /// Loads an artifact whoever made it: its machine code is proved to keep its contract before it is mapped.
    ///
    /// What is proved is a private copy, read once; nobody can change it afterwards. Proving takes time in
    /// proportion to the code, on as many threads as are given.
    ///
    /// # Errors
    /// As [`Module::load_trusted`], and if the code cannot be proved.
    pub fn load_untrusted<'a>(source: impl Into<Source<'a>>, threads: NonZeroUsize) -> Result<Module, LoadError> {
        let file = private_copy(source.into())?;
        let index = checked_index(&file)?;
        Module::prove(file, index, threads)
    }

    /// Loads an artifact that a policy accepts, and whose machine code is proved, whether or not the policy asks for it.
    ///
    /// What is checked is a private copy, read once: contract, signature and proof are those of the very bytes that
    /// are mapped.
    ///
    /// # Errors
    /// As [`Module::load_untrusted`], and [`LoadError::Policy`] with everything the policy refuses.
    pub fn load_under<'a>(source: impl Into<Source<'a>>, terms: &Terms<'_>) -> Result<Module, LoadError> {
        let (file, index) = accepted(source.into(), terms)?;
        Module::prove(file, index, terms.threads)
    }

    /// Loads an artifact that a policy accepts; its machine code is proved if the policy asks for it
    /// ([`Verification::Required`]), and taken on trust if not.
    ///
    /// # Safety
    /// Unless the policy asks for proof, as [`Module::load_trusted`]: whoever the policy's signers are, and nobody who
    /// could forge for them, compiled the artifact with Selvedge's compiler. A file may change: it is copied first.
    ///
    /// # Errors
    /// As [`Module::load_under`].
    #[allow(unsafe_code)]
    pub unsafe fn load_trusted_under<'a>(
        source: impl Into<Source<'a>>,
        terms: &Terms<'_>,
    ) -> Result<Module, LoadError> {
        let (file, index) = accepted(source.into(), terms)?;
        match terms.policy.verification.value {
            Verification::Required => Module::prove(file, index, terms.threads),
            // SAFETY: the index was read from the very bytes that are published, which are sealed; the caller promised
            // that they are what the compiler wrote.
            Verification::Optional => Ok(Module::new(unsafe { Code::publish(file, index)? })),
        }
    }

    /// Proves that the code keeps its contract, then publishes it. `index` was read from `file`, a private copy.
    #[allow(unsafe_code)]
    fn prove(file: ArtifactFile, index: ArtifactIndex, threads: NonZeroUsize) -> Result<Module, LoadError> {
        selvedge_verifier::verify(file.bytes(), &index, threads).map_err(LoadError::Unproved)?;
        // SAFETY: the index was read from the very bytes that are published, which are sealed; the verifier has
        // just proved that they keep their contract and that their tables are true.
        let code = unsafe { Code::publish(file, index)? };
        Ok(Module::new(code))
    }

    fn new(code: Arc<Code>) -> Module {
        let contract = &code.index().contract;
        let imported = Imported::new(contract);
        let memory = contract.exports.iter().find(|export| export.name == "memory").map(|export| export.item);
        let memory = if let Some(Extern::Memory(index)) = memory { Some(index) } else { None };
        Module(Arc::new(ModuleInner {
            code,
            imported,
            memory,
            exports_by_name: OnceLock::new(),
            sources: SourceCache::default(),
        }))
    }

    /// What the module is and may do.
    pub fn contract(&self) -> &Contract {
        &self.0.code.index().contract
    }

    /// What the module needs, in order.
    pub fn imports(&self) -> &[Import] {
        &self.contract().imports
    }

    /// What the module offers, with types, in order.
    pub fn exports(&self) -> impl ExactSizeIterator<Item = (&str, ExternType)> {
        let contract = self.contract();
        contract.exports.iter().map(|export| {
            let ty = self.item_type(export.item).unwrap_or_else(|| ExternType::Func(FuncType::default()));
            (export.name.as_str(), ty)
        })
    }

    /// The name of a function in the module's name section, as it stands there. Imports count first.
    pub fn function_name(&self, function: u32) -> Option<&str> {
        self.index().names(self.bytes()).get(function)
    }

    /// The type of a function. Imports count first.
    pub fn function_type(&self, function: u32) -> Option<&FuncType> {
        let contract = self.contract();
        let imports = self.imported().functions.len() as u32;
        match function.checked_sub(imports) {
            None => match &contract.imports[self.imported().functions[function as usize] as usize].ty {
                ExternType::Func(ty) => Some(ty),
                _ => None,
            },
            Some(defined) if defined < contract.defined_functions => {
                let record = self.index().functions(self.bytes()).get(defined as usize)?;
                contract.types.get(record.ty as usize)
            }
            Some(_) => None,
        }
    }

    /// The function of the module that a text function is or belongs to.
    pub(crate) fn function_of(&self, text: TextFunction) -> Option<u32> {
        let imports = self.imported().functions.len() as u32;
        match text {
            TextFunction::Defined(i) => Some(imports + i),
            TextFunction::HostThunk(i) | TextFunction::ImportThunk(i) => Some(i),
            TextFunction::Entry(_) | TextFunction::BadCall => None,
        }
    }

    /// The type of an item as the module declares it.
    pub(crate) fn item_type(&self, item: Extern) -> Option<ExternType> {
        let contract = self.contract();
        Some(match item {
            Extern::Func(i) => ExternType::Func(self.function_type(i)?.clone()),
            Extern::Table(i) => ExternType::Table(*contract.table_type(i)?),
            Extern::Memory(i) => ExternType::Memory(*contract.memory_type(i)?),
            Extern::Global(i) => ExternType::Global(*contract.global_type(i)?),
        })
    }

    /// The export of a name.
    pub(crate) fn export(&self, name: &str) -> Option<Extern> {
        let exports = &self.contract().exports;
        if exports.len() <= EXPORTS_SCANNED_MAX {
            return exports.iter().find(|e| e.name == name).map(|e| e.item);
        }
        let order = self.0.exports_by_name.get_or_init(|| by_name(exports));
        let found = order.binary_search_by(|at| exports[*at as usize].name.as_str().cmp(name)).ok()?;
        Some(exports[order[found] as usize].item)
    }

    /// The code of a function by its index, imports first.
    pub(crate) fn text_function(&self, function: u32) -> Option<TextFunction> {
        match function.checked_sub(self.imported().functions.len() as u32) {
            None => Some(TextFunction::ImportThunk(function)),
            Some(i) => (i < self.contract().defined_functions).then_some(TextFunction::Defined(i)),
        }
    }

    /// The memory that is exported as `memory`, if one is.
    pub(crate) fn memory(&self) -> Option<u32> {
        self.0.memory
    }

    pub(crate) fn imported(&self) -> &Imported {
        &self.0.imported
    }

    pub(crate) fn code(&self) -> &Arc<Code> {
        &self.0.code
    }

    pub(crate) fn index(&self) -> &ArtifactIndex {
        self.0.code.index()
    }

    /// The artifact it was loaded from.
    pub fn bytes(&self) -> &[u8] {
        self.0.code.bytes()
    }

    pub(crate) fn source_cache(&self) -> &SourceCache {
        &self.0.sources
    }

    /// Whether both are the same loaded artifact.
    pub(crate) fn is(&self, other: &Module) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let contract = self.contract();
        f.debug_struct("Module")
            .field("functions", &contract.defined_functions)
            .field("source_sha256", &contract.provenance.source_sha256)
            .finish_non_exhaustive()
    }
}

fn by_name(exports: &[Export]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..exports.len() as u32).collect();
    order.sort_by(|a, b| exports[*a as usize].name.cmp(&exports[*b as usize].name));
    order
}

/// A copy of an artifact that nobody can change.
fn private_copy(source: Source<'_>) -> Result<ArtifactFile, LoadError> {
    Ok(match source {
        Source::File(path) => ArtifactFile::from_bytes(&read_bounded(path)?)?,
        Source::Bytes(bytes) => ArtifactFile::from_bytes(bytes)?,
    })
}

/// A private copy of an artifact that keeps to a policy, as far as its contract and signature go; or all violations.
fn accepted(source: Source<'_>, terms: &Terms<'_>) -> Result<(ArtifactFile, ArtifactIndex), LoadError> {
    let file = private_copy(source)?;
    let index = checked_index(&file)?;
    let signature = terms.policy.check_signature(file.bytes(), terms.signature);
    let found = [terms.policy.check(&index.contract), signature];
    match found.into_iter().filter_map(Result::err).reduce(Violations::and) {
        Some(violations) => Err(violations.into()),
        None => Ok((file, index)),
    }
}

/// A file's bytes; a file that is too large is not read.
fn read_bounded(path: &Path) -> Result<Vec<u8>, LoadError> {
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(LoadError::Read)?;
    file.take(ARTIFACT_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(LoadError::Read)?;
    Ok(bytes)
}

/// Everything that is checked without trusting the artifact or reading it whole.
fn checked_index(file: &ArtifactFile) -> Result<ArtifactIndex, LoadError> {
    let index = ArtifactIndex::read(file.bytes())?;
    let missing = index.contract.cpu.missing_in(CpuFeatures::host());
    if missing != CpuFeatures::default() {
        return Err(LoadError::Cpu { missing });
    }
    Ok(index)
}
