//! What tests of several crates share: modules from text in one call, specification scripts, guest cases.
//!
//! ```text
//!   fixtures   text ─► artifact ─► module ─► instance, one call each
//!   wast       specification scripts on compiler and runtime      (also behind `selvedge wast`)
//!   cases      the files in `guests/cases`, run by the command or step by step
//! ```
//!
//! Nothing here panics on a bad script or case: what is wrong is reported with its place.
#![deny(unsafe_code)]
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

/// Compiles and loads a module: proved where the verifier can prove it. A few shapes of constant addresses, and some
/// functions of the very largest modules, it refuses without cause; those are loaded on trust and told on stderr.
///
/// # Errors
/// If it does not compile, or does not load for another reason.
#[allow(unsafe_code)]
pub(crate) fn compile_and_load(wasm: &[u8], options: &Options) -> Result<Module> {
    let artifact = selvedge_compiler::compile(wasm, options, &())?;
    match load(&artifact) {
        Err(LoadError::Unproved(report)) => {
            eprintln!("loaded on trust: {}", report.to_string().lines().next().unwrap_or_default());
            // SAFETY: the bytes are what the compiler has just returned.
            Ok(unsafe { Module::load_trusted(&artifact) }?)
        }
        loaded => Ok(loaded?),
    }
}
