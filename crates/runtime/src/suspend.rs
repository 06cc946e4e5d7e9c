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
//! Not here: an executor, timers, readiness of files. Any executor will do.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;

use selvedge_native::{
    Callable, Ending, Exit, HostVerdict, Interruption, RawValue, SlotId, proceed, start, take_values,
};

use crate::backtrace::Backtrace;
use crate::call;
use crate::context::{AsContextMut, ContextMut, Inner};
use crate::error::{CallError, HostError};
use crate::host::{Caller, HostFunction, StoreHost, foreign_handle, refuse, too_few_values};
use crate::refill::Refilled;
use crate::store::Store;
use crate::ticker::{self, Alarm};
use crate::typed::{TYPED_VALUES_MAX, WasmResults, func_type};

/// What a host function that may wait comes to; see [`crate::Linker::func_wrap_async`].
pub enum Outcome<T: 'static, R> {
    /// These results, at once.
    Ready(R),
    /// It must wait.
    Wait(Wait<T, R>),
}

/// What a host function waits for, and how it goes on.
pub struct Wait<T: 'static, R>(Pin<Box<dyn Future<Output = Finish<T, R>> + Send>>);

type Finish<T, R> = Box<dyn FnOnce(Caller<'_, T>) -> Result<Outcome<T, R>, HostError> + Send>;

impl<T: 'static, R: 'static> Wait<T, R> {
    /// Waits for `future`; then `finish` turns its output into results, with the store at hand, or waits again.
    /// If the call ends before, the future is dropped.
    pub fn new<F>(
        future: F,
        finish: impl FnOnce(Caller<'_, T>, F::Output) -> Result<Outcome<T, R>, HostError> + Send + 'static,
    ) -> Wait<T, R>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        Wait(Box::pin(async move {
            let output = future.await;
            Box::new(move |caller: Caller<'_, T>| finish(caller, output)) as Finish<T, R>
        }))
    }
}

impl<T: 'static, R: WasmResults + 'static> Outcome<T, R> {
    /// Stores the results, or returns what is waited for, its results' types forgotten.
    fn settle(self, slot: SlotId, values: &mut [RawValue], store: crate::core::StoreId) -> Settled<T> {
        match self {
            Outcome::Ready(results) if values.len() < R::COUNT => {
                drop(results);
                Err(too_few_values())
            }
            Outcome::Ready(results) => results.store(values, store).map(|()| None).ok_or_else(foreign_handle),
            Outcome::Wait(Wait(future)) => {
                let step = Box::pin(async move {
                    let finish = future.await;
                    Box::new(move |context: &mut ContextMut<'_, T>, values: &mut [RawValue]| {
                        let store = context.inner.core.id;
                        finish(Caller::new(context, slot))?.settle(slot, values, store)
                    }) as Step<T>
                });
                Ok(Some(Waiting(step)))
            }
        }
    }
}

/// `None` once there are results.
type Settled<T> = Result<Option<Waiting<T>>, HostError>;
type Step<T> = Box<dyn FnOnce(&mut ContextMut<'_, T>, &mut [RawValue]) -> Settled<T> + Send>;

/// What a call waits for in a host function.
pub(crate) struct Waiting<T: 'static>(Pin<Box<dyn Future<Output = Step<T>> + Send>>);

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
        match waiting.0.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => std::thread::park(),
            Poll::Ready(step) => match step(context, values)? {
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
    callable: Callable,
    /// Parameters, until the call begins.
    params: Option<Box<[RawValue]>>,
    /// Set when it first waits, if its time is limited.
    alarm: Option<Alarm>,
}

impl<'a, T: 'static> Running<'a, T> {
    /// A call with these parameters, in an array that has room for the results.
    pub(crate) fn new(store: &'a mut Store<T>, callable: Callable, params: Box<[RawValue]>) -> Running<'a, T> {
        Running { store, callable, params: Some(params), alarm: None }
    }

    fn start(&mut self, params: Box<[RawValue]>) -> Result<Option<Exit>, CallError> {
        let callable = self.callable;
        call::counted(&mut self.store.as_context_mut(), |context| start::<StoreHost<T>>(context, &callable, params))
            .map(Some)
    }

    /// Lets the guest go on, if it can: `None` if it still waits.
    fn proceed(&mut self, cx: &mut Context<'_>) -> Result<Option<Exit>, CallError> {
        if self.store.inner.core.arena.is_suspended() {
            match self.finish_wait(cx) {
                None => return Ok(None),
                Some(waited) => waited?,
            }
        } else if self.is_refilling() {
            match self.finish_refill(cx) {
                None => return Ok(None),
                Some(refilled) => refilled?,
            }
        }
        call::counted(&mut self.store.as_context_mut(), proceed::<StoreHost<T>>).map(Some)
    }

    /// What comes after an exit: the end, or `None` if the guest waits.
    fn after(&mut self, exit: Exit) -> Option<Result<Box<[RawValue]>, CallError>> {
        let inner = &mut self.store.inner;
        match exit {
            Exit::Suspended | Exit::Preempted => None,
            Exit::Exhausted(at) => {
                inner.refill.as_mut().expect("who parks at a meter can refill it").begin(*at);
                None
            }
            Exit::Returned => Some(Ok(take_values(&mut inner.core.arena).expect("a call has ended"))),
            Exit::Ended(ending) => Some(Err(call::ended(&mut inner.core, *ending))),
        }
    }

    /// How the call ends if it was interrupted while it waits; else it is woken by an interruption.
    fn interrupted(&mut self, cx: &Context<'_>) -> Option<CallError> {
        let core = &mut self.store.inner.core;
        if !core.arena.wake_on_interrupt(cx.waker()) {
            return None;
        }
        let by = core.arena.take_interrupt().unwrap_or(Interruption::Kill);
        let frames = core.arena.abandon();
        Some(call::interrupted(by, Backtrace::capture(core, None, &frames)))
    }

    fn is_refilling(&self) -> bool {
        self.store.inner.refill.as_ref().is_some_and(|refill| refill.is_waited_for())
    }

    /// Asks whether there is more for a meter that is used up; `None` if not yet.
    #[cold]
    fn finish_refill(&mut self, cx: &mut Context<'_>) -> Option<Result<(), CallError>> {
        if let Some(interrupted) = self.interrupted(cx) {
            return Some(Err(interrupted));
        }
        let Inner { refill, core, data, .. } = &mut self.store.inner;
        match refill.as_mut()?.poll(core, data, cx) {
            Refilled::Pending => None,
            Refilled::Enough => Some(Ok(())),
            Refilled::Refused(at) => {
                let frames = core.arena.abandon();
                // The first is behind the check.
                let outer = frames.get(1..).unwrap_or_default();
                Some(Err(CallError::MeterExhausted(Backtrace::capture(core, Some(at.pc), outer))))
            }
            Refilled::Panicked(payload) => Some(Err(self.panicked(payload))),
        }
    }

    /// Asks whether the guest can go on; `None` if not yet.
    fn finish_wait(&mut self, cx: &mut Context<'_>) -> Option<Result<(), CallError>> {
        loop {
            if let Some(interrupted) = self.interrupted(cx) {
                return Some(Err(interrupted));
            }
            let waiting = self.store.inner.waiting.as_mut()?;
            match catch_unwind(AssertUnwindSafe(|| waiting.0.as_mut().poll(cx))) {
                Ok(Poll::Pending) => return None,
                Ok(Poll::Ready(step)) => match self.finish(step) {
                    Ok(None) => return Some(Ok(())),
                    Ok(next) => self.store.inner.waiting = next,
                    Err(error) => return Some(Err(error)),
                },
                Err(payload) => return Some(Err(self.panicked(payload))),
            }
        }
    }

    /// Lets the host function go on with what it waited for; its results go where the guest expects them.
    fn finish(&mut self, step: Step<T>) -> Result<Option<Waiting<T>>, CallError> {
        self.store.inner.waiting = None;
        let mut values = [0; TYPED_VALUES_MAX];
        self.store.inner.core.arena.resume_host_call();
        let context = &mut self.store.as_context_mut();
        let done = catch_unwind(AssertUnwindSafe(|| step(context, &mut values)));
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

impl<T: 'static> Future for Running<'_, T> {
    type Output = Result<Box<[RawValue]>, CallError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if self.store.inner.core.time.is_to_be_watched() || ticker::slice().is_some() {
            self.run_watched(cx)
        } else {
            self.run(cx)
        }
    }
}

impl<T: 'static> Running<'_, T> {
    /// As [`Running::run`], with limits on time.
    fn run_watched(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<[RawValue]>, CallError>> {
        let core = &mut self.store.inner.core;
        if let Err(by) = core.begin_watch(ticker::slice()) {
            self.params = None;
            let frames = core.arena.abandon();
            return Poll::Ready(Err(call::interrupted(by, Backtrace::capture(core, None, &frames))));
        }
        let polled = self.run(cx);
        let core = &mut self.store.inner.core;
        core.end_watch();
        let waits = core.arena.is_suspended() || self.is_refilling();
        if waits && self.alarm.is_none() {
            self.alarm = self.store.inner.core.alarm();
        }
        polled
    }

    /// Runs the guest until it has ended, waits, or gives way: then it asks to be polled again, after others.
    fn run(&mut self, cx: &mut Context<'_>) -> Poll<Result<Box<[RawValue]>, CallError>> {
        let mut exit = match self.params.take() {
            Some(params) => self.start(params),
            None => self.proceed(cx),
        };
        loop {
            let preempted = matches!(exit, Ok(Some(Exit::Preempted)));
            match exit {
                Ok(None) => return Poll::Pending,
                Ok(Some(exit)) => {
                    if let Some(end) = self.after(exit) {
                        return Poll::Ready(end);
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
            if preempted {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            exit = self.proceed(cx);
        }
    }
}

impl<T: 'static> Drop for Running<'_, T> {
    fn drop(&mut self) {
        self.store.inner.waiting = None;
        self.alarm = None;
        if let Some(refill) = &mut self.store.inner.refill {
            refill.give_up();
        }
        let core = &mut self.store.inner.core;
        core.arena.abandon();
        core.arena.end_watch();
    }
}
