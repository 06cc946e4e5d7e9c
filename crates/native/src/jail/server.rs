//! The jail of a process that serves.

use std::path::PathBuf;

use super::calls::Profile;
use super::paths::Grants;
use super::{JailError, Lack, Layer, drop_in, limits, whole};

/// What a serving process keeps when it drops into its jail: what it has open, sockets that listen above all, and files
/// beneath what is granted here.
///
/// It makes no sockets from then on, no processes and no programs; executable memory only where guests' code lies. What
/// it takes of memory and time is not capped here: its own limits know its tenants.
#[derive(Clone, Debug)]
pub struct ServerJail {
    grants: Grants,
    open_files_max: u64,
}

impl ServerJail {
    /// A jail without files, in which so many descriptors may be open at once; fewer if the process was given fewer.
    pub fn new(open_files_max: u64) -> ServerJail {
        ServerJail { grants: Grants::default(), open_files_max }
    }

    /// Lets it read a file, or everything below a directory. A file that is replaced by another of the same name is
    /// another file: who must read that grants the directory.
    pub fn read(mut self, path: impl Into<PathBuf>) -> ServerJail {
        self.grants.read.push(path.into());
        self
    }

    /// Lets it read, make, change and remove everything below a directory, or read and write a file.
    pub fn write(mut self, path: impl Into<PathBuf>) -> ServerJail {
        self.grants.write.push(path.into());
        self
    }

    /// Drops this process into the jail, for good.
    ///
    /// Call it before the first thread is started: threads that run already would stay outside.
    ///
    /// # Errors
    /// If the kernel lacks a part of it, a path does not exist, there are other threads, or the operating system
    /// refuses. The process may then be jailed in part: end it.
    pub fn enter(&self) -> Result<(), JailError> {
        whole(|log| self.enter_with_what_there_is(log))
    }

    /// As [`ServerJail::enter`], without what the kernel lacks: `log` is told of each gap, and must tell the operator.
    ///
    /// # Errors
    /// As [`ServerJail::enter`], but for what the kernel lacks.
    pub fn enter_with_what_there_is(&self, log: impl FnMut(Lack)) -> Result<(), JailError> {
        self.enter_layers(&Layer::ALL, log)
    }

    /// As [`ServerJail::enter_with_what_there_is`], with these layers and no others: to see what each holds alone.
    ///
    /// # Errors
    /// As there.
    pub fn enter_layers(&self, layers: &[Layer], log: impl FnMut(Lack)) -> Result<(), JailError> {
        drop_in(&limits::serving(self.open_files_max), &self.grants, Profile::Serves, layers, log)
    }
}
