//! Limits on time, and slices.
//!
//! CPU time is what the kernel counts for the thread while it runs one of the store's calls, host functions
//! included; what the store waits for, and what others do meanwhile, is not in it, unless a host function adds it
//! ([`crate::Caller::add_cpu_time`]). It is added up over suspensions, threads and calls. It is an upper bound, and a close one: [`crate::stretch`] says how close, and why.

use std::time::{Duration, Instant};

use selvedge_native::{Interruption, NativeError};

use crate::core::Core;
use crate::store::Store;
use crate::stretch::Stretch;
use crate::ticker::{self, Alarm, Watch};

/// How long the calls of one store may run. Limits are kept to within some two milliseconds, and hold wherever
/// the guest is: before its first instruction, in its code, in a host function once that returns, while it waits.
///
/// ```
/// use selvedge_runtime::{CallError, Limits, Linker, Module, Store, TimeLimits};
/// use std::time::Duration;
///
/// let (cpu, wall) = (Some(Duration::from_millis(50)), Some(Duration::from_secs(10)));
/// let time = TimeLimits { cpu, wall, ..TimeLimits::NONE };
/// let mut store = Store::new((), Limits { time, ..Limits::default() })?;
/// # let wat = r#"(module (func (export "spin") (loop (br 0))))"#;
/// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
/// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
/// let spin = Linker::new().instantiate(&mut store, &module)?.typed_func::<(), ()>(&store, "spin")?;
/// let ended = spin.call(&mut store, ());
/// // On a machine with much else to do, the wall may come first.
/// assert!(matches!(ended, Err(CallError::CpuTimeExceeded(_) | CallError::WallTimeExceeded(_))));
/// assert!(store.cpu_time() > Duration::ZERO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TimeLimits {
    /// CPU time of all calls together. Beyond it a call ends with [`crate::CallError::CpuTimeExceeded`], and no other
    /// begins.
    pub cpu: Option<Duration>,
    /// Time since the store was made. After it a call ends with [`crate::CallError::WallTimeExceeded`], and no other
    /// begins.
    pub wall: Option<Duration>,
    /// How long a call made by [`crate::TypedFunc::call_async`] runs at once. Then it gives way, wherever it is: its
    /// future is pending, after waking its task, and goes on when it is polled again. So a spinning guest leaves an
    /// executor free for others. An operation on much memory is finished first.
    pub slice: Option<Duration>,
}

impl TimeLimits {
    /// None.
    pub const NONE: TimeLimits = TimeLimits { cpu: None, wall: None, slice: None };

    fn any(&self) -> bool {
        let TimeLimits { cpu, wall, slice } = self;
        cpu.is_some() || wall.is_some() || slice.is_some()
    }
}

/// A store's time, if it was ever limited.
#[derive(Debug)]
pub(crate) struct Time(Option<Box<Counted>>);

/// What is counted.
#[derive(Default, Debug)]
struct Counted {
    limits: TimeLimits,
    any: bool,
    watched: bool,
    wall_until: Option<Instant>,
    used: Duration,
    /// While it is watched, if it has a limit on CPU time.
    stretch: Option<Stretch>,
    /// Set when a call first waits.
    alarm: Option<Alarm>,
}

impl Time {
    /// Begins to count.
    pub(crate) fn begin(limits: TimeLimits) -> Time {
        let mut time = Time(None);
        time.renew(limits);
        time
    }

    /// Begins anew.
    #[inline]
    pub(crate) fn renew(&mut self, limits: TimeLimits) {
        if limits.any() || self.0.is_some() {
            let now = if limits.wall.is_some() { Some(Instant::now()) } else { None };
            self.set(Counted::begin(limits, now));
        }
    }

    /// What had limits once, as a pool's instance, has room for others.
    fn set(&mut self, new: Counted) {
        match &mut self.0 {
            Some(counted) => **counted = new,
            none => *none = Some(Box::new(new)),
        }
    }

    /// Whether there is anything to watch that is not watched already.
    #[inline]
    pub(crate) fn is_to_be_watched(&self) -> bool {
        self.0.as_ref().is_some_and(|counted| counted.any && !counted.watched)
    }

    pub(crate) fn limits(&self) -> TimeLimits {
        self.0.as_ref().map_or(TimeLimits::NONE, |counted| counted.limits)
    }

    /// What was used elsewhere; [`Counted::over`] is asked when a call goes on.
    pub(crate) fn add_used(&mut self, used: Duration) {
        if let Some(counted) = &mut self.0 {
            counted.used = counted.used.saturating_add(used);
        }
    }

    fn used(&self) -> Duration {
        self.0.as_ref().map_or(Duration::ZERO, |counted| counted.used)
    }
}

impl Counted {
    /// Wall time counts from `now`; without it there is no limit on it.
    fn begin(limits: TimeLimits, now: Option<Instant>) -> Counted {
        let any = limits.any();
        let wall_until = limits.wall.zip(now).and_then(|(wall, now)| now.checked_add(wall));
        Counted { limits, any, wall_until, ..Counted::default() }
    }

    /// What is to be watched from now on, or which limit is reached already.
    fn watch(&mut self, now: Instant, watch: &mut Watch) -> Result<(), Interruption> {
        if let Some(over) = self.over(now) {
            return Err(over);
        }
        self.watched = true;
        self.stretch = self.limits.cpu.map(|_| Stretch::begin(now));
        let left = self.limits.cpu.map(|max| max - self.used);
        watch.cpu_until = self.stretch.zip(left).and_then(|(stretch, left)| stretch.until(left));
        watch.wall_until = self.wall_until;
        Ok(())
    }

    fn over(&self, now: Instant) -> Option<Interruption> {
        if self.limits.cpu.is_some_and(|max| self.used >= max) {
            return Some(Interruption::CpuLimit);
        }
        self.wall_until.is_some_and(|at| at <= now).then_some(Interruption::WallLimit)
    }
}

/// Makes sure that limits will be kept.
pub(crate) fn prepare(limits: &TimeLimits) -> Result<(), NativeError> {
    if limits.any() { ticker::ensure().map_err(NativeError::Thread) } else { Ok(()) }
}

impl Core {
    /// Watches over a call that begins or goes on, until [`Core::end_watch`], or says which limit is reached already.
    /// `slice` is the thread's, for a store that has none of its own.
    pub(crate) fn begin_watch(&mut self, slice: Option<Duration>) -> Result<(), Interruption> {
        self.watch(self.time.limits().slice.or(slice))
    }

    /// As [`Core::begin_watch`], for a call that cannot be parked.
    pub(crate) fn begin_watch_ungiving(&mut self) -> Result<(), Interruption> {
        self.watch(None)
    }

    fn watch(&mut self, slice: Option<Duration>) -> Result<(), Interruption> {
        let now = Instant::now();
        let mut watch = Watch {
            handle: self.arena.interrupt_handle(),
            cpu_until: None,
            wall_until: None,
            slice_until: slice.and_then(|slice| now.checked_add(slice)),
        };
        if let Some(counted) = &mut self.time.0 {
            counted.watch(now, &mut watch)?;
        }
        ticker::begin(watch);
        Ok(())
    }

    pub(crate) fn end_watch(&mut self) {
        ticker::end();
        self.arena.end_watch();
        let Some(counted) = &mut self.time.0 else { return };
        counted.watched = false;
        if let Some(stretch) = counted.stretch.take() {
            counted.used += stretch.end();
        }
    }

    /// Ends what waits when its time is over, until [`Core::stop_alarm`].
    pub(crate) fn set_alarm(&mut self) {
        let Some(counted) = &mut self.time.0 else { return };
        if let (None, Some(at)) = (&counted.alarm, counted.wall_until) {
            counted.alarm = Some(Alarm::new(at, self.arena.interrupt_handle()));
        }
    }

    /// Nothing waits any longer.
    pub(crate) fn stop_alarm(&mut self) {
        if let Some(counted) = &mut self.time.0 {
            counted.alarm = None;
        }
    }
}

impl<T: 'static> Store<T> {
    /// Sets limits on time anew: what was used of CPU time stays used, wall time counts from now.
    ///
    /// # Errors
    /// If the operating system gives no thread to watch over them.
    pub fn set_time_limits(&mut self, limits: TimeLimits) -> Result<(), NativeError> {
        self.set_time_limits_from(limits, Instant::now())
    }

    /// As [`Store::set_time_limits`], with wall time that counts from `now`: for those who have just looked at the clock.
    ///
    /// # Errors
    /// As [`Store::set_time_limits`].
    pub fn set_time_limits_from(&mut self, limits: TimeLimits, now: Instant) -> Result<(), NativeError> {
        prepare(&limits)?;
        let time = &mut self.inner.core.time;
        let used = time.used();
        time.set(Counted { used, ..Counted::begin(limits, Some(now)) });
        Ok(())
    }

    /// CPU time of its calls so far, counted while it has a limit on that: what they used, and for each time that one
    /// ran or went on up to a tenth of a millisecond more, or if that took longer, up to one millisecond.
    pub fn cpu_time(&self) -> Duration {
        self.inner.core.time.used()
    }
}
