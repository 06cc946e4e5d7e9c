//! Running guest code, and what comes of it.

use std::any::Any;
use std::ffi::c_void;
use std::sync::Arc;
use std::task::Waker;

use selvedge_contract::limits::STACK_RESERVE_BYTES;
use selvedge_contract::trap::TrapCode;

use crate::RawValue;
use crate::arena::{Arena, SlotId};
use crate::callable::Callable;
use crate::control::{Control, Parked, Start, State, reason};
use crate::direct::{RegisterValues, Shape, ValueTypes};
use crate::error::NativeError;
use crate::host::{Host, serve_builtin};
use crate::interrupt::{Interruption, Request, Signal};
use crate::left::{Left, bug, frames};
use crate::registers::{self, Registers};
use crate::switch;
use crate::thread::{self, Here};

/// Most entries on one guest stack: guest to host to guest and so on.
const DEPTH_MAX: u32 = 1000;

/// A trap and where it happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Trap {
    /// Why.
    pub code: TrapCode,
    /// Address within the instruction that trapped or called the host to trap; 0 if none was reached.
    pub pc: u64,
    /// Return addresses, innermost first.
    pub frames: Vec<u64>,
}

/// How an entry ended, or that it has not.
#[derive(Debug)]
pub enum Exit {
    /// It returned; the results are in the values.
    Returned,
    /// It waits in a host call: only after [`start`] or [`proceed`].
    Suspended,
    /// It was asked to give way, and goes on where it is by [`proceed`]: only after [`start`] or [`proceed`].
    Preempted,
    /// Its meter is used up, and it goes on by [`proceed`] when that is refilled ([`Arena::set_meter_limit`]): only
    /// where [`Arena::park_at_meter`] said so, after [`start`] or [`proceed`].
    Exhausted(Box<Exhausted>),
    /// It did not return. Boxed: rare, and large.
    Ended(Box<Ending>),
}

/// Whose meter is used up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exhausted {
    /// The instance.
    pub slot: SlotId,
    /// What its limit must at least be for it to go on; what its code says, so no more than an allegation.
    pub wanted: u64,
    /// Where it was stopped.
    pub pc: u64,
}

/// How an entry ended that did not return.
#[derive(Debug)]
pub enum Ending {
    /// It trapped.
    Trapped(Trap),
    /// A host function abandoned it.
    HostLeft {
        /// Return addresses, innermost first.
        frames: Vec<u64>,
    },
    /// A host function panicked, with this payload.
    HostPanicked {
        /// What the panic carried.
        payload: Box<dyn Any + Send>,
        /// Return addresses, innermost first.
        frames: Vec<u64>,
    },
    /// It was interrupted.
    Interrupted {
        /// By whose wish.
        by: Interruption,
        /// Where; 0 if nothing had run yet, or it was parked.
        pc: u64,
        /// Return addresses, innermost first.
        frames: Vec<u64>,
    },
}

impl From<Ending> for Exit {
    fn from(ending: Ending) -> Exit {
        Exit::Ended(Box::new(ending))
    }
}

impl Arena {
    /// Whether the host function that runs now may suspend the guest: its call came from [`start`] directly, not
    /// by way of another host function.
    #[inline]
    pub fn can_suspend(&self) -> bool {
        let state = self.state();
        state.depth == 1 && state.may_park
    }

    /// Whether a call is parked, to go on by [`proceed`].
    #[inline]
    pub fn is_parked(&self) -> bool {
        self.state().parked.is_some()
    }

    /// Whether a call waits in a host call, which has no results yet.
    #[inline]
    pub fn is_suspended(&self) -> bool {
        matches!(self.state().parked, Some(Parked::HostCall { .. }))
    }

    /// Whether a call waits in a host call, whoever interrupts it wakes its task, and nobody has: then there is nothing
    /// to do for it but to ask its host function.
    #[inline]
    pub fn waits_undisturbed(&self) -> bool {
        self.is_suspended() && self.control().wakes_task() && !self.control().signal().requested()
    }

    /// The values of the host call that the suspended guest waits in: its parameters, to be overwritten with its
    /// results.
    ///
    /// # Panics
    /// If no call is suspended.
    #[inline]
    pub fn suspended_values(&mut self) -> &mut [RawValue] {
        let Some(Parked::HostCall { values, count, .. }) = self.state().parked else { panic!("a call is suspended") };
        // SAFETY: the array lies in the frame of the suspended guest, on this arena's stack, mapped and used by
        // nobody until the guest goes on, which needs the arena mutably.
        unsafe { std::slice::from_raw_parts_mut(values, count as usize) }
    }

    /// The host call that the suspended guest waits in goes on, until [`Arena::pause_host_call`]: what it calls runs
    /// below the guest that waits, as what any host function calls.
    ///
    /// # Panics
    /// If no call is suspended.
    #[inline]
    pub fn resume_host_call(&mut self) {
        assert!(self.is_suspended() && self.state().depth == 0, "a call is suspended");
        self.state_mut().depth = 1;
    }

    /// The host call has ended, or waits again.
    #[inline]
    pub fn pause_host_call(&mut self) {
        self.state_mut().depth = 0;
    }

    /// Says whether entries that can be parked are parked when their meter is used up; if not, that ends them. It holds
    /// until the arena is recycled.
    pub fn park_at_meter(&mut self, parks: bool) {
        self.state_mut().parks_at_meter = parks;
    }

    /// Gives up a call that is parked: it never goes on. Returns its return addresses, innermost first.
    pub fn abandon(&mut self) -> Vec<u64> {
        let state = self.state_mut();
        state.may_park = false;
        let direct = match state.parked.take() {
            None | Some(Parked::Start(_)) => return Vec::new(),
            Some(Parked::HostCall { .. } | Parked::AfterCall) => state.stopped_while_suspended(),
            Some(Parked::Anywhere(registers)) => {
                (state.pc, state.guest_rbp) = (registers.pc, registers.frame());
                None
            }
        };
        let (mut frames, pc) = (frames(state, state.stack().end), state.pc);
        frames.insert(0, direct.map_or(pc, |slot| self.host_thunk_at(slot)) + 1);
        frames
    }

    /// Has `waker` woken by the next request to interrupt; says whether there is one already.
    pub fn wake_on_interrupt(&self, waker: &Waker) -> bool {
        self.control().set_waker(waker);
        self.control().signal().requested()
    }

    /// As [`Arena::wake_on_interrupt`] for the task that polls a call, the same as last time unless
    /// [`Arena::forget_task`] was called since.
    #[inline]
    pub fn wake_task_on_interrupt(&self, task: &Waker) -> bool {
        self.control().set_task(task);
        self.control().signal().requested()
    }

    /// Another task polls the call from now on.
    pub fn forget_task(&self) {
        self.control().forget_task();
    }

    /// Takes the requests to interrupt, if there are any; says who asked.
    pub fn take_interrupt(&self) -> Option<Interruption> {
        self.control().signal().take()
    }

    /// Whether the guest code that runs is asked to end: it does as soon as the host function that it is in returns.
    #[inline]
    pub fn is_to_end(&self) -> bool {
        self.control().signal().requested()
    }

    /// Nobody watches over a call any longer: what was asked on account of its time is void.
    pub fn end_watch(&self) {
        self.control().signal().take_watch();
    }
}

/// Calls a function with its parameters in `values`, where its results will be. Host calls on the way may
/// enter again. A call of this arena that is suspended is given up.
///
/// # Panics
/// If `callable` is of another arena, or `values` is shorter than its type needs, or the arena's host functions
/// are for another kind of host.
#[inline]
pub fn enter_callable<H: Host>(view: &mut H::View<'_>, callable: &Callable, values: &mut [RawValue]) -> Exit {
    assert!(values.len() >= callable.values as usize, "every parameter and result has its slot");
    let arena = H::arena(view);
    if arena.state().may_park && arena.state().depth == 0 {
        arena.abandon();
    }
    let Callable { entry, code, context, .. } = *callable;
    let values = values.as_mut_ptr();
    check::<H>(arena, callable);
    // SAFETY: `callable` came from this arena, whose slots and code still live; its entry trampoline was chosen
    // by the function's own type, for which `values` is long enough, and `values` is borrowed until the end: an
    // entry without values of its own cannot be suspended.
    run::<H>(view, move |control, stack| unsafe { switch::enter(control, stack, entry, context, code, values) })
}

/// Calls a function as [`enter_callable`], but so that it may be parked: suspended by host functions, or preempted
/// ([`crate::InterruptHandle::preempt`]). `values` has the parameters, and room for the results: [`take_results`] has them
/// when it has returned. All lie on the guest's stack meanwhile.
///
/// # Panics
/// As [`enter_callable`]; and within a host call of the same arena.
pub fn start<H: Host>(view: &mut H::View<'_>, callable: &Callable, values: &[RawValue]) -> Exit {
    if park_start::<H>(H::arena(view), callable, values) { proceed::<H>(view) } else { exhausted() }
}

/// Parks a call before its first instruction: [`proceed`] begins it, as [`start`] does. Says whether there is room on its
/// stack for the values.
///
/// # Panics
/// As [`start`].
pub fn park_start<H: Host>(arena: &mut Arena, callable: &Callable, values: &[RawValue]) -> bool {
    assert!(values.len() >= callable.values as usize, "every parameter and result has its slot");
    check::<H>(arena, callable);
    assert!(arena.state().depth == 0, "a call that may be suspended is the outermost");
    arena.abandon();
    let Callable { entry, code, context, .. } = *callable;
    let state = arena.state_mut();
    let stack = state.stack();
    if size_of_val(values) as u64 + STACK_RESERVE_BYTES as u64 > stack.end - stack.start {
        return false;
    }
    (state.values_len, state.may_park, state.used) = (values.len() as u32, true, true);
    // SAFETY: the values fit the stack, which is aligned for them, mapped, and used by nobody: the arena's last call is over.
    unsafe { state.values().copy_from_nonoverlapping(values.as_ptr(), values.len()) };
    state.parked = Some(Parked::Start(Start { entry, context, code }));
    true
}

/// Goes on with a parked call, on whatever thread; if it waits in a host call, that call's results are in
/// [`Arena::suspended_values`].
///
/// # Panics
/// If none is parked; and as [`start`].
#[inline]
pub fn proceed<H: Host>(view: &mut H::View<'_>) -> Exit {
    let arena = H::arena(view);
    assert!(arena.host_is::<H>() && arena.state().depth == 0, "a parked call goes on where it began");
    let state = arena.state_mut();
    if !matches!(state.parked, Some(Parked::HostCall { .. } | Parked::AfterCall)) {
        return proceed_elsewhere::<H>(view);
    }
    state.parked = None;
    // SAFETY: the guest was left suspended, and nothing was entered since: that would have taken `parked`.
    let exit = run::<H>(view, |control, _| unsafe { switch::proceed(control) });
    match exit {
        Exit::Returned | Exit::Suspended => exit,
        // Its results are in place, reached or not.
        exit => stays_unless_reached(H::arena(view), Parked::AfterCall, exit),
    }
}

/// As [`proceed`], where the guest does not wait in a host call.
#[cold]
fn proceed_elsewhere<H: Host>(view: &mut H::View<'_>) -> Exit {
    let state = H::arena(view).state_mut();
    let mut parked = state.parked.take().expect("a call is parked");
    let exit = match &mut parked {
        Parked::Start(Start { entry, context, code }) => {
            let (entry, context, code) = (*entry, *context, *code);
            let values = state.values();
            // SAFETY: as in `enter_callable`, where `park_start` has checked; `values` is at the top of the stack, and the
            // guest below it.
            run::<H>(view, move |control, _| unsafe {
                switch::enter(control, values as u64, entry, context, code, values)
            })
        }
        Parked::Anywhere(registers) => {
            registers.adopt_control();
            let registers: *const Registers = &**registers;
            // SAFETY: as in `proceed`; the registers stay in their box until the guest is left again.
            run::<H>(view, |control, _| unsafe { switch::restore(control, registers) })
        }
        Parked::HostCall { .. } | Parked::AfterCall => unreachable!("`proceed` goes on with these"),
    };
    stays_unless_reached(H::arena(view), parked, exit)
}

/// If a request came before guest code was reached, it is where it was.
#[cold]
fn stays_unless_reached(arena: &mut Arena, parked: Parked, mut exit: Exit) -> Exit {
    if !std::mem::take(&mut arena.state_mut().unreached) {
        return exit;
    }
    arena.state_mut().parked = Some(parked);
    if let Exit::Ended(ending) = &mut exit
        && let Ending::Interrupted { frames, .. } = &mut **ending
    {
        *frames = arena.abandon();
    }
    exit
}

/// The results of a call that [`start`] began and that has returned, once; `None` if there is none. The parameters that
/// are no results come after them.
pub fn take_results(arena: &mut Arena) -> Option<&[RawValue]> {
    let state = arena.state_mut();
    if state.parked.is_some() || !std::mem::take(&mut state.may_park) {
        return None;
    }
    // SAFETY: `park_start` has put so many values there, on the arena's stack, which nobody uses while it is borrowed.
    Some(unsafe { std::slice::from_raw_parts(state.values(), state.values_len as usize) })
}

#[inline]
fn check<H: Host>(arena: &Arena, callable: &Callable) {
    assert!(arena.id() == callable.arena, "a callable is entered in its own arena");
    assert!(arena.host_is::<H>(), "an arena is entered by the kind of host its functions are for");
}

/// Calls a function as [`enter_callable`], its values passed in registers: returns its result, if it has one.
///
/// # Errors
/// If it did not return.
///
/// # Panics
/// If `callable` is for values that are passed otherwise, or `values` has no place for each; and as
/// [`enter_callable`].
#[inline]
pub fn enter_direct<H: Host, V: ValueTypes, const N: usize>(
    view: &mut H::View<'_>,
    callable: &Callable,
    values: [RawValue; N],
) -> Result<u64, Box<Ending>> {
    const { assert!(N > 0, "there is a place for the result") };
    let shape = const { Shape::of(V::PARAMS, V::RESULTS) };
    assert!(shape.is_direct() && callable.shape == shape, "a function is entered under its own type");
    let arena = H::arena(view);
    check::<H>(arena, callable);
    let control: *const Control = Arc::as_ptr(arena.control());
    let state = arena.state();
    let Some(here) = thread::ready().filter(|_| state.depth == 0 && !state.may_park) else {
        return by_array::<H, N>(view, callable, values);
    };
    let stack = state.stack().end;
    let registers = RegisterValues::of::<V>(&values);
    let &Callable { context, code, .. } = callable;
    let (why, returned) = outermost::<H, _>(view, control, here, Request::END, || {
        // SAFETY: as in `enter_callable`; the code's type was just found to be one whose values these registers pass,
        // and the stack is empty. Without values of its own the entry is not parked.
        unsafe { switch::enter_direct(control.cast(), stack, context, code, &registers) }
    });
    if why == reason::RETURNED {
        Ok(returned.value::<V>())
    } else {
        Err(unparked(left::<H>(view, control, stack, why)))
    }
}

/// As [`enter_direct`], where more is to be looked at.
#[cold]
#[inline(never)]
fn by_array<H: Host, const N: usize>(
    view: &mut H::View<'_>,
    callable: &Callable,
    mut values: [RawValue; N],
) -> Result<u64, Box<Ending>> {
    match enter_callable::<H>(view, callable, &mut values) {
        Exit::Returned => Ok(values[0] as u64),
        exit => Err(unparked(exit)),
    }
}

#[cold]
fn unparked(exit: Exit) -> Box<Ending> {
    match exit {
        Exit::Ended(ending) => ending,
        Exit::Returned | Exit::Suspended | Exit::Preempted | Exit::Exhausted(_) => {
            bug("an entry was parked that cannot be", 0)
        }
    }
}

/// Lends the view to host calls and runs guest code by `switch`, on the stack below what it already holds.
#[inline]
fn run<H: Host>(view: &mut H::View<'_>, switch: impl FnOnce(*const c_void, u64) -> u32) -> Exit {
    let control: *const Control = Arc::as_ptr(H::arena(view).control());
    let here = match thread::ready().map_or_else(thread::make_ready, Ok) {
        Ok(here) => here,
        Err(Some(error)) => return unprepared(&error),
        Err(None) => return exhausted(),
    };
    let state = H::arena(view).state();
    if state.depth > 0 {
        return run_nested::<H>(view, control, here, switch);
    }
    let stack_top = state.stack().end;
    let can_park = state.may_park && registers::fit();
    let heeds = match (can_park, state.parks_at_meter) {
        (true, true) => Request::ANY | Request::AT_METER,
        (true, false) => Request::ANY,
        (false, _) => Request::END,
    };
    match outermost::<H, _>(view, control, here, heeds, || switch(control.cast(), stack_top)) {
        reason::RETURNED => Exit::Returned,
        reason::SUSPENDED => Exit::Suspended,
        why => left::<H>(view, control, stack_top, why),
    }
}

/// Lends the view to host calls while `switch` runs guest code that no other of the arena waits for, and which heeds
/// these requests.
#[inline(always)]
fn outermost<H: Host, R>(
    view: &mut H::View<'_>,
    control: *const Control,
    here: Here,
    heeds: u8,
    switch: impl FnOnce() -> R,
) -> R {
    // SAFETY: the control block lives as long as the arena, which `view` borrows. Its state is this thread's while
    // it is inside, and host calls below give up their own references to it before they return.
    let (state, signal) = unsafe { (&mut *(*control).state(), (*control).signal()) };
    let current = here.set_current(control);
    state.lend::<H>(view, 1, heeds);
    signal.set_thread(here.number());
    let left = switch();
    signal.set_thread(0);
    here.set_current(current);
    // SAFETY: as above.
    let state = unsafe { &mut *(*control).state() };
    (state.depth, state.unreached) = (0, false);
    left
}

/// What has become of the outermost entry, which did not return.
#[cold]
fn left<H: Host>(view: &mut H::View<'_>, control: *const Control, stack_top: u64, why: u32) -> Exit {
    // SAFETY: as in `outermost`.
    let (state, signal) = unsafe { (&mut *(*control).state(), (*control).signal()) };
    if let Some(exit) = parked(state, signal, why) {
        return exit;
    }
    if why == reason::EXHAUSTED
        && let Some(exit) = parked_at_meter(H::arena(view))
    {
        return exit;
    }
    // SAFETY: as above; what borrowed the arena meanwhile no longer does.
    let state = unsafe { &mut *(*control).state() };
    let left = Left::new(state, stack_top, why);
    state.may_park = false;
    left.exit(H::arena(view))
}

/// Parks guest code behind the instruction by which its limit has stopped it, if the entry may be parked there.
#[cold]
fn parked_at_meter(arena: &mut Arena) -> Option<Exit> {
    if arena.state().heeds & Request::AT_METER == 0 {
        return None;
    }
    let (slot, wanted) = arena.take_wanted()?;
    let state = arena.state_mut();
    state.parked = Some(Parked::Anywhere(thread::saved_registers()));
    Some(Exit::Exhausted(Box::new(Exhausted { slot, wanted, pc: before_breakpoint(state.pc) })))
}

/// The address of a breakpoint: the kernel says what comes after it.
pub(crate) fn before_breakpoint(pc: u64) -> u64 {
    pc - 1
}

/// Guest code that can go on later, if it was left so.
#[cold]
fn parked(state: &mut State, signal: &Signal, why: u32) -> Option<Exit> {
    state.unreached = why == reason::STOPPED_BEFORE;
    match why {
        reason::PREEMPTED => state.parked = Some(Parked::Anywhere(thread::saved_registers())),
        // A request to end comes first.
        reason::STOPPED_BEFORE | reason::STOPPED_AFTER_CALL if signal.requested() => return None,
        reason::STOPPED_BEFORE => {}
        reason::STOPPED_AFTER_CALL => state.parked = Some(Parked::AfterCall),
        _ => return None,
    }
    signal.take_yield();
    Some(Exit::Preempted)
}

/// As [`run`], within a host call of the same arena: what the entry overwrites is put back.
#[cold]
fn run_nested<H: Host>(
    view: &mut H::View<'_>,
    control: *const Control,
    here: Here,
    switch: impl FnOnce(*const c_void, u64) -> u32,
) -> Exit {
    // SAFETY: as in `outermost`.
    let state = unsafe { &mut *(*control).state() };
    if state.depth >= DEPTH_MAX {
        return exhausted();
    }
    let (saved, stack_top) = (state.entry(), state.guest_rsp & !15);
    let current = here.set_current(control);
    state.lend::<H>(view, saved.depth + 1, Request::END);
    // SAFETY: as in `outermost`.
    let signal = unsafe { (*control).signal() };
    // None is inside if the host call that enters was suspended.
    let outer = signal.thread();
    signal.set_thread(here.number());
    let why = switch(control.cast(), stack_top);
    signal.set_thread(outer);
    here.set_current(current);
    // SAFETY: as in `outermost`.
    let state = unsafe { &mut *(*control).state() };
    let left = (why != reason::RETURNED).then(|| Left::new(state, stack_top, why));
    state.set_entry(saved);
    left.map_or(Exit::Returned, |left| left.exit(H::arena(view)))
}

impl State {
    /// Makes the host that enters known to the stubs.
    #[inline]
    fn lend<H: Host>(&mut self, view: &mut H::View<'_>, depth: u32, heeds: u8) {
        self.used = true;
        (self.depth, self.heeds) = (depth, heeds);
        self.builtin = serve_builtin::<H> as *const () as u64;
        self.view = std::ptr::from_mut(view).cast();
    }
}

#[cold]
fn unprepared(error: &NativeError) -> Exit {
    let text = format!("this thread cannot run guest code: {error}");
    Ending::HostPanicked { payload: Box::new(text), frames: Vec::new() }.into()
}

#[cold]
fn exhausted() -> Exit {
    Ending::Trapped(Trap { code: TrapCode::StackOverflow, pc: 0, frames: Vec::new() }).into()
}
