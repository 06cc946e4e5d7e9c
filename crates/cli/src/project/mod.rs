//! A developer's service: a directory with sources and `selvedge.toml`, which says how it is built.
//!
//! `selvedge new` writes one, `selvedge dev` builds and serves it.

pub(crate) mod build;
pub(crate) mod templates;
pub(crate) mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use selvedge_edge::client::Name;
use serde::{Deserialize, Serialize};

use crate::files;

/// Its name in a project's directory.
pub(crate) const FILE: &str = "selvedge.toml";
/// Largest file.
const FILE_BYTES_MAX: usize = 64 << 10;

/// What `selvedge.toml` says.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Project {
    /// The site it is deployed as.
    pub(crate) site: Name,
    /// The module that the commands write.
    pub(crate) module: PathBuf,
    /// Lines for `sh`, run one after another in the project's directory.
    pub(crate) build: Vec<String>,
}

impl Project {
    /// Reads the file of a project.
    pub(crate) fn read(directory: &Path) -> Result<Project> {
        let path = directory.join(FILE);
        ensure!(
            path.exists(),
            "there is no {}: `selvedge new NAME --lang c` begins a project with one",
            path.display()
        );
        let text = String::from_utf8(files::read(&path, FILE_BYTES_MAX)?);
        let text = text.with_context(|| format!("{} is not UTF-8", path.display()))?;
        toml::from_str(&text).with_context(|| format!("{} is not as it should be", path.display()))
    }
}
