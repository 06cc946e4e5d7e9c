//! What an instance is granted, put together by the embedder.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use rustix::fs::OFlags;
use thiserror::Error;

use crate::Wasi;
use crate::args::Strings;
use crate::clocks::{Clocks, Time};
use crate::descriptor::{Descriptor, Directory, Kind, Table};
use crate::environment::Environment;
use crate::flags::{FdFlags, Rights};
use crate::limits::{PREOPENS_MAX, STRINGS_BYTES_MAX};
use crate::procfs;
use crate::quota::{Meter, Quotas};
use crate::random::Randomness;
use crate::sock;
use crate::stdio::Stdio;
use crate::tree::Tree;
use crate::tree::opened::Opened;
use crate::types::FileType;
use crate::wait::Pending;

/// What may be done below a granted directory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DirAccess {
    /// Reading. Whatever would change something answers `EROFS`, as on a read-only file system.
    ReadOnly,
    /// Everything.
    ReadWrite,
}

/// A system interface could not be put together. The embedder's or operator's mistake.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A directory to be granted cannot be opened.
    #[error("cannot grant the directory {} to the guest as {guest:?}: {source}", host.display())]
    Directory {
        /// Where it is said to be.
        host: PathBuf,
        /// The guest's name for it.
        guest: String,
        /// Why not.
        source: io::Error,
    },
    /// A guest's name for a directory cannot be a name.
    #[error("a directory cannot be granted under the name {0:?}: it is empty, too long or has a zero byte")]
    DirectoryName(String),
    /// Two directories have one name.
    #[error("two directories are granted to the guest as {0:?}; give them different names")]
    SameName(String),
    /// An argument or environment variable has a zero byte, or a variable's name is empty or has a `=`.
    #[error("{0:?} cannot be an argument or environment variable")]
    BadString(String),
    /// Arguments or environment are too long.
    #[error("arguments or environment have more than {STRINGS_BYTES_MAX} bytes")]
    StringsTooLong,
    /// Too many directories and sockets.
    #[error("more than {PREOPENS_MAX} directories and sockets are granted, or more than descriptors_max allows")]
    TooManyPreopens,
    /// [`Stdio::Bytes`] and [`Stdio::Reader`] are for stdin.
    #[error("stdout and stderr cannot be Stdio::Bytes or a reader, which are only read; use Stdio::Buffer or a writer")]
    InputAsOutput,
    /// [`Stdio::Writer`] is for stdout and stderr.
    #[error("stdin cannot be a writer, which is only written; use Stdio::Bytes or a reader")]
    OutputAsInput,
}

/// Builds [`Wasi`]s: one, or many of the same kind. Nothing is granted but what is named here.
#[derive(Clone, Debug, Default)]
pub struct WasiBuilder {
    args: Strings,
    env: Environment,
    stdio: [Stdio; 3],
    preopens: Vec<Preopen>,
    clocks: Clocks,
    randomness: Randomness,
    quotas: Quotas,
}

#[derive(Clone, Debug)]
enum Preopen {
    Dir { dir: Arc<Dir>, name: Arc<[u8]>, access: DirAccess },
    Tree { tree: Tree, name: Arc<[u8]> },
    Socket(Arc<OwnedFd>),
}

impl WasiBuilder {
    /// Adds an argument. The first is the program's name.
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> WasiBuilder {
        self.push_arg(arg);
        self
    }

    /// As [`WasiBuilder::arg`], for a builder that stays where it is.
    #[inline]
    pub fn push_arg(&mut self, arg: impl AsRef<OsStr>) {
        self.args.push(arg.as_ref().as_bytes(), b"", []);
    }

    /// Adds arguments.
    pub fn args<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> WasiBuilder {
        args.into_iter().fold(self, WasiBuilder::arg)
    }

    /// Adds an environment variable. The host's own environment is never passed on by itself.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> WasiBuilder {
        self.env.set(name, value);
        self
    }

    /// Sets the whole environment, in the place of what was added before.
    #[inline]
    pub fn set_environment(&mut self, environment: Environment) {
        self.env = environment;
    }

    /// Adds environment variables.
    pub fn envs<N: AsRef<OsStr>, V: AsRef<OsStr>>(self, variables: impl IntoIterator<Item = (N, V)>) -> WasiBuilder {
        variables.into_iter().fold(self, |builder, (name, value)| builder.env(name, value))
    }

    /// Connects stdin; at first it is [`Stdio::Null`].
    pub fn stdin(mut self, stdio: Stdio) -> WasiBuilder {
        self.stdio[0] = stdio;
        self
    }

    /// Connects stdout; at first it is [`Stdio::Null`].
    pub fn stdout(mut self, stdio: Stdio) -> WasiBuilder {
        self.stdio[1] = stdio;
        self
    }

    /// Connects stderr; at first it is [`Stdio::Null`].
    pub fn stderr(mut self, stdio: Stdio) -> WasiBuilder {
        self.stdio[2] = stdio;
        self
    }

    /// Connects stdin, stdout and stderr, for a builder that stays where it is.
    #[inline]
    pub fn set_stdio(&mut self, stdio: [Stdio; 3]) {
        self.stdio = stdio;
    }

    /// Connects all three to those of the process.
    pub fn inherit_stdio(mut self) -> WasiBuilder {
        self.stdio = [Stdio::Inherit, Stdio::Inherit, Stdio::Inherit];
        self
    }

    /// Grants a directory of the host, which the guest knows as `guest_path`. It is opened now; whatever is
    /// at `host_path` later does not matter. This is the only use of the host's file system by name.
    ///
    /// # Errors
    /// If it cannot be opened, or the guest cannot have it by that name.
    pub fn preopen_dir(
        self,
        host_path: impl AsRef<Path>,
        guest_path: &str,
        access: DirAccess,
    ) -> Result<WasiBuilder, BuildError> {
        let host = host_path.as_ref();
        let directory_error =
            |source| BuildError::Directory { host: host.to_owned(), guest: guest_path.to_owned(), source };
        self.preopen(open_directory(host).map_err(directory_error)?, guest_path, access)
    }

    /// Grants a directory that is already open.
    ///
    /// # Errors
    /// If the guest cannot have it by that name.
    pub fn preopen(mut self, dir: Dir, guest_path: &str, access: DirAccess) -> Result<WasiBuilder, BuildError> {
        let name = self.directory_name(guest_path)?;
        self.preopens.push(Preopen::Dir { dir: Arc::new(dir), name, access });
        Ok(self)
    }

    /// Grants a read-only file system in memory. What would change it answers `EROFS`.
    ///
    /// # Errors
    /// If the guest cannot have it by that name.
    pub fn preopen_tree(mut self, tree: Tree, guest_path: &str) -> Result<WasiBuilder, BuildError> {
        let name = self.directory_name(guest_path)?;
        self.preopens.push(Preopen::Tree { tree, name });
        Ok(self)
    }

    /// The guest's name for a directory, if it can be one.
    fn directory_name(&self, guest_path: &str) -> Result<Arc<[u8]>, BuildError> {
        let name = guest_path.as_bytes();
        if name.is_empty() || name.contains(&0) || name.len() > crate::limits::PATH_BYTES_MAX as usize {
            return Err(BuildError::DirectoryName(guest_path.to_owned()));
        }
        if self.preopens.iter().any(|other| other.name().is_some_and(|taken| **taken == *name)) {
            return Err(BuildError::SameName(guest_path.to_owned()));
        }
        Ok(name.into())
    }

    /// Grants a listening or connected stream socket. Sockets are numbered after the directories. A socket that
    /// listens is put into non-blocking mode: of several that wait for a connection one gets it, and the others
    /// must not be stuck.
    pub fn preopen_socket(mut self, socket: impl Into<OwnedFd>) -> WasiBuilder {
        self.preopens.push(Preopen::Socket(Arc::new(socket.into())));
        self
    }

    /// Sets the clocks.
    pub fn clocks(mut self, clocks: Clocks) -> WasiBuilder {
        self.clocks = clocks;
        self
    }

    /// Sets the source of random bytes.
    pub fn randomness(mut self, randomness: Randomness) -> WasiBuilder {
        self.randomness = randomness;
        self
    }

    /// Sets what may be used up.
    pub fn quotas(mut self, quotas: Quotas) -> WasiBuilder {
        self.quotas = quotas;
        self
    }

    /// A system interface for one store. The builder can build more.
    ///
    /// # Errors
    /// If something given before cannot be.
    pub fn build(&self) -> Result<Wasi, BuildError> {
        self.clone().build_once()
    }

    /// As [`WasiBuilder::build`], for a builder that is not needed any more: what it has is not copied.
    ///
    /// # Errors
    /// As [`WasiBuilder::build`].
    pub fn build_once(self) -> Result<Wasi, BuildError> {
        self.check()?;
        let table = table(self.stdio, &self.preopens, self.quotas.descriptors_max)?;
        Ok(Wasi {
            args: self.args,
            env: self.env.into_strings(),
            table,
            meter: Meter::new(self.quotas),
            time: Time::new(self.clocks),
            random: self.randomness,
            pending: Pending::default(),
            doorbell: None,
        })
    }

    fn check(&self) -> Result<(), BuildError> {
        let env = self.env.strings();
        if !self.args.fit() || !env.fit() {
            return Err(BuildError::StringsTooLong);
        }
        let with_zero = || self.args.with_zero().or_else(|| env.with_zero());
        let lossy = |bytes| String::from_utf8_lossy(bytes).into_owned();
        match self.env.bad().map(str::to_owned).or_else(|| with_zero().map(lossy)) {
            Some(bad) => Err(BuildError::BadString(bad)),
            None => Ok(()),
        }
    }
}

/// The descriptors that an instance begins with.
fn table(stdio: [Stdio; 3], preopens: &[Preopen], descriptors_max: u32) -> Result<Table, BuildError> {
    if preopens.len() > PREOPENS_MAX {
        return Err(BuildError::TooManyPreopens);
    }
    let mut table = Table::new(descriptors_max);
    let mut add = |descriptor| table.insert(descriptor).map_err(|_| BuildError::TooManyPreopens);
    for (number, stdio) in stdio.into_iter().enumerate() {
        add(stdio.open(number)?)?;
    }
    // wasi-libc looks for directories from 3 on, until there is none.
    let dirs = preopens.iter().filter(|preopen| preopen.name().is_some());
    let sockets = preopens.iter().filter(|preopen| preopen.name().is_none());
    for (index, preopen) in dirs.chain(sockets).enumerate() {
        add(preopen.open(index))?;
    }
    Ok(table)
}

impl Preopen {
    /// The name it is granted under, if it is a directory.
    fn name(&self) -> Option<&Arc<[u8]>> {
        match self {
            Preopen::Dir { name, .. } | Preopen::Tree { name, .. } => Some(name),
            Preopen::Socket(_) => None,
        }
    }

    /// Its descriptor; it is the `index`th of an instance.
    fn open(&self, index: usize) -> Descriptor {
        let kind = match self {
            Preopen::Socket(socket) => return sock::granted(socket.clone()),
            Preopen::Tree { tree, name } => Kind::Tree(Opened::root(tree.clone(), index, name.clone())),
            Preopen::Dir { dir, name, access } => {
                let (dir, preopen) = (dir.clone(), Some(name.clone()));
                let harmless_dev = procfs::harmless_dev(&*dir);
                Kind::Directory(Directory { dir, access: *access, harmless_dev, preopen, listing: None })
            }
        };
        Descriptor {
            kind,
            filetype: FileType::Directory,
            flags: FdFlags::NONE,
            base: Rights::DIRECTORY,
            inheriting: Rights::ALL,
        }
    }
}

/// Opens a directory by name; one that may be passed through but not listed, too.
fn open_directory(host: &Path) -> io::Result<Dir> {
    let open = |extra: OFlags| {
        let flags = (OFlags::DIRECTORY | extra).bits() as i32;
        File::options().read(true).custom_flags(flags).open(host)
    };
    let file = match open(OFlags::empty()) {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => open(OFlags::PATH),
        result => result,
    };
    file.map(Dir::from_std_file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_directory_is_named() {
        let error = Wasi::builder().preopen_dir("/no/such/place", "/data", DirAccess::ReadOnly).unwrap_err();
        let text = error.to_string();
        assert!(text.contains("/no/such/place") && text.contains("/data") && text.contains("No such file"), "{text}");
        let file = Wasi::builder().preopen_dir("/etc/passwd", "/data", DirAccess::ReadOnly).unwrap_err();
        assert!(file.to_string().contains("Not a directory"), "{file}");
    }

    #[test]
    fn names_and_strings_are_checked() {
        let twice = || Wasi::builder().preopen_dir("/", "/a", DirAccess::ReadOnly);
        let error = twice().unwrap().preopen_dir("/", "/a", DirAccess::ReadOnly).unwrap_err();
        assert!(matches!(error, BuildError::SameName(_)));
        assert!(matches!(Wasi::builder().arg("a\0b").build(), Err(BuildError::BadString(_))));
        assert!(matches!(Wasi::builder().env("a=b", "c").build(), Err(BuildError::BadString(_))));
        assert!(matches!(Wasi::builder().env("", "c").build(), Err(BuildError::BadString(_))));
        let long = "x".repeat(STRINGS_BYTES_MAX);
        assert!(matches!(Wasi::builder().arg(long).build(), Err(BuildError::StringsTooLong)));
        assert!(matches!(Wasi::builder().stdout(Stdio::bytes("x")).build(), Err(BuildError::InputAsOutput)));
        let descriptors = |descriptors_max| twice().unwrap().quotas(Quotas { descriptors_max, ..Quotas::default() });
        assert!(matches!(descriptors(3).build(), Err(BuildError::TooManyPreopens)));
        assert!(descriptors(4).build().is_ok());
    }
}
