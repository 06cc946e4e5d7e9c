//! WebAssembly in, artifact out.
//!
//! ```text
//!   text ─► binary ─► module ─────► translate ──► codegen ──► link ─► artifact
//!           (wat)     validated,    each function, on all     calls   contract, code,
//!                     laid out      cores                     bound   tables, image
//! ```
//!
//! Invariants:
//! * The same input and options give the same bytes, on any machine and any number of threads; only
//!   [`Cpu::Native`] depends on where it runs.
//! * Input is hostile. It is validated before it is translated, counted before it is stored, and what
//!   cannot be compiled ends in a [`CompileError`]. Nothing here runs code or uses `unsafe`.
//! * The shapes that `translate` emits are those the contract's context layout and a verifier of machine
//!   code rely on: clamped indices, compared signatures, offsets of the context and nothing else.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod codegen;
mod error;
mod isa;
mod link;
mod module;
mod options;
mod parallel;
mod signature;
mod text;
mod thunks;
mod translate;

use selvedge_contract::artifact::{self, ArtifactParts};

pub use error::{CompileError, Place, TextError};
pub use options::{Cpu, OptLevel, Options, Proposals};
pub use text::to_binary;

/// Hears how far compilation is. Called from any thread.
pub trait Progress: Sync {
    /// So many functions are to be compiled.
    fn functions(&self, total: usize) {
        let _ = total;
    }

    /// So many more are done.
    fn compiled(&self, n: usize) {
        let _ = n;
    }
}

impl Progress for () {}

/// Name and version of compiler and code generator: part of the key of any cache of artifacts.
pub fn version() -> &'static str {
    concat!("selvedge ", env!("CARGO_PKG_VERSION"), " cranelift 0.135.8")
}

/// Compiles a module, binary or text, into an artifact.
///
/// # Errors
/// If the module is invalid, asks for what is not supported, or exceeds a limit.
pub fn compile(wasm_or_wat: &[u8], options: &Options, progress: &dyn Progress) -> Result<Vec<u8>, CompileError> {
    let wasm = to_binary(wasm_or_wat)?;
    let parsed = module::parse(&wasm, options)?;
    let (module, bodies) = (&parsed.module, &parsed.bodies);
    let code = parallel::compile_all(module, bodies, &isa::Isa::new(options), options.threads, progress)?;
    let text = link::link(module, bodies, code)?;
    Ok(artifact::write(&ArtifactParts {
        contract: &module.contract,
        text: &text.bytes,
        functions: &text.functions,
        traps: &text.traps,
        addresses: &text.addresses,
        names: &module.names,
        image: &parsed.image,
        data: &parsed.data,
        debug: &parsed.debug,
    })?)
}

/// The intermediate code of every function, generated ones included, before optimisation.
///
/// # Errors
/// As [`compile`].
pub fn clif(wasm_or_wat: &[u8], options: &Options) -> Result<String, CompileError> {
    let wasm = to_binary(wasm_or_wat)?;
    let parsed = module::parse(&wasm, options)?;
    let mut generator = codegen::Generator::new(&parsed.module, isa::Isa::new(options));
    let mut out = String::new();
    for index in 0..parsed.module.text_functions() {
        let code = generator.clif(index, parsed.bodies.get(index as usize))?;
        out += &format!("; {}\n{code}\n", parsed.module.describe(index));
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_version_names_the_code_generator() {
        assert!(super::version().ends_with(cranelift_codegen::VERSION), "{}", super::version());
    }
}
