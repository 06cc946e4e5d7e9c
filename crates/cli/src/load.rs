//! The one place where the command hands code to the processor.

use std::path::Path;

use anyhow::{Context, Result};
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_runtime::{LoadError, Module, Source};

use crate::files;

/// Loads an artifact from a file on the user's word. What a guest could change is copied first.
pub(crate) fn file(path: &Path, guest_writes_files: bool) -> Result<Module> {
    let named = || format!("cannot load {}", path.display());
    match guest_writes_files {
        false => load(Source::File(path)).with_context(named),
        true => load(Source::Bytes(&files::read(path, ARTIFACT_BYTES_MAX)?)).with_context(named),
    }
}

/// Loads an artifact that was compiled a moment ago.
pub(crate) fn bytes(artifact: &[u8]) -> Result<Module> {
    load(Source::Bytes(artifact)).context("cannot load what was compiled")
}

#[allow(unsafe_code)]
fn load(source: Source<'_>) -> Result<Module, LoadError> {
    // SAFETY: whoever runs an artifact trusts it like any executable, until a verifier proves it; `run` says so in
    // its help. A file is the user's own, or one that this command wrote to the user's cache and has checked
    // against its digest; both are replaced by renaming, never changed in place, and never mapped when the guest
    // was granted a directory to write in, where they might be. Bytes are copied into memory nobody can write.
    unsafe { Module::load_trusted(source) }
}
