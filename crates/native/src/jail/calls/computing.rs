//! What a program with threads needs to compute, read and write what is open, and end.

use super::{Rules, Test};
use crate::jail::JailError;

/// What any program does that computes, with one thread. None of it can do harm with any arguments.
pub(super) const BASIC: &[i64] = &[
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_brk,
    libc::SYS_futex,
    libc::SYS_clock_gettime,
    libc::SYS_gettimeofday,
    libc::SYS_getrandom,
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

/// What starting a thread takes besides `clone`.
const STARTING: &[i64] = &[libc::SYS_set_robust_list, libc::SYS_rseq, libc::SYS_sched_getaffinity];

/// The same of one that reads and writes what is open.
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
    libc::SYS_get_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_membarrier,
    libc::SYS_sched_yield,
    libc::SYS_nanosleep,
    libc::SYS_clock_nanosleep,
    libc::SYS_clock_getres,
    libc::SYS_getrusage,
];

/// Opening and looking at files; landlock says which.
pub(super) const READING: &[i64] = &[
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_readlinkat,
    libc::SYS_getdents64,
    libc::SYS_faccessat2,
];

/// Making and changing files; landlock says which.
pub(super) const WRITING: &[i64] = &[
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
pub(super) const MAP_KIND: u64 = 0xf | libc::MAP_GROWSDOWN as u64;
pub(super) const EXEC: u64 = libc::PROT_EXEC as u64;
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

pub(super) fn allow(rules: &mut Rules, reads: bool, writes: bool) -> Result<(), JailError> {
    rules.plain(BASIC);
    rules.plain(PLAIN);
    if reads || writes {
        rules.plain(READING);
    }
    if writes {
        rules.plain(WRITING);
    }
    memory(rules)?;
    own_signals(rules)?;
    threads(rules)?;
    // Limits can be asked for, not set.
    rules.limited(libc::SYS_prlimit64, &[Test::Is(0, 0), Test::Is(2, 0)])?;
    rules.one_of(libc::SYS_fcntl, 1, &[libc::F_GETFD as u64])
}

/// Threads of this process, and nothing else that `clone` makes.
pub(super) fn threads(rules: &mut Rules) -> Result<(), JailError> {
    rules.plain(STARTING);
    rules.limited(libc::SYS_clone, &[Test::Bits(0, CLONE_KIND, libc::CLONE_THREAD as u64)])?;
    // Names of threads and of memory, for people; C libraries give the latter.
    rules.one_of(libc::SYS_prctl, 0, &[libc::PR_SET_NAME as u64, PR_SET_VMA])
}

/// Memory that is private and never executable.
pub(super) fn memory(rules: &mut Rules) -> Result<(), JailError> {
    rules.limited(libc::SYS_mmap, &[Test::Bits(2, EXEC, 0), Test::Bits(3, MAP_KIND, libc::MAP_PRIVATE as u64)])?;
    rules.limited(libc::SYS_mprotect, &[Test::Bits(2, EXEC, 0)])?;
    rules.limited(libc::SYS_madvise, &[Test::Below(2, ADVICE_END)])
}

/// Signals to itself, as `abort` sends them.
pub(super) fn own_signals(rules: &mut Rules) -> Result<(), JailError> {
    rules.limited(libc::SYS_tgkill, &[Test::Is(0, u64::from(std::process::id()))])
}
