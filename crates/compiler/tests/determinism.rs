//! The same input and options give the same bytes, whatever the number of threads.

use selvedge_compiler::{Cpu, OptLevel, Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::cpu::CpuFeatures;

/// Many functions of many sizes that call each other, with data, tables and exports.
fn module() -> String {
    let functions: String = (0..200)
        .map(|i| {
            let body = format!("(i32.add (local.get 0) (i32.const {i}))").repeat(i % 17 + 1);
            let drops = "(drop)".repeat(i % 17);
            let callee = (i * 7 + 3) % 200;
            format!(
                "(func $f{i} (export \"f{i}\") (param i32) (result i32) {body} {drops}
                   (if (param i32) (result i32) (local.get 0) (then (call $f{callee}))
                     (else (i32.load offset={i}))))\n"
            )
        })
        .collect();
    format!(
        "(module (memory 1) (table 9 funcref) (elem (i32.const 0) $f0 $f7) (data (i32.const 9) \"data\") {functions})"
    )
}

fn every_options() -> impl Iterator<Item = Options> {
    let layouts = [MemoryLayout::Guarded, MemoryLayout::Dense];
    let levels = [OptLevel::None, OptLevel::Speed, OptLevel::Size];
    layouts.into_iter().flat_map(move |memory| levels.map(|opt| Options { memory, opt, ..Options::default() }))
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let wat = module();
    for options in every_options() {
        let one = compile(wat.as_bytes(), &Options { threads: Some(1), ..options.clone() }, &()).unwrap();
        for threads in [1, 2, 7] {
            let again = compile(wat.as_bytes(), &Options { threads: Some(threads), ..options.clone() }, &()).unwrap();
            assert!(one == again, "{options:?} differs with {threads} threads");
        }
    }
}

#[test]
fn the_contract_records_exactly_the_features_asked_for() {
    let features = |cpu| {
        let artifact = compile(b"(module)", &Options { cpu, ..Options::default() }, &()).unwrap();
        ArtifactIndex::read(&artifact).unwrap().contract.cpu
    };
    assert_eq!(features(Cpu::Baseline), CpuFeatures::X86_64_V2);
    assert_eq!(features(Cpu::X86_64V3), CpuFeatures::X86_64_V3);
    assert_eq!(features(Cpu::Native), CpuFeatures::host());
}
