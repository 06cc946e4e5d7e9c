//! The jail: what a process gives up before it looks at what strangers sent.
//!
//! ```text
//!   Confined::run (parent) ──stdin: input──►  serve (child): Jail::enter, then its work
//!          ▲                                     │
//!          └────stdout: answer, exit status──────┘
//!
//!   Broker::run (a server in its ServerJail) ──socket──► serve_broker (outside it) ──► Confined::run, as above
//!   Dialer::dial (the same server)           ──socket──► serve_dialer (outside it) ──► others
//! ```
//!
//! After [`Jail::enter`] the process, its threads and all it may ever start
//! * open only the files it was granted (landlock), and none if none was granted;
//! * make only the system calls of a program that computes (seccomp): no sockets, no new processes or programs, no
//!   signals to others, no tracing, no shared or executable memory. What is not on the list fails with `EPERM`;
//! * have a cap on memory, on CPU time and on the size of files it may write (resource limits), which cannot be raised
//!   again;
//! * have no capabilities, gain none, and are hidden from other processes of the same user.
//!
//! [`ServerJail`] is the same for a process that serves: it keeps the sockets that listen and the files it was granted,
//! and runs guests; it makes no sockets, processes or programs either, and leaves those to a [`Broker`] and a [`Dialer`]
//! that were started before. [`DialerJail`] is the latter's own. [`Layer`] lists what each jail is made of.
//!
//! Descriptors that are open stay open: that is how input and output get in and out. [`serve`] closes all but the three
//! standard ones first.
//!
//! Invariants:
//! * Nothing is left out silently. What the kernel lacks is an error ([`JailError::Lacks`]), unless the caller asked for
//!   [`Jail::enter_with_what_there_is`], which reports each gap.
//! * There is no way back: nothing here can be undone by the process itself.
//! * A parent never takes a child's word without the child having said that it is in the jail ([`Confined`]).
//!
//! What it is not: a defence against the kernel's own faults, or against timing channels between processes.

mod allocator;
mod broker;
mod calls;
mod confined;
mod connect;
mod dialer;
mod dialer_jail;
mod error;
mod handing;
mod layers;
mod limits;
mod paths;
mod privileges;
mod server;

use std::path::PathBuf;

use selvedge_contract::limits::RESERVATION_BYTES_MAX;

use self::calls::Profile;
use self::limits::Cap;
use self::paths::Grants;
pub use allocator::{Allocator, is_short as memory_is_short};
pub use broker::{Broker, BrokerError, serve_broker};
pub use confined::{Answer, COMPILE_CHILD, Confined, ConfinedError, serve};
pub use connect::connect;
pub use dialer::{ASK_BYTES_MAX, Dialer, serve_dialer};
pub use dialer_jail::DialerJail;
pub use error::{JailError, Lack};
pub use layers::Layer;
pub use server::ServerJail;

/// Address space of a process that runs a guest: the region of its code, and its memories.
const GUEST_SPACE_BYTES: u64 = 2 * RESERVATION_BYTES_MAX + (64 << 30);

/// What a process keeps when it drops into the jail. Caps have no default: whoever jails something knows how much
/// it may take.
#[derive(Clone, Debug)]
pub struct Jail {
    memory_bytes_max: u64,
    cpu_seconds_max: u64,
    file_bytes_max: Option<u64>,
    grants: Grants,
    runs_guests: bool,
}

impl Jail {
    /// A jail with no files, so much writable memory and so much CPU time of all threads together. The kernel counts that
    /// by ticks: on a machine that has much else to do, up to about twice as much is used before it has counted it.
    pub fn new(memory_bytes_max: u64, cpu_seconds_max: u64) -> Jail {
        let grants = Grants::default();
        Jail { memory_bytes_max, cpu_seconds_max, file_bytes_max: None, grants, runs_guests: false }
    }

    /// Lets it read a file, or everything below a directory.
    pub fn read(mut self, path: impl Into<PathBuf>) -> Jail {
        self.grants.read.push(path.into());
        self
    }

    /// Lets it read and write a file, or make, change and remove everything below a directory; no file may get
    /// longer than this.
    pub fn write(mut self, path: impl Into<PathBuf>, file_bytes_max: u64) -> Jail {
        self.grants.write.push(path.into());
        self.file_bytes_max = self.file_bytes_max.max(Some(file_bytes_max));
        self
    }

    /// Lets it load artifacts and run guests: code in executable memory, and memory files as long as `file_bytes_max`
    /// that hold artifacts. These do not count as its memory: each is capped, and all together by the address space.
    /// It opens no files by name then, whatever else was granted.
    pub fn run_guests(mut self, file_bytes_max: u64) -> Jail {
        self.runs_guests = true;
        self.file_bytes_max = self.file_bytes_max.max(Some(file_bytes_max));
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

    /// As [`Jail::enter`], without what the kernel lacks: `log` is told of each gap, and must tell the operator.
    ///
    /// # Errors
    /// As [`Jail::enter`], but for what the kernel lacks.
    pub fn enter_with_what_there_is(&self, log: impl FnMut(Lack)) -> Result<(), JailError> {
        self.enter_layers(&Layer::ALL, log)
    }

    /// As [`Jail::enter_with_what_there_is`], with these layers and no others: to see what each holds alone.
    ///
    /// # Errors
    /// As there.
    pub fn enter_layers(&self, layers: &[Layer], log: impl FnMut(Lack)) -> Result<(), JailError> {
        let reserves = if self.runs_guests { GUEST_SPACE_BYTES } else { 0 };
        let caps = limits::computing(self.memory_bytes_max, self.cpu_seconds_max, self.file_bytes_max, reserves);
        let (reads, writes) = (!self.grants.read.is_empty(), !self.grants.write.is_empty());
        let profile = if self.runs_guests { Profile::Runs } else { Profile::Computes { reads, writes } };
        drop_in(&caps, &self.grants, profile, layers, log)?;
        allocator::end_when_memory_is_short();
        Ok(())
    }
}

/// Enters, and makes an error of what is lacking.
fn whole(enter: impl FnOnce(&mut dyn FnMut(Lack)) -> Result<(), JailError>) -> Result<(), JailError> {
    let mut lacks = Vec::new();
    enter(&mut |lack| lacks.push(lack))?;
    if lacks.is_empty() { Ok(()) } else { Err(JailError::Lacks(lacks)) }
}

fn drop_in(
    caps: &[Cap],
    grants: &Grants,
    profile: Profile,
    layers: &[Layer],
    mut log: impl FnMut(Lack),
) -> Result<(), JailError> {
    limits::alone()?;
    if matches!(profile, Profile::Runs | Profile::Serves) {
        ready_for_guests()?;
    }
    limits::apply(caps, layers)?;
    privileges::give_up(layers, !grants.write.is_empty())?;
    paths::restrict(grants, layers)?.into_iter().for_each(&mut log);
    if layers.contains(&Layer::Calls) {
        calls::restrict(profile)?.into_iter().for_each(&mut log);
    }
    Ok(())
}

/// What running guests asks of procfs, and where their code will lie: later it would be too late.
fn ready_for_guests() -> Result<(), JailError> {
    crate::scan::works();
    crate::pool::image_runs_max();
    let refused = |error| JailError::System { what: "reserve the code", source: std::io::Error::other(error) };
    crate::region::reserve().map_err(refused)
}
