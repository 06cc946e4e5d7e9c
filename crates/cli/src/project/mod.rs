//! A developer's service: a directory with sources and `selvedge.toml`, which says how it is built.
//!
//! `selvedge new` writes one, `selvedge dev` builds and serves it.

pub(crate) mod build;
pub(crate) mod templates;
pub(crate) mod watch;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use selvedge_edge::client::Name;
use selvedge_edge::config::from_toml;
use serde::{Deserialize, Serialize};

use crate::bundle::Parts;
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
    /// A directory of files that clients get as they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) assets: Option<PathBuf>,
    /// A directory of files that the program finds at `/`, to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) files: Option<PathBuf>,
    /// Arguments for the program, before those of a request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<String>,
}

impl Project {
    /// What is deployed of a project in a directory.
    pub(crate) fn parts(&self, directory: &Path) -> Parts {
        let there = |path: &PathBuf| directory.join(path);
        Parts {
            module: Some(there(&self.module)),
            assets: self.assets.as_ref().map(there),
            files: self.files.as_ref().map(there),
            args: self.args.clone(),
        }
    }

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
        Ok(from_toml(&text, &path.display().to_string())?)
    }
}
