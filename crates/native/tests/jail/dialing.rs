//! What a jailed dialer can still do, and what it cannot: one of one address, and one that knows itself whom to connect to.

use std::fs::File;
use std::io::Error;
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, ToSocketAddrs, UdpSocket};
use std::num::NonZeroUsize;
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

/// One that connects to any port, on threads, and reads what it was granted.
pub(crate) fn any_port(granted: &Path) -> Prison {
    Prison::Dialing(DialerJail::to_any_port().read(granted).threads(NonZeroUsize::new(4).expect("it is not 0")))
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
    Deed { name: "dialer_makes_none_of_a_servers_calls", jail: dialer, act: |_| servers(&[]), end: Says("all are refused") },
    // One that knows itself whom to connect to.
    Deed { name: "any_port_dialer_reaches_one", jail: any_port, act: |_| TcpStream::connect("127.0.0.1:9").map(drop), end: Says("Connection refused") },
    Deed { name: "any_port_dialer_reaches_another", jail: any_port, act: |_| TcpStream::connect("127.0.0.1:10").map(drop), end: Says("Connection refused") },
    Deed { name: "any_port_dialer_has_threads_that_know_names", jail: any_port, act: |_| on_threads(), end: Says("done") },
    Deed { name: "any_port_dialer_reads_what_it_was_granted", jail: any_port, act: read_inside, end: Says("done") },
    Deed { name: "any_port_dialer_takes_no_clients", jail: any_port, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_hears_no_datagrams", jail: any_port, act: |_| UdpSocket::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_connects_to_no_unix_socket", jail: any_port, act: |at| UnixStream::connect(at.join("socket")).map(drop), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_reads_no_other_file", jail: any_port, act: |_| File::open("/etc/passwd").map(drop), end: DENIED },
    Deed { name: "any_port_dialer_reads_nothing_by_way_of_a_link", jail: any_port, act: |at| File::open(at.join("link")).map(drop), end: DENIED },
    Deed { name: "any_port_dialer_reads_nothing_by_way_of_dots", jail: any_port, act: |at| File::open(at.join("../outside")).map(drop), end: DENIED },
    Deed { name: "any_port_dialer_reads_no_memory_by_procfs", jail: any_port, act: |_| File::open("/proc/self/mem").map(drop), end: DENIED },
    Deed { name: "any_port_dialer_lists_nothing", jail: any_port, act: |at| std::fs::read_dir(at)?.try_for_each(|entry| entry.map(drop)), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_writes_nothing", jail: any_port, act: |at| File::options().write(true).open(at.join("inside")).map(drop), end: DENIED },
    Deed { name: "any_port_dialer_makes_nothing", jail: any_port, act: |at| File::create(at.join("new")).map(drop), end: DENIED },
    Deed { name: "any_port_dialer_removes_nothing", jail: any_port, act: |at| std::fs::remove_file(at.join("inside")), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_has_no_children", jail: any_port, act: |_| call(libc::SYS_fork, [0; 6]), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_clones_but_threads", jail: any_port, act: |_| call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_starts_no_command", jail: any_port, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_becomes_nothing_else", jail: any_port, act: |_| exec(), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_signals_nobody", jail: any_port, act: |_| call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_makes_no_executable_memory", jail: any_port, act: |_| map(libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "any_port_dialer_opens_no_more_than_it_may", jail: any_port, act: deeds::open_many, end: Says("Too many open files") },
    Deed { name: "any_port_dialer_makes_no_other_calls", jail: any_port, act: |_| others(&["connect"]), end: Says("all are refused") },
    Deed { name: "any_port_dialer_makes_none_of_a_servers_calls", jail: any_port, act: |_| servers(&["clone", "prctl"]), end: Says("all are refused") },
    Deed { name: "any_port_dialer_with_a_grant_that_is_not_there_is_not_jailed", jail: |at| any_port(&at.join("nowhere")), act: |_| Ok(()), end: Says("No such file or directory") },
];

/// Names are found on stacks as small as those of [`selvedge_native::jail::serve_dialer`].
fn on_threads() -> Result<(), Error> {
    let find = || "localhost:9".to_socket_addrs().map(drop);
    let threads = [(); 3].map(|()| std::thread::Builder::new().name("dialer".into()).stack_size(256 << 10).spawn(find));
    threads.into_iter().try_for_each(|thread| thread?.join().expect("it does not panic"))
}

fn read_inside(at: &Path) -> Result<(), Error> {
    let (text, metadata) = (std::fs::read_to_string(at.join("inside"))?, std::fs::metadata(at.join("inside"))?);
    if text.len() as u64 == metadata.len() { Ok(()) } else { Err(Error::other("it reads something else")) }
}

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

/// Calls that a server makes and a dialer has no use for; for some, one with threads has.
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

fn servers(but: &[&str]) -> Result<(), Error> {
    let refused = |number: i64| call(number, [0; 6]).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
    let allowed: Vec<_> = SERVERS
        .iter()
        .filter(|(name, _)| !but.contains(name))
        .filter(|(_, number)| !refused(*number))
        .map(|(name, _)| *name)
        .collect();
    if allowed.is_empty() { Err(Error::other("all are refused")) } else { Err(Error::other(allowed.join(", "))) }
}
