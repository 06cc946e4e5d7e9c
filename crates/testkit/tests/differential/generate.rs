//! Modules from seeds: the same seed makes the same module, here and everywhere.
//!
//! Each seed also chooses what its module may use (swarm testing): a module of integers alone exercises them far
//! more than one in which every instruction is as likely as any other.

use arbitrary::Unstructured;
use wasm_smith::{Config, InstructionKind, InstructionKinds, MemoryOffsetChoices, Module};

/// Calls and loop rounds, and elements moved at once, after which an instance of a generated module traps.
const FUEL: u32 = 3_000;
/// Random bytes that one module is made of, at most.
const DNA_BYTES_MAX: u64 = 24 << 10;
/// The most a memory may grow to.
const MEMORY_BYTES_MAX: u32 = 640 << 10;

/// Numbers that look random and depend on the seed alone (SplitMix64).
pub(crate) struct Random(u64);

impl Random {
    /// The sequence of a seed.
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below a bound, which must not be zero.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.bits() % bound
    }

    /// So many bytes.
    pub(crate) fn bytes(&mut self, len: usize) -> Vec<u8> {
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.bits().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }

    /// Yes, once in so many times.
    pub(crate) fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// The module of a seed: valid, without imports, everything exported, and sure to end.
pub(crate) fn module(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let config = config(&mut random);
    let len = 2_000 + random.below(DNA_BYTES_MAX - 2_000);
    let dna = random.bytes(len as usize);
    from_dna(config, &mut Unstructured::new(&dna)).expect("bytes that run out are taken as zeros")
}

/// The module that a fuzzer's bytes stand for, if they stand for any.
pub(crate) fn arbitrary_module(bytes: &[u8]) -> Option<Vec<u8>> {
    let (seed, dna) = bytes.split_first_chunk()?;
    let config = config(&mut Random::new(u64::from_le_bytes(*seed)));
    from_dna(config, &mut Unstructured::new(dna)).ok()
}

fn from_dna(config: Config, dna: &mut Unstructured<'_>) -> arbitrary::Result<Vec<u8>> {
    let mut module = Module::new(config, dna)?;
    module.ensure_termination(FUEL).expect("every body was generated");
    Ok(module.to_bytes())
}

fn config(random: &mut Random) -> Config {
    Config {
        disallow_traps: !random.once_in(3),
        allow_floats: !random.once_in(4),
        simd_enabled: !random.once_in(3),
        allowed_instructions: instructions(random),
        memory64_enabled: random.once_in(2),
        tail_call_enabled: !random.once_in(3),
        multi_value_enabled: !random.once_in(6),
        max_memories: 1 + random.below(3) as usize,
        min_memories: u32::from(!random.once_in(6)),
        max_tables: 1 + random.below(4) as usize,
        min_tables: u32::from(!random.once_in(6)),
        max_instructions: 20 + random.below(300) as usize,
        max_funcs: 2 + random.below(14) as usize,
        max_nesting_depth: 3 + random.below(12) as usize,
        memory_offset_choices: offsets(random),
        ..fixed()
    }
}

/// What holds for every module.
fn fixed() -> Config {
    Config {
        min_funcs: 2,
        min_types: 2,
        max_types: 12,
        max_imports: 0,
        max_globals: 12,
        max_type_size: 100_000,
        max_table_elements: 1_000,
        max_memory32_bytes: MEMORY_BYTES_MAX.into(),
        max_memory64_bytes: MEMORY_BYTES_MAX.into(),
        memory_max_size_required: true,
        table_max_size_required: true,
        export_everything: true,
        canonicalize_nans: true,
        bulk_memory_enabled: true,
        reference_types_enabled: true,
        extended_const_enabled: true,
        gc_enabled: false,
        exceptions_enabled: false,
        threads_enabled: false,
        custom_page_sizes_enabled: false,
        wide_arithmetic_enabled: false,
        relaxed_simd_enabled: false,
        compact_imports_enabled: false,
        ..Config::default()
    }
}

/// All kinds of instructions, or most of them.
fn instructions(random: &mut Random) -> InstructionKinds {
    use InstructionKind::{
        Aggregate, Control, MemoryInt, NumericInt, Parametric, Reference, Table, Variable, VectorInt,
    };
    const INTEGERS: [InstructionKind; 9] =
        [NumericInt, VectorInt, Reference, Parametric, Variable, Table, MemoryInt, Control, Aggregate];
    match random.below(8) {
        0 => InstructionKinds::new(&INTEGERS),
        1 => InstructionKinds::new(&[InstructionKind::Numeric, Variable, Control, Parametric]),
        2 => InstructionKinds::new(&[InstructionKind::Memory, NumericInt, Control, Variable]),
        3 => InstructionKinds::new(&[InstructionKind::Vector, NumericInt, Variable, MemoryInt, Control]),
        4 => InstructionKinds::new(&[Table, Reference, NumericInt, Control, Variable]),
        _ => InstructionKinds::all(),
    }
}

/// How often an access lies within the memory's first size, within its last, or beyond.
fn offsets(random: &mut Random) -> MemoryOffsetChoices {
    match random.below(4) {
        0 => MemoryOffsetChoices(1, 1, 1),
        1 => MemoryOffsetChoices(1, 0, 0),
        _ => MemoryOffsetChoices::default(),
    }
}
