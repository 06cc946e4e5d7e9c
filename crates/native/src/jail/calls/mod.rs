//! The system calls a jailed process may make: seccomp.
//!
//! Each profile is a list of what is allowed; three are each the one before and more, one stands beside them:
//!
//! ```text
//!   computing: threads, memory, what is open  ⊂  running: guests' code and memory  ⊂  serving: clients, files
//!   dialing: connections, names
//! ```
//!
//! Whatever else a process tries fails with `EPERM`, whether or not the call exists. `clone3` fails with `ENOSYS`,
//! because its arguments are out of a filter's sight; C libraries then use `clone`, whose flags are looked at.

mod computing;
mod dialing;
mod running;
mod serving;

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::{JailError, Lack};

/// What a process does in its jail.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Profile {
    /// It computes, and may read or write files.
    Computes { reads: bool, writes: bool },
    /// It runs guests.
    Runs,
    /// It runs guests for clients that come by sockets it has already, and keeps files.
    Serves,
    /// It connects to others, on several threads or on one.
    Dials { threads: bool },
}

/// Forbids every call but those of the profile.
pub(super) fn restrict(profile: Profile) -> Result<Option<Lack>, JailError> {
    let mut rules = Rules::default();
    match profile {
        Profile::Computes { reads, writes } => computing::allow(&mut rules, reads, writes)?,
        Profile::Runs => running::allow(&mut rules)?,
        Profile::Serves => serving::allow(&mut rules)?,
        Profile::Dials { threads } => dialing::allow(&mut rules, threads)?,
    }
    // This one goes to the filter before, which answers for it.
    rules.plain(&[libc::SYS_clone3]);
    let absent = filter(BTreeMap::from([(libc::SYS_clone3, vec![])]), Kind::Deny(libc::ENOSYS as u32))?;
    for program in [absent, filter(rules.0, Kind::Allow)?] {
        match seccompiler::apply_filter(&program) {
            Ok(()) => {}
            Err(seccompiler::Error::Seccomp(error)) if lacking(&error) => return Ok(Some(Lack::Seccomp)),
            Err(error) => return Err(refused(error)),
        }
    }
    Ok(None)
}

fn lacking(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL))
}

/// Calls, and with which arguments; without any they are allowed with all.
#[derive(Default)]
struct Rules(BTreeMap<i64, Vec<SeccompRule>>);

impl Rules {
    /// Calls that are allowed with any arguments.
    fn plain(&mut self, calls: &[i64]) {
        for call in calls {
            self.0.insert(*call, vec![]);
        }
    }

    /// A call that is allowed if all these tests hold. Several rules for one call are alternatives.
    fn limited(&mut self, call: i64, tests: &[Test]) -> Result<(), JailError> {
        let conditions: Result<Vec<_>, _> = tests.iter().map(Test::condition).collect();
        self.0.entry(call).or_default().push(SeccompRule::new(conditions?).map_err(refused)?);
        Ok(())
    }

    /// A call that is allowed with these values of one argument.
    fn one_of(&mut self, call: i64, argument: u8, values: &[u64]) -> Result<(), JailError> {
        values.iter().try_for_each(|value| self.limited(call, &[Test::Is(argument, *value)]))
    }
}

/// What an argument, counted from 0, must be. All 64 bits are looked at: where the kernel takes 32, whoever sets the
/// others is refused.
enum Test {
    Is(u8, u64),
    /// The bits of a mask.
    Bits(u8, u64, u64),
    Below(u8, u64),
    AtLeast(u8, u64),
}

impl Test {
    fn condition(&self) -> Result<SeccompCondition, JailError> {
        let (argument, operator, value) = match *self {
            Test::Is(argument, value) => (argument, SeccompCmpOp::Eq, value),
            Test::Bits(argument, mask, value) => (argument, SeccompCmpOp::MaskedEq(mask), value),
            Test::Below(argument, value) => (argument, SeccompCmpOp::Lt, value),
            Test::AtLeast(argument, value) => (argument, SeccompCmpOp::Ge, value),
        };
        SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value).map_err(refused)
    }
}

enum Kind {
    /// These calls and no others.
    Allow,
    /// All but these, which fail with this number.
    Deny(u32),
}

fn filter(rules: BTreeMap<i64, Vec<SeccompRule>>, kind: Kind) -> Result<BpfProgram, JailError> {
    let (others, these) = match kind {
        Kind::Allow => (SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow),
        Kind::Deny(error) => (SeccompAction::Allow, SeccompAction::Errno(error)),
    };
    let filter = SeccompFilter::new(rules, others, these, TargetArch::x86_64).map_err(refused)?;
    filter.try_into().map_err(refused)
}

fn refused(error: impl std::error::Error + Send + Sync + 'static) -> JailError {
    JailError::System { what: "limit the system calls", source: std::io::Error::other(error) }
}
