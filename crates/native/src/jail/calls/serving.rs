//! What serving takes beyond running guests: clients on the sockets that listen already, waiting for them, and files
//! beneath what landlock grants. There is no call that makes a socket which leads anywhere.

use super::computing::{READING, WRITING};
use super::{Rules, Test, running};
use crate::jail::JailError;

/// Clients, and those who wait for them.
const CLIENTS: &[i64] = &[
    libc::SYS_accept4,
    libc::SYS_recvfrom,
    libc::SYS_recvmsg,
    libc::SYS_sendto,
    libc::SYS_sendmsg,
    libc::SYS_shutdown,
    libc::SYS_getsockname,
    libc::SYS_getpeername,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_wait,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_settime,
    libc::SYS_rt_sigtimedwait,
];

/// What the store's files need beyond reading and writing.
const STORE: &[i64] =
    &[libc::SYS_preadv2, libc::SYS_fdatasync, libc::SYS_flock, libc::SYS_readlink, libc::SYS_getcwd, libc::SYS_fstatfs];

/// Of descriptors: whether they close, wait, and are doubled; and locks, for what the store opens again.
const DESCRIPTORS: &[i32] =
    &[libc::F_SETFD, libc::F_GETFL, libc::F_SETFL, libc::F_DUPFD_CLOEXEC, libc::F_OFD_SETLK, libc::F_OFD_GETLK];

pub(super) fn allow(rules: &mut Rules) -> Result<(), JailError> {
    running::allow(rules)?;
    rules.plain(CLIENTS);
    rules.plain(READING);
    rules.plain(WRITING);
    rules.plain(STORE);
    let descriptors: Vec<u64> = DESCRIPTORS.iter().map(|command| *command as u64).collect();
    rules.one_of(libc::SYS_fcntl, 1, &descriptors)?;
    // How long a thread computes at a time, for itself alone; for a greater share it would need a privilege.
    rules.limited(libc::SYS_sched_getattr, &[Test::Is(0, 0)])?;
    rules.limited(libc::SYS_sched_setattr, &[Test::Is(0, 0)])?;
    // Whether a call waits, and whether stderr is a terminal.
    rules.one_of(libc::SYS_ioctl, 1, &[libc::FIONBIO, libc::TCGETS])?;
    // Between threads, and to the broker; it leads to nobody else.
    rules.limited(libc::SYS_socketpair, &[Test::Is(0, libc::AF_UNIX as u64)])?;
    rules.limited(
        libc::SYS_setsockopt,
        &[Test::Is(1, libc::IPPROTO_TCP as u64), Test::Is(2, libc::TCP_NODELAY as u64)],
    )?;
    rules.limited(libc::SYS_getsockopt, &[Test::Is(1, libc::SOL_SOCKET as u64), Test::Is(2, libc::SO_ERROR as u64)])
}
