//! Names and source lines. Both come from strangers: names are cut short, DWARF is read on a budget.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

use gimli::{EndianSlice, LittleEndian, Reader, ReaderOffsetId};

use crate::backtrace::SourceLine;
use crate::module::Module;

/// Longest name that is demangled, and longest result.
const NAME_BYTES_MAX: usize = 4 << 10;
/// Reads of debug information for one backtrace: about a tenth of a second.
const READS_MAX: u64 = 8_000_000;
/// Bytes of text that count as a read.
const TEXT_BYTES_A_READ: u64 = 4;

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

/// What may be read of debug information for one backtrace: its maker decides how much there is to read.
#[derive(Debug)]
pub(crate) struct Budget(Cell<u64>);

impl Budget {
    pub(crate) fn new() -> Budget {
        Budget(Cell::new(READS_MAX))
    }

    fn is_whole(&self) -> bool {
        self.0.get() == READS_MAX
    }

    fn is_spent(&self) -> bool {
        self.0.get() == 0
    }

    /// Whether there is enough left; if not, nothing is.
    fn spend(&self, reads: u64) -> bool {
        let left = self.0.get().checked_sub(reads);
        self.0.set(left.unwrap_or(0));
        left.is_some()
    }
}

type Context<'b> = addr2line::Context<Budgeted<'b>>;

/// Source lines of one backtrace. What is beyond its budget has none.
pub(crate) struct SourceLines<'b> {
    budget: &'b Budget,
    /// Of each module what was read of it already.
    contexts: Vec<(&'b Module, Context<'b>)>,
}

impl<'b> SourceLines<'b> {
    pub(crate) fn new(budget: &'b Budget) -> SourceLines<'b> {
        SourceLines { budget, contexts: Vec::new() }
    }

    /// Where in the source a wasm offset comes from.
    pub(crate) fn find(&mut self, module: &'b Module, wasm_offset: u32) -> Option<SourceLine> {
        if !module.index().has_debug() {
            return None;
        }
        let address = wasm_offset.checked_sub(module.contract().code_section_offset)?;
        let cache = module.source_cache();
        if let Some(known) = cache.get(address) {
            return known;
        }
        let began_whole = self.budget.is_whole();
        // A reader of DWARF that panics on what a stranger wrote must not take the host with it.
        let found = catch_unwind(AssertUnwindSafe(|| self.look_up(module, address).ok().flatten()));
        let found = found.unwrap_or_else(|_| {
            self.contexts.clear();
            None
        });
        // What a whole budget is not enough for is not tried again; what there was no more of it for, is.
        if began_whole || !self.budget.is_spent() {
            cache.keep(address, &found);
        }
        found
    }

    fn look_up(&mut self, module: &'b Module, address: u32) -> Result<Option<SourceLine>, gimli::Error> {
        let at = match self.contexts.iter().position(|(known, _)| known.is(module)) {
            Some(at) => at,
            None => {
                let section = |name: &str| module.index().debug(module.bytes(), name).unwrap_or_default();
                self.contexts.push((module, context(self.budget, section)?));
                self.contexts.len() - 1
            }
        };
        line(&self.contexts[at].1, address)
    }
}

/// Reads which units of code there are.
fn context<'b>(budget: &'b Budget, section: impl Fn(&str) -> &'b [u8]) -> Result<Context<'b>, gimli::Error> {
    let section = |id: gimli::SectionId| {
        let bytes = section(id.name().trim_start_matches('.'));
        Ok::<_, gimli::Error>(Budgeted { bytes: EndianSlice::new(bytes, LittleEndian), budget })
    };
    Context::from_dwarf(gimli::Dwarf::load(section)?)
}

/// Lines only: the tree of inlined functions is read recursively, as deep as a stranger likes.
fn line(context: &Context<'_>, address: u32) -> Result<Option<SourceLine>, gimli::Error> {
    let location = context.find_location(address.into())?;
    Ok(location.and_then(|l| Some(SourceLine { file: l.file?.to_string(), line: l.line, column: l.column })))
}

/// A reader that gives up when its budget is spent: debug information can be made to be read for ever.
#[derive(Clone, Debug)]
struct Budgeted<'a> {
    bytes: EndianSlice<'a, LittleEndian>,
    budget: &'a Budget,
}

impl Budgeted<'_> {
    fn spend(&self, reads: u64) -> gimli::Result<()> {
        let is_left = self.budget.spend(reads);
        is_left.then_some(()).ok_or(gimli::Error::UnexpectedEof(self.bytes.offset_id()))
    }

    /// Of a text that will be copied, perhaps for each of many names.
    fn spend_text(&self) -> gimli::Result<()> {
        self.spend(1 + self.bytes.len() as u64 / TEXT_BYTES_A_READ)
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
        let found = Reader::find(&self.bytes, byte);
        let passed = found.unwrap_or(self.bytes.len());
        self.spend(1 + passed as u64 / TEXT_BYTES_A_READ)?;
        found
    }

    fn skip(&mut self, len: usize) -> gimli::Result<()> {
        self.spend(1)?;
        self.bytes.skip(len)
    }

    fn split(&mut self, len: usize) -> gimli::Result<Self> {
        self.spend(1)?;
        Ok(Budgeted { bytes: self.bytes.split(len)?, budget: self.budget })
    }

    fn to_slice(&self) -> gimli::Result<Cow<'_, [u8]>> {
        self.spend_text()?;
        self.bytes.to_slice()
    }

    fn to_string(&self) -> gimli::Result<Cow<'_, str>> {
        self.spend_text()?;
        Reader::to_string(&self.bytes)
    }

    fn to_string_lossy(&self) -> gimli::Result<Cow<'_, str>> {
        self.spend_text()?;
        Reader::to_string_lossy(&self.bytes)
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> gimli::Result<()> {
        self.spend(1)?;
        self.bytes.read_slice(buffer)
    }
}

/// Source lines already looked up, so that a guest that traps over and over costs the lookup once.
#[derive(Default)]
pub(crate) struct SourceCache(Mutex<HashMap<u32, Option<SourceLine>>>);

/// Most lines remembered per module.
const CACHED_MAX: usize = 4096;

impl SourceCache {
    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Option<SourceLine>>> {
        // Nothing below leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, address: u32) -> Option<Option<SourceLine>> {
        self.lock().get(&address).cloned()
    }

    fn keep(&self, address: u32, found: &Option<SourceLine>) {
        let mut lines = self.lock();
        if lines.len() < CACHED_MAX {
            lines.insert(address, found.clone());
        }
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

    /// A unit (DWARF 4) of the addresses from 0 on, made in `/src`: its abbreviations and itself.
    fn unit(comp_dir: &[u8]) -> (Vec<u8>, Vec<u8>) {
        // A compile unit without children: stmt_list, low_pc, high_pc as a number, comp_dir.
        let abbreviations = vec![1, 0x11, 0, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0x1b, 0x08, 0, 0, 0];
        let mut unit = vec![4, 0, 0, 0, 0, 0, 4, 1];
        unit.extend([0; 8]);
        unit.extend(u32::MAX.to_le_bytes());
        unit.extend([comp_dir, b"\0"].concat());
        (abbreviations, sized(unit))
    }

    fn sized(bytes: Vec<u8>) -> Vec<u8> {
        [&(bytes.len() as u32).to_le_bytes()[..], &bytes].concat()
    }

    /// A table of lines: so many files, then `program`, which begins at address 0 and line 1.
    fn lines(files: usize, program: &[u8]) -> Vec<u8> {
        // Instructions of one byte, no special ones' tricks: line_base 0, line_range 1, opcode_base 10.
        let mut header = vec![1, 1, 1, 0, 1, 10, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0];
        header.extend(b"a.rs\0\0\0\0".repeat(files));
        header.push(0);
        sized([&[4, 0][..], &sized(header), &[0, 5, 2, 0, 0, 0, 0], program].concat())
    }

    fn read<'b>(budget: &'b Budget, sections: &'b [(&str, Vec<u8>)]) -> Result<Context<'b>, gimli::Error> {
        let of =
            |name: &str| sections.iter().find(|(known, _)| *known == name).map_or(&[][..], |(_, bytes)| &bytes[..]);
        context(budget, of)
    }

    fn sections(comp_dir: &[u8], lines: Vec<u8>) -> [(&'static str, Vec<u8>); 3] {
        let (abbreviations, unit) = unit(comp_dir);
        [("debug_abbrev", abbreviations), ("debug_info", unit), ("debug_line", lines)]
    }

    const END: [u8; 5] = [2, 100, 0, 1, 1];

    #[test]
    fn lines_of_one_backtrace_are_read_once() {
        // Copied; four bytes and two lines on, copied; the end.
        let program = [&[1, 2, 4, 3, 2, 1][..], &END].concat();
        let (sections, budget) = (sections(b"/src", lines(1, &program)), Budget::new());
        let context = read(&budget, &sections).unwrap();
        let at = |address| line(&context, address).unwrap().map(|line| line.to_string());
        assert_eq!(at(0).as_deref(), Some("/src/a.rs:1:0"));
        let spent = budget.0.get();
        assert_eq!(at(5).as_deref(), Some("/src/a.rs:3:0"));
        assert_eq!(at(1_000), None);
        assert_eq!(budget.0.get(), spent, "what was read is not read again");
        assert!(READS_MAX - spent < 500, "{}", READS_MAX - spent);
    }

    #[test]
    fn debug_information_without_end_is_given_up_for_the_whole_backtrace() {
        // More rows than may be read; and few, of files in a directory with an endless name each of which would be a copy.
        let rows = sections(b"/src", lines(1, &[&b"\x01".repeat(READS_MAX as usize)[..], &END].concat()));
        let files = sections(&b"x".repeat(1 << 20), lines(100_000, &[&[1][..], &END].concat()));
        for sections in [rows, files] {
            let budget = Budget::new();
            let context = read(&budget, &sections).unwrap();
            assert!(line(&context, 0).is_err());
            assert!(budget.is_spent());
            for address in 1..100 {
                assert!(line(&context, address).is_err());
            }
            assert!(read(&budget, &sections).is_err(), "nor is there anything left for another module");
        }
    }
}
