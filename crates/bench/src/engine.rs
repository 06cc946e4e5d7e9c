//! What the verbs need of an engine, so that each verb is written once and both engines run the same work.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;

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
    pub(crate) fn start(self) -> Result<Box<dyn Engine>> {
        match self {
            Contestant::Ours => ours::start(),
            Contestant::Peer => peer::start(),
        }
    }
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
