//! What connecting takes, to an address that is found by its name: sockets of the Internet, the files that names are found
//! by, memory. Threads only where it is told so; no sockets that take clients, none of other families.
//!
//! What a C library tries beside that, it goes on without: a daemon that knows names (by a Unix socket), and which addresses
//! this machine has (netlink).

use super::{Rules, Test, computing};
use crate::jail::JailError;

const PLAIN: &[i64] = &[
    // With its client, and what is said on stderr when it ends.
    libc::SYS_recvmsg,
    libc::SYS_write,
    libc::SYS_close,
    // Connecting; landlock says to which ports.
    libc::SYS_connect,
    libc::SYS_poll,
    libc::SYS_getsockname,
    // Answers to questions for an address; those that are long come as a stream.
    libc::SYS_recvfrom,
    libc::SYS_read,
    libc::SYS_writev,
    // Files; landlock says which.
    libc::SYS_openat,
    libc::SYS_newfstatat,
    libc::SYS_statx,
    libc::SYS_fstat,
    libc::SYS_lseek,
];

/// Questions for an address, and answers to its client, with the place of the flags among the arguments.
const SENDING: [(i64, u8); 3] = [(libc::SYS_sendto, 3), (libc::SYS_sendmsg, 2), (libc::SYS_sendmmsg, 3)];
/// Sending that connects, which landlock does not look at.
const CONNECTS: u64 = libc::MSG_FASTOPEN as u64;
const FAMILIES: [i32; 2] = [libc::AF_INET, libc::AF_INET6];
const TYPES: [i32; 2] = [libc::SOCK_STREAM, libc::SOCK_DGRAM];
/// Of a socket's type, what is no flag.
const TYPE_BITS: u64 = 0xf;
/// That a question which nobody hears is answered by an error.
const OPTIONS: [(i32, i32); 2] = [(libc::SOL_IP, libc::IP_RECVERR), (libc::SOL_IPV6, libc::IPV6_RECVERR)];

pub(super) fn allow(rules: &mut Rules, threads: bool) -> Result<(), JailError> {
    rules.plain(computing::BASIC);
    rules.plain(PLAIN);
    if threads {
        computing::threads(rules)?;
    }
    computing::memory(rules)?;
    computing::own_signals(rules)?;
    for (call, flags) in SENDING {
        rules.limited(call, &[Test::Bits(flags, CONNECTS, 0)])?;
    }
    for (family, kind) in FAMILIES.into_iter().flat_map(|family| TYPES.map(|kind| (family, kind))) {
        let (family, kind) = (Test::Is(0, family as u64), Test::Bits(1, TYPE_BITS, kind as u64));
        // The usual protocol of each: TCP and UDP.
        rules.limited(libc::SYS_socket, &[family, kind, Test::Is(2, 0)])?;
    }
    for (level, option) in OPTIONS {
        rules.limited(libc::SYS_setsockopt, &[Test::Is(1, level as u64), Test::Is(2, option as u64)])?;
    }
    rules.limited(libc::SYS_getsockopt, &[Test::Is(1, libc::SOL_SOCKET as u64), Test::Is(2, libc::SO_ERROR as u64)])?;
    // Whether a call waits, and how long an answer is.
    rules.one_of(libc::SYS_ioctl, 1, &[libc::FIONBIO, libc::FIONREAD])?;
    rules.one_of(libc::SYS_fcntl, 1, &[libc::F_GETFD as u64])
}
