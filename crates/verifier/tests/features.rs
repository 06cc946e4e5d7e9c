//! Every feature that code generation knows can be proved: there is none that a contract declares in vain.

use std::collections::BTreeSet;
use std::num::NonZeroUsize;

use iced_x86::{Decoder, DecoderOptions, EncodingKind, Instruction};
use selvedge_compiler::{Cpu, Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_verifier::verify;

/// Proves the module as compiled for these features; returns the instructions in AVX-512 encodings.
fn evex(features: CpuFeatures, memory: MemoryLayout) -> BTreeSet<String> {
    let options = Options { memory, cpu: Cpu::Features(features), ..Options::default() };
    let artifact = compile(include_bytes!("modules/vectors.wat"), &options, &()).expect("it compiles");
    let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
    assert_eq!(index.contract.cpu, features);
    verify(&artifact, &index, NonZeroUsize::MIN).unwrap_or_else(|report| panic!("{features}: {report}"));
    let mut found = BTreeSet::new();
    for record in index.functions(&artifact).iter() {
        let code = &artifact[index.text()][record.text_offset as usize..record.text_end() as usize];
        let evex = |i: &Instruction| i.code().encoding() == EncodingKind::EVEX;
        let decoder = Decoder::new(64, code, DecoderOptions::NONE);
        found.extend(decoder.into_iter().filter(evex).map(|i| format!("{:?}", i.mnemonic()).to_lowercase()));
    }
    found
}

#[test]
fn all_features_together() {
    for memory in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let expected = ["vcvtudq2ps", "vpabsq", "vpermi2b", "vpmullq", "vpopcntb", "vpsraq"];
        assert_eq!(evex(CpuFeatures::ALL, memory), expected.map(str::to_owned).into());
    }
}

#[test]
fn each_feature_by_itself() {
    let long = CpuFeatures::AVX512F.union(CpuFeatures::AVX512VL);
    for (feature, _) in CpuFeatures::NAMED {
        evex(CpuFeatures::X86_64_V2.union(*feature), MemoryLayout::Guarded);
        evex(CpuFeatures::X86_64_V3.union(long).union(*feature), MemoryLayout::Guarded);
    }
    assert!(evex(CpuFeatures::X86_64_V3, MemoryLayout::Guarded).is_empty());
}
