//! What the compiler emits for the shapes that matter, as data: `shapes/NAME.wat` starts with one line
//! `;; FLAGS` for each way to compile it, and `shapes/NAME.txt` holds what comes out.
//!
//! Flags: `--emit clif` (before optimisation; the default) or `--emit asm`, `--memory dense`,
//! `--cpu x86-64-v3`, `--opt none`, `--meter`, `--generated` to see the functions no module wrote as well.
//! `UPDATE=1` blesses; read the diff.

use std::fmt::Write as _;
use std::path::Path;

use iced_x86::{Decoder, DecoderOptions, Formatter, GasFormatter};
use selvedge_compiler::{Cpu, OptLevel, Options, clif, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::{ArtifactIndex, TextFunction};

struct Case {
    options: Options,
    asm: bool,
    generated: bool,
}

fn parse(flags: &str) -> Case {
    let mut case = Case { options: Options { verify_ir: true, ..Options::default() }, asm: false, generated: false };
    let mut words = flags.split_whitespace();
    while let Some(flag) = words.next() {
        let mut value = || words.next().unwrap_or_default();
        match flag {
            "--emit" => case.asm = value() == "asm",
            "--meter" => case.options.meter = true,
            "--generated" => case.generated = true,
            "--memory" => {
                let dense = value() == "dense";
                case.options.memory = if dense { MemoryLayout::Dense } else { MemoryLayout::Guarded };
            }
            "--cpu" => case.options.cpu = if value() == "x86-64-v3" { Cpu::X86_64V3 } else { Cpu::Baseline },
            "--opt" => case.options.opt = if value() == "none" { OptLevel::None } else { OptLevel::Speed },
            other => panic!("unknown flag {other}"),
        }
    }
    case
}

fn emit(source: &str, case: &Case) -> String {
    let artifact = compile(source.as_bytes(), &case.options, &()).expect("the case compiles");
    let index = ArtifactIndex::read(&artifact).expect("the artifact is consistent");
    index.check_tables(&artifact).expect("its tables are in order");
    if case.asm {
        return disassemble(&index, &artifact, case.generated);
    }
    let clif = clif(source.as_bytes(), &case.options).expect("the case translates");
    let functions = clif.split("\n; ").map(|text| text.trim_start_matches("; "));
    let wanted = functions.filter(|text| case.generated || text.starts_with("function "));
    // What every function declares says nothing about its shape.
    let noise = |line: &&str| !["region", "gv", "stack_limit"].iter().any(|word| line.trim_start().starts_with(word));
    let tidy = |text: &str| format!("; {}\n", text.trim_end().lines().filter(noise).collect::<Vec<_>>().join("\n"));
    wanted.map(tidy).collect::<Vec<_>>().join("\n")
}

fn disassemble(index: &ArtifactIndex, artifact: &[u8], generated: bool) -> String {
    let mut out = String::new();
    let traps = index.traps(artifact);
    for (i, record) in index.functions(artifact).iter().enumerate() {
        let function = TextFunction::at(i, &index.contract).expect("a text function");
        if !generated && !matches!(function, TextFunction::Defined(_)) {
            continue;
        }
        writeln!(out, "{function:?}:").unwrap();
        let (from, to) = (record.text_offset as usize, record.text_end() as usize);
        let code = &artifact[index.text()][from..to];
        let mut formatter = GasFormatter::new();
        for instruction in Decoder::with_ip(64, code, 0, DecoderOptions::NONE) {
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            let trap = traps.find((from as u64 + instruction.ip()) as u32);
            let note = trap.map_or(String::new(), |trap| format!("  ; {trap:?}"));
            writeln!(out, "  {:4x}  {text}{note}", instruction.ip()).unwrap();
        }
    }
    out
}

fn check(path: &Path) -> Result<(), String> {
    let source = std::fs::read_to_string(path).unwrap();
    let mut found = String::new();
    for flags in source.lines().map_while(|line| line.strip_prefix(";; ")) {
        writeln!(found, ";; {flags}\n{}", emit(&source, &parse(flags))).unwrap();
    }
    let expected = path.with_extension("txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&expected, found).unwrap();
        return Ok(());
    }
    let wanted = std::fs::read_to_string(&expected).unwrap_or_default();
    if wanted == found {
        return Ok(());
    }
    let different = wanted.lines().zip(found.lines()).find(|(a, b)| a != b);
    Err(format!("{} is not what comes out; first difference: {different:?}", expected.display()))
}

#[test]
fn shapes_are_as_blessed() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shapes");
    let mut cases: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.retain(|path| path.extension().is_some_and(|e| e == "wat"));
    cases.sort();
    assert!(!cases.is_empty());
    let failures: Vec<_> = cases.iter().filter_map(|path| check(path).err()).collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
