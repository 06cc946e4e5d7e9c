//! Why a process is not in the jail.

use std::fmt;
use std::path::PathBuf;

use thiserror::Error;

/// The jail could not be entered. The operator's to mend.
#[derive(Debug, Error)]
pub enum JailError {
    /// The kernel does not offer all of it.
    #[error("this kernel cannot jail a process: it lacks {}", list(.0))]
    Lacks(Vec<Lack>),
    /// The process has threads, which would stay outside.
    #[error("a process enters the jail before it starts threads, this one has {0} already")]
    Threads(usize),
    /// What was granted is not there, or cannot be opened.
    #[error("cannot grant {path} to a jailed process: {source}", path = path.display())]
    Path {
        /// What.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The operating system refused.
    #[error("cannot {what} of a jailed process: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// Why not.
        source: std::io::Error,
    },
}

/// A part of the jail that a kernel does not have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Lack {
    /// Landlock, by which files are granted.
    Landlock,
    /// Filters of system calls.
    Seccomp,
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Lack::Landlock => "landlock, which limits it to the files it was granted (Linux 5.13, `lsm=landlock`)",
            Lack::Seccomp => "seccomp filters, which limit its system calls (CONFIG_SECCOMP_FILTER)",
        })
    }
}

fn list(lacks: &[Lack]) -> String {
    lacks.iter().map(Lack::to_string).collect::<Vec<_>>().join(" and ")
}
