//! What `selvedge serve` may open once it is in its jail.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use selvedge_edge::limits::OPEN_FILES_MAX;
use selvedge_native::jail::{JailError, ServerJail};

/// Directories, by their real paths.
pub(crate) struct Grants {
    read: BTreeSet<PathBuf>,
    state: PathBuf,
    /// What other processes connect to for it.
    reached: Vec<String>,
}

fn real(path: &Path) -> Result<PathBuf> {
    path.canonicalize().with_context(|| format!("cannot grant {} to a jailed process", path.display()))
}

/// The directories of a file, where it is named and where it is: links are replaced, too.
pub(crate) fn directories(file: &Path) -> Result<BTreeSet<PathBuf>> {
    let directory = |file: &Path| {
        let directory = file.parent().filter(|directory| !directory.as_os_str().is_empty());
        real(directory.unwrap_or(Path::new(".")))
    };
    [directory(file), directory(&real(file)?)].into_iter().collect()
}

impl Grants {
    /// The directories of these files, since a file that is replaced is another one, and the state.
    pub(crate) fn new<'a>(files: impl Iterator<Item = &'a Path>, state: &Path, reached: Vec<String>) -> Result<Grants> {
        let mut read = BTreeSet::new();
        for file in files {
            read.extend(directories(file)?);
        }
        Ok(Grants { read, state: real(state)?, reached })
    }

    /// Whether a configuration is where the jailed server cannot write. It says more than what the server does with it: the
    /// process that connects for programs reads it, too, and must not believe the server.
    pub(crate) fn keep_apart(&self, config: &Path) -> Result<()> {
        match directories(config)?.into_iter().find(|directory| directory.starts_with(&self.state)) {
            None => Ok(()),
            Some(directory) => bail!(
                "{} is in {}, which is the state's or below it, where the jailed server may write: one that was taken over \
                 could change what it may; keep it elsewhere",
                config.display(),
                directory.display()
            ),
        }
    }

    /// Jails this process; what the kernel lacks of it is an error, or a warning.
    pub(crate) fn enter(&self, accept_gaps: bool, warn: impl Fn(String)) -> Result<()> {
        let jail = ServerJail::new(OPEN_FILES_MAX as u64).write(&self.state);
        let jail = self.read.iter().fold(jail, |jail, directory| jail.read(directory));
        match accept_gaps {
            false => jail.enter().map_err(|error| match &error {
                JailError::Lacks(_) => anyhow::Error::from(error)
                    .context("the server is not jailed: --jail-gaps goes on without what the kernel lacks"),
                _ => error.into(),
            }),
            true => Ok(jail.enter_with_what_there_is(|lack| {
                warn(format!("warning: the server is not jailed fully: this kernel lacks {lack}"));
            })?),
        }
    }

    /// Whether these files can be read in the jail, as far as they exist.
    pub(crate) fn check<'a>(&self, mut files: impl Iterator<Item = &'a Path>) -> Result<()> {
        let granted = |path: &Path| self.read.iter().chain([&self.state]).any(|directory| path.starts_with(directory));
        let stranger = files.find(|file| file.canonicalize().is_ok_and(|file| !granted(&file)));
        match stranger {
            None => Ok(()),
            Some(file) => {
                bail!("{} is in a directory that the jailed server was not started with: restart it", file.display())
            }
        }
    }
}

impl fmt::Display for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let read: Vec<_> = self.read.iter().map(|path| path.display().to_string()).collect();
        let read = if read.is_empty() { "no files".into() } else { read.join(" and ") };
        write!(f, "it reads {read}, writes {}, and starts and connects to nothing", self.state.display())?;
        match self.reached.join(" and ").as_str() {
            "" => Ok(()),
            reached => write!(f, "; other processes connect to {reached} for it"),
        }
    }
}
