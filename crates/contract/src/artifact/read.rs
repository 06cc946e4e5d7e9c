//! Reading an artifact: hostile until shown otherwise.

use std::ops::Range;

use object::elf;
use object::read::elf::{FileHeader, SectionHeader};
use thiserror::Error;

use super::tables::{AddressTable, FunctionRecord, FunctionTable, NameTable, TrapTable};
use super::{FORMAT_VERSION, HEADER_BYTES, MAGIC, check, section};
use crate::abi::ABI_VERSION;
use crate::contract::Contract;
use crate::limits::{ARTIFACT_BYTES_MAX, CONTRACT_BYTES_MAX, HOST_PAGE_BYTES, TEXT_BYTES_MAX};
use crate::vmctx::{LayoutError, VmLayout};

/// Sections an artifact may have; more is refused before they are looked at.
const SECTIONS_MAX: usize = 64;

/// The file is no artifact this version can load. Whose fault: the artifact's maker's or carrier's.
#[derive(Debug, Error)]
pub enum ArtifactError {
    /// What an artifact is made from.
    #[error("this is {0}, not an artifact; compile it first: `selvedge compile FILE`")]
    Module(&'static str),
    /// Something else altogether.
    #[error("not an artifact: those are ELF files, and this is none; make one with `selvedge compile`")]
    NotElf,
    /// An ELF file that is broken, or for another machine.
    #[error("not an artifact: {0}; make one with `selvedge compile`")]
    BrokenElf(String),
    /// An ELF file of something else.
    #[error("not an artifact: this is an ELF file without {}", section::CONTRACT)]
    NotArtifact,
    /// Made by another version.
    #[error(
        "the artifact has format {format} and ABI {abi}, this version loads format {FORMAT_VERSION} and ABI {ABI_VERSION}: compile the module again"
    )]
    Version {
        /// Its format.
        format: u32,
        /// Its ABI.
        abi: u32,
    },
    /// A part is larger than it may be.
    #[error("{what} has {bytes} bytes, more than the {max} allowed")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: u64,
        /// The most it may be.
        max: u64,
    },
    /// A section is missing, doubled, misplaced or of the wrong size.
    #[error("section {name} {problem}: the artifact is damaged")]
    Section {
        /// Which section.
        name: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// The contract cannot be decoded.
    #[error("the contract cannot be decoded ({0}): the artifact is damaged")]
    Decode(postcard::Error),
    /// Parts of the artifact contradict each other.
    #[error("the artifact contradicts itself: {0}")]
    Inconsistent(String),
    /// Its tables do not fit.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl ArtifactError {
    /// Whether it is of something else, and not of an artifact that is damaged or of another version.
    pub fn is_foreign(&self) -> bool {
        use ArtifactError::{BrokenElf, Module, NotArtifact, NotElf};
        matches!(self, Module(_) | NotElf | BrokenElf(_) | NotArtifact)
    }

    /// What is no ELF file may be what a user takes for one: a module.
    fn not_elf(bytes: &[u8]) -> ArtifactError {
        let text = bytes.trim_ascii_start();
        match bytes {
            [0, b'a', b's', b'm', ..] => ArtifactError::Module("a WebAssembly module"),
            _ if text.starts_with(b"(") || text.starts_with(b";;") => ArtifactError::Module("WebAssembly text"),
            _ => ArtifactError::NotElf,
        }
    }
}

/// Where everything is in an artifact that was read and found consistent.
///
/// It holds ranges, not references, so that it can live beside the mapping it describes. Methods that take
/// `bytes` want the very bytes it was made from.
#[derive(Debug)]
pub struct ArtifactIndex {
    /// The contract.
    pub contract: Contract,
    /// Where state lies relative to the context.
    pub layout: VmLayout,
    text: Range<usize>,
    functions: Range<usize>,
    traps: Range<usize>,
    addresses: Range<usize>,
    names: Range<usize>,
    image: Range<usize>,
    data: Range<usize>,
    debug: Vec<(String, Range<usize>)>,
}

impl ArtifactIndex {
    /// Reads and checks an artifact.
    ///
    /// Time and memory are bounded by its size. The large tables are checked for shape here and for order
    /// by [`ArtifactIndex::check_tables`], which reads them whole.
    ///
    /// # Errors
    /// On anything but a consistent artifact of this version.
    pub fn read(bytes: &[u8]) -> Result<ArtifactIndex, ArtifactError> {
        cap("the artifact", bytes.len() as u64, ARTIFACT_BYTES_MAX as u64)?;
        let mut sections = Sections::read(bytes)?;
        let contract_range = sections.take(section::CONTRACT).ok_or(ArtifactError::NotArtifact)?;
        let contract = read_contract(&bytes[contract_range])?;
        let mut index = ArtifactIndex {
            layout: check::contract(&contract)?,
            text: sections.required(section::TEXT)?,
            functions: sections.required(section::FUNCTIONS)?,
            traps: sections.required(section::TRAPS)?,
            addresses: sections.required(section::ADDRESSES)?,
            names: sections.required(section::NAMES)?,
            image: sections.required(section::IMAGE)?,
            data: sections.required(section::DATA)?,
            debug: Vec::new(),
            contract,
        };
        index.debug = sections.debug();
        index.check_shapes()?;
        check::segments(&index.contract, index.image.len(), index.data.len())?;
        Ok(index)
    }

    fn check_shapes(&self) -> Result<(), ArtifactError> {
        cap("the code", self.text.len() as u64, TEXT_BYTES_MAX as u64)?;
        let names = (self.contract.function_count() + 1) * 4;
        let functions = super::TextFunction::count(&self.contract) * FunctionRecord::BYTES;
        let page = HOST_PAGE_BYTES as usize;
        let shapes = [
            (section::TEXT, self.text.start.is_multiple_of(page), "does not start on a page"),
            (section::TEXT, self.text.len().is_multiple_of(page), "does not end on a page"),
            (section::IMAGE, self.image.start.is_multiple_of(page), "does not start on a page"),
            (section::FUNCTIONS, self.functions.len() == functions, "does not have one record per function"),
            (section::TRAPS, self.traps.len().is_multiple_of(TrapTable::BYTES), "has a broken entry"),
            (section::ADDRESSES, self.addresses.len().is_multiple_of(AddressTable::BYTES), "has a broken entry"),
            (section::NAMES, self.names.len() >= names, "is too short"),
        ];
        match shapes.iter().find(|(_, good, _)| !good) {
            Some((name, _, problem)) => Err(ArtifactError::Section { name: name.to_string(), problem }),
            None => Ok(()),
        }
    }

    /// Checks the order and ranges of the function, trap and address tables, reading them whole.
    ///
    /// # Errors
    /// If an entry is out of order or points outside the text.
    pub fn check_tables(&self, bytes: &[u8]) -> Result<(), ArtifactError> {
        check::tables(self, bytes)
    }

    /// Range of the text in the file; starts on a page.
    pub fn text(&self) -> Range<usize> {
        self.text.clone()
    }

    /// Range of the memory image in the file; starts on a page.
    pub fn image(&self) -> Range<usize> {
        self.image.clone()
    }

    /// The function table.
    pub fn functions<'a>(&self, bytes: &'a [u8]) -> FunctionTable<'a> {
        FunctionTable(&bytes[self.functions.clone()])
    }

    /// The trap table.
    pub fn traps<'a>(&self, bytes: &'a [u8]) -> TrapTable<'a> {
        TrapTable(&bytes[self.traps.clone()])
    }

    /// The address table.
    pub fn addresses<'a>(&self, bytes: &'a [u8]) -> AddressTable<'a> {
        AddressTable(&bytes[self.addresses.clone()])
    }

    /// The function names.
    pub fn names<'a>(&self, bytes: &'a [u8]) -> NameTable<'a> {
        NameTable { bytes: &bytes[self.names.clone()], count: self.contract.function_count() }
    }

    /// The data segments' bytes.
    pub fn data<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.data.clone()]
    }

    /// A kept DWARF section, by its name without dot (`debug_info`).
    pub fn debug<'a>(&self, bytes: &'a [u8], name: &str) -> Option<&'a [u8]> {
        self.debug.iter().find(|(n, _)| n == name).map(|(_, range)| &bytes[range.clone()])
    }

    /// All kept DWARF sections by name, in the order of their names.
    pub(super) fn all_debug(&self, bytes: &[u8]) -> Vec<(String, Vec<u8>)> {
        self.debug.iter().map(|(name, range)| (name.clone(), bytes[range.clone()].to_vec())).collect()
    }

    /// Whether DWARF was kept.
    pub fn has_debug(&self) -> bool {
        !self.debug.is_empty()
    }

    /// Every section by name with its size, for people.
    pub fn sections(&self) -> Vec<(String, usize)> {
        let fixed = [
            (section::TEXT, &self.text),
            (section::FUNCTIONS, &self.functions),
            (section::TRAPS, &self.traps),
            (section::ADDRESSES, &self.addresses),
            (section::NAMES, &self.names),
            (section::IMAGE, &self.image),
            (section::DATA, &self.data),
        ];
        let fixed = fixed.iter().map(|(name, range)| (name.to_string(), range.len()));
        fixed.chain(self.debug.iter().map(|(n, r)| (format!("{}{n}", section::DEBUG_PREFIX), r.len()))).collect()
    }
}

pub(super) fn cap(what: &'static str, bytes: u64, max: u64) -> Result<(), ArtifactError> {
    if bytes > max { Err(ArtifactError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

fn read_contract(bytes: &[u8]) -> Result<Contract, ArtifactError> {
    cap("the contract", bytes.len() as u64, CONTRACT_BYTES_MAX as u64)?;
    let (header, body) = bytes.split_at_checked(HEADER_BYTES).ok_or(ArtifactError::NotArtifact)?;
    let (magic, versions) = header.split_at(MAGIC.len());
    if magic != MAGIC {
        return Err(ArtifactError::NotArtifact);
    }
    let version = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| versions[at + i]));
    let (format, abi) = (version(0), version(4));
    if (format, abi) != (FORMAT_VERSION, ABI_VERSION) {
        return Err(ArtifactError::Version { format, abi });
    }
    let (contract, rest) = postcard::take_from_bytes(body).map_err(ArtifactError::Decode)?;
    if rest.is_empty() { Ok(contract) } else { Err(ArtifactError::Inconsistent("bytes after the contract".into())) }
}

struct Sections(Vec<(String, Range<usize>)>);

impl Sections {
    fn read(bytes: &[u8]) -> Result<Sections, ArtifactError> {
        if !bytes.starts_with(&elf::ELFMAG) {
            return Err(ArtifactError::not_elf(bytes));
        }
        let broken = |e: object::read::Error| ArtifactError::BrokenElf(e.to_string());
        let header = elf::FileHeader64::<object::Endianness>::parse(bytes).map_err(broken)?;
        let endian = header.endian().map_err(broken)?;
        if header.e_machine(endian) != elf::EM_X86_64 {
            return Err(ArtifactError::BrokenElf("an ELF file for another machine than x86-64".into()));
        }
        let table = header.sections(endian, bytes).map_err(broken)?;
        cap("the section table", table.len() as u64, SECTIONS_MAX as u64)?;
        let mut sections = Sections(Vec::new());
        for header in table.iter().skip(1) {
            let name = table.section_name(endian, header).map_err(broken)?;
            let name = std::str::from_utf8(name).map_err(|e| ArtifactError::BrokenElf(e.to_string()))?;
            let data = header.file_range(endian).unwrap_or((0, 0));
            sections.add(name, data, bytes.len())?;
        }
        sections.check_overlap()?;
        Ok(sections)
    }

    fn add(&mut self, name: &str, (offset, len): (u64, u64), file_bytes: usize) -> Result<(), ArtifactError> {
        let fail = |problem| ArtifactError::Section { name: name.into(), problem };
        let end = offset.checked_add(len).filter(|end| *end <= file_bytes as u64);
        let end = end.ok_or_else(|| fail("reaches beyond the end of the file"))?;
        if self.0.iter().any(|(n, _)| n == name) {
            return Err(fail("occurs twice"));
        }
        self.0.push((name.into(), offset as usize..end as usize));
        Ok(())
    }

    fn check_overlap(&self) -> Result<(), ArtifactError> {
        let mut ranges: Vec<_> = self.0.iter().filter(|(_, r)| !r.is_empty()).collect();
        ranges.sort_by_key(|(_, r)| r.start);
        match ranges.windows(2).find(|pair| pair[0].1.end > pair[1].1.start) {
            Some(pair) => Err(ArtifactError::Section { name: pair[1].0.clone(), problem: "overlaps another" }),
            None => Ok(()),
        }
    }

    fn take(&mut self, name: &str) -> Option<Range<usize>> {
        let at = self.0.iter().position(|(n, _)| n == name)?;
        Some(self.0.swap_remove(at).1)
    }

    fn required(&mut self, name: &str) -> Result<Range<usize>, ArtifactError> {
        self.take(name).ok_or_else(|| ArtifactError::Section { name: name.into(), problem: "is missing" })
    }

    fn debug(&mut self) -> Vec<(String, Range<usize>)> {
        let named = self.0.iter().filter_map(|(name, range)| {
            let name = name.strip_prefix(section::DEBUG_PREFIX)?;
            name.starts_with("debug_").then(|| (name.to_string(), range.clone()))
        });
        let mut found: Vec<_> = named.collect();
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        found
    }
}
