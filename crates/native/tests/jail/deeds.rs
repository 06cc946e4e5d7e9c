//! What a jailed process tries, and what must come of it.

use std::fs::File;
use std::io::{Error, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::ptr::null_mut;

use libtest_mimic::Failed;
use selvedge_native::jail::{Allocator, DialerJail, Jail, JailError, Lack, Layer, ServerJail};

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

const MEMORY: u64 = 64 << 20;
const SECONDS: u64 = 1;
const FILE: u64 = 1 << 20;

/// One of the jails.
pub(crate) enum Prison {
    Computing(Jail),
    Serving(ServerJail),
    Dialing(DialerJail),
}

impl Prison {
    fn enter(&self) -> Result<(), JailError> {
        match self {
            Prison::Computing(jail) => jail.enter(),
            Prison::Serving(jail) => jail.enter(),
            Prison::Dialing(jail) => jail.enter(),
        }
    }

    pub(crate) fn enter_layers(&self, layers: &[Layer], log: impl FnMut(Lack)) -> Result<(), JailError> {
        match self {
            Prison::Computing(jail) => jail.enter_layers(layers, log),
            Prison::Serving(jail) => jail.enter_layers(layers, log),
            Prison::Dialing(jail) => jail.enter_layers(layers, log),
        }
    }
}

/// How a deed ends.
pub(crate) enum End {
    /// The child goes on and says this.
    Says(&'static str),
    /// The child is killed by this signal.
    Signal(i32),
    /// The child exits with this code.
    Exit(i32),
}
use End::{Exit, Says, Signal};

pub(crate) struct Deed {
    pub(crate) name: &'static str,
    pub(crate) jail: fn(&Path) -> Prison,
    pub(crate) act: fn(&Path) -> Result<(), Error>,
    pub(crate) end: End,
}

fn jail() -> Jail {
    Jail::new(MEMORY, SECONDS)
}

pub(crate) fn bare(_: &Path) -> Prison {
    Prison::Computing(jail())
}

pub(crate) fn reader(granted: &Path) -> Prison {
    Prison::Computing(jail().read(granted))
}

pub(crate) fn writer(granted: &Path) -> Prison {
    Prison::Computing(jail().write(granted, FILE))
}

/// One that runs guests.
pub(crate) fn runner(_: &Path) -> Prison {
    Prison::Computing(jail().run_guests(FILE))
}

pub(crate) const DENIED: End = Says("Permission denied");
pub(crate) const NOT_PERMITTED: End = Says("Operation not permitted");

#[rustfmt::skip]
pub(crate) const TABLE: &[Deed] = &[
    // What must still work.
    Deed { name: "computes_with_threads_and_memory", jail: bare, act: |_| { compute(); Ok(()) }, end: Says("done") },
    Deed { name: "reads_what_it_was_granted", jail: reader, act: |at| File::open(at.join("inside")).map(drop), end: Says("done") },
    Deed { name: "writes_where_it_was_granted", jail: writer, act: |at| std::fs::write(at.join("new"), "x").and_then(|()| std::fs::remove_file(at.join("new"))), end: Says("done") },
    // Files.
    Deed { name: "no_file_without_a_grant", jail: bare, act: |at| File::open(at.join("inside")).map(drop), end: NOT_PERMITTED },
    Deed { name: "no_other_file_to_read", jail: reader, act: |_| File::open("/etc/passwd").map(drop), end: DENIED },
    Deed { name: "no_other_file_by_way_of_a_link", jail: reader, act: |at| File::open(at.join("link")).map(drop), end: DENIED },
    Deed { name: "no_other_file_by_way_of_dots", jail: reader, act: |at| File::open(at.join("../outside")).map(drop), end: DENIED },
    Deed { name: "no_memory_of_processes_by_procfs", jail: reader, act: |_| File::open("/proc/self/mem").map(drop), end: DENIED },
    Deed { name: "no_writing_where_reading_was_granted", jail: reader, act: |at| File::options().write(true).open(at.join("inside")).map(drop), end: DENIED },
    Deed { name: "no_truncating_where_reading_was_granted", jail: reader, act: |at| truncate(&at.join("inside")), end: NOT_PERMITTED },
    Deed { name: "no_other_file_to_write", jail: writer, act: |at| std::fs::write(at.join("../outside"), "x"), end: DENIED },
    Deed { name: "no_moving_out_of_the_grant", jail: writer, act: |at| std::fs::rename(at.join("inside"), at.join("../moved")), end: DENIED },
    Deed { name: "no_longer_files_than_granted", jail: writer, act: |at| std::fs::write(at.join("long"), vec![0; 2 * FILE as usize]), end: Signal(libc::SIGXFSZ) },
    // The network.
    Deed { name: "no_tcp", jail: bare, act: |_| TcpStream::connect("127.0.0.1:9").map(drop), end: NOT_PERMITTED },
    Deed { name: "no_udp", jail: bare, act: |_| UdpSocket::bind("127.0.0.1:0").map(drop), end: NOT_PERMITTED },
    Deed { name: "no_unix_sockets", jail: bare, act: |_| UnixStream::pair().map(drop), end: NOT_PERMITTED },
    // Processes.
    Deed { name: "no_fork", jail: bare, act: |_| call(libc::SYS_fork, [0; 6]), end: NOT_PERMITTED },
    Deed { name: "no_vfork", jail: bare, act: |_| call(libc::SYS_vfork, [0; 6]), end: NOT_PERMITTED },
    Deed { name: "no_clone_but_threads", jail: bare, act: |_| call(libc::SYS_clone, [libc::SIGCHLD as usize, 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_clone3", jail: bare, act: |_| call(libc::SYS_clone3, [0; 6]), end: Says("Function not implemented") },
    Deed { name: "no_command", jail: bare, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Deed { name: "no_exec", jail: bare, act: |_| exec(), end: NOT_PERMITTED },
    Deed { name: "no_exec_of_what_may_be_read", jail: |_| Prison::Computing(jail().read("/bin")), act: |_| exec(), end: NOT_PERMITTED },
    Deed { name: "no_ptrace", jail: bare, act: |_| call(libc::SYS_ptrace, [libc::PTRACE_SEIZE as usize, parent(), 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_memory_of_others", jail: bare, act: |_| call(libc::SYS_process_vm_readv, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_signals_to_others", jail: bare, act: |_| call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_signals_to_threads_of_others", jail: bare, act: |_| call(libc::SYS_tgkill, [parent(), parent(), 0, 0, 0, 0]), end: NOT_PERMITTED },
    // The kernel's larger surfaces.
    Deed { name: "no_io_uring", jail: bare, act: |_| call(libc::SYS_io_uring_setup, [1, 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_bpf", jail: bare, act: |_| call(libc::SYS_bpf, [0; 6]), end: NOT_PERMITTED },
    Deed { name: "no_namespaces", jail: bare, act: |_| call(libc::SYS_unshare, [libc::CLONE_NEWUSER as usize, 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_anonymous_files", jail: bare, act: |_| call(libc::SYS_memfd_create, [c"x".as_ptr() as usize, 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Deed { name: "no_calls_of_another_abi", jail: bare, act: |_| call(0x4000_0000 | libc::SYS_getpid, [0; 6]), end: NOT_PERMITTED },
    // Memory and time.
    Deed { name: "no_more_memory_than_the_cap", jail: bare, act: |_| { hold(2 * MEMORY as usize); Ok(()) }, end: Exit(112) },
    Deed { name: "no_more_memory_in_small_pieces", jail: bare, act: |_| { (0..2 * MEMORY / 4096).for_each(|_| hold(4096)); Ok(()) }, end: Exit(112) },
    Deed { name: "no_shared_memory", jail: bare, act: |_| map(libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "no_stacks_that_grow", jail: bare, act: |_| map(libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_GROWSDOWN), end: NOT_PERMITTED },
    Deed { name: "no_executable_memory", jail: bare, act: |_| map(libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS), end: NOT_PERMITTED },
    Deed { name: "no_memory_made_executable", jail: bare, act: |_| make_executable(), end: NOT_PERMITTED },
    Deed { name: "no_address_space_without_end", jail: bare, act: |_| reserve(1 << 40), end: Says("Cannot allocate memory") },
    Deed { name: "no_more_open_files_than_the_cap", jail: reader, act: open_many, end: Says("Too many open files") },
    Deed { name: "no_deeper_stack_than_the_cap", jail: bare, act: |_| limited_to(libc::RLIMIT_STACK, 8 << 20), end: Says("done") },
    Deed { name: "no_core_dumps", jail: bare, act: |_| limited_to(libc::RLIMIT_CORE, 0), end: Says("done") },
    Deed { name: "no_higher_limits", jail: bare, act: |_| raise(), end: NOT_PERMITTED },
    Deed { name: "no_more_time_than_the_cap", jail: bare, act: |_| spin(), end: Signal(libc::SIGXCPU) },
    Deed { name: "no_more_time_when_the_signal_is_ignored", jail: bare, act: |_| { ignore_xcpu(); spin() }, end: Signal(libc::SIGKILL) },
    Deed { name: "no_more_time_on_several_threads", jail: bare, act: |_| { std::thread::spawn(spin); spin() }, end: Signal(libc::SIGXCPU) },
    // Entering.
    Deed { name: "no_way_in_with_threads", jail: bare, act: |_| Ok(()), end: Says("a process enters the jail before it starts threads, this one has 2 already") },
    Deed { name: "no_grant_of_what_is_not_there", jail: |at| Prison::Computing(jail().read(at.join("nowhere"))), act: |_| Ok(()), end: Says("No such file or directory") },
    Deed { name: "no_jail_without_landlock", jail: bare, act: |_| Ok(()), end: Says("it lacks landlock") },
    Deed { name: "no_jail_without_seccomp", jail: bare, act: |_| Ok(()), end: Says("it lacks seccomp") },
    Deed { name: "gaps_are_told_and_the_rest_holds", jail: bare, act: |_| TcpStream::connect("127.0.0.1:9").map(drop), end: Says("gap: landlock, which limits it to the files it was granted (Linux 5.13, `lsm=landlock`)\nOperation not permitted") },
];

/// Runs a deed in a child, and looks at its end.
pub(crate) fn check(deed: &Deed) -> Result<(), Failed> {
    check_end(deed.name, &deed.end)
}

/// Runs what has this name in a child, and looks at its end.
pub(crate) fn check_end(name: &str, end: &End) -> Result<(), Failed> {
    let place = tempfile::tempdir()?;
    let granted = place.path().join("granted");
    std::fs::create_dir(&granted)?;
    std::fs::write(granted.join("inside"), "inside")?;
    std::fs::write(place.path().join("outside"), "outside")?;
    std::os::unix::fs::symlink(place.path().join("outside"), granted.join("link"))?;
    let output = crate::child(name, &granted.to_string_lossy())?;
    let said = String::from_utf8_lossy(&output.stdout);
    let good = match *end {
        Says(text) => output.status.success() && said.contains(text),
        Signal(signal) => output.status.signal() == Some(signal),
        Exit(code) => output.status.code() == Some(code),
    };
    let complaint = String::from_utf8_lossy(&output.stderr);
    crate::ensure(good, || format!("it ended with {}, and said {said:?} {complaint:?}", output.status))?;
    let outside = std::fs::read_to_string(place.path().join("outside"))?;
    crate::ensure(outside == "outside", || "a file outside the grant was changed".into())
}

/// The child's part.
pub(crate) fn child(name: &str) {
    if let Some(serve) = crate::confined::CHILDREN.iter().find(|(child, _)| *child == name) {
        return (serve.1)();
    }
    let granted = std::env::var(crate::ABOUT).expect("the parent says what is granted");
    let granted = Path::new(&granted);
    let done = if let Some(alone) = name.strip_prefix(crate::layers::ALONE) {
        crate::layers::child(alone, granted)
    } else if let Some(rule) = name.strip_prefix(crate::rules::RULE) {
        crate::rules::child(rule, granted)
    } else {
        let mut all = TABLE.iter().chain(crate::serving::TABLE).chain(crate::dialing::TABLE);
        let deed = all.find(|deed| deed.name == name).expect("the deed is in a table");
        crate::serving::prepare(deed.name);
        crate::dialing::prepare(deed.name);
        enter(deed, granted).map_err(Error::other).and_then(|()| (deed.act)(granted))
    };
    // Not by way of a panic: a write that fails must not look like a deed that failed.
    let said = done.map_or_else(|error| error.to_string(), |()| "done".into());
    let _ = std::io::stdout().write_all(said.as_bytes());
}

fn enter(deed: &Deed, granted: &Path) -> Result<(), JailError> {
    let jail = (deed.jail)(granted);
    match deed.name {
        "no_way_in_with_threads" => {
            std::thread::spawn(|| std::thread::sleep(std::time::Duration::from_secs(60)));
        }
        "no_jail_without_landlock" => without(libc::SYS_landlock_create_ruleset),
        "no_jail_without_seccomp" => without(libc::SYS_seccomp),
        "gaps_are_told_and_the_rest_holds" => {
            without(libc::SYS_landlock_create_ruleset);
            return jail.enter_layers(&Layer::ALL, |lack| println!("gap: {lack}"));
        }
        _ => {}
    }
    jail.enter()
}

/// Makes this process see a kernel without a system call.
fn without(call: i64) {
    use seccompiler::{SeccompAction, SeccompFilter, TargetArch};
    let absent = SeccompAction::Errno(libc::ENOSYS as u32);
    let filter = SeccompFilter::new([(call, vec![])].into(), SeccompAction::Allow, absent, TargetArch::x86_64);
    let program: seccompiler::BpfProgram = filter.expect("a filter").try_into().expect("a program");
    seccompiler::apply_filter(&program).expect("the filter is applied");
}

fn done(result: i64) -> Result<(), Error> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn call(number: i64, [a, b, c, d, e, f]: [usize; 6]) -> Result<(), Error> {
    // SAFETY: the arguments are numbers, null, or a string that lives on; in the jail the call does nothing.
    let result = unsafe { libc::syscall(number, a, b, c, d, e, f) };
    // A fork that succeeded would be two of us.
    if result == 0 && number == libc::SYS_fork {
        std::process::exit(1)
    }
    done(result)
}

pub(crate) fn exec() -> Result<(), Error> {
    use std::os::unix::process::CommandExt;
    Err(Command::new("/bin/true").exec())
}

pub(crate) fn parent() -> usize {
    std::os::unix::process::parent_id() as usize
}

fn truncate(path: &Path) -> Result<(), Error> {
    let path = std::ffi::CString::new(path.to_string_lossy().as_bytes())?;
    // SAFETY: the path is a string that lives on.
    done(unsafe { libc::truncate(path.as_ptr(), 0) }.into())
}

pub(crate) fn map(protection: i32, flags: i32) -> Result<(), Error> {
    // SAFETY: a new mapping at an address the kernel chooses replaces nothing.
    let mapped = unsafe { libc::mmap(null_mut(), 4096, protection | libc::PROT_READ, flags, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn reserve(bytes: usize) -> Result<(), Error> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: as above.
    let mapped = unsafe { libc::mmap(null_mut(), bytes, libc::PROT_READ, flags, -1, 0) };
    if mapped == libc::MAP_FAILED { Err(Error::last_os_error()) } else { Ok(()) }
}

pub(crate) fn hold(bytes: usize) {
    std::mem::forget(std::hint::black_box(vec![1_u8; bytes]));
}

pub(crate) fn open_many(granted: &Path) -> Result<(), Error> {
    let open = || File::open(granted.join("inside"));
    std::iter::repeat_with(open).take(400).collect::<Result<Vec<_>, _>>().map(drop)
}

pub(crate) fn make_executable() -> Result<(), Error> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping at an address the kernel chooses replaces nothing; nothing runs in it.
    unsafe {
        let page = libc::mmap(null_mut(), 4096, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        done(libc::mprotect(page, 4096, libc::PROT_READ | libc::PROT_EXEC).into())
    }
}

/// Whether a limit cannot be raised beyond this.
fn limited_to(resource: libc::__rlimit_resource_t, most: u64) -> Result<(), Error> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a value that lives on.
    done(unsafe { libc::getrlimit(resource, &mut limit) }.into())?;
    if limit.rlim_max <= most { Ok(()) } else { Err(Error::other(format!("it is limited to {}", limit.rlim_max))) }
}

fn raise() -> Result<(), Error> {
    let limit = libc::rlimit { rlim_cur: 1 << 40, rlim_max: 1 << 40 };
    // SAFETY: the limit is a value that lives on.
    done(unsafe { libc::setrlimit(libc::RLIMIT_DATA, &limit) }.into())
}

fn ignore_xcpu() {
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { libc::signal(libc::SIGXCPU, libc::SIG_IGN) };
}

pub(crate) fn spin() -> Result<(), Error> {
    for i in 0_u64.. {
        std::hint::black_box(i);
    }
    Ok(())
}

fn compute() {
    let sum = |from: u64| (from..from + 1000).map(std::hint::black_box).collect::<Vec<_>>().iter().sum::<u64>();
    let threads: Vec<_> =
        (0..4).map(|i| std::thread::Builder::new().name("worker".into()).spawn(move || sum(i))).collect();
    for thread in threads {
        let sum = thread.expect("a thread starts").join().expect("a thread ends");
        assert!(sum > 0);
    }
    std::thread::sleep(std::time::Duration::from_millis(1));
    let shown = format!("{:?} {:?}", std::time::Instant::now(), std::thread::available_parallelism());
    assert!(!shown.is_empty());
}
