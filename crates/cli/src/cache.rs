//! Compiled modules, kept between runs.
//!
//! An entry is named by the SHA-256 of everything that determines it: the module's bytes, the flags, the
//! compiler's version. It is the artifact followed by its own SHA-256 (a trailer that ELF readers ignore),
//! written to a temporary file and renamed: it is whole or absent, and one that was damaged later does not
//! match its digest and is compiled anew. Beyond a total size the entries longest unused go.
//!
//! The cache is a convenience: when it cannot be used, modules are compiled without it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result};
use selvedge_compiler::{Cpu, Options};
use selvedge_contract::abi::ABI_VERSION;
use selvedge_contract::artifact::FORMAT_VERSION;
use selvedge_contract::cpu::CpuFeatures;
use selvedge_contract::limits::ARTIFACT_BYTES_MAX;
use sha2::{Digest, Sha256};

use crate::files;

/// All entries together.
const CACHE_BYTES_MAX: u64 = 4 << 30;
const DIGEST_BYTES: usize = 32;
const SUFFIX: &str = "selv";

/// A directory of compiled modules.
pub(crate) struct Cache {
    directory: PathBuf,
}

impl Cache {
    /// `$XDG_CACHE_HOME/selvedge`, else `~/.cache/selvedge`; none if neither variable is an absolute path.
    pub(crate) fn of_user() -> Option<Cache> {
        let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
        let caches = absolute("XDG_CACHE_HOME").or_else(|| Some(absolute("HOME")?.join(".cache")))?;
        Some(Cache { directory: caches.join("selvedge") })
    }

    /// The entry for a module and options: found whole, or compiled and kept.
    pub(crate) fn get(
        &self,
        wasm: &[u8],
        options: &Options,
        compile: impl FnOnce() -> Result<Vec<u8>>,
    ) -> Result<Entry> {
        let path = self.directory.join(key(wasm, options)).with_extension(SUFFIX);
        if is_whole(&path) {
            // Only to know which entries are in use.
            let _ = std::fs::File::open(&path).and_then(|file| file.set_modified(SystemTime::now()));
            return Ok(Entry::Found(path));
        }
        let artifact = compile()?;
        if let Err(error) = self.keep(&path, &artifact) {
            eprintln!("warning: the compiled module is not kept ({error:#}); --no-cache silences this");
        }
        Ok(Entry::Compiled(artifact))
    }

    fn keep(&self, path: &Path, artifact: &[u8]) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt;
        let mut builder = std::fs::DirBuilder::new();
        let made = builder.recursive(true).mode(0o700).create(&self.directory);
        made.with_context(|| format!("cannot make {}", self.directory.display()))?;
        files::write(path, &[artifact, Sha256::digest(artifact).as_slice()].concat())?;
        self.shrink(path);
        Ok(())
    }

    /// Removes the entries longest unused until the rest fits; `newest` stays in any case.
    fn shrink(&self, newest: &Path) {
        let Ok(listing) = self.directory.read_dir() else { return };
        let mut entries: Vec<_> = listing
            .flatten()
            .filter(|entry| entry.path() != newest)
            .filter_map(|entry| Some((entry.metadata().ok()?, entry.path())))
            .collect();
        entries.sort_by_key(|(metadata, _)| std::cmp::Reverse(metadata.modified().ok()));
        let mut total = newest.metadata().map_or(0, |metadata| metadata.len());
        for (metadata, path) in entries {
            total += metadata.len();
            if total > CACHE_BYTES_MAX {
                // Another process may have removed it already.
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// A compiled module.
pub(crate) enum Entry {
    /// In the cache, by this process or another: it may have been changed since.
    Found(PathBuf),
    /// A moment ago.
    Compiled(Vec<u8>),
}

fn key(wasm: &[u8], options: &Options) -> String {
    // What `--cpu native` means depends on where it is said.
    let host = if options.cpu == Cpu::Native { CpuFeatures::host().to_string() } else { String::new() };
    let formats = format!("{FORMAT_VERSION} {ABI_VERSION}");
    let mut hasher = Sha256::new();
    for part in [selvedge_compiler::version(), &formats, &options.as_flags(), &host] {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.update(wasm);
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn is_whole(path: &Path) -> bool {
    let read = || {
        let mut bytes = Vec::new();
        std::fs::File::open(path)?.take((ARTIFACT_BYTES_MAX + DIGEST_BYTES) as u64).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    let Ok(bytes) = read() else { return false };
    let parts = bytes.split_last_chunk::<DIGEST_BYTES>();
    parts.is_some_and(|(artifact, digest)| Sha256::digest(artifact).as_slice() == digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether it had to be compiled.
    fn compiled(entry: Result<Entry>) -> bool {
        match entry {
            Ok(Entry::Found(path)) => !std::fs::read(path).unwrap().starts_with(b"artifact"),
            Ok(Entry::Compiled(_)) => true,
            Err(error) => panic!("{error}"),
        }
    }

    #[test]
    fn entries_are_found_by_content_and_flags_and_damage_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache { directory: directory.path().join("selvedge") };
        let options = Options::default();
        let get = |wasm: &[u8], options| compiled(cache.get(wasm, options, || Ok(b"artifact".to_vec())));
        assert!(get(b"module", &options));
        assert!(!get(b"module", &options));
        let made = cache.directory.read_dir().unwrap().next().unwrap().unwrap().path();
        let other = Options { debug: true, ..Options::default() };
        assert!(get(b"module", &other));
        assert!(get(b"other", &options));
        for damaged in [&b"artifacX"[..], b"", b"x"] {
            std::fs::write(&made, damaged).unwrap();
            assert!(get(b"module", &options));
            assert!(!get(b"module", &options));
        }
    }

    #[test]
    fn an_unusable_directory_is_no_obstacle() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let cache = Cache { directory: file.path().join("selvedge") };
        let entry = cache.get(b"module", &Options::default(), || Ok(b"artifact".to_vec()));
        assert!(matches!(entry, Ok(Entry::Compiled(bytes)) if bytes == b"artifact"));
    }
}
