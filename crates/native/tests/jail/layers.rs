//! Each layer of a jail by itself: without any a deed succeeds, with this one and no other it does not. So a layer that
//! were left out, or did nothing, would be noticed, whatever the others hold.

use std::fs::File;
use std::io::Error;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use libtest_mimic::Trial;
use selvedge_native::jail::Layer;

use crate::deeds::{self, DENIED, End, NOT_PERMITTED, Prison, bare, hold, open_many, parent, reserve, writer};
use crate::dialing::{any_port, dialer};
use crate::serving::server;

/// Before the name of a test of this table, and of the half that is run.
pub(crate) const ALONE: &str = "alone::";
/// The half without the layer.
const WITHOUT: &str = "without::";

struct Alone {
    name: &'static str,
    layer: Layer,
    jail: fn(&Path) -> Prison,
    act: fn(&Path) -> Result<(), Error>,
    end: End,
}

#[rustfmt::skip]
const TABLE: &[Alone] = &[
    Alone { name: "no_new_privileges", layer: Layer::NoNewPrivileges, jail: bare, act: |_| status("NoNewPrivs:", |value| value == "0"), end: End::Says("NoNewPrivs:") },
    Alone { name: "no_capabilities", layer: Layer::Capabilities, jail: bare, act: |_| status("CapPrm:", |value| !value.trim_start_matches('0').is_empty()), end: End::Says("CapPrm:") },
    Alone { name: "hidden_memory", layer: Layer::Undumpable, jail: bare, act: |_| dumpable(), end: End::Says("not dumpable") },
    Alone { name: "files", layer: Layer::Files, jail: bare, act: |at| File::open(at.join("inside")).map(drop), end: DENIED },
    Alone { name: "network", layer: Layer::Network, jail: bare, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: DENIED },
    Alone { name: "scope", layer: Layer::Scope, jail: bare, act: |_| deeds::call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Alone { name: "calls", layer: Layer::Calls, jail: bare, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Alone { name: "memory", layer: Layer::Memory, jail: bare, act: |_| { hold(128 << 20); Ok(()) }, end: End::Exit(112) },
    Alone { name: "address_space", layer: Layer::AddressSpace, jail: bare, act: |_| reserve(1 << 40), end: End::Says("Cannot allocate memory") },
    Alone { name: "stack", layer: Layer::Stack, jail: bare, act: |_| may_have(libc::RLIMIT_STACK, 8 << 20), end: End::Says("at most 8388608") },
    Alone { name: "open_files", layer: Layer::OpenFiles, jail: bare, act: open_many, end: End::Says("Too many open files") },
    Alone { name: "core_dumps", layer: Layer::CoreDumps, jail: bare, act: |_| may_have(libc::RLIMIT_CORE, 0), end: End::Says("at most 0") },
    Alone { name: "file_bytes", layer: Layer::FileBytes, jail: writer, act: |at| std::fs::write(at.join("long"), vec![0; 2 << 20]), end: End::Signal(libc::SIGXFSZ) },
    Alone { name: "cpu_time", layer: Layer::CpuTime, jail: bare, act: |_| compute_for(Duration::from_millis(1_200)), end: End::Signal(libc::SIGXCPU) },
    Alone { name: "server_no_new_privileges", layer: Layer::NoNewPrivileges, jail: server, act: |_| status("NoNewPrivs:", |value| value == "0"), end: End::Says("NoNewPrivs:") },
    Alone { name: "server_no_capabilities", layer: Layer::Capabilities, jail: server, act: |_| status("CapPrm:", |value| value.trim_start_matches('0').len() > 1), end: End::Says("CapPrm:") },
    Alone { name: "server_hidden_memory", layer: Layer::Undumpable, jail: server, act: |_| dumpable(), end: End::Says("not dumpable") },
    Alone { name: "server_files", layer: Layer::Files, jail: server, act: |at| File::open(at.join("../outside")).map(drop), end: DENIED },
    Alone { name: "server_network", layer: Layer::Network, jail: server, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: DENIED },
    Alone { name: "server_scope", layer: Layer::Scope, jail: server, act: |_| deeds::call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Alone { name: "server_calls", layer: Layer::Calls, jail: server, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Alone { name: "server_open_files", layer: Layer::OpenFiles, jail: server, act: open_many, end: End::Says("Too many open files") },
    Alone { name: "server_core_dumps", layer: Layer::CoreDumps, jail: server, act: |_| may_have(libc::RLIMIT_CORE, 0), end: End::Says("at most 0") },
    Alone { name: "dialer_no_new_privileges", layer: Layer::NoNewPrivileges, jail: dialer, act: |_| status("NoNewPrivs:", |value| value == "0"), end: End::Says("NoNewPrivs:") },
    Alone { name: "dialer_no_capabilities", layer: Layer::Capabilities, jail: dialer, act: |_| status("CapPrm:", |value| !value.trim_start_matches('0').is_empty()), end: End::Says("CapPrm:") },
    Alone { name: "dialer_hidden_memory", layer: Layer::Undumpable, jail: dialer, act: |_| dumpable(), end: End::Says("not dumpable") },
    Alone { name: "dialer_files", layer: Layer::Files, jail: dialer, act: |at| File::open(at.join("../outside")).map(drop), end: DENIED },
    Alone { name: "dialer_network", layer: Layer::Network, jail: dialer, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: DENIED },
    Alone { name: "dialer_scope", layer: Layer::Scope, jail: dialer, act: |_| deeds::call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Alone { name: "dialer_calls", layer: Layer::Calls, jail: dialer, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Alone { name: "dialer_open_files", layer: Layer::OpenFiles, jail: dialer, act: open_many, end: End::Says("Too many open files") },
    Alone { name: "dialer_core_dumps", layer: Layer::CoreDumps, jail: dialer, act: |_| may_have(libc::RLIMIT_CORE, 0), end: End::Says("at most 0") },
    Alone { name: "any_port_dialer_files", layer: Layer::Files, jail: any_port, act: |at| File::open(at.join("../outside")).map(drop), end: DENIED },
    Alone { name: "any_port_dialer_network", layer: Layer::Network, jail: any_port, act: |_| TcpListener::bind("127.0.0.1:0").map(drop), end: DENIED },
    Alone { name: "any_port_dialer_scope", layer: Layer::Scope, jail: any_port, act: |_| deeds::call(libc::SYS_kill, [parent(), 0, 0, 0, 0, 0]), end: NOT_PERMITTED },
    Alone { name: "any_port_dialer_calls", layer: Layer::Calls, jail: any_port, act: |_| Command::new("/bin/true").status().map(drop), end: NOT_PERMITTED },
    Alone { name: "any_port_dialer_open_files", layer: Layer::OpenFiles, jail: any_port, act: open_many, end: End::Says("Too many open files") },
];

pub(crate) fn trials() -> impl Iterator<Item = Trial> {
    let layers = TABLE.iter().map(|alone| {
        Trial::test(format!("{ALONE}{}", alone.name), || {
            deeds::check_end(&format!("{ALONE}{WITHOUT}{}", alone.name), &End::Says("done"))?;
            deeds::check_end(&format!("{ALONE}{}", alone.name), &alone.end)
        })
    });
    layers.chain([Trial::test("each_layer_is_in_the_table", || {
        let missing = Layer::ALL.iter().find(|layer| TABLE.iter().all(|alone| alone.layer != **layer));
        crate::ensure(missing.is_none(), || format!("{missing:?}"))
    })])
}

pub(crate) fn child(name: &str, granted: &Path) -> Result<(), Error> {
    let (name, with) = name.strip_prefix(WITHOUT).map_or((name, true), |name| (name, false));
    let alone = TABLE.iter().find(|alone| alone.name == name).expect("it is in the table");
    let layers = if with { std::slice::from_ref(&alone.layer) } else { &[] };
    // What a container or a unit has taken from this process already cannot be given back.
    if !with && (alone.act)(granted).is_err() && taken_already(alone.layer) {
        return Ok(());
    }
    (alone.jail)(granted).enter_layers(layers, |lack| println!("lacking: {lack}")).map_err(Error::other)?;
    (alone.act)(granted)
}

fn taken_already(layer: Layer) -> bool {
    matches!(layer, Layer::NoNewPrivileges | Layer::Capabilities | Layer::CoreDumps | Layer::Undumpable)
}

/// Whether the kernel says of this process what is hoped.
fn status(key: &str, hoped: fn(&str) -> bool) -> Result<(), Error> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let value = status.lines().find_map(|line| line.strip_prefix(key)).expect("the kernel says so").trim();
    if hoped(value) { Ok(()) } else { Err(Error::other(format!("{key} {value}"))) }
}

fn dumpable() -> Result<(), Error> {
    // SAFETY: it asks a question.
    let dumpable = unsafe { libc::prctl(libc::PR_GET_DUMPABLE) };
    if dumpable == 1 { Ok(()) } else { Err(Error::other("not dumpable")) }
}

/// Whether more than so much may be had.
fn may_have(resource: libc::__rlimit_resource_t, most: u64) -> Result<(), Error> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is a value that lives on.
    assert_eq!(unsafe { libc::getrlimit(resource, &mut limit) }, 0);
    if limit.rlim_max > most { Ok(()) } else { Err(Error::other(format!("at most {}", limit.rlim_max))) }
}

/// The clock that the cap goes by, of this process: it counts ticks that find it at work. On a machine with much to do that
/// may be half of what `CLOCK_PROCESS_CPUTIME_ID` says, which measures (`CPUCLOCK_PROF` and `CPUCLOCK_SCHED` in Linux).
const TICKED: libc::clockid_t = !0 << 3;

/// Uses so much CPU time, by the clock that the cap goes by: before it shows so much, the cap is noticed.
fn compute_for(time: Duration) -> Result<(), Error> {
    let mut used = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    while Duration::new(used.tv_sec as u64, used.tv_nsec as u32) < time {
        (0..1_000_000_u64).for_each(|i| _ = std::hint::black_box(i));
        // SAFETY: the time is a value that lives on.
        assert_eq!(unsafe { libc::clock_gettime(TICKED, &mut used) }, 0);
    }
    Ok(())
}
