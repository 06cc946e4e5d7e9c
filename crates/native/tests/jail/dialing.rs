//! What a jailed dialer can still do, and what it cannot.

use std::fs::File;
use std::io::Error;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use rustix::net::{AddressFamily, SocketType, connect, recv, send, socket};
use selvedge_native::jail::DialerJail;

use crate::deeds::{self, DENIED, Deed, End, NOT_PERMITTED, Prison, call, exec, map, parent};
use crate::serving::others;
use End::Says;

/// One that connects to a port where nobody is.
pub(crate) fn dialer(_: &Path) -> Prison {
    Prison::Dialing(DialerJail::new("127.0.0.1:9"))
}

/// A name server that was there before the jail.
static BEFORE: OnceLock<UdpSocket> = OnceLock::new();

/// What a deed needs before the jail.
pub(crate) fn prepare(deed: &str) {
    if deed == "dialer_asks_name_servers" {
        assert!(BEFORE.set(UdpSocket::bind("127.0.0.1:0").expect("it listens")).is_ok(), "it is set once");
    }
}

#[rustfmt::skip]
pub(crate) const TABLE: &[Deed] = &[
    // What must still work; the rest is what dialers do in the tests of `dialer.rs`.
    Deed { name: "dialer_reaches_its_port", jail: dialer, act: |_| TcpStream::connect("127.0.0.1:9").map(drop), end: Says("Connection refused") },
    Deed { name: "dialer_knows_this_machine", jail: dialer, act: |_| "localhost:9".to_socket_addrs().map(drop), end: Says("done") },
    Deed { name: "dialer_asks_name_servers", jail: dialer, act: |_| ask(), end: Says("done") },
    // The network.
    Deed { name: "dialer_reaches_no_other_port", jail: dialer, act: |_| TcpStream::connect("127.0.0.1:10").map(drop), end: DENIED },
    Deed { name: "dialer_without_a_port_reaches_none", jail: |_| Prison::Dialing(DialerJail::new("nowhere")), act: |_| TcpStream::connect("127.0.0.1:9").map(drop), end: DENIED },
    Deed { name: "dialer_takes_no_clients", jail: dialer, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "dialer_hears_no_datagrams", jail: dialer, act: |_| UdpSocket::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "dialer_connects_to_no_unix_socket", jail: dialer, act: |at| UnixStream::connect(at.join("socket")).map(drop), end: NOT_PERMITTED },
    // Files.
    Deed { name: "dialer_reads_no_other_file", jail: dialer, act: |_| File::open("/etc/passwd").map(drop), end: DENIED },
    Deed { name: "dialer_reads_no_memory_by_procfs", jail: dialer, act: |_| File::open("/proc/self/mem").map(drop), end: DENIED },
    Deed { name: "dialer_writes_nothing", jail: dialer, act: |at| File::create(at.join("new")).map(drop), end: DENIED },
    Deed { name: "dialer_lists_nothing", jail: dialer, act: |at| std::fs::read_dir(at).map(drop), end: DENIED },
    Deed { name: "dialer_removes_nothing", jail: dialer, act: |at| std::fs::remove_file(at.join("inside")), end: NOT_PERMITTED },
    // Processes.
    Deed { name: "dialer_has_no_threads", jail: dialer, act: |_| std::thread::Builder::new().spawn(|| {}).map(drop), end: NOT_PERMITTED },
    Deed { name: "dialer_has_no_children", jail: dialer, act: |_| call(libc::SYS_fork, [0; 6]), end: NOT_PERMITTED },
    Deed { name: "dialer_starts_no_command", jail: dialer, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Deed { name: "dialer_becomes_nothing_else", jail: dialer, act: |_| exec(), end: NOT_PERMITTED },
    Deed { name: "dialer_signals_nobody", jail: dialer, act: |_| call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    // Memory, and the rest of the kernel.
    Deed { name: "dialer_makes_no_executable_memory", jail: dialer, act: |_| map(libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "dialer_makes_no_memory_executable", jail: dialer, act: |_| deeds::make_executable(), end: NOT_PERMITTED },
    Deed { name: "dialer_shares_no_memory", jail: dialer, act: |_| map(libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "dialer_makes_no_other_calls", jail: dialer, act: |_| others(&["connect"]), end: Says("all are refused") },
    Deed { name: "dialer_makes_none_of_a_servers_calls", jail: dialer, act: |_| servers(), end: Says("all are refused") },
];

static YES: i32 = 1;

/// As C libraries ask.
fn ask() -> Result<(), Error> {
    let server = BEFORE.get().expect("it was made before the jail");
    let client = socket(AddressFamily::INET, SocketType::DGRAM, None)?;
    let (option, length) = (&raw const YES as usize, size_of_val(&YES));
    let client_number = client.as_raw_fd() as usize;
    call(libc::SYS_setsockopt, [client_number, libc::SOL_IP as usize, libc::IP_RECVERR as usize, option, length, 0])?;
    let to = SocketAddrV4::new(Ipv4Addr::LOCALHOST, server.local_addr()?.port());
    connect(&client, &to)?;
    send(&client, b"where", rustix::net::SendFlags::empty())?;
    let mut heard = [0; 5];
    let (_, from) = server.recv_from(&mut heard)?;
    let sent = rustix::net::sendto(server, b"there", rustix::net::SendFlags::empty(), &from)?;
    let (count, _) = recv(&client, &mut heard, rustix::net::RecvFlags::empty())?;
    if sent == count && &heard == b"there" { Ok(()) } else { Err(Error::other("it came through garbled")) }
}

/// Calls that a server makes and a dialer has no use for.
const SERVERS: &[(&str, i64)] = &[
    ("clone", libc::SYS_clone),
    ("accept4", libc::SYS_accept4),
    ("accept", libc::SYS_accept),
    ("socketpair", libc::SYS_socketpair),
    ("shutdown", libc::SYS_shutdown),
    ("epoll_create1", libc::SYS_epoll_create1),
    ("eventfd2", libc::SYS_eventfd2),
    ("memfd_create", libc::SYS_memfd_create),
    ("ftruncate", libc::SYS_ftruncate),
    ("pwrite64", libc::SYS_pwrite64),
    ("getdents64", libc::SYS_getdents64),
    ("renameat2", libc::SYS_renameat2),
    ("flock", libc::SYS_flock),
    ("prctl", libc::SYS_prctl),
    ("prlimit64", libc::SYS_prlimit64),
    ("sched_setattr", libc::SYS_sched_setattr),
];

fn servers() -> Result<(), Error> {
    let refused = |number: i64| call(number, [0; 6]).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
    let allowed: Vec<_> = SERVERS.iter().filter(|(_, number)| !refused(*number)).map(|(name, _)| *name).collect();
    if allowed.is_empty() { Err(Error::other("all are refused")) } else { Err(Error::other(allowed.join(", "))) }
}
