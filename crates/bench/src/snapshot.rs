//! A module that was initialised in advance, for both engines: our artifact, and a WebAssembly module that begins
//! with the same contents, for the peer. It is what Wizer would write; here it is taken from the artifact, so that
//! nothing but the engines differs.

use anyhow::{Context, Result, bail, ensure};
use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::limits::HOST_PAGE_BYTES;
use selvedge_contract::types::ExternType;
use selvedge_contract::{ConstOp, GlobalPlan, ImageRun, MemoryPlan};
use wasm_encoder::{ConstExpr, DataSection, GlobalSection, GlobalType, MemorySection, MemoryType, RawSection, ValType};
use wasmparser::{Parser, Payload};

/// The module `wasm` as it is after its initialisation, which `artifact` holds: with its memories and globals, and
/// without a start function. Tables are as the module fills them: C programs do not change theirs.
///
/// # Errors
/// If the module has what C programs have not.
pub(crate) fn as_wasm(wasm: &[u8], artifact: &[u8]) -> Result<Vec<u8>> {
    let index = ArtifactIndex::read(artifact)?;
    let contract = &index.contract;
    let functions_only = contract.imports.iter().all(|import| matches!(import.ty, ExternType::Func(_)));
    ensure!(functions_only, "it imports more than functions");
    ensure!(contract.data.iter().all(|segment| segment.len == 0), "it keeps data segments");
    let mut module = wasm_encoder::Module::new();
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::MemorySection(_) => _ = module.section(&memories(&contract.memories)),
            Payload::GlobalSection(_) => _ = module.section(&globals(&contract.globals)?),
            Payload::DataSection(_) => _ = module.section(&data(&contract.image, &artifact[index.image()])),
            Payload::DataCountSection { .. } | Payload::StartSection { .. } => {}
            other => {
                if let Some((id, range)) = other.as_section() {
                    module.section(&RawSection { id, data: &wasm[range.start as usize..range.end as usize] });
                }
            }
        }
    }
    let snapshot = module.finish();
    wasmparser::validate(&snapshot).context("the module that was written is not valid")?;
    Ok(snapshot)
}

fn memories(plans: &[MemoryPlan]) -> MemorySection {
    let mut section = MemorySection::new();
    for MemoryPlan { ty, .. } in plans {
        let (minimum, maximum, memory64) = (ty.min_pages, ty.max_pages, ty.memory64);
        section.memory(MemoryType { minimum, maximum, memory64, shared: false, page_size_log2: None });
    }
    section
}

fn globals(plans: &[GlobalPlan]) -> Result<GlobalSection> {
    let mut section = GlobalSection::new();
    for GlobalPlan { ty, init } in plans {
        let (val_type, init) = match init.0[..] {
            [ConstOp::I32Const(value)] => (ValType::I32, ConstExpr::i32_const(value)),
            [ConstOp::I64Const(value)] => (ValType::I64, ConstExpr::i64_const(value)),
            _ => bail!("it has a global that is no integer constant"),
        };
        section.global(GlobalType { val_type, mutable: ty.mutable, shared: false }, &init);
    }
    Ok(section)
}

/// The image's runs as active segments.
fn data(runs: &[ImageRun], image: &[u8]) -> DataSection {
    let mut section = DataSection::new();
    for run in runs {
        let bytes = &image[run.offset as usize..][..(run.pages * HOST_PAGE_BYTES) as usize];
        let at = (run.page * HOST_PAGE_BYTES) as u32;
        section.active(run.memory, &ConstExpr::i32_const(at as i32), bytes.iter().copied());
    }
    section
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::{Interruptible, Memory, Settings};

    #[test]
    fn a_snapshot_begins_where_initialisation_ended_and_does_not_repeat_it() {
        let wasm = wat::parse_str(
            r#"(module (memory (export "memory") 1) (global $g (mut i32) (i32.const 1)) (global i64 (i64.const 7))
                (data (i32.const 8) "old") (start $start)
                (func $start (global.set $g (i32.add (global.get $g) (i32.const 40)))
                    (i32.store8 (i32.const 9) (i32.const 0x58)) (drop (memory.grow (i32.const 2)))
                    (i32.store (i32.const 131072) (i32.const 5)))
                (func (export "get") (result i32) (i32.add (global.get $g) (i32.load (i32.const 131072)))))"#,
        )
        .unwrap();
        let settings = Settings {
            cpu: crate::engine::Cpu::Baseline,
            memory: Memory::Guarded,
            meter: false,
            interruptible: Interruptible::No,
        };
        let artifact = crate::ours::initialised(&wasm, None, settings).unwrap();
        let snapshot = as_wasm(&wasm, &artifact).unwrap();
        let engine = wasmtime::Engine::default();
        let module = wasmtime::Module::new(&engine, &snapshot).unwrap();
        let mut store = wasmtime::Store::new(&engine, ());
        let instance = wasmtime::Instance::new(&mut store, &module, &[]).unwrap();
        let get = instance.get_typed_func::<(), i32>(&mut store, "get").unwrap();
        assert_eq!(get.call(&mut store, ()).unwrap(), 41 + 5);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        assert_eq!(&memory.data(&store)[8..11], b"oXd");
        assert_eq!(memory.size(&store), 3);
    }
}
