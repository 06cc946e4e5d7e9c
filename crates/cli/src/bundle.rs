//! Packing what is deployed: a module with its files, as an archive that the same files always make the same.

use std::fs::{self, File, FileType};
use std::io::{BufWriter, Cursor, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use selvedge_contract::limits::WASM_BYTES_MAX;
use tar::{Builder, EntryType, Header};

use crate::files;

/// Files and directories below one directory; a bundle has fewer.
const FILES_MAX: usize = 100_000;
/// Directories within directories.
const DEPTH_MAX: usize = 64;
/// Hidden, and yet meant for everybody (RFC 8615).
const WELL_KNOWN: &str = ".well-known";

/// What goes into a bundle.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Parts {
    /// The program.
    pub(crate) module: Option<PathBuf>,
    /// Files that clients get as they are.
    pub(crate) assets: Option<PathBuf>,
    /// Files that the program can read.
    pub(crate) files: Option<PathBuf>,
    /// Arguments for the program.
    pub(crate) args: Vec<String>,
}

impl Parts {
    /// Of a directory that has the parts under the names that they have in a bundle.
    pub(crate) fn of_directory(directory: &Path) -> Result<Parts> {
        let there = |name: &str| Some(directory.join(name)).filter(|path| path.exists());
        let parts = Parts {
            module: there("app.wasm").or_else(|| there("app.wat")),
            assets: there("assets"),
            files: there("files"),
            args: there("args").map_or(Ok(Vec::new()), |path| read_args(&path))?,
        };
        ensure!(
            parts.module.is_some() || parts.assets.is_some(),
            "{} has neither app.wasm nor assets/; to serve its files as they are: --assets {}",
            directory.display(),
            directory.display()
        );
        Ok(parts)
    }

    /// Whether a module says it all.
    pub(crate) fn is_module_alone(&self) -> bool {
        self.assets.is_none() && self.files.is_none() && self.args.is_empty()
    }

    /// The archive, in a file that has no name.
    pub(crate) fn pack(&self) -> Result<File> {
        let file = tempfile::tempfile().context("cannot make a temporary file for the bundle")?;
        let mut archive = Archive { builder: Builder::new(BufWriter::new(file)), left_out: Vec::new() };
        if let Some(module) = &self.module {
            let bytes = read_module(module)?;
            let name = if module.extension().is_some_and(|end| end == "wat") { "app.wat" } else { "app.wasm" };
            archive.add(name, bytes.len() as u64, Cursor::new(bytes))?;
        }
        if !self.args.is_empty() {
            let lines: String = self.args.iter().map(|arg| format!("{arg}\n")).collect();
            ensure!(
                !self.args.iter().any(|arg| arg.contains('\n')),
                "an argument of a bundle is a line: it has no other"
            );
            archive.add("args", lines.len() as u64, Cursor::new(lines))?;
        }
        for (name, directory) in [("assets", &self.assets), ("files", &self.files)] {
            if let Some(directory) = directory {
                archive.directory(name, directory)?;
            }
        }
        archive.finish()
    }
}

/// Reads a module to be deployed; an artifact in its place is the user's slip.
pub(crate) fn read_module(path: &Path) -> Result<Vec<u8>> {
    let bytes = files::read(path, WASM_BYTES_MAX)?;
    let name = path.display();
    ensure!(!bytes.is_empty(), "{name} is empty; build it again");
    ensure!(
        !files::is_our_artifact(&bytes),
        "{name} is an artifact, and a server compiles for itself; deploy the module that it was made from"
    );
    Ok(bytes)
}

fn read_args(path: &Path) -> Result<Vec<String>> {
    let text = String::from_utf8(files::read(path, 64 << 10)?);
    let text = text.with_context(|| format!("{} is not UTF-8", path.display()))?;
    Ok(text.lines().map(str::to_string).collect())
}

struct Archive {
    builder: Builder<BufWriter<File>>,
    left_out: Vec<PathBuf>,
}

impl Archive {
    /// Nothing of when, and by whom: the same files are the same bundle.
    fn add(&mut self, name: &str, size: u64, contents: impl Read) -> Result<()> {
        let mut header = Header::new_ustar();
        header.set_entry_type(EntryType::Regular);
        header.set_size(size);
        header.set_mode(0o644);
        self.builder
            .append_data(&mut header, name, contents)
            .with_context(|| format!("cannot put {name} into the bundle"))
    }

    fn directory(&mut self, name: &str, directory: &Path) -> Result<()> {
        for (below, path) in listed(directory, &mut self.left_out)? {
            let context = || format!("cannot read {}", path.display());
            let file = File::open(&path).with_context(context)?;
            let size = file.metadata().with_context(context)?.len();
            let mut contents = (&file).take(size);
            self.add(&format!("{name}/{below}"), size, &mut contents)?;
            // Half of what an editor is about to write would be deployed.
            let same = contents.limit() == 0 && file.metadata().with_context(context)?.len() == size;
            ensure!(same, "{} was changed while it was read: try again", path.display());
        }
        Ok(())
    }

    fn finish(self) -> Result<File> {
        let written = self.builder.into_inner().context("cannot write the bundle")?;
        if let Some(first) = self.left_out.first() {
            let more = match self.left_out.len() - 1 {
                0 => String::new(),
                more => format!(" and {more} more"),
            };
            eprintln!("left out, because its name begins with a dot: {}{more}", first.display());
        }
        written.into_inner().context("cannot write the bundle")
    }
}

/// All files below a directory, sorted: their names there, and their paths.
fn listed(directory: &Path, left_out: &mut Vec<PathBuf>) -> Result<Vec<(String, PathBuf)>> {
    ensure!(directory.is_dir(), "{} is no directory", directory.display());
    let (mut found, mut ahead) = (Vec::new(), vec![(String::new(), directory.to_owned(), 0)]);
    while let Some((name, path, depth)) = ahead.pop() {
        let entries = fs::read_dir(&path).with_context(|| format!("cannot list {}", path.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", path.display()))?;
            let kind = entry.file_type().with_context(|| format!("cannot read {}", entry.path().display()))?;
            let Some(own) = entry.file_name().to_str().map(str::to_string) else {
                bail!("the name {} is not UTF-8", entry.path().display())
            };
            let below = if name.is_empty() { own.clone() } else { format!("{name}/{own}") };
            if own.starts_with('.') && own != WELL_KNOWN {
                left_out.push(entry.path());
            } else if kind.is_dir() {
                ensure!(depth < DEPTH_MAX, "{} lies more than {DEPTH_MAX} directories deep", entry.path().display());
                ahead.push((below, entry.path(), depth + 1));
            } else if kind.is_file() {
                found.push((below, entry.path()));
            } else {
                bail!("{}", out_of_place(&entry.path(), kind));
            }
            ensure!(found.len() + ahead.len() <= FILES_MAX, "{} has too many files", directory.display());
        }
    }
    found.sort();
    Ok(found)
}

/// What is neither file nor directory, and what to do about it.
fn out_of_place(path: &Path, kind: FileType) -> String {
    match kind.is_symlink() {
        true => format!("{} is a symbolic link: put what it leads to in its place", path.display()),
        false => format!("{} is neither file nor directory: take it out", path.display()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Seek;
    use std::os::unix::fs::symlink;

    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = directory.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        directory
    }

    fn packed(parts: &Parts) -> (Vec<u8>, BTreeMap<String, String>) {
        let (mut file, mut bytes) = (parts.pack().unwrap(), Vec::new());
        file.rewind().unwrap();
        file.read_to_end(&mut bytes).unwrap();
        let mut archive = tar::Archive::new(&bytes[..]);
        let entry = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().display().to_string();
            (name, std::io::read_to_string(&mut entry).unwrap())
        };
        let entries = archive.entries().unwrap().map(entry).collect();
        (bytes, entries)
    }

    #[test]
    fn a_directory_is_packed_the_same_whenever_and_whoever_does_it() {
        let long = format!("assets/{}page.html", "long/".repeat(40));
        let there = [
            ("app.wat", "(module)"),
            ("args", "a\nb c\n"),
            ("assets/index.html", "hello"),
            ("assets/.well-known/x", "known"),
            ("assets/.git/HEAD", "hidden"),
            ("files/lib/a.py", "pass"),
            (&long, "deep"),
            ("notes.txt", "not in it"),
        ];
        let (one, other) = (directory(&there), directory(&there));
        let parts = Parts::of_directory(one.path()).unwrap();
        assert_eq!(parts.args, ["a", "b c"]);
        let (bytes, entries) = packed(&parts);
        let expected = there.iter().filter(|(name, _)| !name.contains(".git") && !name.contains("notes"));
        assert_eq!(entries, expected.map(|(name, text)| (name.to_string(), text.to_string())).collect());
        assert_eq!(packed(&Parts::of_directory(other.path()).unwrap()).0, bytes);
    }

    #[test]
    fn what_cannot_be_packed_is_named() {
        let nothing = directory(&[("a", "")]);
        let error = Parts::of_directory(nothing.path()).unwrap_err().to_string();
        assert!(error.contains("neither app.wasm nor assets/") && error.contains("--assets"), "{error}");
        let linked = directory(&[("index.html", "")]);
        symlink("/etc/passwd", linked.path().join("passwd")).unwrap();
        let parts = Parts { assets: Some(linked.path().to_owned()), ..Parts::default() };
        let error = parts.pack().unwrap_err().to_string();
        assert!(error.contains("passwd is a symbolic link: put what it leads to in its place"), "{error}");
        let parts = Parts { assets: Some(linked.path().join("none")), ..Parts::default() };
        assert!(parts.pack().unwrap_err().to_string().contains("is no directory"));
    }

    /// As one that became shorter after its length was read: the kernel says that these have a page each.
    #[test]
    fn a_file_that_is_shorter_than_it_was_is_not_packed() {
        let assets = Some(PathBuf::from("/sys/class/net/lo/statistics"));
        let error = Parts { assets, ..Parts::default() }.pack().unwrap_err().to_string();
        assert!(
            error.contains("/lo/statistics/") && error.ends_with("was changed while it was read: try again"),
            "{error}"
        );
    }
}
