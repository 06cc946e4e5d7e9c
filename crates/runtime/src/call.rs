//! Into the guest and out again: the one place where `native` is entered.

use std::any::Any;

use selvedge_contract::trap::TrapCode;
use selvedge_native::{Callable, Ending, Exit, Interruption, RawValue, ValueTypes, enter_callable, enter_direct};

use crate::backtrace::Backtrace;
use crate::context::ContextMut;
use crate::core::Core;
use crate::error::{CallError, HostError, Trap};
use crate::host::StoreHost;
use crate::limits::{LimitError, LimitKind};

/// Calls a function with raw values: parameters in, results out.
#[inline]
pub(crate) fn run<T: 'static>(
    mut context: ContextMut<'_, T>,
    callable: &Callable,
    values: &mut [RawValue],
) -> Result<(), CallError> {
    let exit = counted(&mut context, |context| enter_callable::<StoreHost<T>>(context, callable, values));
    match exit.map_err(|error| *error)? {
        Exit::Returned => Ok(()),
        Exit::Suspended | Exit::Preempted | Exit::Exhausted(_) => {
            unreachable!("an entry with values of the caller's is not parked")
        }
        Exit::Ended(ending) => Err(ended(&mut context.inner.core, *ending)),
    }
}

/// Calls a function whose values are passed in registers; returns its result, if it has one.
#[inline]
pub(crate) fn run_direct<T: 'static, V: ValueTypes, const N: usize>(
    mut context: ContextMut<'_, T>,
    callable: &Callable,
    values: [RawValue; N],
) -> Result<u64, CallError> {
    let core = &mut *context.inner.core;
    let depth = core.depth;
    if depth >= core.limits.call_depth_max || core.time.is_to_be_watched() {
        return by_array(context, callable, values);
    }
    core.depth = depth + 1;
    let entered = enter_direct::<StoreHost<T>, V, N>(&mut context, callable, values);
    let core = &mut *context.inner.core;
    core.depth = depth;
    entered.map_err(|ending| ended(core, *ending))
}

/// As [`run_direct`], where more is to be looked at.
#[cold]
#[inline(never)]
fn by_array<T: 'static, const N: usize>(
    context: ContextMut<'_, T>,
    callable: &Callable,
    mut values: [RawValue; N],
) -> Result<u64, CallError> {
    run(context, callable, &mut values)?;
    Ok(values[0] as u64)
}

/// Runs guest code, one level deeper. The error is boxed, so that the answer fits registers.
#[inline]
pub(crate) fn counted<'a, T: 'static>(
    context: &mut ContextMut<'a, T>,
    enter: impl FnOnce(&mut ContextMut<'a, T>) -> Exit,
) -> Result<Exit, Box<CallError>> {
    let core = &mut *context.inner.core;
    let depth = core.depth;
    if depth >= core.limits.call_depth_max {
        return Err(too_deep(core.limits.call_depth_max).into());
    }
    core.depth = depth + 1;
    let exit = if core.time.is_to_be_watched() { watched(context, enter) } else { Ok(enter(context)) };
    context.inner.core.depth = depth;
    exit
}

/// Runs guest code whose time is limited.
#[cold]
fn watched<'a, T: 'static>(
    context: &mut ContextMut<'a, T>,
    enter: impl FnOnce(&mut ContextMut<'a, T>) -> Exit,
) -> Result<Exit, Box<CallError>> {
    context.inner.core.begin_watch_ungiving().map_err(|by| Box::new(interrupted(by, Backtrace::default())))?;
    let exit = enter(context);
    context.inner.core.end_watch();
    Ok(exit)
}

#[cold]
pub(crate) fn too_deep(max: u32) -> CallError {
    CallError::Limit(LimitError::new(LimitKind::CallDepth, max))
}

/// What an ending means to the caller.
#[cold]
pub(crate) fn ended(core: &mut Core, ending: Ending) -> CallError {
    match ending {
        Ending::Trapped(trap) => {
            let backtrace = Backtrace::capture(core, Some(trap.pc), &trap.frames);
            core.settle_meter(trap.pc);
            match trap.code {
                TrapCode::MeterExhausted => CallError::MeterExhausted(backtrace),
                code => CallError::Trap(Trap { code, backtrace }),
            }
        }
        Ending::HostLeft { frames } => {
            let error = left(core);
            error.into_call_error(Backtrace::capture(core, None, &frames))
        }
        Ending::HostPanicked { payload, frames } => CallError::HostPanic {
            message: panic_message(payload.as_ref()),
            backtrace: Backtrace::capture(core, None, &frames),
        },
        Ending::Interrupted { by, pc, frames } => interrupted(by, Backtrace::capture(core, Some(pc), &frames)),
    }
}

/// Why a host function has ended a call.
#[cold]
pub(crate) fn left(core: &mut Core) -> HostError {
    core.pending.take().unwrap_or_else(|| HostError::message("the host left without a reason"))
}

/// What an interruption means to the caller.
#[cold]
pub(crate) fn interrupted(by: Interruption, backtrace: Backtrace) -> CallError {
    match by {
        Interruption::Kill => CallError::Interrupted(backtrace),
        Interruption::CpuLimit => CallError::CpuTimeExceeded(backtrace),
        Interruption::WallLimit => CallError::WallTimeExceeded(backtrace),
    }
}

fn panic_message(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().copied().or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without a message").to_string()
}
