//! Caps on what a jailed process uses up.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{JailError, Layer};

/// Files open at once, where none but the standard streams are needed.
const FILES_MAX: u64 = 64;
/// Files that a dialer has open at once, and that may be on their way to it or from it.
const DIALER_FILES_MAX: u64 = 256;
/// Files that another thread has open at once which connects: who asks, the connection, questions for a name.
const DIAL_FILES_MAX: u64 = 8;
/// The main thread's stack; those of other threads are memory.
const STACK_BYTES_MAX: u64 = 8 << 20;
/// Address space that is not writable memory: text, reservations of the allocator for each thread. It bounds page
/// tables too.
const OTHER_SPACE_BYTES_MAX: u64 = 32 << 30;

/// A limit on a resource.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cap {
    layer: Layer,
    resource: Resource,
    soft: u64,
    hard: u64,
    /// What is done by setting it, for errors.
    what: &'static str,
}

fn cap(layer: Layer, resource: Resource, most: u64, what: &'static str) -> Cap {
    Cap { layer, resource, soft: most, hard: most, what }
}

/// Of a process that computes. `reserves`: so much address space beyond what others may have.
pub(super) fn computing(memory_bytes: u64, cpu_seconds: u64, file_bytes: Option<u64>, reserves: u64) -> Vec<Cap> {
    let space = memory_bytes.saturating_add(OTHER_SPACE_BYTES_MAX).saturating_add(reserves);
    let mut caps = vec![
        // Private writable memory. Shared memory is not counted, and refused with the system calls.
        cap(Layer::Memory, Resource::Data, memory_bytes, "limit the memory"),
        cap(Layer::AddressSpace, Resource::As, space, "limit the address space"),
        cap(Layer::Stack, Resource::Stack, STACK_BYTES_MAX, "limit the stack"),
        cap(Layer::OpenFiles, Resource::Nofile, FILES_MAX, "limit the open files"),
        cap(Layer::CoreDumps, Resource::Core, 0, "forbid the core dumps"),
    ];
    caps.extend(file_bytes.map(|bytes| cap(Layer::FileBytes, Resource::Fsize, bytes, "limit the size of files")));
    // At the soft limit comes SIGXCPU, which tells; who ignores it is killed a second later.
    let cpu = cap(Layer::CpuTime, Resource::Cpu, cpu_seconds, "limit the CPU time");
    caps.push(Cap { hard: cpu_seconds.saturating_add(1), ..cpu });
    caps
}

/// Of a process that serves: what it takes is bounded by its own limits, which know its tenants.
pub(super) fn serving(open_files_max: u64) -> Vec<Cap> {
    vec![
        cap(Layer::OpenFiles, Resource::Nofile, open_files_max, "limit the open files"),
        cap(Layer::CoreDumps, Resource::Core, 0, "forbid the core dumps"),
    ]
}

/// Of a process that connects to others, on so many threads.
pub(super) fn dialing(threads: usize) -> Vec<Cap> {
    serving(DIALER_FILES_MAX + DIAL_FILES_MAX * (threads as u64 - 1))
}

/// Checks that no other thread would stay outside.
pub(super) fn alone() -> Result<(), JailError> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    match threads.map_err(|source| JailError::System { what: "count the threads", source })? {
        1 => Ok(()),
        threads => Err(JailError::Threads(threads)),
    }
}

/// Sets the caps of these layers, for good: soft and hard.
pub(super) fn apply(caps: &[Cap], layers: &[Layer]) -> Result<(), JailError> {
    caps.iter().filter(|cap| layers.contains(&cap.layer)).try_for_each(limit)
}

fn limit(cap: &Cap) -> Result<(), JailError> {
    // What is limited further already stays so.
    let now = getrlimit(cap.resource);
    let least = |wanted: u64, now: Option<u64>| Some(now.map_or(wanted, |now| now.min(wanted)));
    let new = Rlimit { current: least(cap.soft, now.maximum), maximum: least(cap.hard, now.maximum) };
    setrlimit(cap.resource, new).map_err(|source: Errno| JailError::System { what: cap.what, source: source.into() })
}
