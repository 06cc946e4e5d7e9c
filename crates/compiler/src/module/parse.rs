//! From the binary to a [`Module`]: validate section by section, gather, plan, lay out.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use selvedge_contract::artifact::TextCounts;
use selvedge_contract::limits::WASM_BYTES_MAX;
use selvedge_contract::types::FuncType;
use selvedge_contract::vmctx::VmLayout;
use selvedge_contract::{ConstOp, Contract, Interruption, Provenance};
use sha2::{Digest, Sha256};
use wasmparser::{Parser, ValidPayload, Validator, WasmFeatures};

use super::data::{self, DataParts};
use super::sections::Sections;
use super::{Body, Module, Parsed, access, names, plan};
use crate::error::CompileError;
use crate::options::{Options, Proposals};

/// Reads a binary. Bodies of functions are found, not yet validated.
pub(crate) fn parse<'a>(wasm: &'a [u8], options: &Options) -> Result<Parsed<'a>, CompileError> {
    CompileError::cap("the module's bytes", wasm.len() as u64, WASM_BYTES_MAX)?;
    let features = features(options.proposals);
    let (mut sections, bodies) = read(wasm, features)?;
    let names = names::functions(sections.names.take(), &sections.exports, sections.function_types.len());
    let debug = if options.debug { kept(&sections) } else { Vec::new() };
    let function_types = std::mem::take(&mut sections.function_types);
    let imported_functions = sections.imported_functions;
    let (mut contract, parts) = contract(sections, bodies.len() as u32, options)?;
    contract.provenance.source_sha256 = hex(&Sha256::digest(wasm));
    let signature_ids = signature_ids(&contract.types)?;
    let layout = VmLayout::new(&contract)?;
    let module = Module {
        features,
        memories: access::memories(&contract, &layout, options.memory),
        tables: access::tables(&contract, &layout),
        constants: constants(&contract),
        global_types: contract.imported_globals().copied().chain(contract.globals.iter().map(|g| g.ty)).collect(),
        text: TextCounts::of(&contract),
        contract,
        layout,
        function_types,
        imported_functions,
        signature_ids,
        names,
    };
    Ok(Parsed { module, bodies, image: parts.image, data: parts.data, debug })
}

/// What modules may use: WebAssembly 2.0 and these proposals.
fn features(proposals: Proposals) -> WasmFeatures {
    // Destructured, so that a new proposal cannot be forgotten.
    let Proposals { extended_const, memory64, multi_memory, relaxed_simd, tail_call } = proposals;
    let mut features = WasmFeatures::WASM2;
    features.set(WasmFeatures::EXTENDED_CONST, extended_const);
    features.set(WasmFeatures::MEMORY64, memory64);
    features.set(WasmFeatures::MULTI_MEMORY, multi_memory);
    features.set(WasmFeatures::RELAXED_SIMD, relaxed_simd);
    features.set(WasmFeatures::TAIL_CALL, tail_call);
    features
}

fn read<'a>(wasm: &'a [u8], features: WasmFeatures) -> Result<(Sections<'a>, Vec<Body<'a>>), CompileError> {
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut sections = Sections::default();
    let mut bodies = Vec::new();
    for payload in parser.parse_all(wasm) {
        let payload = payload?;
        match validator.payload(&payload)? {
            ValidPayload::Func(function, body) => bodies.push((function, body)),
            _ => sections.take(payload)?,
        }
    }
    Ok((sections, bodies))
}

fn kept(sections: &Sections<'_>) -> Vec<(String, Vec<u8>)> {
    sections.debug.iter().map(|(name, bytes)| (name[1..].to_string(), bytes.to_vec())).collect()
}

fn contract(sections: Sections<'_>, defined: u32, options: &Options) -> Result<(Contract, DataParts), CompileError> {
    let (first_memory, first_table) = (sections.imported_memories, sections.imported_tables);
    let memories = (first_memory..).zip(sections.memories).map(|(i, ty)| plan::memory(i, ty, options));
    let memories = memories.collect::<Result<Vec<_>, _>>()?;
    let tables = (first_table..).zip(sections.tables).map(|(i, ty)| plan::table(i, ty, options));
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    let mut parts = data::split(sections.data, first_memory, &memories);
    let contract = Contract {
        types: sections.types,
        imports: sections.imports,
        exports: sections.exports,
        defined_functions: defined,
        memories,
        tables,
        globals: sections.globals,
        elements: sections.elements,
        data: std::mem::take(&mut parts.segments),
        image: std::mem::take(&mut parts.runs),
        imported_memory_layout: options.memory,
        start: sections.start,
        code_section_offset: sections.code_offset,
        cpu: options.cpu.features(),
        interruption: Interruption::Signal,
        metered: options.meter,
        provenance: Provenance {
            compiler: crate::version().into(),
            options: options.as_flags(),
            source_sha256: String::new(),
        },
    };
    Ok((contract, parts))
}

fn signature_ids(types: &[FuncType]) -> Result<Vec<u64>, CompileError> {
    let ids: Vec<u64> = types.iter().map(FuncType::signature_id).collect();
    let mut seen: HashMap<u64, &FuncType> = HashMap::new();
    for (id, ty) in ids.iter().zip(types) {
        match seen.entry(*id) {
            Entry::Occupied(other) if *other.get() != ty => {
                let (first, second) = (other.get().to_string(), ty.to_string());
                return Err(CompileError::SignatureClash { first, second });
            }
            Entry::Occupied(_) => {}
            Entry::Vacant(slot) => {
                slot.insert(ty);
            }
        }
    }
    Ok(ids)
}

/// What each global holds for ever, if that is known.
fn constants(contract: &Contract) -> Vec<Option<ConstOp>> {
    let imported = contract.imported_globals().map(|_| None);
    let own = contract.globals.iter().map(|global| match global.init.0.as_slice() {
        [ConstOp::GlobalGet(_) | ConstOp::RefFunc(_)] => None,
        [op] if !global.ty.mutable => Some(*op),
        _ => None,
    });
    imported.chain(own).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
