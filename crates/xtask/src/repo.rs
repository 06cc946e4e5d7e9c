//! The repository as the checks see it: every file git knows or would add, read once.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::syntax::RustFile;

/// Top directories whose Rust files are ours to keep in shape (guests are programs under test).
const CODE: [&str; 3] = ["crates/", "examples/", "fuzz/"];

/// All files of the repository.
#[derive(Default)]
pub struct Repo {
    /// Sorted by path.
    pub files: Vec<File>,
}

/// One file.
pub struct File {
    /// Relative to the root, with `/` between parts.
    pub path: String,
    /// As on disk.
    pub bytes: Vec<u8>,
    /// Present when the file is Rust code of ours; an error when it does not parse.
    pub rust: Option<syn::Result<RustFile>>,
}

/// The directory that holds the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_path_buf()
}

/// The first bits of the commit's name, if this is a checkout.
pub fn commit() -> Option<u32> {
    let mut git = Command::new("git");
    git.args(["-c", "safe.directory=*", "rev-parse", "HEAD"]).current_dir(root());
    let name = git.output().ok().filter(|output| output.status.success())?.stdout;
    u32::from_str_radix(str::from_utf8(name.get(..8)?).ok()?, 16).ok()
}

impl Repo {
    /// Reads the tracked files, and those that are new and not ignored.
    pub fn load(root: &Path) -> Result<Repo> {
        let listed = Command::new("git")
            .args(["-c", "safe.directory=*", "ls-files", "-z"])
            .args(["--cached", "--others", "--exclude-standard"])
            .current_dir(root)
            .output()
            .context("running git: install it")?;
        ensure!(listed.status.success(), "git: {}", String::from_utf8_lossy(&listed.stderr));
        let names = String::from_utf8(listed.stdout).context("a file name is not UTF-8")?;
        let mut repo = Repo::default();
        for name in names.split_terminator('\0') {
            // A deleted file stays listed until the deletion is committed.
            if let Ok(bytes) = std::fs::read(root.join(name)) {
                repo.add(name, bytes);
            }
        }
        repo.files.sort_by(|a, b| a.path.cmp(&b.path));
        repo.files.dedup_by(|a, b| a.path == b.path);
        Ok(repo)
    }

    /// A repository made of `(path, text)`, for tests.
    #[cfg(test)]
    pub fn of(files: &[(&str, &str)]) -> Repo {
        let mut repo = Repo::default();
        for (path, text) in files {
            repo.add(path, text.as_bytes().to_vec());
        }
        repo
    }

    fn add(&mut self, path: &str, bytes: Vec<u8>) {
        let ours = path.ends_with(".rs") && CODE.iter().any(|top| path.starts_with(top));
        let text = ours.then(|| String::from_utf8_lossy(&bytes));
        let rust = text.map(|text| RustFile::parse(&text));
        self.files.push(File { path: path.to_owned(), bytes, rust });
    }

    /// Our Rust files that parse.
    pub fn rust(&self) -> impl Iterator<Item = (&File, &RustFile)> {
        self.files.iter().filter_map(|file| Some((file, file.rust.as_ref()?.as_ref().ok()?)))
    }

    /// The file at `path`.
    pub fn file(&self, path: &str) -> Option<&File> {
        self.files.iter().find(|file| file.path == path)
    }

    /// Whether `path` names a file, or a directory with files in it.
    pub fn exists(&self, path: &str) -> bool {
        let path = path.trim_end_matches('/');
        let inside = format!("{path}/");
        self.files.iter().any(|file| file.path == path || file.path.starts_with(&inside))
    }

    /// Manifests of our packages, as `(directory name, file)`.
    pub fn manifests(&self) -> impl Iterator<Item = (&str, &File)> {
        self.files.iter().filter_map(|file| {
            let dir = file.path.strip_suffix("/Cargo.toml")?;
            let name = dir.strip_prefix("crates/").unwrap_or(dir);
            let ours = file.path.starts_with("crates/") || name == "fuzz";
            (ours && !name.contains('/')).then_some((name, file))
        })
    }

    /// Whether all of `path` is test code: by its place, or because its parent says `cfg(test)`.
    pub fn is_test(&self, path: &str) -> bool {
        let by_place = path.split('/').any(|part| matches!(part, "tests" | "tests.rs" | "benches"));
        by_place || self.rust().any(|(parent, rust)| rust.owns_test_file(&parent.path, path))
    }
}

impl File {
    /// The text, lossily.
    pub fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.bytes)
    }

    /// `crates/<name>/…` → `name`; otherwise the top directory.
    pub fn krate(&self) -> &str {
        let inner = self.path.strip_prefix("crates/").unwrap_or(&self.path);
        inner.split('/').next().unwrap_or(inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_exists_when_a_file_is_in_it() {
        let repo = Repo::of(&[("crates/a/src/lib.rs", "")]);
        for (path, exists) in [
            ("crates/a/src/lib.rs", true),
            ("crates/a", true),
            ("crates/a/", true),
            ("crates/ab", false),
            ("crates/a/src/li", false),
        ] {
            assert_eq!(repo.exists(path), exists, "{path}");
        }
    }

    #[test]
    fn test_files_are_known_by_place_or_by_parent() {
        let repo = Repo::of(&[("crates/a/src/pool.rs", "#[cfg(test)] mod model;\nmod real;")]);
        for (path, test) in [
            ("crates/a/tests/x.rs", true),
            ("crates/a/src/tests.rs", true),
            ("crates/a/src/pool/model.rs", true),
            ("crates/a/src/pool/model/deep.rs", true),
            ("crates/a/src/pool/real.rs", false),
        ] {
            assert_eq!(repo.is_test(path), test, "{path}");
        }
    }
}
