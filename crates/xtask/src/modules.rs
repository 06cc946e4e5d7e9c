//! `cargo xtask modules`: large modules that nobody here wrote, from package registries into
//! `target/modules/`.
//!
//! `guests/modules.toml` pins every package's version and every file's SHA-256: what a registry
//! hands out is an allegation until that has been checked. A file already there with its pinned
//! hash is not fetched again.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::guests::tools::{self, Tools};
use crate::repo;

/// Below the repository.
const DIRECTORY: &str = "target/modules";

/// `guests/modules.toml`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    package: Vec<Package>,
}

/// One version of one package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Package {
    registry: Registry,
    name: String,
    version: String,
    file: Vec<File>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Registry {
    Pypi,
    Npm,
}

/// One file of a package.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    /// Where it is inside the package.
    path: String,
    /// What it is called below `target/modules/`; a directory for a tar file to unpack.
    to: String,
    /// Of the file in the package.
    sha256: String,
    /// A tar file, to be unpacked.
    #[serde(default)]
    unpack: bool,
    /// Import modules and how many imports from each; for people and for checks of the compiler.
    #[serde(default, rename = "imports")]
    _imports: std::collections::BTreeMap<String, u32>,
}

/// Fetches the modules named in `only`, by module or package; all of them if it is empty.
pub fn fetch(only: &[String]) -> Result<()> {
    let root = repo::root();
    let manifest = Manifest::load(&root.join("guests/modules.toml"))?;
    let started = Instant::now();
    let mut fetched = 0;
    for package in manifest.select(only)? {
        if package.file.iter().all(|file| file.is_there(&root)) {
            continue;
        }
        println!("module package {} {}", package.name, package.version);
        package.fetch(&root).with_context(|| format!("{} {} of guests/modules.toml", package.name, package.version))?;
        fetched += 1;
    }
    println!("modules: {fetched} packages fetched, the rest there, {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

impl Manifest {
    fn load(path: &Path) -> Result<Manifest> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        let manifest: Manifest = toml::from_str(&text).with_context(|| format!("in {}", path.display()))?;
        let mut names = BTreeSet::new();
        for file in manifest.package.iter().flat_map(|package| &package.file) {
            ensure!(names.insert(&file.to), "{}: `{}` is there twice", path.display(), file.to);
        }
        Ok(manifest)
    }

    fn select(&self, only: &[String]) -> Result<Vec<&Package>> {
        for word in only {
            let known = self.package.iter().any(|package| package.is(word));
            ensure!(known, "no module or package is called `{word}`: see guests/modules.toml");
        }
        let chosen = |package: &&Package| only.is_empty() || only.iter().any(|word| package.is(word));
        Ok(self.package.iter().filter(chosen).collect())
    }
}

impl Package {
    fn is(&self, word: &str) -> bool {
        self.name == word || self.file.iter().any(|file| file.to == word || file.to.strip_suffix(".wasm") == Some(word))
    }

    /// Downloads and unpacks the package, checks the files and puts them in place.
    fn fetch(&self, root: &Path) -> Result<()> {
        let work = root.join(DIRECTORY).join("download");
        remove(&work)?;
        let unpacked = work.join("unpacked");
        fs::create_dir_all(&unpacked).with_context(|| format!("cannot make {}", unpacked.display()))?;
        let tools = Tools::new(root);
        match self.registry {
            Registry::Pypi => self.fetch_pypi(&tools, &work, &unpacked)?,
            Registry::Npm => self.fetch_npm(&tools, &work, &unpacked)?,
        }
        self.file.iter().try_for_each(|file| file.install(&unpacked, root))?;
        remove(&work)
    }

    fn fetch_pypi(&self, tools: &Tools, work: &Path, unpacked: &Path) -> Result<()> {
        let python = tools.python()?;
        let mut pip = Command::new(&python);
        pip.args(["-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]);
        // The wheels are for any Python; some say they need one newer than Debian's.
        pip.args(["--python-version=3.13", "--dest"]).arg(work);
        tools::run(pip.arg(format!("{}=={}", self.name, self.version)))?;
        let wheel = only_file(work, "whl")?;
        tools::run(Command::new(&python).args(["-m", "zipfile", "--extract"]).args([&wheel, unpacked]))
    }

    fn fetch_npm(&self, tools: &Tools, work: &Path, unpacked: &Path) -> Result<()> {
        tools.need("npm")?;
        let mut npm = Command::new("npm");
        npm.args(["pack", "--silent", "--pack-destination"]).arg(work).stdout(std::process::Stdio::null());
        tools::run(npm.arg(format!("{}@{}", self.name, self.version)))?;
        untar(&only_file(work, "tgz")?, unpacked)
    }
}

impl File {
    /// Whether an earlier run checked this very content and put it in place.
    fn is_there(&self, root: &Path) -> bool {
        let checked = fs::read_to_string(self.stamp(root)).is_ok_and(|text| text == self.sha256);
        checked && root.join(DIRECTORY).join(&self.to).exists()
    }

    fn stamp(&self, root: &Path) -> PathBuf {
        root.join(DIRECTORY).join("checked").join(&self.to)
    }

    fn install(&self, unpacked: &Path, root: &Path) -> Result<()> {
        let (from, to) = (unpacked.join(&self.path), root.join(DIRECTORY).join(&self.to));
        let bytes = fs::read(&from).with_context(|| format!("the package holds no {}", self.path))?;
        let found = tools::hex(&Sha256::digest(&bytes));
        ensure!(found == self.sha256, "{} has SHA-256 {found}, pinned is {}", self.path, self.sha256);
        remove(&to)?;
        if self.unpack {
            fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
            untar(&from, &to)?;
        } else {
            fs::write(&to, bytes).with_context(|| format!("cannot write {}", to.display()))?;
        }
        let stamp = self.stamp(root);
        fs::create_dir_all(stamp.parent().unwrap_or(root))
            .and_then(|()| fs::write(&stamp, &self.sha256))
            .with_context(|| format!("cannot write {}", stamp.display()))
    }
}

fn untar(archive: &Path, into: &Path) -> Result<()> {
    tools::run(
        Command::new("tar").args(["--extract", "--no-same-owner", "--file"]).arg(archive).arg("--directory").arg(into),
    )
}

/// The one file with this extension that a client left in `directory`.
fn only_file(directory: &Path, extension: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
    let paths: Vec<PathBuf> = entries
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect();
    match <[PathBuf; 1]>::try_from(paths) {
        Ok([path]) => Ok(path),
        Err(paths) => bail!("expected one .{extension} file in {}, found {}", directory.display(), paths.len()),
    }
}

/// Removes a file or directory, if there is one.
fn remove(path: &Path) -> Result<()> {
    let removed = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}
