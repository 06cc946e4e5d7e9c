//! The table of functions: import name to closure.

use selvedge_runtime::{Caller, GuestPtr, HostError, Linker};

use crate::Wasi;
use crate::errno::Answer;
use crate::process::{self, Raised};
use crate::types::{Event, Fdstat, Filestat, Iovec, Prestat, Subscription};

/// The module name under which guests import WASI preview 1.
const MODULE: &str = "wasi_snapshot_preview1";

/// Defines all of `wasi_snapshot_preview1`. `get` finds the [`Wasi`] in a store's data.
///
/// A guest that calls a function must export its memory as `memory`, as every WASI program does; else the
/// call ends with an error that says so.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
) {
    add_arguments_and_clocks(linker, get);
    add_descriptors(linker, get);
    add_paths(linker, get);
    add_events_and_sockets(linker, get);
    linker.func_wrap(MODULE, "proc_exit", |_: Caller<'_, T>, code: u32| Err::<(), _>(process::exit(code)));
    linker.func_wrap(MODULE, "proc_raise", |_: Caller<'_, T>, signal: u32| match process::raise(signal) {
        Ok(Raised::Ends(code)) => Err(HostError::exit(code)),
        Ok(Raised::Ignored) => Ok(0),
        Err(errno) => Ok(errno as i32),
    });
}

/// One line a function: its name, which is also the method's, and its parameters.
macro_rules! functions {
    ($linker:ident, $get:ident: $($name:ident($($parameter:ident: $ty:ty),*);)*) => {
        $($linker.func_wrap(MODULE, stringify!($name), move |mut caller: Caller<'_, T>, $($parameter: $ty),*| {
            serve(&mut caller, $get, stringify!($name), |wasi, mem| wasi.$name(mem, $($parameter),*))
        });)*
    };
}

fn serve<T: 'static>(
    caller: &mut Caller<'_, T>,
    get: impl Fn(&mut T) -> &mut Wasi,
    name: &str,
    function: impl FnOnce(&mut Wasi, &mut [u8]) -> Answer,
) -> Result<i32, HostError> {
    let (mem, data) = caller.memory_and_data().map_err(|_| no_memory(name))?;
    Ok(function(get(data), mem).map_or_else(|errno| errno as i32, |()| 0))
}

#[cold]
fn no_memory(name: &str) -> HostError {
    HostError::message(format!("{MODULE}.{name} needs the guest's memory, but the module exports none as \"memory\""))
}

fn add_arguments_and_clocks<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
) {
    functions! { linker, get:
        args_get(argv: GuestPtr<u32>, buffer: GuestPtr<u8>);
        args_sizes_get(count: GuestPtr<u32>, bytes: GuestPtr<u32>);
        environ_get(environ: GuestPtr<u32>, buffer: GuestPtr<u8>);
        environ_sizes_get(count: GuestPtr<u32>, bytes: GuestPtr<u32>);
        clock_res_get(id: u32, resolution: GuestPtr<u64>);
        clock_time_get(id: u32, precision: u64, time: GuestPtr<u64>);
        random_get(buffer: GuestPtr<u8>, len: u32);
        sched_yield();
    }
}

fn add_descriptors<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
) {
    functions! { linker, get:
        fd_advise(fd: u32, offset: u64, len: u64, advice: u32);
        fd_allocate(fd: u32, offset: u64, len: u64);
        fd_close(fd: u32);
        fd_datasync(fd: u32);
        fd_fdstat_get(fd: u32, stat: GuestPtr<Fdstat>);
        fd_fdstat_set_flags(fd: u32, flags: u32);
        fd_fdstat_set_rights(fd: u32, base: u64, inheriting: u64);
        fd_filestat_get(fd: u32, stat: GuestPtr<Filestat>);
        fd_filestat_set_size(fd: u32, size: u64);
        fd_filestat_set_times(fd: u32, atim: u64, mtim: u64, flags: u32);
        fd_pread(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, offset: u64, done: GuestPtr<u32>);
        fd_prestat_get(fd: u32, prestat: GuestPtr<Prestat>);
        fd_prestat_dir_name(fd: u32, path: GuestPtr<u8>, len: u32);
        fd_pwrite(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, offset: u64, done: GuestPtr<u32>);
        fd_read(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, done: GuestPtr<u32>);
        fd_readdir(fd: u32, buffer: GuestPtr<u8>, len: u32, cookie: u64, used: GuestPtr<u32>);
        fd_renumber(from: u32, to: u32);
        fd_seek(fd: u32, offset: i64, whence: u32, position: GuestPtr<u64>);
        fd_sync(fd: u32);
        fd_tell(fd: u32, position: GuestPtr<u64>);
        fd_write(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, done: GuestPtr<u32>);
    }
}

fn add_paths<T: 'static>(linker: &mut Linker<T>, get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static) {
    functions! { linker, get:
        path_create_directory(fd: u32, path: GuestPtr<u8>, len: u32);
        path_filestat_get(fd: u32, lookup: u32, path: GuestPtr<u8>, len: u32, stat: GuestPtr<Filestat>);
        path_filestat_set_times(
            fd: u32, lookup: u32, path: GuestPtr<u8>, len: u32, atim: u64, mtim: u64, flags: u32
        );
        path_link(
            old_fd: u32, lookup: u32, old_path: GuestPtr<u8>, old_len: u32,
            new_fd: u32, new_path: GuestPtr<u8>, new_len: u32
        );
        path_open(
            fd: u32, lookup: u32, path: GuestPtr<u8>, len: u32,
            open: u32, base: u64, inheriting: u64, flags: u32, opened: GuestPtr<u32>
        );
        path_readlink(
            fd: u32, path: GuestPtr<u8>, len: u32, buffer: GuestPtr<u8>, buffer_len: u32, used: GuestPtr<u32>
        );
        path_remove_directory(fd: u32, path: GuestPtr<u8>, len: u32);
        path_rename(
            old_fd: u32, old_path: GuestPtr<u8>, old_len: u32, new_fd: u32, new_path: GuestPtr<u8>, new_len: u32
        );
        path_symlink(target: GuestPtr<u8>, target_len: u32, fd: u32, path: GuestPtr<u8>, len: u32);
        path_unlink_file(fd: u32, path: GuestPtr<u8>, len: u32);
    }
}

fn add_events_and_sockets<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
) {
    functions! { linker, get:
        poll_oneoff(
            subscriptions: GuestPtr<Subscription>, events: GuestPtr<Event>, len: u32, events_len: GuestPtr<u32>
        );
        sock_accept(fd: u32, flags: u32, accepted: GuestPtr<u32>);
        sock_recv(
            fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, flags: u32,
            done: GuestPtr<u32>, out_flags: GuestPtr<u16>
        );
        sock_send(fd: u32, iovecs: GuestPtr<Iovec>, iovecs_len: u32, flags: u32, done: GuestPtr<u32>);
        sock_shutdown(fd: u32, how: u32);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions of `wasi_snapshot_preview1.witx`.
    const FUNCTIONS: &str = "args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get \
        fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights \
        fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name \
        fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory \
        path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory \
        path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise sched_yield random_get \
        sock_accept sock_recv sock_send sock_shutdown";

    #[test]
    fn every_function_of_the_document_is_there() {
        let mut linker = Linker::<Wasi>::new();
        add_to_linker(&mut linker, |wasi| wasi);
        let missing: Vec<_> = FUNCTIONS.split(' ').filter(|name| !linker.defines(MODULE, name)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert_eq!(FUNCTIONS.split(' ').count(), 46);
    }
}
