//! A program under the newest Wasmtime and its preview 1.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::Result;
use selvedge_testkit::cases::Program;
use wasmtime::{Engine, Linker, Module, Store, Trap};
use wasmtime_wasi::p1::{self, WasiP1Ctx};
use wasmtime_wasi::p2::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmtime_wasi::{FsPerms, I32Exit, WasiCtxBuilder};

use super::{Ending, OUTPUT_BYTES_MAX, Outcome};

/// The engine, and what it has compiled.
pub(crate) struct Peer {
    linker: Linker<WasiP1Ctx>,
    modules: HashMap<PathBuf, Module>,
}

impl Peer {
    /// Starts the engine.
    pub(crate) fn start() -> Result<Peer> {
        let mut linker = Linker::new(&Engine::default());
        p1::add_to_linker_sync(&mut linker, |wasi| wasi)?;
        Ok(Peer { linker, modules: HashMap::new() })
    }

    /// Runs a program.
    pub(crate) fn run(&mut self, program: &Program, directory: Option<&Path>) -> Result<Outcome> {
        let module = self.module(&program.module)?;
        let (stdout, stderr) = (MemoryOutputPipe::new(OUTPUT_BYTES_MAX), MemoryOutputPipe::new(OUTPUT_BYTES_MAX));
        let mut wasi = WasiCtxBuilder::new();
        wasi.args(&program.args).envs(&program.env);
        wasi.stdin(MemoryInputPipe::new(program.stdin.clone())).stdout(stdout.clone()).stderr(stderr.clone());
        if let Some(directory) = directory {
            wasi.preopened_dir(directory, "/data", FsPerms::ReadWrite)?;
        }
        let mut store = Store::new(self.linker.engine(), wasi.build_p1());
        let instance = self.linker.instantiate(&mut store, &module)?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start")?;
        let ending = ending(start.call(&mut store, ()))?;
        let text = |pipe: MemoryOutputPipe| String::from_utf8_lossy(&pipe.contents()).into_owned();
        Ok(Outcome { ending, stdout: text(stdout), stderr: text(stderr), tree: Default::default() })
    }

    fn module(&mut self, path: &Path) -> Result<Module> {
        if let Some(module) = self.modules.get(path) {
            return Ok(module.clone());
        }
        let module = Module::from_file(self.linker.engine(), path)?;
        self.modules.insert(path.to_owned(), module.clone());
        Ok(module)
    }
}

fn ending(result: wasmtime::Result<()>) -> Result<Ending> {
    match result {
        Ok(()) => Ok(Ending::Exit(0)),
        Err(error) if error.is::<I32Exit>() => Ok(Ending::Exit(error.downcast::<I32Exit>()?.0)),
        Err(error) if error.is::<Trap>() => Ok(Ending::Trap),
        Err(error) => Err(error.into()),
    }
}
