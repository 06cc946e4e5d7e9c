//! The C programs: read from `programs/programs.toml`, compiled with clang to wasm and to native code
//! under `target/bench/programs/`, again only when something changed.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// What a compiler may be called; the second is installed for the guests of the tests.
const CLANGS: [&str; 2] = ["clang", "clang-14"];

/// One entry of `programs.toml`, whose head says what the fields mean.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(crate) struct Program {
    pub(crate) name: String,
    package: Option<String>,
    #[serde(default)]
    sources: Vec<String>,
    #[serde(default)]
    skip: Vec<String>,
    #[serde(default)]
    include: Vec<String>,
    #[serde(default)]
    define: Vec<String>,
    #[serde(default)]
    native: Vec<String>,
    #[serde(default)]
    wasm: Vec<String>,
}

#[derive(Deserialize)]
struct File {
    program: Vec<Program>,
}

/// A program as built.
#[derive(Clone, Debug)]
pub(crate) struct Built {
    pub(crate) name: String,
    pub(crate) wasm: PathBuf,
    pub(crate) native: PathBuf,
}

/// `target/bench` of the workspace, whatever target folder cargo itself uses.
pub(crate) fn output_folder() -> PathBuf {
    workspace().join("target/bench")
}

/// The workspace's root.
pub(crate) fn workspace() -> PathBuf {
    let member = Path::new(env!("CARGO_MANIFEST_DIR"));
    member.ancestors().nth(2).unwrap_or(member).to_owned()
}

/// Where the sources are.
pub(crate) fn programs_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("programs")
}

/// Builds every program whose name `wanted` accepts, as many at once as there are cores.
pub(crate) fn build(wanted: impl Fn(&str) -> bool) -> Result<Vec<Built>> {
    let path = programs_folder().join("programs.toml");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut programs = toml::from_str::<File>(&text).with_context(|| format!("{}", path.display()))?.program;
    let names: Vec<String> = programs.iter().map(|program| program.name.clone()).collect();
    programs.retain(|program| wanted(&program.name));
    ensure!(!programs.is_empty(), "no program has that name; there are: {}", names.join(", "));
    let packages = packages()?;
    let out = output_folder().join("programs");
    fs::create_dir_all(&out).with_context(|| format!("cannot create {}", out.display()))?;
    build_all(&programs, &packages, &out)
}

/// Builds the request handler of `bench instances`, a reactor, and returns its bytes.
pub(crate) fn build_handler() -> Result<Vec<u8>> {
    let wasm = build_wasm("handler", &["-O3", "-mexec-model=reactor"])?;
    fs::read(&wasm).with_context(|| format!("cannot read {}", wasm.display()))
}

/// Builds one file in C, named without its ending, to wasm.
pub(crate) fn build_wasm(name: &str, args: &[&str]) -> Result<PathBuf> {
    let (source, wasm) =
        (programs_folder().join(name).with_extension("c"), output_folder().join("programs").join(name));
    let wasm = wasm.with_extension("wasm");
    let out = wasm.parent().unwrap_or(&wasm);
    fs::create_dir_all(out).with_context(|| format!("cannot create {}", out.display()))?;
    let mut compiler = clang();
    compiler.args(["--target=wasm32-wasi", "-Wl,--strip-debug"]).args(args);
    compiler.arg(&source).arg("-o").arg(&wasm);
    compile(compiler, &[source], &wasm)?;
    Ok(wasm)
}

/// A compiler. Debian's have their versions in their names, unless the usual one is installed, too.
fn clang() -> Command {
    let runs = |name: &&str| Command::new(name).arg("--version").output().is_ok();
    Command::new(CLANGS.into_iter().find(runs).unwrap_or(CLANGS[0]))
}

fn build_all(programs: &[Program], packages: &HashMap<String, PathBuf>, out: &Path) -> Result<Vec<Built>> {
    let queue = Mutex::new(programs.iter());
    let worker = || {
        let mut built = Vec::new();
        while let Some(program) = { queue.lock().expect("no worker panics holding it").next() } {
            built.push(program.build(packages, out).with_context(|| format!("cannot build {}", program.name))?);
        }
        anyhow::Ok(built)
    };
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let mut built = Vec::new();
    thread::scope(|scope| {
        let handles: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        for handle in handles {
            built.extend(handle.join().expect("a worker returns its errors")?);
        }
        anyhow::Ok(())
    })?;
    let order = |name: &str| programs.iter().position(|program| program.name == name);
    built.sort_by_key(|built| order(&built.name));
    Ok(built)
}

impl Program {
    fn build(&self, packages: &HashMap<String, PathBuf>, out: &Path) -> Result<Built> {
        let (sources, shared) = self.inputs(packages)?;
        let wasm = out.join(format!("{}.wasm", self.name));
        let native = out.join(&self.name);

        let mut to_wasm = clang();
        to_wasm.args(["--target=wasm32-wasi", "-O3", "-mexec-model=reactor", "-Wl,-z,stack-size=1048576"]);
        to_wasm.args(["-Wl,--strip-debug", "-I"]).arg(programs_folder().join("include-wasi"));
        to_wasm.args(&shared).args(&self.wasm).args(&sources).arg("-o").arg(&wasm);
        compile(to_wasm, &sources, &wasm)?;

        let main = programs_folder().join("native_main.c");
        let mut to_native = clang();
        to_native.arg("-O3").args(&shared).args(&self.native).args(&sources).arg(&main).arg("-o").arg(&native);
        to_native.arg("-lm");
        compile(to_native, &sources, &native)?;
        Ok(Built { name: self.name.clone(), wasm, native })
    }

    /// The files to compile, and the arguments both compilers get.
    fn inputs(&self, packages: &HashMap<String, PathBuf>) -> Result<(Vec<PathBuf>, Vec<String>)> {
        let own = programs_folder();
        let mut shared = vec!["-w".to_owned(), format!("-I{}", own.display())];
        shared.extend(self.define.iter().map(|define| format!("-D{define}")));
        let Some(package) = &self.package else {
            return Ok((vec![own.join(format!("{}.c", self.name))], shared));
        };
        let root = packages.get(package).with_context(|| format!("no dependency is called {package}"))?;
        shared.extend(self.include.iter().map(|include| format!("-I{}", root.join(include).display())));
        let mut sources = vec![own.join("registry").join(format!("{}.c", self.name))];
        for pattern in &self.sources {
            sources.extend(self.expand(&root.join(pattern))?);
        }
        Ok((sources, shared))
    }

    /// The file itself, or for `FOLDER/*.c` the folder's files of that ending, sorted, less those to skip.
    fn expand(&self, pattern: &Path) -> Result<Vec<PathBuf>> {
        let (folder, name) = (pattern.parent(), pattern.file_name().and_then(|name| name.to_str()));
        let (Some(folder), Some(name)) = (folder, name) else { bail!("{} names no file", pattern.display()) };
        let Some(ending) = name.strip_prefix('*') else { return Ok(vec![pattern.to_owned()]) };
        let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if name.ends_with(ending) && !self.skip.iter().any(|skip| skip == name) {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }
}

/// Runs a compiler unless the stamp beside its output says that it ran like this on these sources.
fn compile(mut command: Command, sources: &[PathBuf], output: &Path) -> Result<()> {
    let stamp = output.with_extension(if output.extension().is_some() { "wasm.stamp" } else { "native.stamp" });
    // Packages of the registry never change under one path: the text of our own files is what can.
    let mut state = format!("{command:?}\n");
    for own in [&sources[0], &programs_folder().join("bench.h"), &programs_folder().join("native_main.c")] {
        state += &fs::read_to_string(own).with_context(|| format!("cannot read {}", own.display()))?;
    }
    if output.exists() && fs::read_to_string(&stamp).is_ok_and(|old| old == state) {
        return Ok(());
    }
    eprintln!("bench: building {}", output.display());
    let hint = "cannot run clang: install clang, lld, wasi-libc and libclang-rt-dev-wasm32";
    let result = command.output().context(hint)?;
    ensure!(result.status.success(), "clang failed:\n{}", String::from_utf8_lossy(&result.stderr));
    fs::write(&stamp, state).with_context(|| format!("cannot write {}", stamp.display()))
}

/// Where the sources of every dependency lie, by name. Cargo fetches those that no target builds, too.
fn packages() -> Result<HashMap<String, PathBuf>> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
    let output = Command::new(cargo)
        .args(["metadata", "--format-version", "1", "--manifest-path"])
        .arg(manifest)
        .output()
        .context("cannot run cargo metadata")?;
    ensure!(output.status.success(), "cargo metadata failed:\n{}", String::from_utf8_lossy(&output.stderr));

    #[derive(Deserialize)]
    struct Metadata {
        packages: Vec<Package>,
    }
    #[derive(Deserialize)]
    struct Package {
        name: String,
        manifest_path: PathBuf,
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout).context("cargo metadata: unexpected output")?;
    let folder = |path: &Path| path.parent().map(Path::to_owned).unwrap_or_default();
    Ok(metadata.packages.into_iter().map(|package| (package.name, folder(&package.manifest_path))).collect())
}
