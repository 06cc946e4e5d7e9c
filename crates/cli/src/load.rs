//! The one place where the command hands code to the processor.

use std::num::NonZeroUsize;
use std::path::Path;

use anyhow::{Context, Result};
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use selvedge_contract::policy::Policy;
use selvedge_runtime::{LoadError, Module, Source, Terms};

use crate::{files, signatures};

/// Loads an artifact from a file, whoever made it: its code is proved first.
pub(crate) fn untrusted(path: &Path) -> Result<Module, LoadError> {
    Module::load_untrusted(path, threads())
}

/// Loads an artifact from memory, whoever made it: its code is proved first.
pub(crate) fn proved(artifact: &[u8]) -> Result<Module> {
    Module::load_untrusted(artifact, threads()).context("cannot load what was compiled")
}

/// Loads an artifact under a policy. `path` is where a signature is looked for, if the policy wants one.
pub(crate) fn under(policy: &Policy, path: &Path, artifact: &[u8]) -> Result<Module> {
    let signature = signatures::beside(path)?;
    let terms = Terms { policy, signature: signature.as_deref(), threads: threads() };
    Module::load_under(artifact, &terms).with_context(|| format!("cannot load {}", path.display()))
}

/// Loads an artifact from a file on the user's word. What a guest could change is copied first.
pub(crate) fn trusted(path: &Path, guest_writes_files: bool) -> Result<Module> {
    let named = || format!("cannot load {}", path.display());
    match guest_writes_files {
        false => load(Source::File(path)).with_context(named),
        true => load(Source::Bytes(&files::read(path, ARTIFACT_BYTES_MAX)?)).with_context(named),
    }
}

/// Loads an artifact that this process compiled a moment ago.
pub(crate) fn compiled(artifact: &[u8]) -> Result<Module> {
    load(Source::Bytes(artifact)).context("cannot load what was compiled")
}

/// As many as there are cores.
pub(crate) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

#[allow(unsafe_code)]
fn load(source: Source<'_>) -> Result<Module, LoadError> {
    // SAFETY: bytes were compiled by this process, and are copied into memory nobody can write. A file is one that the
    // user vouches for with `--trusted`, whose help says what that means; it is never mapped when the guest was granted
    // a directory to write in, where it might be.
    unsafe { Module::load_trusted(source) }
}
