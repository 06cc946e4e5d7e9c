//! Names and source lines. Both come from strangers: names are cut short, DWARF is read on a budget.

use std::borrow::Cow;
use std::cell::Cell;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use gimli::{EndianSlice, LittleEndian, Reader, ReaderOffsetId};

use crate::backtrace::SourceLine;
use crate::module::Module;

/// Longest name that is demangled, and longest result.
const NAME_BYTES_MAX: usize = 4 << 10;
/// Reads of debug information for one lookup: about a tenth of a second.
const READS_MAX: u64 = 8_000_000;

/// A Rust or C++ name as its programmer wrote it; other names as they are.
pub(crate) fn demangle(name: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        return cut(name);
    }
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        let mut text = Bounded(String::new());
        return if write!(text, "{rust:#}").is_ok() { text.0 } else { name.to_string() };
    }
    if name.starts_with("_Z") {
        let mut text = Bounded(String::new());
        let options = cpp_demangle::DemangleOptions::default();
        let symbol = cpp_demangle::Symbol::new(name).ok();
        let done = symbol.and_then(|symbol| symbol.structured_demangle(&mut text, &options).ok());
        return if done.is_some() { text.0 } else { name.to_string() };
    }
    name.to_string()
}

fn cut(name: &str) -> String {
    let end = (0..=NAME_BYTES_MAX).rev().find(|end| name.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", &name[..end])
}

/// Text that refuses to grow beyond bounds: a short mangled name can stand for an endless one.
struct Bounded(String);

impl Write for Bounded {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if self.0.len() + text.len() > NAME_BYTES_MAX {
            return Err(fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

/// Where in the source a wasm offset comes from.
pub(crate) fn source_line(module: &Module, wasm_offset: u32) -> Option<SourceLine> {
    if !module.index().has_debug() {
        return None;
    }
    let address = wasm_offset.checked_sub(module.contract().code_section_offset)?;
    module.source_cache().get(address, || {
        // A reader of DWARF that panics on what a stranger wrote must not take the host with it.
        catch_unwind(AssertUnwindSafe(|| look_up(module, address).ok().flatten())).ok().flatten()
    })
}

fn look_up(module: &Module, address: u32) -> Result<Option<SourceLine>, gimli::Error> {
    let left = Cell::new(READS_MAX);
    let section = |id: gimli::SectionId| {
        let name = id.name().trim_start_matches('.');
        let bytes = module.index().debug(module.bytes(), name).unwrap_or_default();
        Ok::<_, gimli::Error>(Budgeted { bytes: EndianSlice::new(bytes, LittleEndian), left: &left })
    };
    let context = addr2line::Context::from_dwarf(gimli::Dwarf::load(section)?)?;
    // Lines only: the tree of inlined functions is read recursively, as deep as a stranger likes.
    let location = context.find_location(address.into())?;
    Ok(location.and_then(|l| Some(SourceLine { file: l.file?.to_string(), line: l.line, column: l.column })))
}

/// A reader that gives up after so many reads: debug information can be made to be read for ever.
#[derive(Clone, Debug)]
struct Budgeted<'a> {
    bytes: EndianSlice<'a, LittleEndian>,
    left: &'a Cell<u64>,
}

impl Budgeted<'_> {
    fn spend(&self) -> gimli::Result<()> {
        let left = self.left.get().checked_sub(1).ok_or(gimli::Error::UnexpectedEof(self.bytes.offset_id()))?;
        self.left.set(left);
        Ok(())
    }
}

impl Reader for Budgeted<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.bytes.len()
    }

    fn empty(&mut self) {
        Reader::empty(&mut self.bytes);
    }

    fn truncate(&mut self, len: usize) -> gimli::Result<()> {
        self.bytes.truncate(len)
    }

    fn offset_from(&self, base: &Self) -> usize {
        Reader::offset_from(&self.bytes, &base.bytes)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.bytes.offset_id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.bytes.lookup_offset_id(id)
    }

    fn find(&self, byte: u8) -> gimli::Result<usize> {
        self.spend()?;
        Reader::find(&self.bytes, byte)
    }

    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        self.spend()?;
        self.bytes.skip(len)
    }

    fn split(&mut self, len: usize) -> gimli::Result<Self> {
        self.spend()?;
        Ok(Budgeted { bytes: self.bytes.split(len)?, left: self.left })
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.bytes.to_slice()
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        Reader::to_string(&self.bytes)
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        Reader::to_string_lossy(&self.bytes)
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> gimli::Result<()> {
        self.spend()?;
        self.bytes.read_slice(buffer)
    }
}

/// Source lines already looked up, so that a guest that traps over and over costs the lookup once.
#[derive(Default)]
pub(crate) struct SourceCache(std::sync::Mutex<std::collections::HashMap<u32, Option<SourceLine>>>);

/// Most lines remembered per module.
const CACHED_MAX: usize = 4096;

impl SourceCache {
    fn get(&self, address: u32, look_up: impl FnOnce() -> Option<SourceLine>) -> Option<SourceLine> {
        let lock = || self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(known) = lock().get(&address) {
            return known.clone();
        }
        let found = look_up();
        let mut cache = lock();
        if cache.len() < CACHED_MAX {
            cache.insert(address, found.clone());
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_both_languages_are_demangled() {
        let cases = [
            ("_ZN4core9panicking5panic17h0123456789abcdefE", "core::panicking::panic"),
            ("_RNvC6_123foo3bar", "123foo::bar"),
            ("_ZN5space3fooEibc", "space::foo(int, bool, char)"),
            ("main", "main"),
            ("_Znonsense", "_Znonsense"),
        ];
        for (mangled, expected) in cases {
            assert_eq!(demangle(mangled), expected);
        }
    }

    #[test]
    fn names_stay_short() {
        assert!(demangle(&"é".repeat(10_000)).len() <= NAME_BYTES_MAX + 4);
        // Every `S_` doubles what came before.
        let bomb = format!("_Z1fI{}E", "N1aI1bS_S_EE".repeat(300));
        assert!(demangle(&bomb).len() <= NAME_BYTES_MAX);
    }
}
