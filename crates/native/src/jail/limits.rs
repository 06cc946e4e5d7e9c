//! Caps on what a jailed process uses up.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::JailError;

/// Files open at once.
const FILES_MAX: u64 = 64;
/// The main thread's stack; those of other threads are memory.
const STACK_BYTES_MAX: u64 = 8 << 20;
/// Address space that is not writable memory: text, reservations of the allocator for each thread. It bounds page
/// tables too.
const OTHER_SPACE_BYTES_MAX: u64 = 32 << 30;

/// Checks that no other thread would stay outside.
pub(super) fn alone() -> Result<(), JailError> {
    let threads = std::fs::read_dir("/proc/self/task").map(Iterator::count);
    match threads.map_err(|source| JailError::System { what: "count the threads", source })? {
        1 => Ok(()),
        threads => Err(JailError::Threads(threads)),
    }
}

/// Sets the limits, for good: soft and hard.
pub(super) fn apply(memory_bytes: u64, cpu_seconds: u64, file_bytes: Option<u64>) -> Result<(), JailError> {
    let limits = [
        // Private writable memory. Shared memory is not counted, and refused with the system calls.
        (Resource::Data, memory_bytes, "limit the memory"),
        (Resource::As, memory_bytes.saturating_add(OTHER_SPACE_BYTES_MAX), "limit the address space"),
        (Resource::Stack, STACK_BYTES_MAX, "limit the stack"),
        (Resource::Nofile, FILES_MAX, "limit the open files"),
        (Resource::Core, 0, "forbid the core dumps"),
    ];
    for (resource, value, what) in limits {
        limit(resource, value, value, what)?;
    }
    if let Some(bytes) = file_bytes {
        limit(Resource::Fsize, bytes, bytes, "limit the size of files")?;
    }
    // At the soft limit comes SIGXCPU, which tells; who ignores it is killed a second later.
    limit(Resource::Cpu, cpu_seconds, cpu_seconds.saturating_add(1), "limit the CPU time")
}

fn limit(resource: Resource, soft: u64, hard: u64, what: &'static str) -> Result<(), JailError> {
    // What is limited further already stays so.
    let now = getrlimit(resource);
    let least = |wanted: u64, now: Option<u64>| Some(now.map_or(wanted, |now| now.min(wanted)));
    let new = Rlimit { current: least(soft, now.maximum), maximum: least(hard, now.maximum) };
    setrlimit(resource, new).map_err(|source: Errno| JailError::System { what, source: source.into() })
}
