//! The table of functions: one line each, from which come the linkers of both versions, traced or not, and
//! calls by name in tests.
//!
//! A line is `name(parameters): kinds;`. The name is also the method's. The kinds say, for [`crate::trace`],
//! what the parameters mean, in their order; some stand for two.

use selvedge_runtime::{GuestPtr, GuestValue};

use crate::types::{Filestat, Subscription};

/// A version of the interface: what differs between them.
pub(crate) trait Version: 'static {
    /// The name under which guests import it.
    const MODULE: &'static str;
    /// `filestat`.
    type Filestat: GuestValue + From<Filestat> + Into<Filestat> + 'static;
    /// `subscription`.
    type Subscription: GuestValue + Into<Subscription> + 'static;
}

/// `wasi_snapshot_preview1`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Snapshot1;

impl Version for Snapshot1 {
    const MODULE: &'static str = "wasi_snapshot_preview1";
    type Filestat = Filestat;
    type Subscription = Subscription;
}

/// The functions in every version that neither wait nor end the guest, `V` being the one meant. What it is
/// expanded with gets `arguments; lines`.
macro_rules! for_each_function {
    ($with:ident $(, $argument:ident)*) => { $with! { $($argument),*;
        args_get(argv: GuestPtr<u32>, buffer: GuestPtr<u8>): Address Address;
        args_sizes_get(count: GuestPtr<u32>, bytes: GuestPtr<u32>): OutU32 OutU32;
        environ_get(environ: GuestPtr<u32>, buffer: GuestPtr<u8>): Address Address;
        environ_sizes_get(count: GuestPtr<u32>, bytes: GuestPtr<u32>): OutU32 OutU32;
        clock_res_get(id: u32, resolution: GuestPtr<u64>): Clock OutU64;
        clock_time_get(id: u32, precision: u64, time: GuestPtr<u64>): Clock U64 OutU64;
        random_get(buffer: GuestPtr<u8>, len: u32): Buffer;
        sched_yield(): ;
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32): U32 U64 U64 Advice;
        fd_allocate(fd: u32, offset: u64, len: u64): U32 U64 U64;
        fd_close(fd: u32): U32;
        fd_datasync(fd: u32): U32;
        fd_fdstat_get(fd: u32, stat: GuestPtr<Fdstat>): U32 OutFdstat;
        fd_fdstat_set_flags(fd: u32, flags: u32): U32 FdFlags;
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64): U32 Rights Rights;
        fd_filestat_get(fd: u32, stat: GuestPtr<V::Filestat>): U32 OutFilestat;
        fd_filestat_set_size(fd: u32, size: u64): U32 U64;
        fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32): U32 U64 U64 FstFlags;
        fd_pread(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, offset: u64, done: GuestPtr<u32>):
            U32 Read U64 OutDone;
        fd_prestat_get(fd: u32, prestat: GuestPtr<Prestat>): U32 OutPrestat;
        fd_prestat_dir_name(fd: u32, path: GuestPtr<u8>, len: u32): U32 Name;
        fd_pwrite(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, offset: u64, done: GuestPtr<u32>):
            U32 Write U64 OutU32;
        fd_readdir(fd: u32, buffer: GuestPtr<u8>, len: u32, cookie: u64, used: GuestPtr<u32>):
            U32 Buffer U64 OutEntries;
        fd_renumber(from: u32, to: u32): U32 U32;
        fd_sync(fd: u32): U32;
        fd_tell(fd: u32, position: GuestPtr<u64>): U32 OutU64;
        path_create_directory(fd: u32, path: GuestPtr<u8>, len: u32): U32 Path;
        path_filestat_get(fd: u32, lookup: u32, path: GuestPtr<u8>, len: u32, stat: GuestPtr<V::Filestat>):
            U32 LookupFlags Path OutFilestat;
        path_filestat_set_times(
            fd: u32, lookup: u32, path: GuestPtr<u8>, len: u32, atim: u64, mtim: u64, flags: u32
        ): U32 LookupFlags Path U64 U64 FstFlags;
        path_link(
            old_fd: u32, lookup: u32, old_path: GuestPtr<u8>, old_len: u32,
            new_fd: u32, new_path: GuestPtr<u8>, new_len: u32
        ): U32 LookupFlags Path U32 Path;
        path_open(
            fd: u32, lookup: u32, path: GuestPtr<u8>, len: u32,
            open: u32, base: u64, inheriting: u64, flags: u32, opened: GuestPtr<u32>
        ): U32 LookupFlags Path OpenFlags Rights Rights FdFlags OutU32;
        path_readlink(
            fd: u32, path: GuestPtr<u8>, len: u32, buffer: GuestPtr<u8>, buffer_len: u32, used: GuestPtr<u32>
        ): U32 Path Buffer OutText;
        path_remove_directory(fd: u32, path: GuestPtr<u8>, len: u32): U32 Path;
        path_rename(
            old_fd: u32, old_path: GuestPtr<u8>, old_len: u32, new_fd: u32, new_path: GuestPtr<u8>, new_len: u32
        ): U32 Path U32 Path;
        path_symlink(target: GuestPtr<u8>, target_len: u32, fd: u32, path: GuestPtr<u8>, len: u32): Path U32 Path;
        path_unlink_file(fd: u32, path: GuestPtr<u8>, len: u32): U32 Path;
        sock_shutdown(fd: u32, how: u32): U32 SdFlags;
    } };
}

/// The functions in every version that may have to wait.
macro_rules! for_each_waiting_function {
    ($with:ident $(, $argument:ident)*) => { $with! { $($argument),*;
        fd_read(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, done: GuestPtr<u32>): U32 Read OutDone;
        fd_write(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, done: GuestPtr<u32>): U32 Write OutU32;
        poll_oneoff(
            subscriptions: GuestPtr<V::Subscription>, events: GuestPtr<Event>, len: u32, events_len: GuestPtr<u32>
        ): Subscriptions;
        sock_recv(
            fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, flags: u32,
            done: GuestPtr<u32>, out_flags: GuestPtr<u16>
        ): U32 Read RiFlags OutDone OutRoFlags;
        sock_send(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, flags: u32, done: GuestPtr<u32>):
            U32 Write U32 OutU32;
    } };
}

/// The function that only [`Snapshot1`] has. It may have to wait.
macro_rules! for_each_newer_waiting_function {
    ($with:ident $(, $argument:ident)*) => { $with! { $($argument),*;
        sock_accept(fd: u32, flags: u32, accepted: GuestPtr<u32>): U32 FdFlags OutU32;
    } };
}

/// The function whose numbers mean something else in each version.
macro_rules! for_each_renumbered_function {
    ($with:ident $(, $argument:ident)*) => { $with! { $($argument),*;
        fd_seek(fd: u32, offset: i64, whence: u32, position: GuestPtr<u64>): U32 I64 Whence OutU64;
    } };
}

pub(crate) use {
    for_each_function, for_each_newer_waiting_function, for_each_renumbered_function, for_each_waiting_function,
};

/// A parameter as a number.
pub(crate) trait Raw {
    fn raw(self) -> u64;
}

macro_rules! raw {
    ($($ty:ty),*) => {
        $(impl Raw for $ty {
            fn raw(self) -> u64 {
                self as u64
            }
        })*
    };
}

raw!(u32, u64, i64);

impl<T> Raw for GuestPtr<T> {
    fn raw(self) -> u64 {
        self.address()
    }
}
