//! From the table of functions to host functions.

use selvedge_runtime::{Caller, GuestPtr, HostError, Linker};

use crate::Wasi;
use crate::functions::{Raw, Snapshot1, Version, for_each_function, for_each_newer_function};
use crate::process::{self, Raised};
use crate::trace::{Kind, Observe, Tracer, Untraced};
use crate::types::{Event, Fdstat, Iovec, Prestat};
use crate::unstable::{self, Unstable};
use crate::wait::IntoAttempt;

/// Defines all of `wasi_snapshot_preview1`, and of `wasi_unstable`, which older programs import. `get` finds
/// the [`Wasi`] in a store's data.
///
/// A guest that calls a function must export its memory as `memory`, as every WASI program does; else the
/// call ends with an error that says so.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
) {
    add_both(linker, get, &Untraced);
}

/// As [`add_to_linker`], with functions that tell the tracer of every call.
pub fn add_traced_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    tracer: &Tracer,
) {
    add_both(linker, get, tracer);
}

fn add_both<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
) {
    add::<Snapshot1, T>(linker, get, observer);
    add::<Unstable, T>(linker, get, observer);
    add_newer::<Snapshot1, T>(linker, get, observer);
    add_old_seek(linker, get, observer);
}

/// Defines a host function for each line of the table.
macro_rules! define {
    ($linker:ident, $get:ident, $observer:ident;
        $($name:ident($($parameter:ident: $ty:ty),*): $($kind:ident)*;)*) => {
        $({
            let observer = $observer.clone();
            let function = move |mut caller: Caller<'_, T>, $($parameter: $ty),*| {
                let call = Call { name: stringify!($name), kinds: &[$(Kind::$kind),*], raw: [$($parameter.raw()),*] };
                call.serve::<V, T, _>(&mut caller, $get, &observer, |wasi, mem| wasi.$name(mem, $($parameter),*))
            };
            $linker.func_wrap(V::MODULE, stringify!($name), function);
        })*
    };
}

fn add<V: Version, T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
) {
    for_each_function!(define, linker, get, observer);
    add_endings::<V, T>(linker, observer);
}

fn add_newer<V: Version, T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
) {
    for_each_newer_function!(define, linker, get, observer);
}

/// The one function whose numbers meant something else.
fn add_old_seek<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
) {
    let observer = observer.clone();
    let function = move |mut caller: Caller<'_, T>, fd: u32, offset: i64, whence: u32, position: GuestPtr<u64>| {
        let whence = unstable::whence(whence);
        let kinds = &[Kind::U32, Kind::I64, Kind::Whence, Kind::OutU64];
        let call = Call { name: "fd_seek", kinds, raw: [fd.raw(), offset.raw(), whence.raw(), position.raw()] };
        call.serve::<Unstable, T, _>(&mut caller, get, &observer, |wasi, mem| {
            wasi.fd_seek(mem, fd, offset, whence, position)
        })
    };
    linker.func_wrap(Unstable::MODULE, "fd_seek", function);
}

/// The functions that can end the guest, and need neither its memory nor its [`Wasi`].
fn add_endings<V: Version, T: 'static>(linker: &mut Linker<T>, observer: &impl Observe) {
    let own = observer.clone();
    linker.func_wrap(V::MODULE, "proc_exit", move |_: Caller<'_, T>, code: u32| {
        own.ends("proc_exit", Kind::U32, code);
        Err::<(), _>(process::exit(code))
    });
    let own = observer.clone();
    linker.func_wrap(V::MODULE, "proc_raise", move |_: Caller<'_, T>, signal: u32| {
        let raised = process::raise(signal);
        match raised {
            Ok(Raised::Ends(_)) => own.ends("proc_raise", Kind::Signal, signal),
            Ok(Raised::Ignored) | Err(_) => {
                let call = own.begins::<V>("proc_raise", &[Kind::Signal], &[signal.into()], &[]);
                own.returns::<V>(call, &[], raised.map(drop));
            }
        }
        match raised {
            Ok(Raised::Ends(code)) => Err(HostError::exit(code)),
            Ok(Raised::Ignored) => Ok(0),
            Err(errno) => Ok(errno as i32),
        }
    });
}

/// One call of a guest's.
struct Call<const N: usize> {
    name: &'static str,
    kinds: &'static [Kind],
    raw: [u64; N],
}

impl<const N: usize> Call<N> {
    /// Attempts it until it is decided.
    #[inline]
    fn serve<V: Version, T: 'static, A: IntoAttempt>(
        &self,
        caller: &mut Caller<'_, T>,
        get: impl Fn(&mut T) -> &mut Wasi,
        observer: &impl Observe,
        attempt: impl FnMut(&mut Wasi, &mut [u8]) -> A,
    ) -> Result<i32, HostError> {
        let (mem, data) = caller.memory_and_data().map_err(|_| no_memory::<V>(self.name))?;
        let wasi = get(data);
        let observed = observer.begins::<V>(self.name, self.kinds, &self.raw, mem);
        let answer = wasi.complete(mem, attempt);
        observer.returns::<V>(observed, mem, answer);
        Ok(answer.map_or_else(|errno| errno as i32, |()| 0))
    }
}

#[cold]
fn no_memory<V: Version>(name: &str) -> HostError {
    let module = V::MODULE;
    HostError::message(format!("{module}.{name} needs the guest's memory, but the module exports none as \"memory\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The functions of `wasi_unstable.witx`.
    const FUNCTIONS: &str = "args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get \
        fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights \
        fd_filestat_get fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_get fd_prestat_dir_name \
        fd_pwrite fd_read fd_readdir fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory \
        path_filestat_get path_filestat_set_times path_link path_open path_readlink path_remove_directory \
        path_rename path_symlink path_unlink_file poll_oneoff proc_exit proc_raise sched_yield random_get \
        sock_recv sock_send sock_shutdown";

    #[test]
    fn every_function_of_the_documents_is_there() {
        let mut linker = Linker::<Wasi>::new();
        add_to_linker(&mut linker, |wasi| wasi);
        let missing = |module| FUNCTIONS.split(' ').filter(|name| !linker.defines(module, name)).count();
        assert_eq!(FUNCTIONS.split(' ').count(), 45);
        assert_eq!([missing("wasi_unstable"), missing("wasi_snapshot_preview1")], [0, 0]);
        assert!(linker.defines("wasi_snapshot_preview1", "sock_accept"));
        assert!(!linker.defines("wasi_unstable", "sock_accept"));
    }
}
