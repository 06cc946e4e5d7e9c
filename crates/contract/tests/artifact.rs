//! Artifacts come back as they were written; damaged ones are errors, whatever the damage.

use selvedge_contract::artifact::{
    ArtifactError, ArtifactIndex, ArtifactParts, FunctionRecord, TextFunction, rewrite, write,
};
use selvedge_contract::cpu::CpuFeatures;
use selvedge_contract::trap::{TrapCode, TrapSite};
use selvedge_contract::types::{ExternType, FuncType, MemoryType, ValType};
use selvedge_contract::*;

fn contract() -> Contract {
    let ty = FuncType::new([ValType::I32], [ValType::I64]);
    let memory = MemoryType { min_pages: 2, max_pages: None, memory64: false };
    Contract {
        types: vec![ty.clone()],
        imports: vec![Import { module: "env".into(), name: "f".into(), ty: ExternType::Func(ty) }],
        exports: vec![Export { name: "run".into(), item: Extern::Func(1) }],
        defined_functions: 1,
        memories: vec![MemoryPlan {
            ty: memory,
            layout: MemoryLayout::Guarded,
            reservation_bytes: limits::GUARDED_RESERVATION_BYTES,
            guard_bytes: limits::GUARDED_GUARD_BYTES,
            pages_max: 65536,
        }],
        tables: vec![],
        globals: vec![],
        elements: vec![],
        data: vec![DataSegment { mode: SegmentMode::Passive, offset: 1, len: 2 }],
        image: vec![ImageRun { memory: 0, page: 3, pages: 1, offset: 0 }],
        imported_memory_layout: MemoryLayout::Guarded,
        start: None,
        code_section_offset: 0,
        cpu: CpuFeatures::X86_64_V2,
        interruption: Interruption::Signal,
        metered: true,
        provenance: Provenance::default(),
    }
}

fn artifact(contract: &Contract) -> Vec<u8> {
    let record = |i: usize| FunctionRecord { text_offset: i as u32 * 16, text_len: 16, ty: 0, wasm_offset: 0 };
    let functions: Vec<_> = (0..TextFunction::count(contract)).map(record).collect();
    write(&ArtifactParts {
        contract,
        text: &vec![0x90; functions.len() * 16],
        functions: &functions,
        traps: &[(3, TrapCode::Unreachable.into()), (9, TrapSite::memory(7))],
        addresses: &[(0, 40), (8, 44)],
        names: &["f".into(), "run".into()],
        image: &[7; 4096],
        data: b"abc",
        debug: &[("debug_info".into(), vec![1, 2, 3])],
    })
    .unwrap()
}

#[test]
fn what_was_written_is_read() {
    let contract = contract();
    let bytes = artifact(&contract);
    let index = ArtifactIndex::read(&bytes).unwrap();
    index.check_tables(&bytes).unwrap();
    assert_eq!(index.contract, contract);
    assert_eq!(index.traps(&bytes).find(9), Some(TrapCode::MemoryOutOfBounds));
    assert_eq!(index.traps(&bytes).find_site(9), Some(TrapSite::memory(7)));
    assert_eq!(index.traps(&bytes).find(8), None);
    assert_eq!(index.addresses(&bytes).find(7), Some(40));
    assert_eq!(index.addresses(&bytes).find(8), Some(44));
    assert_eq!(index.names(&bytes).get(1), Some("run"));
    assert_eq!(index.data(&bytes), b"abc");
    assert_eq!(index.debug(&bytes, "debug_info"), Some(&[1, 2, 3][..]));
    let last = index.functions(&bytes).of(TextFunction::BadCall, &contract).unwrap();
    assert_eq!(index.functions(&bytes).find(last.text_offset + 1), Some((4, last)));
    let text = &bytes[index.text()];
    assert!(text.len().is_multiple_of(4096) && text[5 * 16..].iter().all(|b| *b == 0xCC));
}

#[test]
fn rewriting_changes_the_state_and_nothing_else() {
    let bytes = artifact(&contract());
    let index = ArtifactIndex::read(&bytes).unwrap();
    let image = &bytes[index.image()];
    assert_eq!(rewrite(&bytes, &index, &index.contract, image, index.data(&bytes)).unwrap(), bytes);
    let run = ImageRun { memory: 0, page: 1, pages: 2, offset: 0 };
    let changed = Contract { image: vec![run], data: vec![], ..contract() };
    let again = rewrite(&bytes, &index, &changed, &[8; 8192], b"").unwrap();
    let read = ArtifactIndex::read(&again).unwrap();
    assert_eq!(read.contract, changed);
    assert_eq!((&again[read.image()], read.data(&again)), (&[8; 8192][..], &b""[..]));
    assert_eq!(again[read.text()], bytes[index.text()]);
    assert_eq!(read.debug(&again, "debug_info"), Some(&[1, 2, 3][..]));
}

#[test]
fn same_parts_same_bytes() {
    assert_eq!(artifact(&contract()), artifact(&contract()));
}

#[test]
fn another_version_is_named() {
    let mut bytes = artifact(&contract());
    let at = bytes.windows(8).position(|w| w == b"SELVEDGE").unwrap();
    bytes[at + 8] = 99;
    let error = ArtifactIndex::read(&bytes).unwrap_err();
    assert!(matches!(error, ArtifactError::Version { format: 99, .. }), "{error}");
    assert!(error.to_string().contains("compile the module again") && !error.is_foreign());
}

/// The parser's own words, "Unsupported ELF header", told nobody that it was not compiled yet.
#[test]
fn what_is_no_artifact_is_told_apart() {
    let bytes = artifact(&contract());
    for (bytes, says) in [
        (&b"\0asm\x01\0\0\0"[..], "a WebAssembly module, not an artifact; compile it first"),
        (b" \n(module)", "WebAssembly text, not an artifact; compile it first"),
        (b";; a comment\n(module)", "WebAssembly text, not an artifact; compile it first"),
        (b"", "ELF files, and this is none"),
        (b"untrusted comment: a key", "ELF files, and this is none"),
        (&bytes[..100], "ELF section"),
    ] {
        let error = ArtifactIndex::read(bytes).unwrap_err();
        assert!(error.is_foreign() && error.to_string().contains(says), "{error}");
    }
}

#[test]
fn contradictions_are_refused() {
    type Break = fn(&mut Contract);
    let breaks: [Break; 9] = [
        |c| c.exports[0].item = Extern::Func(2),
        |c| c.exports.push(c.exports[0].clone()),
        |c| c.memories[0].guard_bytes = 4096,
        |c| c.memories[0].reservation_bytes = 1 << 20,
        |c| c.memories[0].pages_max = 65537,
        |c| c.data[0].len = 3,
        |c| c.image[0].page = 32,
        |c| c.image[0].pages = u64::MAX,
        |c| c.start = Some(2),
    ];
    for (i, alter) in breaks.iter().enumerate() {
        let mut contract = contract();
        let records = TextFunction::count(&contract);
        alter(&mut contract);
        assert_eq!(TextFunction::count(&contract), records);
        assert!(ArtifactIndex::read(&artifact(&contract)).is_err(), "contradiction {i} was accepted");
    }
}

#[test]
fn tables_out_of_order_are_refused() {
    let contract = contract();
    let bytes = artifact(&contract);
    // The first trap's offset, 3, becomes 10: beyond the second's.
    let at = bytes.windows(8).position(|w| w == [3, 0, 0, 0, 9, 0, 0, 0]).unwrap();
    let mut broken = bytes.clone();
    broken[at] = 10;
    let index = ArtifactIndex::read(&broken).unwrap();
    assert!(index.check_tables(&broken).is_err());
}

/// Every prefix, and every byte changed in several ways: an error or a consistent artifact, never a panic.
#[test]
fn damage_never_panics() {
    let bytes = artifact(&contract());
    let read = |bytes: &[u8]| {
        if let Ok(index) = ArtifactIndex::read(bytes) {
            let _ = index.check_tables(bytes);
        }
    };
    (0..bytes.len()).step_by(7).for_each(|len| read(&bytes[..len]));
    for at in (0..bytes.len()).filter(|at| bytes[*at] != 7 && bytes[*at] != 0xCC) {
        for change in [0x01, 0x80, 0xFF] {
            let mut broken = bytes.clone();
            broken[at] ^= change;
            read(&broken);
        }
    }
}
