//! Guest cases: the files in `guests/cases`, as `guests/README.md` describes them.
//!
//! Programs run under the `selvedge` command, servers with their clients and libraries step by step in this
//! process. Every case is one
//! test per memory layout, but for giant modules, which are compiled in the guarded layout alone.

mod format;
mod program;
mod server;
mod steps;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use libtest_mimic::{Failed, Trial};
use selvedge_contract::MemoryLayout;

use crate::fixtures::{layout_name, layouts};
use format::Case;

/// What goes into a case that is one run of a program, for those who run it elsewhere.
#[derive(Clone, Debug)]
pub struct Program {
    /// The case's name.
    pub name: String,
    /// The module.
    pub module: PathBuf,
    /// The program's name and arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Its standard input.
    pub stdin: String,
    /// The files of the directory it is granted as `/data`, if it is.
    pub files: Option<Vec<(String, String)>>,
}

impl Program {
    /// The programs among the cases of a repository whose modules are no larger than that and need no large
    /// modules' directories.
    ///
    /// # Errors
    /// If a case cannot be read, or a module is missing.
    pub fn all(root: &Path, module_bytes_max: u64) -> Result<Vec<Program>> {
        let runner = Runner { selvedge: PathBuf::new(), root: root.to_owned(), cache: PathBuf::new() };
        let mut programs = Vec::new();
        for file in case_files(&root.join("guests/cases"))? {
            let case = Case::read(&file)?;
            let module = runner.module(&case);
            let bytes = module.metadata().with_context(|| format!("looking at {}", module.display()))?.len();
            if case.is_program() && case.mounts.is_empty() && bytes <= module_bytes_max {
                let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                programs.push(Program::of(name, module, case));
            }
        }
        Ok(programs)
    }

    fn of(name: String, module: PathBuf, case: Case) -> Program {
        let argv0 = case.argv0.clone().unwrap_or_else(|| case.name().to_owned());
        let files = case.has_directory().then(|| case.seed.clone().unwrap_or_default().into_iter().collect());
        let args = [argv0].into_iter().chain(case.args).collect();
        Program { name, module, args, env: case.env.into_iter().collect(), stdin: case.stdin, files }
    }
}

/// Modules above this size are giants.
const GIANT_BYTES: u64 = 10 << 20;

/// Where everything is that cases need.
#[derive(Clone, Debug)]
pub struct Runner {
    /// The `selvedge` command.
    pub selvedge: PathBuf,
    /// The repository: cases in `guests/cases`, modules in `target/guests` and `target/modules`.
    pub root: PathBuf,
    /// Where the command may keep compiled modules between runs.
    pub cache: PathBuf,
}

impl Runner {
    /// One test per case and layout.
    ///
    /// # Errors
    /// If the directory of cases cannot be read.
    pub fn trials(self) -> Result<Vec<Trial>> {
        let files = case_files(&self.root.join("guests/cases"))?;
        let runner = Arc::new(self);
        let trials = files.iter().flat_map(|file| {
            let giant = runner.is_giant(file);
            let wanted = layouts().into_iter().filter(move |layout| !giant || *layout == MemoryLayout::Guarded);
            wanted.map(|layout| runner.trial(file, layout)).collect::<Vec<_>>()
        });
        Ok(trials.collect())
    }

    /// Whether a case's module is so large that compiling it twice would take more than all other tests.
    fn is_giant(&self, file: &Path) -> bool {
        let module = Case::read(file).map(|case| self.module(&case));
        module.is_ok_and(|module| module.metadata().is_ok_and(|m| m.len() > GIANT_BYTES))
    }

    fn trial(self: &Arc<Runner>, file: &Path, layout: MemoryLayout) -> Trial {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy();
        let name = format!("{stem} {}", layout_name(layout));
        let (runner, file) = (self.clone(), file.to_owned());
        let lacking = Case::read(&file).is_ok_and(|case| runner.may_be_absent(&case));
        let check = move || runner.check(&file, layout).map_err(|error| Failed::from(format!("{error:#}")));
        Trial::test(name, check).with_ignored_flag(lacking)
    }

    fn check(&self, file: &Path, layout: MemoryLayout) -> Result<()> {
        let case = Case::read(file)?;
        let module = self.module(&case);
        ensure!(
            module.is_file(),
            "{} is missing: run `cargo xtask guests` and `cargo xtask modules`",
            module.display()
        );
        match (case.step.is_empty(), case.connection.is_empty()) {
            (true, true) => program::check(self, &case, &module, layout),
            (true, false) => server::check(&case, &module, layout),
            (false, _) => steps::check(&case, &module, layout),
        }
    }

    fn directory(&self, case: &Case) -> PathBuf {
        self.root.join(if case.guest.is_some() { "target/guests" } else { "target/modules" })
    }

    fn module(&self, case: &Case) -> PathBuf {
        self.directory(case).join(case.name()).with_added_extension("wasm")
    }

    /// Nothing was built or fetched at all, and this is no continuous integration, where that is an error.
    fn may_be_absent(&self, case: &Case) -> bool {
        !self.directory(case).is_dir() && std::env::var_os("CI").is_none()
    }

    /// What was not built or fetched, for a note to whoever runs the tests by hand.
    pub fn absent(&self) -> Vec<PathBuf> {
        let both = [self.root.join("target/guests"), self.root.join("target/modules")];
        both.into_iter().filter(|directory| !directory.is_dir()).collect()
    }
}

fn case_files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = directory.read_dir().with_context(|| format!("reading {}", directory.display()))?;
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    let mut files: Vec<_> = paths.into_iter().filter(|path| path.extension().is_some_and(|e| e == "toml")).collect();
    ensure!(!files.is_empty(), "there are no cases in {}", directory.display());
    files.sort();
    Ok(files)
}
