//! What the verbs need of an engine, so that each verb is written once and both engines run the same work.

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, ValueEnum};

use crate::{ours, peer};

/// The two engines, by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Contestant {
    /// Selvedge.
    Ours,
    /// Wasmtime.
    Peer,
}

impl Contestant {
    /// Both, in the order they are measured and reported.
    pub(crate) const ALL: [Contestant; 2] = [Contestant::Ours, Contestant::Peer];

    /// The word used in file names and on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Contestant::Ours => "ours",
            Contestant::Peer => "peer",
        }
    }

    /// Starts the engine.
    pub(crate) fn start(self, settings: Settings) -> Result<Box<dyn Engine>> {
        match self {
            Contestant::Ours => Ok(ours::start(settings)),
            Contestant::Peer => peer::start(settings),
        }
    }
}

/// What may be chosen about our code. The peer always compiles for the processor it runs on, with its
/// guarded memory, so that is where the comparison starts; `--cpu baseline` is how Selvedge ships.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct Settings {
    /// What our code may ask of the processor; the peer's may ask all.
    #[arg(long, value_enum, default_value_t = Cpu::Native)]
    pub(crate) cpu: Cpu,
    /// How our code keeps the bounds of memories; the peer's relies on guards.
    #[arg(long, value_enum, default_value_t = Memory::Guarded)]
    pub(crate) memory: Memory,
    /// Count what is executed.
    #[arg(skip)]
    pub(crate) meter: bool,
    /// Let what runs be stopped by somebody else.
    #[arg(skip)]
    pub(crate) interruptible: Interruptible,
}

/// Whether and how what runs can be stopped.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) enum Interruptible {
    #[default]
    No,
    /// By the engine's own way: ours under limits on time, with the ticker looking; the peer's by epochs.
    Yes,
    /// By counting what it executes.
    ByMeter,
}

impl Settings {
    pub(crate) fn interruptible(self, interruptible: Interruptible) -> Settings {
        Settings { interruptible, ..self }
    }

    /// As command-line arguments, for a child.
    pub(crate) fn arguments(self) -> [String; 4] {
        let name = |value: &dyn Fn() -> Option<clap::builder::PossibleValue>| {
            value().map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let (cpu, memory) = (name(&|| self.cpu.to_possible_value()), name(&|| self.memory.to_possible_value()));
        ["--cpu".into(), cpu, "--memory".into(), memory]
    }
}

/// What code may ask of the processor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Cpu {
    /// x86-64-v2, Selvedge's default.
    Baseline,
    /// AVX2, BMI and FMA.
    #[value(name = "x86-64-v3")]
    X86_64V3,
    /// Whatever this processor has.
    Native,
}

/// How bounds of memories are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Memory {
    /// By inaccessible pages.
    Guarded,
    /// By clamping the index.
    Dense,
}

/// An engine with the settings it ships with.
pub(crate) trait Engine {
    /// Wasm bytes to the bytes of an artifact, using every core.
    fn compile(&self, wasm: &[u8]) -> Result<Vec<u8>>;

    /// Loads an artifact this engine made, from a file nobody else writes.
    fn load(&self, artifact: &Path) -> Result<Box<dyn Module>>;
}

/// A loaded module.
pub(crate) trait Module {
    /// A fresh instance whose `_initialize`, if it has one, has run. Imports are `bench`'s stubs:
    /// `host.add`, and system calls that fail.
    fn instantiate(&self) -> Result<Box<dyn Instance>>;

    /// A fresh instance under the engine's own WASI preview 1, with these directories from descriptor 3 on.
    fn instantiate_with_wasi(&self, directories: &[PathBuf]) -> Result<Box<dyn Instance>>;
}

/// One instance; exports are looked up before the clock starts.
pub(crate) trait Instance {
    /// Looks up an exported `() -> i64`.
    fn program(&mut self, export: &str) -> Result<Box<dyn FnMut() -> Result<i64> + '_>>;

    /// Looks up an exported `(i32) -> i32`.
    fn unary(&mut self, export: &str) -> Result<Box<dyn FnMut(i32) -> Result<i32> + '_>>;

    /// Looks up an exported `(i32, i32) -> i32` and returns a loop that calls it so many times from the
    /// host, by the engine's quickest typed path, each call fed with the one before.
    fn binary_loop(&mut self, export: &str) -> Result<Box<dyn FnMut(u32) -> Result<i32> + '_>>;
}

/// `EBADF` of WASI preview 1: what every stubbed system call returns. The programs make none that matters.
pub(crate) const BAD_FILE: i32 = 8;
