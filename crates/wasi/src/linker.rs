//! From the table of functions to host functions.

use selvedge_runtime::{Caller, GuestPtr, HostError, Linker, Outcome, Wait};

use crate::Wasi;
use crate::errno::{Answer, Errno};
use crate::functions::{
    Raw, Snapshot1, Version, for_each_function, for_each_newer_waiting_function, for_each_renumbered_function,
    for_each_waiting_function,
};
use crate::process::{self, Raised};
use crate::trace::{Kind, Observe, Tracer, Untraced};
use crate::types::{Event, Fdstat, Iovec, Prestat};
use crate::unstable::{self, Unstable};
use crate::wait::{Attempt, Stop, decided};

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
    add_seek::<Snapshot1, T>(linker, get, observer, |whence| whence);
    add_newer::<Snapshot1, T>(linker, get, observer);
    add::<Unstable, T>(linker, get, observer);
    add_seek::<Unstable, T>(linker, get, observer, unstable::whence);
}

/// Defines a host function for each line of the table.
macro_rules! define {
    ($linker:ident, $get:ident, $observer:ident;
        $($name:ident($($parameter:ident: $ty:ty),*): $($kind:ident)*;)*) => {
        $({
            let observer = $observer.clone();
            let function = move |mut caller: Caller<'_, T>, $($parameter: $ty),*| {
                let call = Call { name: stringify!($name), kinds: &[$(Kind::$kind),*], raw: [$($parameter.raw()),*] };
                call.serve::<V, T>(&mut caller, $get, &observer, |wasi, mem| wasi.$name(mem, $($parameter),*))
            };
            $linker.func_wrap(V::MODULE, stringify!($name), function);
        })*
    };
}

/// Defines a host function that may wait for each line of the table.
macro_rules! define_waiting {
    ($linker:ident, $get:ident, $observer:ident;
        $($name:ident($($parameter:ident: $ty:ty),*): $($kind:ident)*;)*) => {
        $({
            let observer = $observer.clone();
            let function = move |caller: Caller<'_, T>, ($($parameter,)*): ($($ty,)*)| {
                let call = Call { name: stringify!($name), kinds: &[$(Kind::$kind),*], raw: [$($parameter.raw()),*] };
                let attempt = move |wasi: &mut Wasi, mem: &mut [u8]| wasi.$name(mem, $($parameter),*);
                call.serve_waiting::<V, T>(caller, $get, &observer, attempt)
            };
            $linker.func_wrap_async(V::MODULE, stringify!($name), function);
        })*
    };
}

fn add<V: Version, T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
) {
    for_each_function!(define, linker, get, observer);
    for_each_waiting_function!(define_waiting, linker, get, observer);
    add_endings::<V, T>(linker, observer);
}

fn add_newer<V: Version, T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
) {
    for_each_newer_waiting_function!(define_waiting, linker, get, observer);
}

/// `fd_seek`; what the version means by a `whence` is translated before anyone sees it.
fn add_seek<V: Version, T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
    observer: &impl Observe,
    translate: fn(u32) -> u32,
) {
    /// As `define`.
    macro_rules! define_translated {
        (; $name:ident($fd:ident: $fd_ty:ty, $offset:ident: $offset_ty:ty, $whence:ident: $whence_ty:ty,
            $position:ident: $position_ty:ty): $($kind:ident)*;) => {{
            let observer = observer.clone();
            let function =
                move |mut caller: Caller<'_, T>, $fd: $fd_ty, $offset: $offset_ty, $whence: $whence_ty, $position: $position_ty| {
                    let $whence = translate($whence);
                    let raw = [$fd.raw(), $offset.raw(), $whence.raw(), $position.raw()];
                    let call = Call { name: stringify!($name), kinds: &[$(Kind::$kind),*], raw };
                    call.serve::<V, T>(&mut caller, get, &observer, |wasi, mem| {
                        wasi.$name(mem, $fd, $offset, $whence, $position)
                    })
                };
            linker.func_wrap(V::MODULE, stringify!($name), function);
        }};
    }
    for_each_renumbered_function!(define_translated);
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
#[derive(Clone, Copy)]
struct Call<const N: usize> {
    name: &'static str,
    kinds: &'static [Kind],
    raw: [u64; N],
}

impl<const N: usize> Call<N> {
    #[inline]
    fn memory_and_wasi<'c, V: Version, T: 'static>(
        &self,
        caller: &'c mut Caller<'_, T>,
        get: impl Fn(&mut T) -> &mut Wasi,
    ) -> Result<(&'c mut [u8], &'c mut Wasi), HostError> {
        let (mem, data) = caller.memory_and_data().map_err(|_| no_memory::<V>(self.name))?;
        Ok((mem, get(data)))
    }

    /// Does what never waits.
    #[inline]
    fn serve<V: Version, T: 'static>(
        &self,
        caller: &mut Caller<'_, T>,
        get: impl Fn(&mut T) -> &mut Wasi,
        observer: &impl Observe,
        function: impl FnOnce(&mut Wasi, &mut [u8]) -> Answer,
    ) -> Result<i32, HostError> {
        let (mem, wasi) = self.memory_and_wasi::<V, T>(caller, get)?;
        let observed = observer.begins::<V>(self.name, self.kinds, &self.raw, mem);
        let answer = function(wasi, mem);
        observer.returns::<V>(observed, mem, answer);
        Ok(number(answer))
    }

    /// Does what may have to wait.
    #[inline]
    fn serve_waiting<V: Version, T: 'static>(
        self,
        mut caller: Caller<'_, T>,
        get: impl Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
        observer: &impl Observe,
        attempt: impl Fn(&mut Wasi, &mut [u8]) -> Attempt + Copy + Send + 'static,
    ) -> Result<Outcome<T, i32>, HostError> {
        let (mem, wasi) = self.memory_and_wasi::<V, T>(&mut caller, get)?;
        let observed = observer.begins::<V>(self.name, self.kinds, &self.raw, mem);
        wasi.pending.begin();
        match decided(attempt(wasi, mem)) {
            Ok(answer) => {
                observer.returns::<V>(observed, mem, answer);
                Ok(Outcome::Ready(number(answer)))
            }
            Err(stop) => {
                let waiting = Waiting { call: self, get, observer: observer.clone(), observed, attempt };
                let suspends = caller.can_suspend();
                waiting.wait::<V, T>(caller, stop, suspends)
            }
        }
    }
}

/// A call that waits between attempts.
struct Waiting<G, O: Observe, A, const N: usize> {
    call: Call<N>,
    get: G,
    observer: O,
    observed: O::Call,
    attempt: A,
}

impl<G, O: Observe, A, const N: usize> Waiting<G, O, A, N> {
    /// Another attempt, with the guest suspended.
    fn again<V: Version, T: 'static>(self, mut caller: Caller<'_, T>) -> Result<Outcome<T, i32>, HostError>
    where
        G: Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
        A: Fn(&mut Wasi, &mut [u8]) -> Attempt + Copy + Send + 'static,
    {
        let (mem, wasi) = self.call.memory_and_wasi::<V, T>(&mut caller, self.get)?;
        match decided((self.attempt)(wasi, mem)) {
            Ok(answer) => Ok(self.done::<V, T>(mem, answer)),
            Err(stop) => self.wait::<V, T>(caller, stop, true),
        }
    }

    /// Suspends the guest, or waits in this thread, until it is decided.
    #[cold]
    fn wait<V: Version, T: 'static>(
        self,
        mut caller: Caller<'_, T>,
        mut stop: Stop,
        suspends: bool,
    ) -> Result<Outcome<T, i32>, HostError>
    where
        G: Fn(&mut T) -> &mut Wasi + Copy + Send + Sync + 'static,
        A: Fn(&mut Wasi, &mut [u8]) -> Attempt + Copy + Send + 'static,
    {
        loop {
            let waited = if suspends {
                match (self.get)(caller.data_mut()).readiness(stop) {
                    Ok(ready) => {
                        return Ok(Outcome::Wait(Wait::new(ready, move |caller, ()| self.again::<V, T>(caller))));
                    }
                    Err(errno) => Err(errno),
                }
            } else {
                wait_here(&mut caller, self.get, stop)
            };
            let (mem, wasi) = self.call.memory_and_wasi::<V, T>(&mut caller, self.get)?;
            match decided(waited.map_err(Stop::Errno).and_then(|()| (self.attempt)(wasi, mem))) {
                Ok(answer) => return Ok(self.done::<V, T>(mem, answer)),
                Err(next) => stop = next,
            }
        }
    }

    fn done<V: Version, T: 'static>(self, mem: &[u8], answer: Answer) -> Outcome<T, i32> {
        self.observer.returns::<V>(self.observed, mem, answer);
        Outcome::Ready(number(answer))
    }
}

/// Waits in this thread; a request to interrupt the guest ends it.
fn wait_here<T: 'static>(caller: &mut Caller<'_, T>, get: impl Fn(&mut T) -> &mut Wasi, stop: Stop) -> Answer {
    let doorbell = get(caller.data_mut()).doorbell()?;
    if caller.wake_on_interrupt(&doorbell.waker()) {
        return Err(Errno::Intr);
    }
    get(caller.data_mut()).wait(stop)
}

/// What the guest sees of an answer.
fn number(answer: Answer) -> i32 {
    answer.map_or_else(|errno| errno as i32, |()| 0)
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
