//! Where guest code was, for people.
//!
//! Capturing keeps addresses only. Names and lines are looked up when the backtrace is looked at.

use std::fmt::{self, Write};

use selvedge_contract::artifact::TextFunction;

use crate::core::Core;
use crate::module::Module;
use crate::symbols::{Budget, SourceLines, demangle};

/// Frames kept at the inner end of a long backtrace.
const INNER_FRAMES: usize = 48;
/// Frames kept at its outer end.
const OUTER_FRAMES: usize = 16;

/// The guest's calls, innermost first. If guests and host called each other, the frames of all guests.
#[derive(Clone, Default)]
pub struct Backtrace {
    frames: Vec<RawFrame>,
    /// Frames left out after the first [`INNER_FRAMES`].
    omitted: usize,
}

#[derive(Clone)]
struct RawFrame {
    module: Module,
    /// Within the instruction that trapped or called.
    text_offset: u32,
}

/// One call.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Frame {
    /// The function's index in its module; imports count first.
    pub function: u32,
    /// Its name, demangled; for an imported function the names it is imported by.
    pub name: Option<String>,
    /// Whether it is a function that the host provides.
    pub is_host: bool,
    /// Offset of the instruction in the WebAssembly binary.
    pub wasm_offset: Option<u32>,
    /// Where in the source, if the artifact has debug information.
    pub source: Option<SourceLine>,
}

/// A place in source code.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceLine {
    /// File, as the compiler recorded it.
    pub file: String,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1.
    pub column: Option<u32>,
}

impl Backtrace {
    /// From the address where the guest was, and the return addresses above it.
    pub(crate) fn capture(core: &Core, pc: Option<u64>, return_addresses: &[u64]) -> Backtrace {
        let inside_call = |address: &u64| address.saturating_sub(1);
        let addresses = pc.into_iter().chain(return_addresses.iter().map(inside_call));
        let frames = addresses.filter_map(|address| RawFrame::at(core, address)).collect();
        let mut backtrace = Backtrace { frames, omitted: 0 };
        backtrace.shorten();
        backtrace
    }

    /// Adds the frames of the guest that called the host that called this one.
    pub(crate) fn append(&mut self, outer: Backtrace) {
        self.frames.extend(outer.frames);
        self.omitted += outer.omitted;
        self.shorten();
    }

    fn shorten(&mut self) {
        if let Some(excess) = self.frames.len().checked_sub(INNER_FRAMES + OUTER_FRAMES) {
            self.frames.drain(INNER_FRAMES..INNER_FRAMES + excess);
            self.omitted += excess;
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The calls, innermost first. Names and lines are looked up now.
    pub fn frames(&self) -> Vec<Frame> {
        self.numbered().into_iter().map(|(_, frame)| frame).collect()
    }

    /// Every frame with its number, which counts omitted ones.
    fn numbered(&self) -> Vec<(usize, Frame)> {
        let number = |i: usize| if i < INNER_FRAMES { i } else { i + self.omitted };
        let budget = Budget::new();
        let mut lines = SourceLines::new(&budget);
        let frames = self.frames.iter().enumerate();
        frames.filter_map(|(i, raw)| Some((number(i), raw.resolve(&mut lines)?))).collect()
    }
}

impl RawFrame {
    /// The frame at an address; `None` in code that no programmer wrote.
    fn at(core: &Core, address: u64) -> Option<RawFrame> {
        let frame = core.instances.iter().find_map(|instance| {
            let text_offset = instance.module.code().text_offset_of(address)?;
            Some(RawFrame { module: instance.module.clone(), text_offset })
        })?;
        let shown = matches!(frame.function()?, TextFunction::Defined(_) | TextFunction::HostThunk(_));
        shown.then_some(frame)
    }

    fn function(&self) -> Option<TextFunction> {
        let index = self.module.index();
        let (number, _) = index.functions(self.module.bytes()).find(self.text_offset)?;
        TextFunction::at(number, &index.contract)
    }

    fn resolve<'f>(&'f self, lines: &mut SourceLines<'f>) -> Option<Frame> {
        let text = self.function()?;
        let function = self.module.function_of(text)?;
        if matches!(text, TextFunction::HostThunk(_)) {
            let name = self.import_name(function);
            return Some(Frame { function, name, is_host: true, wasm_offset: None, source: None });
        }
        let name = self.module.function_name(function).map(demangle);
        let wasm_offset = self.module.index().addresses(self.module.bytes()).find(self.text_offset);
        let source = wasm_offset.and_then(|offset| lines.find(&self.module, offset));
        Some(Frame { function, name, is_host: false, wasm_offset, source })
    }

    fn import_name(&self, function: u32) -> Option<String> {
        let position = *self.module.imported().functions.get(function as usize)?;
        let import = self.module.imports().get(position as usize)?;
        Some(format!("{} {}", import.module, import.name))
    }
}

/// Whether a character is not seen, but does something to what is: a control character, or one that turns text around, hides it
/// or ends a line (Unicode's categories Cc, and of Cf, Zl and Zp what terminals and browsers obey).
pub fn is_hidden(c: char) -> bool {
    let obeyed = ['\u{ad}', '\u{61c}', '\u{180e}', '\u{feff}'].contains(&c);
    c.is_control()
        || obeyed
        || matches!(c, '\u{200b}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

/// A name that the module's maker has chosen, as it can be shown: it could be lines of somebody else's else.
struct Shown<'a>(&'a str);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if is_hidden(c) { write!(f, "{}", c.escape_default()) } else { f.write_char(c) })
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "{}", Shown(name))?,
            None => write!(f, "function[{}]", self.function)?,
        }
        if self.is_host {
            write!(f, " (host)")?;
        }
        if let Some(offset) = self.wasm_offset {
            write!(f, " (wasm {offset:#x})")?;
        }
        if let Some(source) = &self.source {
            write!(f, "\n          at {source}")?;
        }
        Ok(())
    }
}

impl fmt::Display for SourceLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Shown(&self.file))?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))?;
        self.column.map_or(Ok(()), |column| write!(f, ":{column}"))
    }
}

impl fmt::Display for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines = Vec::new();
        for (number, frame) in self.numbered() {
            if self.omitted > 0 && number == INNER_FRAMES + self.omitted {
                lines.push(format!("      … {} more …", self.omitted));
            }
            lines.push(format!("{number:>5}: {frame}"));
        }
        f.write_str(&lines.join("\n"))
    }
}

impl fmt::Debug for Backtrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Backtrace({} frames)", self.frames.len() + self.omitted)
    }
}
