//! Host functions that suspend the guest while they wait.
//!
//! Such a function does not hold the store while it waits. It looks at its parameters and the store, and
//! either has results ([`Outcome::Ready`]) or says what it waits for ([`Wait`]): a future that borrows nothing,
//! and what to do with its output once there is one, with the store at hand again.
//!
//! ```text
//!   guest ─► function(caller, params) ─┬─► Ready(results) ─────────────────────────► guest
//!                                      └─► Wait { future } ··· finish(caller, output) ─► Ready │ Wait │ error
//! ```
//!
//! In a call made by [`crate::TypedFunc::call_async`] the guest is left on its stack meanwhile and the call's
//! future is pending: the worker thread is free, and another may go on with it. In a call made by
//! [`crate::TypedFunc::call`], or from a host function, the thread itself waits.
//!
//! A function that is an *attempt* ([`crate::Linker::func_wrap_poll`]) needs no future: while it is pending the guest
//! waits, its parameters lie where it put them, and the next poll of the call makes the attempt again.
//!
//! Not here: an executor, timers, readiness of files. Any executor will do.

use std::any::Any;
use std::future::Future;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use selvedge_contract::trap::TrapCode;
use selvedge_contract::types::ValType;
use selvedge_native::{
    Callable, Ending, Exit, HostBody, HostVerdict, Interruption, RawValue, SlotId, ask_again, park_start, proceed,
    take_results,
};

use crate::backtrace::Backtrace;
use crate::call;
use crate::context::{AsContextMut, ContextMut, Inner};
use crate::core::StoreId;
use crate::error::{CallError, HostError, Trap};
use crate::host::{Caller, HostFunction, StoreHost, foreign_handle, refuse, too_few_values};
use crate::refill::Refilled;
use crate::store::Store;
use crate::ticker;
use crate::typed::{TYPED_VALUES_MAX, WasmResults, func_type};
use crate::wait::{Outcome, Waiting};

/// Wraps a function that may wait.
pub(crate) fn suspending<T, P, R, F>(function: F) -> HostFunction<T>
where
    T: 'static,
    P: WasmResults + 'static,
    R: WasmResults + 'static,
    F: Fn(Caller<'_, T>, P) -> Result<Outcome<T, R>, HostError> + Send + Sync + 'static,
{
    HostFunction::new(func_type::<P, R>(), move |context: &mut ContextMut<'_, T>, slot, values: &mut [RawValue]| {
        let store = context.inner.core.id;
        let params = P::load(values, store);
        let settled = function(Caller::new(context, slot), params);
        match settled.and_then(|outcome| outcome.settle(slot, values, store)) {
            Ok(None) => HostVerdict::Resume,
            Ok(Some(waiting)) => wait(context, waiting, values),
            Err(error) => refuse(context, error),
        }
    })
}

/// Wraps a function that is an attempt, made again until it is ready.
pub(crate) fn polling<T, P, R, F>(function: F) -> HostFunction<T>
where
    T: 'static,
    P: WasmResults + 'static,
    R: WasmResults + 'static,
    F: Fn(Caller<'_, T>, &mut Context<'_>, P) -> Poll<Result<R, HostError>> + Send + Sync + 'static,
{
    HostFunction::of(Polling { function, marker: PhantomData::<fn(P) -> R> })
}

/// An attempt.
struct Polling<F, P, R> {
    function: F,
    marker: PhantomData<fn(P) -> R>,
}

impl<T, P, R, F> HostBody<StoreHost<T>> for Polling<F, P, R>
where
    T: 'static,
    P: WasmResults + 'static,
    R: WasmResults + 'static,
    F: Fn(Caller<'_, T>, &mut Context<'_>, P) -> Poll<Result<R, HostError>> + Send + Sync + 'static,
{
    const PARAMS: &'static [ValType] = P::TYPES;
    const RESULTS: &'static [ValType] = R::TYPES;
    const MAY_SUSPEND: bool = true;

    #[inline]
    fn call(&self, context: &mut ContextMut<'_, T>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict {
        let attempt = |context: &mut ContextMut<'_, T>, waker: &Waker, values: &mut [RawValue]| {
            let store = context.inner.core.id;
            let params = P::load(values, store);
            let polled = (self.function)(Caller::new(context, slot), &mut Context::from_waker(waker), params);
            polled.map(|done| done.and_then(|results| results.store(values, store).ok_or_else(foreign_handle)))
        };
        if values.len() < P::COUNT.max(R::COUNT) {
            return refuse(context, too_few_values());
        }
        let task = if context.inner.core.arena.can_suspend() { context.inner.task.take() } else { None };
        let Some(task) = task else { return make_blocking(context, values, attempt) };
        let polled = attempt(context, &task, values);
        context.inner.task = Some(task);
        match polled {
            Poll::Pending => HostVerdict::Suspend,
            Poll::Ready(Ok(())) => HostVerdict::Resume,
            Poll::Ready(Err(error)) => refuse(context, error),
        }
    }
}

/// Makes attempts on this thread until one is ready, or an interruption comes, which the guest obeys when it goes on.
#[cold]
fn make_blocking<T: 'static>(
    context: &mut ContextMut<'_, T>,
    values: &mut [RawValue],
    attempt: impl Fn(&mut ContextMut<'_, T>, &Waker, &mut [RawValue]) -> Poll<Result<(), HostError>>,
) -> HostVerdict {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if context.inner.core.arena.wake_on_interrupt(&waker) {
            return HostVerdict::Resume;
        }
        match attempt(context, &waker, values) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(Ok(())) => return HostVerdict::Resume,
            Poll::Ready(Err(error)) => return refuse(context, error),
        }
    }
}

/// Suspends the guest where that can be; else waits on this thread.
#[cold]
fn wait<T: 'static>(context: &mut ContextMut<'_, T>, waiting: Waiting<T>, values: &mut [RawValue]) -> HostVerdict {
    if context.inner.core.arena.can_suspend() {
        context.inner.waiting = Some(waiting);
        return HostVerdict::Suspend;
    }
    match block(context, waiting, values) {
        Ok(()) => HostVerdict::Resume,
        Err(error) => refuse(context, error),
    }
}

/// Waits on this thread until there are results, or an interruption, which the guest obeys when it goes on.
fn block<T: 'static>(
    context: &mut ContextMut<'_, T>,
    mut waiting: Waiting<T>,
    values: &mut [RawValue],
) -> Result<(), HostError> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if context.inner.core.arena.wake_on_interrupt(&waker) {
            return Ok(());
        }
        match waiting.poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(()) => match waiting.finish(context, values)? {
                None => return Ok(()),
                Some(next) => waiting = next,
            },
        }
    }
}

/// Waits on this thread until a future is ready.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = std::pin::pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => std::thread::park(),
        }
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// A call that may be suspended, as a future. Dropped before its end, it gives the call up.
pub(crate) struct Running<'a, T: 'static> {
    store: &'a mut Store<T>,
}

impl<'a, T: 'static> Running<'a, T> {
    /// A call with these parameters, in an array that has room for the results.
    pub(crate) fn new(
        store: &'a mut Store<T>,
        callable: &Callable,
        params: &[RawValue],
    ) -> Result<Running<'a, T>, CallError> {
        let core = &mut *store.inner.core;
        if core.limits.call_depth_max == 0 {
            return Err(call::too_deep(0));
        }
        if park_start::<StoreHost<T>>(&mut core.arena, callable, params) {
            return Ok(Running { store });
        }
        let (code, backtrace) = (TrapCode::StackOverflow, Backtrace::default());
        Err(CallError::Trap(Trap { code, backtrace }))
    }

    /// The results, once it has returned.
    pub(crate) fn results(&mut self) -> (&[RawValue], StoreId) {
        let core = &mut *self.store.inner.core;
        (take_results(&mut core.arena).expect("a call has returned"), core.id)
    }

    /// What comes after an exit: the end, or that the guest gives way; `None` if it waits.
    #[inline]
    fn after(&mut self, exit: Exit, cx: &Context<'_>) -> Option<Polled> {
        let inner = &mut self.store.inner;
        match exit {
            Exit::Suspended => None,
            Exit::Exhausted(at) => {
                inner.refill.as_mut().expect("who parks at a meter can refill it").begin(*at);
                None
            }
            Exit::Preempted => {
                cx.waker().wake_by_ref();
                Some(Poll::Pending)
            }
            Exit::Returned => Some(Poll::Ready(Ok(()))),
            Exit::Ended(ending) => Some(Poll::Ready(Err(Box::new(call::ended(&mut inner.core, *ending))))),
        }
    }

    fn is_refilling(&self) -> bool {
        self.store.inner.refill.as_ref().is_some_and(|refill| refill.is_waited_for())
    }

    /// Asks whether there is more for a meter that is used up.
    #[cold]
    fn finish_refill(&mut self, cx: &mut Context<'_>) -> Polled {
        if self.store.inner.core.arena.wake_task_on_interrupt(cx.waker()) {
            return Poll::Ready(Err(self.interrupted()));
        }
        let Inner { refill, core, data, .. } = &mut self.store.inner;
        let Some(refill) = refill.as_mut() else { return Poll::Pending };
        let error = match refill.poll(core, data, cx) {
            Refilled::Pending => return Poll::Pending,
            Refilled::Enough => return Poll::Ready(Ok(())),
            Refilled::Refused(at) => {
                let frames = core.arena.abandon();
                // The first is behind the check.
                let outer = frames.get(1..).unwrap_or_default();
                CallError::MeterExhausted(Backtrace::capture(core, Some(at.pc), outer))
            }
            Refilled::Panicked(payload) => self.panicked(payload),
        };
        Poll::Ready(Err(Box::new(error)))
    }

    /// Asks whether the guest, which waits, can go on. `asked` says whether the host function has just been called.
    #[inline]
    fn finish_wait(&mut self, cx: &mut Context<'_>, asked: bool) -> Polled {
        let inner = &mut self.store.inner;
        if inner.core.arena.wake_task_on_interrupt(cx.waker()) {
            return Poll::Ready(Err(self.interrupted()));
        }
        match inner.waiting {
            Some(_) => self.poll_future(cx),
            None if asked => Poll::Pending,
            None => self.ask_again(),
        }
    }

    /// Makes another attempt of the host function that the guest waits in.
    #[inline]
    fn ask_again(&mut self) -> Polled {
        self.store.inner.core.arena.resume_host_call();
        let context = &mut self.store.as_context_mut();
        let asked = catch_unwind(AssertUnwindSafe(|| ask_again::<StoreHost<T>>(context)));
        self.store.inner.core.arena.pause_host_call();
        match asked {
            Ok(HostVerdict::Resume) => Poll::Ready(Ok(())),
            Ok(HostVerdict::Suspend) => Poll::Pending,
            other => Poll::Ready(Err(self.attempt_failed(other))),
        }
    }

    #[cold]
    fn attempt_failed(&mut self, asked: std::thread::Result<HostVerdict>) -> Box<CallError> {
        let error = match asked {
            Ok(HostVerdict::Trap(code)) => HostError::trap(code),
            Ok(_) => call::left(&mut self.store.inner.core),
            Err(payload) => return Box::new(self.panicked(payload)),
        };
        Box::new(self.failed(error))
    }

    #[cold]
    fn interrupted(&mut self) -> Box<CallError> {
        let core = &mut self.store.inner.core;
        let by = core.arena.take_interrupt().unwrap_or(Interruption::Kill);
        let frames = core.arena.abandon();
        Box::new(call::interrupted(by, Backtrace::capture(core, None, &frames)))
    }

    /// Polls the future that the host function has given.
    fn poll_future(&mut self, cx: &mut Context<'_>) -> Polled {
        loop {
            let Some(waiting) = self.store.inner.waiting.as_mut() else { return Poll::Pending };
            match catch_unwind(AssertUnwindSafe(|| waiting.poll(cx))) {
                Ok(Poll::Pending) => return Poll::Pending,
                Ok(Poll::Ready(())) => match self.finish() {
                    Ok(None) => return Poll::Ready(Ok(())),
                    Ok(next) => self.store.inner.waiting = next,
                    Err(error) => return Poll::Ready(Err(Box::new(error))),
                },
                Err(payload) => return Poll::Ready(Err(Box::new(self.panicked(payload)))),
            }
            // What was done meanwhile may have taken time.
            if self.store.inner.core.arena.wake_task_on_interrupt(cx.waker()) {
                return Poll::Ready(Err(self.interrupted()));
            }
        }
    }

    /// Lets the host function go on with what it waited for; its results go where the guest expects them.
    fn finish(&mut self) -> Result<Option<Waiting<T>>, CallError> {
        let Some(waiting) = self.store.inner.waiting.take() else { return Ok(None) };
        let mut values = [0; TYPED_VALUES_MAX];
        self.store.inner.core.arena.resume_host_call();
        let context = &mut self.store.as_context_mut();
        let done = catch_unwind(AssertUnwindSafe(|| waiting.finish(context, &mut values)));
        self.store.inner.core.arena.pause_host_call();
        match done {
            Ok(Ok(None)) => {
                let into = self.store.inner.core.arena.suspended_values();
                into.iter_mut().zip(values).for_each(|(slot, value)| *slot = value);
                Ok(None)
            }
            Ok(Ok(next)) => Ok(next),
            Ok(Err(error)) => Err(self.failed(error)),
            Err(payload) => Err(self.panicked(payload)),
        }
    }

    #[cold]
    fn failed(&mut self, error: HostError) -> CallError {
        let core = &mut self.store.inner.core;
        let frames = core.arena.abandon();
        error.into_call_error(Backtrace::capture(core, None, &frames))
    }

    #[cold]
    fn panicked(&mut self, payload: Box<dyn Any + Send>) -> CallError {
        let core = &mut self.store.inner.core;
        let frames = core.arena.abandon();
        call::ended(core, Ending::HostPanicked { payload, frames })
    }
}

/// What polling a call comes to. The error is boxed, so that it fits registers.
type Polled = Poll<Result<(), Box<CallError>>>;

impl<T: 'static> Future for Running<'_, T> {
    type Output = Result<(), Box<CallError>>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Polled {
        if self.store.inner.core.time.is_to_be_watched() || ticker::slice().is_some() {
            self.run_watched(cx)
        } else {
            self.run(cx)
        }
    }
}

impl<T: 'static> Running<'_, T> {
    /// As [`Running::run`], with limits on time.
    #[inline(never)]
    fn run_watched(&mut self, cx: &mut Context<'_>) -> Polled {
        let core = &mut self.store.inner.core;
        if let Err(by) = core.begin_watch(ticker::slice()) {
            let frames = core.arena.abandon();
            return Poll::Ready(Err(Box::new(call::interrupted(by, Backtrace::capture(core, None, &frames)))));
        }
        let polled = self.run(cx);
        let core = &mut self.store.inner.core;
        core.end_watch();
        if core.arena.is_suspended() || self.is_refilling() {
            self.store.inner.core.set_alarm();
        }
        polled
    }

    /// Runs the guest until it has ended, waits, or gives way: then it asks to be polled again, after others.
    #[inline]
    fn run(&mut self, cx: &mut Context<'_>) -> Polled {
        self.note_task(cx);
        if !self.waits_for_attempt() {
            return self.run_on(None, cx);
        }
        // The usual turn, in short: the attempt is made, the guest goes on, and waits for another.
        match self.ask_again() {
            Poll::Ready(Ok(())) => {}
            polled => return polled,
        }
        match self.proceed() {
            Exit::Suspended if self.waits_for_attempt() => Poll::Pending,
            exit => self.run_on(Some(exit), cx),
        }
    }

    /// Whether the guest waits for an attempt, and there is nothing else to see to.
    #[inline]
    fn waits_for_attempt(&self) -> bool {
        self.store.inner.waiting.is_none() && self.store.inner.core.arena.waits_undisturbed()
    }

    /// The rest of [`Running::run`], after an exit or from where the guest is parked.
    #[inline(never)]
    fn run_on(&mut self, mut exit: Option<Exit>, cx: &mut Context<'_>) -> Polled {
        let mut asked = false;
        loop {
            if let Some(exit) = exit {
                match self.after(exit, cx) {
                    None => asked = true,
                    Some(done) => return done,
                }
            }
            let waited = if self.store.inner.core.arena.is_suspended() {
                self.finish_wait(cx, asked)
            } else if self.is_refilling() {
                self.finish_refill(cx)
            } else {
                Poll::Ready(Ok(()))
            };
            match waited {
                Poll::Ready(Ok(())) => exit = Some(self.proceed()),
                polled => return polled,
            }
        }
    }

    /// Lets the guest go on, as the outermost call: one call deep.
    #[inline]
    fn proceed(&mut self) -> Exit {
        self.store.inner.core.depth = 1;
        let exit = proceed::<StoreHost<T>>(&mut self.store.as_context_mut());
        self.store.inner.core.depth = 0;
        exit
    }

    /// Remembers the task that polls: whom attempts and requests to interrupt wake.
    #[inline]
    fn note_task(&mut self, cx: &Context<'_>) {
        if !self.store.inner.task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            self.change_task(cx);
        }
    }

    #[cold]
    fn change_task(&mut self, cx: &Context<'_>) {
        let inner = &mut self.store.inner;
        inner.task = Some(cx.waker().clone());
        inner.core.arena.forget_task();
    }
}

impl<T: 'static> Drop for Running<'_, T> {
    fn drop(&mut self) {
        self.store.inner.waiting = None;
        self.store.inner.core.stop_alarm();
        if let Some(refill) = &mut self.store.inner.refill {
            refill.give_up();
        }
        let core = &mut self.store.inner.core;
        core.arena.abandon();
        core.arena.end_watch();
    }
}
