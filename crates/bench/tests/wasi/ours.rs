//! A program under Selvedge.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Limits, Linker, Module, Store};
use selvedge_testkit::cases::Program;
use selvedge_wasi::{Buffer, DirAccess, Stdio, Wasi};

use super::{Ending, OUTPUT_BYTES_MAX, Outcome};

/// What has been compiled.
#[derive(Default)]
pub(crate) struct Ours(HashMap<PathBuf, Module>);

impl Ours {
    fn module(&mut self, path: &Path) -> Result<Module> {
        if let Some(module) = self.0.get(path) {
            return Ok(module.clone());
        }
        let wasm = std::fs::read(path).with_context(|| format!("reading {}", path.display()))?;
        let module = selvedge_testkit::module(wasm, MemoryLayout::Guarded)?;
        self.0.insert(path.to_owned(), module.clone());
        Ok(module)
    }

    /// Runs a program.
    pub(crate) fn run(&mut self, program: &Program, directory: Option<&Path>) -> Result<Outcome> {
        let module = self.module(&program.module)?;
        let (stdout, stderr) = (Buffer::new(OUTPUT_BYTES_MAX), Buffer::new(OUTPUT_BYTES_MAX));
        let mut wasi = Wasi::builder()
            .args(&program.args)
            .envs(program.env.iter().cloned())
            .stdin(Stdio::bytes(program.stdin.as_bytes()))
            .stdout(Stdio::Buffer(stdout.clone()))
            .stderr(Stdio::Buffer(stderr.clone()));
        if let Some(directory) = directory {
            wasi = wasi.preopen_dir(directory, "/data", DirAccess::ReadWrite)?;
        }
        let mut store = Store::new(wasi.build()?, Limits::default())?;
        let mut linker = Linker::new();
        selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
        let instance = linker.instantiate(&mut store, &module)?;
        let start = instance.get_func(&store, "_start").context("no _start")?;
        let ending = match start.call(&mut store, &[]) {
            Ok(_) => Ending::Exit(0),
            Err(CallError::Exit(code)) => Ending::Exit(code),
            Err(CallError::Trap(_)) => Ending::Trap,
            Err(error) => return Err(error.into()),
        };
        let text = |buffer: Buffer| String::from_utf8_lossy(&buffer.take()).into_owned();
        Ok(Outcome { ending, stdout: text(stdout), stderr: text(stderr), tree: Default::default() })
    }
}
