//! Writing an artifact: same parts, same bytes.

use object::elf;
use object::write::StringId;
use object::write::elf::{FileHeader, ProgramHeader, SectionHeader, SectionIndex, Sym, Writer};
use thiserror::Error;

use super::tables::FunctionRecord;
use super::{FORMAT_VERSION, MAGIC, TextCounts, TextFunction, section};
use crate::abi::ABI_VERSION;
use crate::contract::Contract;
use crate::limits::{ARTIFACT_BYTES_MAX, CONTRACT_BYTES_MAX, HOST_PAGE_BYTES, TEXT_BYTES_MAX};
use crate::trap::TrapSite;

/// Everything an artifact is made of.
#[derive(Debug)]
pub struct ArtifactParts<'a> {
    /// The contract.
    pub contract: &'a Contract,
    /// Machine code, linked, position-independent.
    pub text: &'a [u8],
    /// One record per [`TextFunction`], in order.
    pub functions: &'a [FunctionRecord],
    /// Offset in text and trap, strictly ascending.
    pub traps: &'a [(u32, TrapSite)],
    /// Offset in text and wasm offset, strictly ascending.
    pub addresses: &'a [(u32, u32)],
    /// Names of the module's functions, imports included; empty where there is none.
    pub names: &'a [String],
    /// The memory image's pages.
    pub image: &'a [u8],
    /// The data segments' bytes.
    pub data: &'a [u8],
    /// DWARF sections by name (`debug_info`…), if kept.
    pub debug: &'a [(String, Vec<u8>)],
}

/// The module cannot be written as an artifact.
#[derive(Debug, Error)]
pub enum WriteError {
    /// A part is too large.
    #[error("{what} would take {bytes} bytes, more than the {max} an artifact may have")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most it may be.
        max: usize,
    },
    /// The contract could not be encoded.
    #[error("the contract could not be encoded: {0}")]
    Encode(#[from] postcard::Error),
    /// The ELF file could not be built.
    #[error("the ELF file could not be built: {0}")]
    Elf(#[from] object::write::Error),
}

/// What unused bytes of text hold: a breakpoint.
const INT3: u8 = 0xCC;

struct Section<'a> {
    name: String,
    bytes: std::borrow::Cow<'a, [u8]>,
    align: u64,
    kind: u32,
    flags: u64,
}

/// Writes an artifact.
///
/// # Errors
/// If a part exceeds its limit.
pub fn write(parts: &ArtifactParts<'_>) -> Result<Vec<u8>, WriteError> {
    cap("the code", parts.text.len(), TEXT_BYTES_MAX)?;
    let sections = sections(parts)?;
    cap("the artifact", sections.iter().map(|s| s.bytes.len()).sum(), ARTIFACT_BYTES_MAX)?;
    emit(&sections, &symbols(parts))
}

fn cap(what: &'static str, bytes: usize, max: usize) -> Result<(), WriteError> {
    if bytes > max { Err(WriteError::TooLarge { what, bytes, max }) } else { Ok(()) }
}

fn sections<'a>(parts: &ArtifactParts<'a>) -> Result<Vec<Section<'a>>, WriteError> {
    let page = HOST_PAGE_BYTES;
    let plain = |name: &str, bytes: std::borrow::Cow<'a, [u8]>, align| Section {
        name: name.into(),
        bytes,
        align,
        kind: elf::SHT_PROGBITS,
        flags: 0,
    };
    let code_flags = u64::from(elf::SHF_ALLOC | elf::SHF_EXECINSTR);
    let mut sections = vec![
        Section { flags: code_flags, ..plain(section::TEXT, padded_text(parts.text), page) },
        plain(section::CONTRACT, contract_bytes(parts.contract)?.into(), 8),
        plain(section::FUNCTIONS, function_bytes(parts.functions).into(), 8),
        plain(section::TRAPS, trap_bytes(parts.traps).into(), 8),
        plain(section::ADDRESSES, address_bytes(parts.addresses).into(), 8),
        plain(section::NAMES, name_bytes(parts.names).into(), 8),
        plain(section::DATA, parts.data.into(), 8),
    ];
    for (name, bytes) in parts.debug {
        sections.push(plain(&format!("{}{name}", section::DEBUG_PREFIX), bytes.as_slice().into(), 1));
    }
    sections.push(plain(section::IMAGE, parts.image.into(), page));
    Ok(sections)
}

/// Text is mapped in whole pages: what follows it there must not be executable data.
fn padded_text(text: &[u8]) -> std::borrow::Cow<'_, [u8]> {
    let whole = text.len().next_multiple_of(HOST_PAGE_BYTES as usize);
    if whole == text.len() {
        return text.into();
    }
    let mut padded = Vec::with_capacity(whole);
    padded.extend(text);
    padded.resize(whole, INT3);
    padded.into()
}

fn contract_bytes(contract: &Contract) -> Result<Vec<u8>, WriteError> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend(FORMAT_VERSION.to_le_bytes());
    bytes.extend(ABI_VERSION.to_le_bytes());
    let bytes = postcard::to_extend(contract, bytes)?;
    cap("the contract", bytes.len(), CONTRACT_BYTES_MAX)?;
    Ok(bytes)
}

fn function_bytes(functions: &[FunctionRecord]) -> Vec<u8> {
    functions.iter().flat_map(FunctionRecord::encode).collect()
}

fn trap_bytes(traps: &[(u32, TrapSite)]) -> Vec<u8> {
    let offsets = traps.iter().flat_map(|(at, _)| at.to_le_bytes());
    offsets.chain(traps.iter().map(|(_, code)| code.byte().get())).collect()
}

fn address_bytes(addresses: &[(u32, u32)]) -> Vec<u8> {
    addresses.iter().flat_map(|(text, wasm)| [text.to_le_bytes(), wasm.to_le_bytes()]).flatten().collect()
}

fn name_bytes(names: &[String]) -> Vec<u8> {
    let mut offsets = vec![0u32];
    let mut end = 0;
    for name in names {
        end += name.len() as u32;
        offsets.push(end);
    }
    let text = names.iter().flat_map(|name| name.bytes());
    offsets.iter().flat_map(|o| o.to_le_bytes()).chain(text).collect()
}

/// Symbols of all text functions: name, offset, size.
fn symbols(parts: &ArtifactParts<'_>) -> Vec<(String, FunctionRecord)> {
    let imports = parts.contract.imported_functions().count();
    let counts = TextCounts::of(parts.contract);
    let name = |index: usize| match counts.at(index) {
        Some(TextFunction::Defined(i)) => {
            let function = imports + i as usize;
            parts.names.get(function).filter(|n| !n.is_empty()).cloned().unwrap_or(format!("function[{function}]"))
        }
        Some(TextFunction::HostThunk(i)) => format!("host_thunk[{i}]"),
        Some(TextFunction::ImportThunk(i)) => format!("import_thunk[{i}]"),
        Some(TextFunction::Entry(i)) => format!("entry[{i}]"),
        Some(TextFunction::BadCall) | None => "bad_call".into(),
    };
    // A NUL would end the symbol's name early.
    let clean = |name: String| name.replace('\0', "?");
    parts.functions.iter().enumerate().map(|(i, record)| (clean(name(i)), *record)).collect()
}

/// Reserves everything, then writes it in the same order: the writer's two passes.
fn emit(sections: &[Section<'_>], symbols: &[(String, FunctionRecord)]) -> Result<Vec<u8>, WriteError> {
    let mut out = Vec::new();
    let mut writer = Writer::new(object::Endianness::Little, true, &mut out);
    let placed = reserve(&mut writer, sections, symbols);
    let text_offset = placed.offsets[0] as u64;
    writer.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_DYN,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: 0,
    })?;
    writer.write_align_program_headers();
    writer.write_program_header(&text_segment(&sections[0], text_offset));
    for (section, offset) in sections.iter().zip(&placed.offsets) {
        writer.pad_until(*offset);
        writer.write(&section.bytes);
    }
    writer.write_null_symbol();
    for ((_, record), name) in symbols.iter().zip(&placed.symbol_names) {
        writer.write_symbol(&symbol(record, *name, placed.text_index, text_offset));
    }
    writer.write_strtab();
    writer.write_shstrtab();
    writer.write_null_section_header();
    for ((section, offset), name) in sections.iter().zip(&placed.offsets).zip(&placed.section_names) {
        writer.write_section_header(&section.header(*name, *offset as u64));
    }
    writer.write_symtab_section_header(symbols.len() as u32 + 1);
    writer.write_strtab_section_header();
    writer.write_shstrtab_section_header();
    Ok(out)
}

/// Where the first pass put things.
struct Placed {
    offsets: Vec<usize>,
    section_names: Vec<StringId>,
    symbol_names: Vec<StringId>,
    text_index: SectionIndex,
}

fn reserve<'a>(
    writer: &mut Writer<'a>,
    sections: &'a [Section<'_>],
    symbols: &'a [(String, FunctionRecord)],
) -> Placed {
    let section_names = sections.iter().map(|s| writer.add_section_name(s.name.as_bytes())).collect();
    let symbol_names = symbols.iter().map(|(name, _)| writer.add_string(name.as_bytes())).collect();
    writer.reserve_null_section_index();
    let text_index = writer.reserve_section_index();
    for _ in &sections[1..] {
        writer.reserve_section_index();
    }
    writer.reserve_symtab_section_index();
    writer.reserve_strtab_section_index();
    writer.reserve_shstrtab_section_index();
    writer.reserve_null_symbol_index();
    for _ in symbols {
        writer.reserve_symbol_index(Some(text_index));
    }
    writer.reserve_file_header();
    writer.reserve_program_headers(1);
    let offsets = sections.iter().map(|s| writer.reserve(s.bytes.len(), s.align as usize)).collect();
    writer.reserve_symtab();
    writer.reserve_strtab();
    writer.reserve_shstrtab();
    writer.reserve_section_headers();
    Placed { offsets, section_names, symbol_names, text_index }
}

fn text_segment(text: &Section<'_>, offset: u64) -> ProgramHeader {
    ProgramHeader {
        p_type: elf::PT_LOAD,
        p_flags: elf::PF_R | elf::PF_X,
        p_offset: offset,
        p_vaddr: offset,
        p_paddr: offset,
        p_filesz: text.bytes.len() as u64,
        p_memsz: text.bytes.len() as u64,
        p_align: text.align,
    }
}

fn symbol(record: &FunctionRecord, name: StringId, section: SectionIndex, text_offset: u64) -> Sym {
    Sym {
        name: Some(name),
        section: Some(section),
        st_info: (elf::STB_LOCAL << 4) | elf::STT_FUNC,
        st_other: elf::STV_DEFAULT,
        st_shndx: 0,
        st_value: text_offset + u64::from(record.text_offset),
        st_size: record.text_len.into(),
    }
}

impl Section<'_> {
    fn header(&self, name: StringId, offset: u64) -> SectionHeader {
        SectionHeader {
            name: Some(name),
            sh_type: self.kind,
            sh_flags: self.flags,
            sh_addr: if self.flags == 0 { 0 } else { offset },
            sh_offset: offset,
            sh_size: self.bytes.len() as u64,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: self.align,
            sh_entsize: 0,
        }
    }
}
