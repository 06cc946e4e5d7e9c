//! The one place where the command hands code to the processor.

use std::path::Path;

use anyhow::{Context, Result};
use selvedge_runtime::{LoadError, Module, Source};

/// Loads an artifact from a file on the user's word.
pub(crate) fn file(path: &Path) -> Result<Module> {
    load(Source::File(path)).with_context(|| format!("cannot load {}", path.display()))
}

/// Loads an artifact that was compiled a moment ago.
pub(crate) fn bytes(artifact: &[u8]) -> Result<Module> {
    load(Source::Bytes(artifact)).context("cannot load what was compiled")
}

#[allow(unsafe_code)]
fn load(source: Source<'_>) -> Result<Module, LoadError> {
    // SAFETY: whoever runs an artifact trusts it like any executable, until a verifier proves it; `run` says so in
    // its help. A file is the user's own, or one that this command wrote to the user's cache and has checked
    // against its digest; both are replaced by renaming, never changed in place. Bytes come from the compiler.
    unsafe { Module::load_trusted(source) }
}
