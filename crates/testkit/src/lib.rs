//! What tests of several crates share: modules from text in one call, specification scripts, guest cases.
//!
//! ```text
//!   fixtures   text ─► artifact ─► module ─► instance, one call each
//!   wast       specification scripts on compiler and runtime      (also behind `selvedge wast`)
//!   cases      the files in `guests/cases`, run by the command or step by step
//! ```
//!
//! Nothing here panics on a bad script or case: what is wrong is reported with its place.
#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod cases;
mod fixtures;
pub mod wast;

pub use fixtures::{compile, instance, layout_name, layouts, module, module_with, options};

use std::num::NonZeroUsize;

use anyhow::Result;
use selvedge_compiler::Options;
use selvedge_runtime::{LoadError, Module};

/// Loads an artifact, proved on the way.
///
/// # Errors
/// As [`Module::load_untrusted`].
pub(crate) fn load(artifact: &[u8]) -> Result<Module, LoadError> {
    Module::load_untrusted(artifact, NonZeroUsize::MIN)
}

/// Compiles and loads a module, proved on the way.
///
/// # Errors
/// If it does not compile, or cannot be proved or loaded.
pub(crate) fn compile_and_load(wasm: &[u8], options: &Options) -> Result<Module> {
    let artifact = selvedge_compiler::compile(wasm, options, &())?;
    Ok(load(&artifact)?)
}
