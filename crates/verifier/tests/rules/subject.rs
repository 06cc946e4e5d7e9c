//! An artifact with one function that is looked at; all others are traps.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::sync::Mutex;

use selvedge_compiler::{Options, compile};
use selvedge_contract::artifact::{ArtifactIndex, ArtifactParts, FunctionRecord, TextCounts, TextFunction, write};
use selvedge_contract::cpu::CpuFeatures;
use selvedge_contract::trap::{TrapCode, TrapSite};
use selvedge_contract::vmctx::header;
use selvedge_contract::{Contract, MemoryLayout};
use selvedge_verifier::{Refusal, verify};

use crate::assemble::Symbols;
use crate::listing::{Case, Code};

/// `ud2`, which the trap table explains.
const STUB: [u8; 2] = [0x0f, 0x0b];
const ALIGN: u32 = 64;

pub(crate) struct Subject {
    artifact: Vec<u8>,
    index: ArtifactIndex,
}

impl Subject {
    /// The artifact of a case.
    pub(crate) fn new(case: &Case) -> Result<Subject, String> {
        Subject::build(case, |start, symbols| case.assemble(start, symbols))
    }

    /// The artifact whose first function has this code.
    pub(crate) fn of_code(code: Code) -> Result<Subject, String> {
        let case = Case::all("# machine code")?.remove(0);
        Subject::build(&case, |_, _| Ok(code.clone()))
    }

    fn build(case: &Case, assemble: impl Fn(u32, &Symbols) -> Result<Code, String>) -> Result<Subject, String> {
        let (contract, types) = module(case)?;
        let counts = TextCounts::of(&contract);
        let subject = subject(case, counts)?;
        let mut layout = Layout { counts, subject, code: Code::default() };
        // Where functions lie depends on the code's length, which does not depend on where they lie.
        for _ in 0..2 {
            let symbols = symbols(&contract, &layout)?;
            layout.code = assemble(layout.start(subject), &symbols)?;
        }
        let artifact = layout.write(case, &contract, &types)?;
        let index = ArtifactIndex::read(&artifact).map_err(|e| e.to_string())?;
        Ok(Subject { artifact, index })
    }

    /// How many instructions the verifier looked at, to prove it.
    pub(crate) fn steps(&self) -> Option<u64> {
        verify(&self.artifact, &self.index, NonZeroUsize::MIN).ok().map(|proof| proof.counts.steps)
    }

    /// What the verifier says of it.
    pub(crate) fn refusals(&self) -> Vec<Refusal> {
        verify(&self.artifact, &self.index, NonZeroUsize::MIN).map_or_else(|report| report.refusals, |_| Vec::new())
    }
}

/// The contract, and each text function's type.
fn module(case: &Case) -> Result<(Contract, Vec<u32>), String> {
    let memory = match case.header("layout") {
        None | Some("guarded") => MemoryLayout::Guarded,
        Some("dense") => MemoryLayout::Dense,
        Some(other) => return Err(format!("no layout is called {other}")),
    };
    let (mut contract, types) = compiled(memory, case.header("metered").is_some())?;
    match case.header("cpu") {
        None => {}
        Some("x86-64-v3") => contract.cpu = CpuFeatures::X86_64_V3,
        Some("all") => contract.cpu = CpuFeatures::ALL,
        Some(other) => return Err(format!("no processor is called {other}")),
    }
    Ok((contract, types))
}

/// The same of the module as it is compiled, once for each way.
fn compiled(memory: MemoryLayout, meter: bool) -> Result<(Contract, Vec<u32>), String> {
    type Known = BTreeMap<(bool, bool), (Contract, Vec<u32>)>;
    static KNOWN: Mutex<Known> = Mutex::new(BTreeMap::new());
    let mut known = KNOWN.lock().map_err(|e| e.to_string())?;
    if let Some(found) = known.get(&(memory == MemoryLayout::Dense, meter)) {
        return Ok(found.clone());
    }
    let options = Options { memory, meter, threads: Some(1), ..Options::default() };
    let compiled = compile(include_bytes!("module.wat"), &options, &()).map_err(|e| e.to_string())?;
    let index = ArtifactIndex::read(&compiled).map_err(|e| e.to_string())?;
    let types = index.functions(&compiled).iter().map(|record| record.ty).collect();
    let mut contract = index.contract;
    contract.image.clear();
    Ok(known.entry((memory == MemoryLayout::Dense, meter)).or_insert((contract, types)).clone())
}

/// Names of the module's functions, in order.
const FUNCTIONS: [&str; 8] = ["unary", "other", "binary", "floats", "nothing", "on_stack", "many", "thousand"];

fn subject(case: &Case, counts: TextCounts) -> Result<usize, String> {
    let name = case.header("function").unwrap_or("unary");
    let function = match name {
        "thunk" => TextFunction::HostThunk(0),
        "long_thunk" => TextFunction::HostThunk(1),
        "entry" => TextFunction::Entry(0),
        "bad_call" => TextFunction::BadCall,
        name => {
            let defined = FUNCTIONS.iter().position(|known| *known == name);
            TextFunction::Defined(defined.ok_or_else(|| format!("no function is called {name}"))? as u32)
        }
    };
    Ok(counts.index(function))
}

/// Where everything lies in text.
struct Layout {
    counts: TextCounts,
    subject: usize,
    code: Code,
}

impl Layout {
    fn len(&self, number: usize) -> u32 {
        if number == self.subject { self.code.bytes.len() as u32 } else { STUB.len() as u32 }
    }

    fn start(&self, number: usize) -> u32 {
        (0..number).map(|before| self.len(before).next_multiple_of(ALIGN)).sum()
    }

    fn write(&self, case: &Case, contract: &Contract, types: &[u32]) -> Result<Vec<u8>, String> {
        let mut text = vec![0xcc; self.start(self.counts.total()) as usize];
        let mut functions = Vec::new();
        let mut traps = Vec::new();
        for (number, ty) in types.iter().copied().enumerate() {
            let start = self.start(number);
            let own = number == self.subject;
            let bytes = if own { &self.code.bytes[..] } else { &STUB };
            text[start as usize..start as usize + bytes.len()].copy_from_slice(bytes);
            let record = |ty| FunctionRecord { text_offset: start, text_len: bytes.len() as u32, ty, wasm_offset: 0 };
            functions.push(record(ty));
            if own {
                for (at, name) in &self.code.traps {
                    traps.push((start + at, site(name)?));
                }
            } else {
                traps.push((start, TrapSite::from(TrapCode::Unreachable)));
            }
        }
        self.disturb(case, &mut text, &mut functions);
        let names = vec![String::new(); contract.imported_functions().count() + FUNCTIONS.len()];
        let parts = ArtifactParts {
            contract,
            text: &text,
            functions: &functions,
            traps: &traps,
            addresses: &[],
            names: &names,
            image: &[],
            data: &[],
            debug: &[],
        };
        write(&parts).map_err(|e| e.to_string())
    }

    /// What headers change about the tables.
    fn disturb(&self, case: &Case, text: &mut [u8], functions: &mut [FunctionRecord]) {
        let own = &mut functions[self.subject];
        if let Some(byte) = case.header("byte after it") {
            text[own.text_end() as usize] = u8::from_str_radix(byte, 16).expect("two hexadecimal digits");
        }
        if let Some(ty) = case.header("type") {
            own.ty = ty.parse().expect("a type's number");
        }
    }
}

fn site(name: &str) -> Result<TrapSite, String> {
    let code = match name {
        "memory" => TrapCode::MemoryOutOfBounds,
        "unreachable" => TrapCode::Unreachable,
        "stack" => TrapCode::StackOverflow,
        "meter" => TrapCode::MeterExhausted,
        "division" => TrapCode::IntegerDivisionByZero,
        other => return Err(format!("no trap is called {other}")),
    };
    Ok(TrapSite::from(code))
}

/// Names for what the context holds and where functions start.
fn symbols(contract: &Contract, layout: &Layout) -> Result<Symbols, String> {
    let own = selvedge_contract::vmctx::VmLayout::new(contract).map_err(|e| e.to_string())?;
    let unary = contract.types.iter().find(|ty| ty.to_string() == "(i32) -> (i32)");
    let unary = unary.ok_or("the module has its type of functions")?.signature_id() as i64;
    let mut symbols: Symbols = [
        ("stack_limit", header::STACK_LIMIT.into()),
        ("host_call", header::HOST_CALL.into()),
        ("raise", header::RAISE.into()),
        ("builtin", header::BUILTIN.into()),
        ("instance", header::INSTANCE.into()),
        ("activation", header::ACTIVATION.into()),
        ("import", own.import_function(0).into()),
        ("import_of_a_thousand", own.import_function(1).into()),
        ("shared_memory", own.import_memory(0).into()),
        ("wide_memory", own.import_memory(1).into()),
        ("lent_table", own.import_table(0).into()),
        ("lent_references", own.import_table(1).into()),
        ("another_table", own.import_table(2).into()),
        ("lent_global", own.import_global(0).into()),
        ("memory", own.memory_def(0).into()),
        ("table", own.table_def(0).into()),
        ("count", own.global(0).into()),
        ("fixed", own.global(1).into()),
        ("entries", own.table_entries(0).into()),
        ("references", own.table_entries(1).into()),
        ("unary_id", unary),
    ]
    .map(|(name, value): (&str, i64)| (name.to_owned(), value))
    .into();
    for (nth, name) in (0..).zip(FUNCTIONS) {
        let number = layout.counts.index(TextFunction::Defined(nth));
        symbols.insert(format!("@{name}"), layout.start(number).into());
    }
    for (name, function) in [("@thunk", TextFunction::HostThunk(0)), ("@bad_call", TextFunction::BadCall)] {
        symbols.insert(name.into(), layout.start(layout.counts.index(function)).into());
    }
    Ok(symbols)
}
