//! What a jailed server can still do, and what it cannot.

use std::fs::File;
use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use selvedge_native::jail::{Broker, Dialer, ServerJail};
use selvedge_native::{ArtifactFile, set_urgency};

use crate::deeds::{self, DENIED, Deed, End, NOT_PERMITTED, Prison, call, exec, map, parent};
use End::Says;

/// One that writes the directory it was granted.
pub(crate) fn server(granted: &Path) -> Prison {
    Prison::Serving(ServerJail::new(64).write(granted))
}

/// One that reads it.
fn reading(granted: &Path) -> Prison {
    Prison::Serving(ServerJail::new(64).read(granted))
}

/// Sockets that were there before the jail: one that listens, and a client of it.
static BEFORE: OnceLock<(TcpListener, TcpStream)> = OnceLock::new();

static BROKER: OnceLock<Broker> = OnceLock::new();

/// With a listener that it connects to.
static DIALER: OnceLock<(Dialer, TcpListener)> = OnceLock::new();

/// What a deed needs before the jail.
pub(crate) fn prepare(deed: &str) {
    if deed == "server_answers_clients" {
        let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
        let client = TcpStream::connect(listener.local_addr().expect("it has an address")).expect("it connects");
        assert!(BEFORE.set((listener, client)).is_ok(), "it is set once");
    }
    if deed == "server_asks_its_broker" {
        let broker = crate::broker::broker("reverses").map_err(|failed| failed.message().map(str::to_string));
        assert!(BROKER.set(broker.expect("it starts")).is_ok(), "it is set once");
    }
    if deed == "server_asks_its_dialer" {
        let listener = TcpListener::bind("127.0.0.1:0").expect("it listens");
        let dialer = crate::dialer::dialer("several").map_err(|failed| failed.message().map(str::to_string));
        assert!(DIALER.set((dialer.expect("it starts"), listener)).is_ok(), "it is set once");
    }
}

#[rustfmt::skip]
pub(crate) const TABLE: &[Deed] = &[
    // What must still work; the rest of it is what a server does in the tests of the command.
    Deed { name: "server_answers_clients", jail: server, act: |_| answer_clients(), end: Says("done") },
    Deed { name: "server_holds_artifacts", jail: server, act: |_| ArtifactFile::from_bytes(b"artifact").map(drop).map_err(Error::other), end: Says("done") },
    Deed { name: "server_reads_what_it_was_granted", jail: reading, act: |at| File::open(at.join("inside")).map(drop), end: Says("done") },
    Deed { name: "server_writes_where_it_was_granted", jail: server, act: write, end: Says("done") },
    Deed { name: "server_locks_what_it_opens_again", jail: server, act: lock, end: Says("done") },
    Deed { name: "server_asks_how_full_its_disk_is", jail: server, act: |at| rustix::fs::fstatvfs(File::open(at)?).map(drop).map_err(Error::from), end: Says("done") },
    Deed { name: "server_says_how_long_it_computes_at_a_time", jail: server, act: |_| set_urgency(Duration::from_micros(100), 1), end: Says("done") },
    Deed { name: "server_asks_its_broker", jail: server, act: |_| ask_broker(), end: Says("done") },
    Deed { name: "server_asks_its_dialer", jail: server, act: |_| ask_dialer(), end: Says("done") },
    // Files.
    Deed { name: "server_reads_no_other_file", jail: server, act: |_| File::open("/etc/passwd").map(drop), end: DENIED },
    Deed { name: "server_reads_nothing_by_way_of_a_link", jail: server, act: |at| File::open(at.join("link")).map(drop), end: DENIED },
    Deed { name: "server_reads_nothing_by_way_of_dots", jail: server, act: |at| File::open(at.join("../outside")).map(drop), end: DENIED },
    Deed { name: "server_reads_no_memory_by_procfs", jail: server, act: |_| File::open("/proc/self/mem").map(drop), end: DENIED },
    Deed { name: "server_writes_nothing_it_only_reads", jail: reading, act: |at| File::options().write(true).open(at.join("inside")).map(drop), end: DENIED },
    Deed { name: "server_makes_nothing_where_it_only_reads", jail: reading, act: |at| File::create(at.join("new")).map(drop), end: DENIED },
    Deed { name: "server_writes_nothing_else", jail: server, act: |at| std::fs::write(at.join("../outside"), "x"), end: DENIED },
    Deed { name: "server_moves_nothing_out", jail: server, act: |at| std::fs::rename(at.join("inside"), at.join("../moved")), end: DENIED },
    Deed { name: "server_makes_no_links", jail: server, act: |at| std::os::unix::fs::symlink("/etc", at.join("etc")), end: NOT_PERMITTED },
    Deed { name: "server_changes_no_permissions", jail: server, act: |at| std::fs::set_permissions(at.join("../outside"), at.metadata()?.permissions()), end: NOT_PERMITTED },
    // The network.
    Deed { name: "server_connects_to_nobody", jail: server, act: |_| TcpStream::connect("127.0.0.1:9").map(drop), end: NOT_PERMITTED },
    Deed { name: "server_listens_nowhere_else", jail: server, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "server_sends_no_datagrams", jail: server, act: |_| UdpSocket::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "server_connects_to_no_unix_socket", jail: server, act: |at| UnixStream::connect(at.join("socket")).map(drop), end: NOT_PERMITTED },
    // Processes.
    Deed { name: "server_starts_no_command", jail: server, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Deed { name: "server_becomes_nothing_else", jail: server, act: |_| exec(), end: NOT_PERMITTED },
    Deed { name: "server_has_no_children", jail: server, act: |_| call(libc::SYS_fork, [0; 6]), end: NOT_PERMITTED },
    Deed { name: "server_clones_but_threads", jail: server, act: |_| call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "server_signals_nobody", jail: server, act: |_| call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "server_takes_no_greater_share", jail: server, act: |_| schedule(0), end: NOT_PERMITTED },
    Deed { name: "server_schedules_nobody_else", jail: server, act: |_| schedule(parent()), end: NOT_PERMITTED },
    // Memory, and the rest of the kernel.
    Deed { name: "server_makes_no_executable_memory", jail: server, act: |_| map(libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "server_makes_no_memory_executable", jail: server, act: |_| deeds::make_executable(), end: NOT_PERMITTED },
    Deed { name: "server_shares_no_memory", jail: server, act: |_| map(libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "server_opens_no_more_than_it_may", jail: server, act: deeds::open_many, end: Says("Too many open files") },
    Deed { name: "server_makes_no_other_calls", jail: server, act: |_| others(&[]), end: Says("all are refused") },
    Deed { name: "server_with_threads_is_not_jailed", jail: |_| { std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(60))); Prison::Serving(ServerJail::new(64)) }, act: |_| Ok(()), end: Says("this one has 2 already") },
    Deed { name: "server_with_a_grant_that_is_not_there_is_not_jailed", jail: |at| Prison::Serving(ServerJail::new(64).read(at.join("nowhere"))), act: |_| Ok(()), end: Says("No such file or directory") },
];

/// Before all others, in real time.
fn schedule(process: usize) -> Result<(), Error> {
    let mut attributes = [0u32; 14];
    let bytes = size_of_val(&attributes);
    (attributes[0], attributes[1], attributes[5]) = (bytes as u32, libc::SCHED_FIFO as u32, 1);
    call(libc::SYS_sched_setattr, [process, attributes.as_ptr() as usize, 0, 0, 0, 0])
}

fn answer_clients() -> Result<(), Error> {
    let (listener, client) = BEFORE.get().expect("they were made before the jail");
    let (mut accepted, _) = listener.accept()?;
    accepted.set_nodelay(true)?;
    let mut client = client.try_clone()?;
    client.write_all(b"question")?;
    let mut question = [0; 8];
    accepted.read_exact(&mut question)?;
    if &question == b"question" { Ok(()) } else { Err(Error::other("it came through garbled")) }
}

fn ask_broker() -> Result<(), Error> {
    let answer = BROKER.get().expect("it was started before the jail").run(b"abc", 100).map_err(Error::other)?;
    if answer == b"cba" { Ok(()) } else { Err(Error::other("it came back garbled")) }
}

/// On several threads at once, and without an answer in time.
fn ask_dialer() -> Result<(), Error> {
    let (dialer, listener) = DIALER.get().expect("it was started before the jail");
    let dial = || dialer.dial(&format!("to {}", listener.local_addr()?), Duration::from_secs(60)).map(drop);
    std::thread::scope(|scope| {
        let threads = [(); 3].map(|()| scope.spawn(dial));
        threads.into_iter().try_for_each(|thread| thread.join().expect("it does not panic"))
    })?;
    let late = dialer.dial(&format!("slowly {}", listener.local_addr()?), Duration::ZERO).map(drop);
    if late.is_err_and(|error| error.kind() == ErrorKind::TimedOut) { Ok(()) } else { Err(Error::other("in no time?")) }
}

fn write(at: &Path) -> Result<(), Error> {
    std::fs::create_dir(at.join("new"))?;
    std::fs::write(at.join("new/file"), "x")?;
    std::fs::rename(at.join("new/file"), at.join("moved"))?;
    File::open(at)?.sync_all()?;
    std::fs::remove_file(at.join("moved"))?;
    std::fs::remove_dir(at.join("new"))
}

/// As a database does that shares its file with nobody.
fn lock(at: &Path) -> Result<(), Error> {
    let file = File::options().read(true).write(true).open(at.join("inside"))?;
    file.try_lock().map_err(Error::from)?;
    for command in [libc::F_OFD_GETLK, libc::F_OFD_SETLK] {
        // SAFETY: it is made of numbers.
        let mut lock: libc::flock = unsafe { std::mem::zeroed() };
        lock.l_type = libc::F_WRLCK as i16;
        let place = &raw mut lock as usize;
        call(libc::SYS_fcntl, [file.as_raw_fd() as usize, command as usize, place, 0, 0, 0])?;
    }
    Ok(())
}

/// Calls that open a way into the kernel, or out of the jail.
const OTHERS: &[(&str, i64)] = &[
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("process_vm_writev", libc::SYS_process_vm_writev),
    ("pidfd_open", libc::SYS_pidfd_open),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("execve", libc::SYS_execve),
    ("execveat", libc::SYS_execveat),
    ("io_uring_setup", libc::SYS_io_uring_setup),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("fsopen", libc::SYS_fsopen),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("pivot_root", libc::SYS_pivot_root),
    ("chroot", libc::SYS_chroot),
    ("unshare", libc::SYS_unshare),
    ("setns", libc::SYS_setns),
    ("init_module", libc::SYS_init_module),
    ("finit_module", libc::SYS_finit_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("personality", libc::SYS_personality),
    ("modify_ldt", libc::SYS_modify_ldt),
    ("arch_prctl", libc::SYS_arch_prctl),
    ("pkey_mprotect", libc::SYS_pkey_mprotect),
    ("remap_file_pages", libc::SYS_remap_file_pages),
    ("process_madvise", libc::SYS_process_madvise),
    ("open_by_handle_at", libc::SYS_open_by_handle_at),
    ("mknodat", libc::SYS_mknodat),
    ("fchmodat", libc::SYS_fchmodat),
    ("fchownat", libc::SYS_fchownat),
    ("setxattr", libc::SYS_setxattr),
    ("setuid", libc::SYS_setuid),
    ("capset", libc::SYS_capset),
    ("socket", libc::SYS_socket),
    ("bind", libc::SYS_bind),
    ("listen", libc::SYS_listen),
    ("connect", libc::SYS_connect),
    ("shmget", libc::SYS_shmget),
    ("mq_open", libc::SYS_mq_open),
    ("quotactl", libc::SYS_quotactl),
    ("reboot", libc::SYS_reboot),
    ("swapon", libc::SYS_swapon),
    ("syslog", libc::SYS_syslog),
    ("clock_settime", libc::SYS_clock_settime),
    ("seccomp", libc::SYS_seccomp),
    ("landlock_restrict_self", libc::SYS_landlock_restrict_self),
    ("getpid of another ABI", 0x4000_0000 | libc::SYS_getpid),
];

/// Whether all of these are refused but those that are named.
pub(crate) fn others(but: &[&str]) -> Result<(), Error> {
    let refused = |number: i64| call(number, [0; 6]).is_err_and(|error| error.raw_os_error() == Some(libc::EPERM));
    let asked = OTHERS.iter().filter(|(name, _)| !but.contains(name));
    let allowed: Vec<_> = asked.filter(|(_, number)| !refused(*number)).map(|(name, _)| *name).collect();
    if allowed.is_empty() { Err(Error::other("all are refused")) } else { Err(Error::other(allowed.join(", "))) }
}
