//! The system calls a jailed process may make: seccomp.
//!
//! Allowed is what a program with threads needs to compute, read and write what is open, and end. Whatever else it
//! tries fails with `EPERM`, whether or not the call exists. `clone3` fails with `ENOSYS`, because its arguments are out
//! of a filter's sight; C libraries then use `clone`, whose flags are looked at.

use std::collections::BTreeMap;

use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

use super::{JailError, Lack};

/// Calls that can do no harm with any arguments.
const PLAIN: &[i64] = &[
    libc::SYS_read,
    libc::SYS_readv,
    libc::SYS_pread64,
    libc::SYS_write,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_fstat,
    libc::SYS_lseek,
    libc::SYS_poll,
    libc::SYS_ppoll,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_set_robust_list,
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_rseq,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_gettime,
    libc::SYS_clock_getres,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
    libc::SYS_getrusage,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_sigaltstack,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// Opening and looking at files; landlock says which.
const READING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_faccessat2,
];

/// Making and changing files; landlock says which.
const WRITING: &[i64] = &[
    libc::SYS_pwrite64,
    libc::SYS_ftruncate,
    libc::SYS_fsync,
    libc::SYS_mkdir,
    libc::SYS_mkdirat,
    libc::SYS_rmdir,
    libc::SYS_unlink,
    libc::SYS_unlinkat,
    libc::SYS_rename,
    libc::SYS_renameat,
    libc::SYS_renameat2,
];

/// A mapping is private, and no stack that grows by itself: all of it counts as memory.
const MAP_KIND: u64 = 0xf | libc::MAP_GROWSDOWN as u64;
/// Advice from here on takes pages from the machine for good, if root gives it (`MADV_HWPOISON`).
const ADVICE_END: u64 = libc::MADV_HWPOISON as u64;
/// Not among the C library's constants.
const PR_SET_VMA: u64 = 0x5356_4d41;
/// What makes a `clone` a thread of this process, and what would give it namespaces of its own.
const CLONE_KIND: u64 = libc::CLONE_THREAD as u64
    | libc::CLONE_NEWNS as u64
    | libc::CLONE_NEWCGROUP as u64
    | libc::CLONE_NEWUTS as u64
    | libc::CLONE_NEWIPC as u64
    | libc::CLONE_NEWUSER as u64
    | libc::CLONE_NEWPID as u64
    | libc::CLONE_NEWNET as u64
    | libc::CLONE_PTRACE as u64;

/// Forbids every call but those.
pub(super) fn restrict(reading: bool, writing: bool) -> Result<Option<Lack>, JailError> {
    let absent = filter(BTreeMap::from([(libc::SYS_clone3, vec![])]), Kind::Deny(libc::ENOSYS as u32))?;
    let allowed = filter(allowed(reading, writing)?, Kind::Allow)?;
    for program in [absent, allowed] {
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

type Rules = BTreeMap<i64, Vec<SeccompRule>>;

fn allowed(reading: bool, writing: bool) -> Result<Rules, JailError> {
    let mut rules: Rules = PLAIN.iter().map(|call| (*call, vec![])).collect();
    if reading || writing {
        rules.extend(READING.iter().map(|call| (*call, vec![])));
    }
    if writing {
        rules.extend(WRITING.iter().map(|call| (*call, vec![])));
    }
    // This one goes to the filter above, which answers for it.
    rules.insert(libc::SYS_clone3, vec![]);
    let this = u64::from(std::process::id());
    let exec = libc::PROT_EXEC as u64;
    let limited = [
        (libc::SYS_mmap, vec![masked(2, exec, 0)?, masked(3, MAP_KIND, libc::MAP_PRIVATE as u64)?]),
        (libc::SYS_mprotect, vec![masked(2, exec, 0)?]),
        (libc::SYS_madvise, vec![compared(2, SeccompCmpOp::Lt, ADVICE_END)?]),
        (libc::SYS_clone, vec![masked(0, CLONE_KIND, libc::CLONE_THREAD as u64)?]),
        // Signals to itself, as `abort` sends them.
        (libc::SYS_tgkill, vec![equal(0, this)?]),
        // Limits can be asked for, not set.
        (libc::SYS_prlimit64, vec![equal(0, 0)?, equal(2, 0)?]),
        (libc::SYS_prctl, vec![equal(0, libc::PR_SET_NAME as u64)?]),
        (libc::SYS_fcntl, vec![equal(1, libc::F_GETFD as u64)?]),
    ];
    for (call, conditions) in limited {
        rules.insert(call, vec![SeccompRule::new(conditions).map_err(refused)?]);
    }
    // A name of its memory, for people: harmless, and what C libraries do.
    let name = SeccompRule::new(vec![equal(0, PR_SET_VMA)?]).map_err(refused)?;
    rules.entry(libc::SYS_prctl).or_default().push(name);
    Ok(rules)
}

fn equal(argument: u8, value: u64) -> Result<SeccompCondition, JailError> {
    compared(argument, SeccompCmpOp::Eq, value)
}

fn masked(argument: u8, mask: u64, value: u64) -> Result<SeccompCondition, JailError> {
    compared(argument, SeccompCmpOp::MaskedEq(mask), value)
}

/// All 64 bits are looked at: where the kernel takes 32, whoever sets the others is refused.
fn compared(argument: u8, operator: SeccompCmpOp, value: u64) -> Result<SeccompCondition, JailError> {
    SeccompCondition::new(argument, SeccompCmpArgLen::Qword, operator, value).map_err(refused)
}

enum Kind {
    /// These calls and no others.
    Allow,
    /// All but these, which fail with this number.
    Deny(u32),
}

fn filter(rules: Rules, kind: Kind) -> Result<BpfProgram, JailError> {
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
