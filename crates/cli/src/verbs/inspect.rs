//! `selvedge inspect`: what an artifact is and may do.

use std::cmp::Reverse;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use selvedge_contract::artifact::{FunctionRecord, TextFunction};
use selvedge_contract::limits::{HOST_PAGE_BYTES, WASM_PAGE_BYTES};
use selvedge_contract::{Interruption, MemoryLayout};
use serde::Serialize;

use crate::artifact::Artifact;
use crate::options::human;
use crate::{disassemble, files};

/// Show what an artifact is and may do
///
/// Its contract (imports, exports, memories, tables, CPU features, how it is
/// interrupted), its sections and its largest functions. Nothing is run.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  selvedge inspect app.selv
  selvedge inspect app.selv --largest 50
  selvedge inspect app.selv --json | jq .imports
  selvedge inspect app.selv --disassemble main
  selvedge inspect app.selv --disassemble 'func[7]'")]
pub(crate) struct Args {
    /// The artifact
    artifact: PathBuf,
    /// One JSON object instead of text
    #[arg(long, conflicts_with = "disassemble")]
    json: bool,
    /// The machine code of a function, by name, number, or part of a name
    #[arg(long, value_name = "FUNC")]
    disassemble: Option<String>,
    /// How many of the largest functions to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    largest: usize,
}

/// Runs the verb.
pub(crate) fn main(args: &Args) -> Result<ExitCode> {
    let artifact = Artifact::read(&args.artifact)?;
    let text = match &args.disassemble {
        Some(wanted) => disassembly(&artifact, wanted)?,
        None if args.json => serde_json::to_string_pretty(&Report::new(&artifact, args.largest))? + "\n",
        None => Report::new(&artifact, args.largest).text(),
    };
    files::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn disassembly(artifact: &Artifact, wanted: &str) -> Result<String> {
    let found = artifact.find(wanted);
    ensure!(!found.is_empty(), "no function is called {wanted:?}; `selvedge inspect --largest 1000` lists names");
    Ok(disassemble::some(artifact, &found))
}

/// What there is to say, in both forms.
#[derive(Serialize)]
struct Report {
    bytes: usize,
    compiler: String,
    options: String,
    source_sha256: String,
    cpu_features: Vec<&'static str>,
    interruption: &'static str,
    metered: bool,
    imports: Vec<Named>,
    exports: Vec<Named>,
    memories: Vec<Memory>,
    imported_memory_layout: &'static str,
    tables: Vec<Table>,
    globals: usize,
    types: usize,
    functions: u32,
    debug_information: bool,
    sections: Vec<Sized>,
    largest_functions: Vec<Sized>,
}

#[derive(Serialize)]
struct Named {
    #[serde(skip_serializing_if = "Option::is_none")]
    module: Option<String>,
    name: String,
    #[serde(rename = "type")]
    ty: String,
}

#[derive(Serialize)]
struct Memory {
    #[serde(rename = "type")]
    ty: String,
    layout: &'static str,
    max_bytes: u64,
    reservation_bytes: u64,
    guard_bytes: u64,
    image_bytes: u64,
}

#[derive(Serialize)]
struct Table {
    #[serde(rename = "type")]
    ty: String,
    max_entries: u64,
}

#[derive(Serialize)]
struct Sized {
    name: String,
    bytes: usize,
}

fn layout_name(layout: MemoryLayout) -> &'static str {
    match layout {
        MemoryLayout::Guarded => "guarded",
        MemoryLayout::Dense => "dense",
    }
}

impl Report {
    fn new(artifact: &Artifact, largest: usize) -> Report {
        let contract = artifact.contract();
        let provenance = contract.provenance.clone();
        Report {
            bytes: artifact.bytes.len(),
            compiler: provenance.compiler,
            options: provenance.options,
            source_sha256: provenance.source_sha256,
            cpu_features: contract.cpu.names().collect(),
            interruption: match contract.interruption {
                Interruption::Signal => "signal",
            },
            metered: contract.metered,
            imports: imports(artifact),
            exports: exports(artifact),
            memories: memories(artifact),
            imported_memory_layout: layout_name(contract.imported_memory_layout),
            tables: contract
                .tables
                .iter()
                .map(|t| Table { ty: t.ty.to_string(), max_entries: t.entries_max })
                .collect(),
            globals: contract.globals.len(),
            types: contract.types.len(),
            functions: contract.defined_functions,
            debug_information: artifact.index.has_debug(),
            sections: artifact.index.sections().into_iter().map(|(name, bytes)| Sized { name, bytes }).collect(),
            largest_functions: largest_functions(artifact, largest),
        }
    }

    fn text(&self) -> String {
        let mut out = format!("artifact of {} bytes\n", grouped(self.bytes as u64));
        let cpu = self.cpu_features.join(" ");
        let debug = if self.debug_information { "yes" } else { "no" };
        for (name, value) in [
            ("compiler", self.compiler.as_str()),
            ("options", &self.options),
            ("source", &format!("sha256 {}", self.source_sha256)),
            ("cpu", &cpu),
            ("interrupted", &format!("by {}, at any instruction", self.interruption)),
            ("metered", if self.metered { "yes" } else { "no" }),
            ("functions", &self.functions.to_string()),
            ("globals", &self.globals.to_string()),
            ("debug info", debug),
        ] {
            out += &format!("  {name:<12} {value}\n");
        }
        out += &list("imports", self.imports.iter().map(Named::line));
        out += &list("exports", self.exports.iter().map(Named::line));
        out += &list("memories", self.memories.iter().map(Memory::line));
        out += &list(
            "tables",
            self.tables.iter().map(|t| format!("{}, at most {} entries", t.ty, grouped(t.max_entries))),
        );
        out += &list("sections", self.sections.iter().map(Sized::line));
        out += &list("largest functions", self.largest_functions.iter().map(Sized::line));
        out
    }
}

fn list(title: &str, lines: impl ExactSizeIterator<Item = String>) -> String {
    if lines.len() == 0 {
        return format!("\nno {title}\n");
    }
    lines.fold(format!("\n{title}\n"), |out, line| out + "  " + &line + "\n")
}

impl Named {
    fn line(&self) -> String {
        let module = self.module.as_ref().map_or(String::new(), |module| format!("{module} "));
        format!("{:<40} {}", format!("{module}{}", self.name), self.ty)
    }
}

impl Memory {
    fn line(&self) -> String {
        let Memory { ty, layout, .. } = self;
        let [max, reserved, guard, image] =
            [self.max_bytes, self.reservation_bytes, self.guard_bytes, self.image_bytes].map(human);
        format!("{ty}, {layout}: at most {max}, reserves {reserved} and a guard of {guard}, image {image}")
    }
}

impl Sized {
    fn line(&self) -> String {
        format!("{:>12}  {}", grouped(self.bytes as u64), self.name)
    }
}

fn imports(artifact: &Artifact) -> Vec<Named> {
    let imports = artifact.contract().imports.iter();
    imports.map(|i| Named { module: Some(i.module.clone()), name: i.name.clone(), ty: i.ty.to_string() }).collect()
}

fn exports(artifact: &Artifact) -> Vec<Named> {
    let ty = |item| artifact.item_type(item).map_or_else(|| "of unknown type".into(), |ty| ty.to_string());
    let exports = artifact.contract().exports.iter();
    exports.map(|e| Named { module: None, name: e.name.clone(), ty: ty(e.item) }).collect()
}

fn memories(artifact: &Artifact) -> Vec<Memory> {
    let contract = artifact.contract();
    let image = |memory: usize| {
        let runs = contract.image.iter().filter(|run| run.memory as usize == memory);
        runs.map(|run| run.pages * HOST_PAGE_BYTES).sum()
    };
    let memory = |(number, plan): (usize, &selvedge_contract::MemoryPlan)| Memory {
        ty: plan.ty.to_string(),
        layout: layout_name(plan.layout),
        max_bytes: plan.pages_max.saturating_mul(WASM_PAGE_BYTES),
        reservation_bytes: plan.reservation_bytes,
        guard_bytes: plan.guard_bytes,
        image_bytes: image(number),
    };
    contract.memories.iter().enumerate().map(memory).collect()
}

fn largest_functions(artifact: &Artifact, count: usize) -> Vec<Sized> {
    let mut functions: Vec<(TextFunction, FunctionRecord)> = artifact.text_functions().collect();
    functions.sort_by_key(|(_, record)| (Reverse(record.text_len), record.text_offset));
    functions.truncate(count);
    let sized = |(function, record): (TextFunction, FunctionRecord)| Sized {
        name: artifact.describe(function),
        bytes: record.text_len as usize,
    };
    functions.into_iter().map(sized).collect()
}

/// A number with thin groups of three digits.
fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let first = digits.len() % 3;
    let groups = digits.as_bytes()[first..].chunks(3).map(String::from_utf8_lossy);
    let mut parts: Vec<_> = groups.map(|group| group.into_owned()).collect();
    if first > 0 {
        parts.insert(0, digits[..first].to_owned());
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_readable() {
        assert_eq!([0, 12, 123, 1234, 1_234_567].map(grouped), ["0", "12", "123", "1,234", "1,234,567"]);
    }
}
