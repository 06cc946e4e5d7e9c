//! Loading: from file and bytes, and what is refused.

mod common;

use std::num::NonZeroUsize;
use std::path::PathBuf;

use selvedge_compiler::{Options, compile};
use selvedge_contract::artifact::{ArtifactIndex, ArtifactParts, FunctionRecord, TextFunction, write};
use selvedge_contract::cpu::CpuFeatures;
use selvedge_runtime::{Limits, Linker, LoadError, Module, Source, Store};

const WAT: &str = r#"(module (memory (export "memory") 1) (data (i32.const 0) "image")
    (func $f (export "f") (result i32) (i32.const 7)))"#;

fn artifact() -> Vec<u8> {
    compile(WAT.as_bytes(), &Options::default(), &()).unwrap()
}

fn temporary(name: &str, bytes: &[u8]) -> PathBuf {
    let path = std::env::temp_dir().join(format!("selvedge-load-{}-{name}", std::process::id()));
    std::fs::write(&path, bytes).unwrap();
    path
}

#[test]
fn a_file_is_mapped_and_runs() {
    let path = temporary("good", &artifact());
    let module = common::load_trusted(path.as_path()).unwrap();
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = Linker::new().instantiate(&mut store, &module).unwrap();
    std::fs::remove_file(&path).unwrap();
    assert_eq!(instance.typed_func::<(), i32>(&store, "f").unwrap().call(&mut store, ()).unwrap(), 7);
    let memory = instance.get_memory(&store, "memory").unwrap();
    assert_eq!(&memory.data(&store)[..6], b"image\0");
}

#[test]
fn an_untrusted_artifact_is_proved_or_refused() {
    let mut bytes = artifact();
    let path = temporary("untrusted", &bytes);
    let loaded =
        [Module::load_untrusted(path.as_path(), NonZeroUsize::MIN), Module::load_untrusted(&bytes, NonZeroUsize::MIN)];
    std::fs::remove_file(&path).unwrap();
    for module in loaded {
        let mut store = Store::new((), Limits::default()).unwrap();
        let instance = Linker::new().instantiate(&mut store, &module.unwrap()).unwrap();
        assert_eq!(instance.typed_func::<(), i32>(&store, "f").unwrap().call(&mut store, ()).unwrap(), 7);
    }
    // The function returns before it has a result: whatever the host left in the register would be it.
    let text = ArtifactIndex::read(&bytes).unwrap().text();
    bytes[text.start] = 0xc3;
    let refused = Module::load_untrusted(&bytes, NonZeroUsize::MIN).unwrap_err();
    assert!(matches!(refused, LoadError::Unproved(_)), "{refused}");
    assert!(refused.to_string().contains("rule 16"), "{refused}");
}

#[test]
fn what_is_no_artifact_is_refused_with_what_to_do() {
    let cases: [(&[u8], &str); 3] = [
        (b"", "make one with `selvedge compile`"),
        (b"\0asm\x01\0\0\0", "compile it first: `selvedge compile FILE`"),
        (&artifact()[..100], "not an artifact"),
    ];
    for (bytes, expected) in cases {
        let error = common::load_trusted(bytes).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    }
    let missing = common::load_trusted(Source::File("/nowhere/a.selv".as_ref())).unwrap_err().to_string();
    assert!(missing.contains("/nowhere/a.selv"), "{missing}");
}

#[test]
fn code_for_another_cpu_is_refused() {
    let mut contract = ArtifactIndex::read(&artifact()).unwrap().contract;
    contract.cpu = CpuFeatures(CpuFeatures::host().0 | 1 << 31);
    contract.image.clear();
    let record = |_| FunctionRecord { text_offset: 0, text_len: 0, ty: 0, wasm_offset: 0 };
    let functions: Vec<_> = (0..TextFunction::count(&contract)).map(record).collect();
    let parts = ArtifactParts {
        contract: &contract,
        text: &[0xcc; 4096],
        functions: &functions,
        traps: &[],
        addresses: &[],
        names: &[String::new()],
        image: &[],
        data: &[],
        debug: &[],
    };
    let error = common::load_trusted(write(&parts).unwrap().as_slice()).unwrap_err();
    assert!(matches!(&error, LoadError::Cpu { missing } if *missing == CpuFeatures(1 << 31)), "{error:?}");
    assert!(error.to_string().contains("--cpu baseline"), "{error}");
}

#[test]
fn damaged_artifacts_are_refused_or_loaded_but_never_harm() {
    let good = artifact();
    let index = ArtifactIndex::read(&good).unwrap();
    let mut loaded = 0;
    for round in 0..2_000usize {
        let mut bytes = good.clone();
        let at = round.wrapping_mul(0x9e37_79b9) % bytes.len();
        if index.text().contains(&at) {
            continue;
        }
        bytes[at] ^= 1 << (round % 8);
        if round % 10 == 0 {
            bytes.truncate(at);
        }
        // Loaded, looked at, never run: the contract may no longer be the code's.
        let Ok(module) = common::load_trusted(bytes.as_slice()) else { continue };
        look_at(&module);
        loaded += 1;
    }
    assert!(loaded > 0, "some damage is to padding and names");
}

fn look_at(module: &Module) {
    let types: Vec<_> = module.exports().map(|(name, ty)| format!("{name} {ty}")).collect();
    assert_eq!(types.len(), module.contract().exports.len());
    for function in 0..4 {
        let _ = (module.function_name(function), module.function_type(function));
    }
}
