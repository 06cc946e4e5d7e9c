//! The verifier must be able to fail: real code, changed in one place, is refused.
//!
//! Each class changes whatever it fits; all of its mutants must be refused, and there must be some.

use std::num::NonZeroUsize;

use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};
use selvedge_compiler::{Options, compile};
use selvedge_contract::MemoryLayout;
use selvedge_contract::artifact::{ArtifactIndex, section};
use selvedge_contract::trap::TrapCode;
use selvedge_verifier::verify;

struct Subject {
    artifact: Vec<u8>,
    index: ArtifactIndex,
}

/// A change: the offset in text, and the new bytes.
type Patch = (usize, Vec<u8>);

impl Subject {
    fn new(memory: MemoryLayout) -> Subject {
        let options = Options { memory, ..Options::default() };
        let artifact = compile(include_bytes!("modules/shapes.wat"), &options, &()).expect("it compiles");
        let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
        Subject { artifact, index }
    }

    fn both() -> [Subject; 2] {
        [MemoryLayout::Guarded, MemoryLayout::Dense].map(Subject::new)
    }

    fn text(&self) -> &[u8] {
        &self.artifact[self.index.text()]
    }

    /// The instructions of each function, jump tables and constants left out.
    fn functions(&self) -> Vec<Vec<Instruction>> {
        let records = self.index.functions(&self.artifact);
        records.iter().map(|record| self.decode(record.text_offset as usize, record.text_end() as usize)).collect()
    }

    fn decode(&self, start: usize, end: usize) -> Vec<Instruction> {
        let mut decoder = Decoder::with_ip(64, &self.text()[..end], start as u64, DecoderOptions::NONE);
        decoder.set_position(start).expect("functions lie in text");
        // Constants begin after zeros, jump tables with a small number; neither is followed by code here.
        let code = |i: &Instruction| self.text()[i.ip() as usize] != 0 && !i.is_invalid();
        let mut all: Vec<_> = decoder.iter().take_while(code).collect();
        if let Some(jump) = all.iter().position(|i| i.mnemonic() == Mnemonic::Jmp && i.op0_kind() == OpKind::Register) {
            all.truncate(jump + 1);
        }
        all
    }

    fn is_heap_access(&self, instruction: &Instruction) -> bool {
        self.index.traps(&self.artifact).find(instruction.ip() as u32) == Some(TrapCode::MemoryOutOfBounds)
    }

    fn is_refused(&self, (at, bytes): &Patch) -> bool {
        let mut changed = self.artifact.clone();
        let at = self.index.text().start + at;
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        verify(&changed, &self.index, NonZeroUsize::MIN).is_err()
    }

    fn bytes(&self, instruction: &Instruction) -> Vec<u8> {
        self.text()[instruction.ip() as usize..instruction.next_ip() as usize].to_vec()
    }

    fn nothing(&self, instruction: &Instruction) -> Patch {
        (instruction.ip() as usize, vec![0x90; instruction.len()])
    }

    /// The instruction with its opcode's condition inverted.
    fn inverted(&self, instruction: &Instruction) -> Patch {
        let mut bytes = self.bytes(instruction);
        let opcode = bytes.iter().position(|byte| *byte == 0x0f).expect("a two-byte opcode") + 1;
        bytes[opcode] ^= 1;
        (instruction.ip() as usize, bytes)
    }
}

/// Checks that all mutants of a class are refused, and that there are at least so many in both layouts together.
fn kill(least: usize, mutants: impl Fn(&Subject, &[Instruction]) -> Vec<Patch>) {
    let mut count = 0;
    for subject in Subject::both() {
        for function in subject.functions() {
            for patch in mutants(&subject, &function) {
                assert!(subject.is_refused(&patch), "survives: {:#x} {:x?}", patch.0, patch.1);
                count += 1;
            }
        }
    }
    assert!(count >= least, "only {count} mutants");
}

fn each(function: &[Instruction], mutate: impl Fn(&Instruction) -> Option<Patch>) -> Vec<Patch> {
    function.iter().filter_map(mutate).collect()
}

#[test]
fn what_the_compiler_wrote_is_proved() {
    for subject in Subject::both() {
        let proof = verify(&subject.artifact, &subject.index, NonZeroUsize::MIN);
        let proof = proof.unwrap_or_else(|report| panic!("{report}"));
        assert!(proof.counts.heap_accesses >= 5 && proof.counts.indirect_calls == 3);
        let instructions: usize = subject.functions().iter().map(Vec::len).sum();
        assert!(proof.counts.instructions as usize >= instructions && proof.counts.steps >= proof.counts.instructions);
        assert_eq!(proof.functions, subject.functions().len());
    }
}

/// The thunk of an import that takes a thousand values took eight kilobytes of stack and did not ask whether they were
/// there: it could not be proved, and where it was trusted it reached below the stack.
#[test]
fn whatever_takes_and_returns_many_values_is_proved() {
    let counts = [1, 6, 8, 14, 24, 31, 32, 33, 48, 64, 65, 200, 1000];
    let lists = ["i64", "f32", "v128"].into_iter().flat_map(|ty| counts.map(|count| vec![ty; count].join(" ")));
    let import = |(nth, list)| {
        format!(r#"(import "" "{nth}" (func (param {list})))(import "" "r{nth}" (func (result {list})))"#)
    };
    let module = format!("(module {})", (0..).zip(lists).map(import).collect::<String>());
    for memory in [MemoryLayout::Guarded, MemoryLayout::Dense] {
        let options = Options { memory, ..Options::default() };
        let artifact = compile(module.as_bytes(), &options, &()).expect("it compiles");
        let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
        verify(&artifact, &index, NonZeroUsize::MIN).unwrap_or_else(|report| panic!("{report}"));
    }
}

/// The first refusals, in order and with their names, however many threads looked for them.
#[test]
fn many_refusals_are_cut_in_order() {
    let functions = (0..300).map(|nth| format!("(func $f{nth} (result i32) (i32.const {nth}))"));
    let module = format!("(module {})", functions.collect::<String>());
    let artifact = compile(module.as_bytes(), &Options::default(), &()).expect("it compiles");
    let index = ArtifactIndex::read(&artifact).expect("it is an artifact");
    let mut subject = Subject { artifact, index };
    let text = subject.index.text().start;
    let starts: Vec<u32> =
        subject.index.functions(&subject.artifact).iter().take(300).map(|record| record.text_offset).collect();
    // No instruction.
    starts.iter().for_each(|start| subject.artifact[text + *start as usize] = 0x06);
    for threads in [1, 4, 100].map(|n| NonZeroUsize::new(n).expect("a number of threads")) {
        let report = verify(&subject.artifact, &subject.index, threads).expect_err("they are refused");
        assert_eq!((report.refused, report.refusals.len()), (300, selvedge_verifier::REFUSALS_MAX));
        let said = report.to_string();
        assert!(said.starts_with(&format!("300 of {} functions cannot be proved", report.functions)), "{said}");
        for (nth, (refusal, start)) in report.refusals.iter().zip(&starts).enumerate() {
            assert_eq!((refusal.offset, refusal.name.as_deref()), (*start, Some(format!("f{nth}").as_str())));
        }
    }
}

#[test]
fn a_clamp_dropped_or_inverted() {
    kill(12, |subject, function| {
        // The 32-bit ones choose an entry of a jump table: without them, the last.
        let wide = |i: &&Instruction| (Register::RAX..=Register::R15).contains(&i.op0_register());
        let clamps = function.iter().filter(|i| matches!(i.mnemonic(), Mnemonic::Cmova | Mnemonic::Cmovb)).filter(wide);
        clamps.flat_map(|i| [subject.nothing(i), subject.inverted(i)]).collect()
    });
}

#[test]
fn a_callee_chosen_by_another_condition() {
    kill(24, |subject, function| {
        let choices = function.iter().filter(|i| i.mnemonic() == Mnemonic::Cmove);
        choices.flat_map(|i| [subject.nothing(i), subject.inverted(i)]).collect()
    });
}

#[test]
fn a_signature_that_is_not_the_types() {
    kill(6, |subject, function| {
        each(function, |i| {
            let constant = i.mnemonic() == Mnemonic::Cmp && i.is_ip_rel_memory_operand();
            let chooses = function.iter().any(|other| other.mnemonic() == Mnemonic::Cmove);
            let at = i.ip_rel_memory_address() as usize;
            (constant && chooses).then(|| (at, vec![subject.text()[at] ^ 1]))
        })
    });
}

#[test]
fn a_displacement_out_of_the_memory() {
    kill(10, |subject, function| {
        each(function, |i| {
            let size = i.memory_displ_size();
            (subject.is_heap_access(i) && size > 0).then(|| {
                let mut bytes = subject.bytes(i);
                let last = bytes.len() - 1;
                bytes[last] = 0x80;
                (i.ip() as usize, bytes)
            })
        })
    });
}

#[test]
fn an_index_that_is_not_zero_extended() {
    kill(3, |subject, function| {
        let pairs = function.windows(2).filter(|pair| {
            let (i, next) = (&pair[0], &pair[1]);
            let extends = i.mnemonic() == Mnemonic::Mov && i.op0_register() == i.op1_register();
            extends && i.op0_kind() == OpKind::Register && subject.is_heap_access(next)
        });
        pairs.map(|pair| subject.nothing(&pair[0])).collect()
    });
}

#[test]
fn a_call_beside_its_function() {
    kill(8, |subject, function| {
        each(function, |i| {
            (i.mnemonic() == Mnemonic::Call && i.op0_kind() == OpKind::NearBranch64).then(|| {
                let mut bytes = subject.bytes(i);
                bytes[1] = bytes[1].wrapping_add(1);
                (i.ip() as usize, bytes)
            })
        })
    });
}

#[test]
fn another_field_of_the_context() {
    const FIELDS: [u64; 4] = [-8i64 as u64, -16i64 as u64, -24i64 as u64, -56i64 as u64];
    kill(20, |subject, function| {
        each(function, |i| {
            let stack = matches!(i.memory_base(), Register::RSP | Register::RBP | Register::None);
            let field = i.mnemonic() == Mnemonic::Mov && i.op1_kind() == OpKind::Memory && !stack;
            (field && FIELDS.contains(&i.memory_displacement64())).then(|| {
                let mut bytes = subject.bytes(i);
                *bytes.last_mut().expect("it has bytes") = -32i8 as u8;
                (i.ip() as usize, bytes)
            })
        })
    });
}

#[test]
fn a_stack_check_for_less() {
    kill(8, |subject, function| {
        let calls = function.iter().any(|i| i.mnemonic() == Mnemonic::Call);
        let has_frame = function.iter().any(|i| i.mnemonic() == Mnemonic::Sub && i.op0_register() == Register::RSP);
        each(function, |i| {
            let check = i.mnemonic() == Mnemonic::Add && i.op0_register() == Register::R10;
            let mut bytes = subject.bytes(i);
            let from = bytes.len() - if i.op1_kind() == OpKind::Immediate8to64 { 1 } else { 4.min(bytes.len()) };
            bytes[from..].fill(0);
            (check && calls && has_frame && i.op_count() == 2).then(|| (i.ip() as usize, bytes))
        })
    });
}

#[test]
fn a_store_over_the_return_address() {
    kill(6, |subject, function| {
        let frame = function.iter().find(|i| i.mnemonic() == Mnemonic::Sub && i.op0_register() == Register::RSP);
        let Some(frame) = frame.map(|i| i.immediate(1)).filter(|bytes| *bytes < 0x70) else { return Vec::new() };
        each(function, |i| {
            let saves = i.mnemonic() == Mnemonic::Mov
                && i.memory_base() == Register::RSP
                && i.op0_kind() == OpKind::Memory
                && i.memory_displ_size() == 1
                && (Register::R12..=Register::R15).contains(&i.op1_register());
            let mut bytes = subject.bytes(i);
            *bytes.last_mut().expect("it has bytes") = frame as u8 + 8;
            saves.then(|| (i.ip() as usize, bytes))
        })
    });
}

#[test]
fn a_jump_table_that_leads_away() {
    kill(8, |subject, function| {
        let last = function.last().filter(|i| i.mnemonic() == Mnemonic::Jmp && i.op0_kind() == OpKind::Register);
        let table = last.filter(|i| subject.text()[i.next_ip() as usize - 20..].len() > 40);
        let is_table = function.iter().any(|i| i.mnemonic() == Mnemonic::Movsxd);
        let Some(table) = table.filter(|_| is_table).map(|i| i.next_ip() as usize) else { return Vec::new() };
        (0..4).map(|nth| (table + 4 * nth, 0x7fff_ff00u32.to_le_bytes().to_vec())).collect()
    });
}

/// The table's bytes in the file.
fn trap_table(subject: &Subject) -> std::ops::Range<usize> {
    let bytes = subject.index.traps(&subject.artifact).len() * 5;
    let first = subject.index.traps(&subject.artifact).get(0).expect("there are traps").0.to_le_bytes();
    let second = subject.index.traps(&subject.artifact).get(1).expect("there are traps").0.to_le_bytes();
    let wanted = [first, second].concat();
    let at = subject.artifact.windows(8).position(|window| window == wanted).expect(section::TRAPS);
    at..at + bytes
}

#[test]
fn a_trap_table_that_lies() {
    for subject in Subject::both() {
        let table = trap_table(&subject);
        let count = table.len() / 5;
        for nth in 0..count {
            let mut moved = subject.artifact.clone();
            moved[table.start + 4 * nth] ^= 1;
            assert!(verify(&moved, &subject.index, NonZeroUsize::MIN).is_err(), "entry {nth} moved");
            let code = table.start + 4 * count + nth;
            if moved[code] == TrapCode::MemoryOutOfBounds as u8 {
                let mut renamed = subject.artifact.clone();
                renamed[code] = TrapCode::Unreachable as u8;
                assert!(verify(&renamed, &subject.index, NonZeroUsize::MIN).is_err(), "entry {nth} renamed");
            }
        }
    }
}

#[test]
fn a_contract_that_promises_less_than_the_code_takes() {
    let refused = |change: fn(&mut ArtifactIndex)| {
        let mut subject = Subject::new(MemoryLayout::Dense);
        change(&mut subject.index);
        verify(&subject.artifact, &subject.index, NonZeroUsize::MIN).is_err()
    };
    assert!(refused(|index| index.contract.memories[0].reservation_bytes = 1 << 16));
    assert!(refused(|index| index.contract.memories[1].guard_bytes = 0));
    assert!(refused(|index| index.contract.tables[0].entries_max = 5));
    assert!(refused(|index| index.contract.globals[0].ty.mutable = false));
    assert!(refused(|index| index.contract.types.swap(0, 1)));
    assert!(refused(|index| index.contract.cpu = Default::default()));
}

/// Whatever the bytes are, there is an answer. Which one, the classes above say.
#[test]
fn damaged_code_gets_an_answer() {
    let subject = Subject::new(MemoryLayout::Dense);
    let records = subject.index.functions(&subject.artifact);
    let end = records.iter().last().expect("there are functions").text_end() as usize;
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut refused = 0;
    for _ in 0..3000 {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        let at = seed as usize % end;
        let byte = subject.text()[at] ^ (1 << (seed >> 40 & 7));
        refused += usize::from(subject.is_refused(&(at, vec![byte])));
    }
    assert!(refused > 1500, "{refused} of 3000 bit flips are refused");
}
