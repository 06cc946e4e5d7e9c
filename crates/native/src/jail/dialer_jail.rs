//! The jail of a process that connects to others.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use super::calls::Profile;
use super::paths::{Grants, Ports};
use super::{JailError, Lack, Layer, drop_in, limits, whole};

/// What finding an address by its name reads.
const NAMES: [&str; 5] = ["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf", "/etc/host.conf", "/etc/gai.conf"];
/// Where name servers are asked for answers that are long; the others come as datagrams.
const NAME_SERVERS: u16 = 53;

/// What a process keeps that connects to others: sockets of the Internet that take no clients, connections to one port of
/// any machine, because names change their addresses, and to name servers; the files that names are found by. One whose
/// list of whom to connect to is in a file keeps all ports, and that file.
#[derive(Clone, Debug)]
pub struct DialerJail {
    grants: Grants,
    threads_max: usize,
}

impl DialerJail {
    /// A jail that lets this `HOST:PORT` be reached; none, if it is not of that form.
    pub fn new(address: &str) -> DialerJail {
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        DialerJail::to(Ports::These(port.into_iter().chain([NAME_SERVERS]).collect()))
    }

    /// A jail that lets any port be reached: whom it connects to, the process itself must know.
    pub fn to_any_port() -> DialerJail {
        DialerJail::to(Ports::Any)
    }

    fn to(connect: Ports) -> DialerJail {
        let read = NAMES.into_iter().map(PathBuf::from).filter(|path| path.exists()).collect();
        DialerJail { grants: Grants { read, connect, ..Grants::default() }, threads_max: 1 }
    }

    /// Lets it read a file, or the files below a directory, by their names: it lists nothing. A file that is replaced by
    /// another of the same name is another file: who must read that grants the directory.
    pub fn read(mut self, path: impl Into<PathBuf>) -> DialerJail {
        self.grants.read.push(path.into());
        self
    }

    /// Lets it have threads, and descriptors for so many that connect at once.
    pub fn threads(self, threads_max: NonZeroUsize) -> DialerJail {
        DialerJail { threads_max: threads_max.get(), ..self }
    }

    /// How many threads it may have.
    pub(super) fn threads_max(&self) -> usize {
        self.threads_max
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

    /// As [`DialerJail::enter`], without what the kernel lacks: `log` is told of each gap, and must tell the operator.
    ///
    /// # Errors
    /// As [`DialerJail::enter`], but for what the kernel lacks.
    pub fn enter_with_what_there_is(&self, log: impl FnMut(Lack)) -> Result<(), JailError> {
        self.enter_layers(&Layer::ALL, log)
    }

    /// As [`DialerJail::enter_with_what_there_is`], with these layers and no others: to see what each holds alone.
    ///
    /// # Errors
    /// As there.
    pub fn enter_layers(&self, layers: &[Layer], log: impl FnMut(Lack)) -> Result<(), JailError> {
        let profile = Profile::Dials { threads: self.threads_max > 1 };
        drop_in(&limits::dialing(self.threads_max), &self.grants, profile, layers, log)
    }
}
