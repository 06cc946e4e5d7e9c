//! What the stubs, the signal handler and [`crate::enter`] share about the guest code of one arena.

use std::cell::UnsafeCell;
use std::mem::offset_of;
use std::ops::{Deref, DerefMut, Range};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use crate::RawValue;
use crate::interrupt::Signal;
use crate::registers::Registers;
use crate::slot::Slot;

/// Why guest code was left; the stubs return it from [`crate::switch::enter`].
pub(crate) mod reason {
    pub(crate) const RETURNED: u32 = 0;
    /// A host function said so.
    pub(crate) const HOST_LEFT: u32 = 1;
    /// A host function panicked; the payload waits in the control block.
    pub(crate) const HOST_PANICKED: u32 = 2;
    /// The raise stub was called, or a host call ended in a trap; `trap_code` says which.
    pub(crate) const RAISED: u32 = 3;
    /// A processor exception in guest code.
    pub(crate) const FAULT: u32 = 4;
    /// An interruption, seen by the signal handler.
    pub(crate) const INTERRUPTED: u32 = 5;
    /// A request, seen before guest code was reached.
    pub(crate) const STOPPED_BEFORE: u32 = 6;
    /// A request, seen after a host call; guest code can go on from there.
    pub(crate) const STOPPED_AFTER_CALL: u32 = 7;
    /// A host call is to be finished later; guest code goes on then.
    pub(crate) const SUSPENDED: u32 = 8;
    /// A request to give way, seen by the signal handler, which has saved all registers ([`crate::registers`]).
    pub(crate) const PREEMPTED: u32 = 9;
    /// Its limit has stopped metered code; all registers are saved if the entry may be parked there.
    pub(crate) const EXHAUSTED: u32 = 10;
}

/// The control block of one arena, at a fixed address while any of its owner and interrupters live.
///
/// Contexts point to it; the stubs read and write it by offset.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Control {
    state: UnsafeCell<State>,
    signal: Signal,
    /// Woken by a request, for whoever waits while guest code is suspended.
    waker: Mutex<Option<Waker>>,
}

/// Whose [`Control::waker`] is: [`Signal::whose`].
mod whose {
    pub(super) const NOBODYS: u8 = 0;
    pub(super) const ANYBODYS: u8 = 1;
    /// The task's that polls the call: it does not say so again each time.
    pub(super) const THE_TASKS: u8 = 2;
}

// SAFETY: `state` is reached only through `Control::state`, by the arena that owns the block and by the stubs and
// handlers on the thread that is inside that arena, so never by two threads at once; `signal` is atomic.
unsafe impl Send for Control {}
// SAFETY: as above.
unsafe impl Sync for Control {}

/// The owner's part.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct State {
    entry: Entry,
    /// Program counter of a fault, trap or interruption.
    pub(crate) pc: u64,
    /// The import slot of the direct call that has ended an entry, until that is looked at; else 0.
    pub(crate) direct: u64,
    /// A raised trap's code.
    pub(crate) trap_code: u32,
    /// Parameters and results of an entry that may be parked: so many, at the top of the stack.
    pub(crate) values_len: u32,
    /// Whether such an entry is under way.
    pub(crate) may_park: bool,
    /// Whether something was entered or changed since the arena was sealed or recycled.
    pub(crate) used: bool,
    /// Guest code was left before it was reached.
    pub(crate) unreached: bool,
    /// Guest code that has used up its meter is parked, where it can be.
    pub(crate) parks_at_meter: bool,
    slots_len: u32,
    slots: *const Slot,
    /// Where guest code is that can go on later.
    pub(crate) parked: Option<Parked>,
    stack_low: u64,
    stack_high: u64,
    /// In two boxes: rare, and there may be a million who have none.
    pub(crate) panic: Option<Box<Payload>>,
}

/// What a panic carries.
pub(crate) type Payload = Box<dyn std::any::Any + Send>;

/// What each entry has of its own; a nested one puts it back.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    /// Where the stubs continue on the host's stack.
    pub(crate) host_rsp: u64,
    /// Guest stack pointer when guest code last called out.
    pub(crate) guest_rsp: u64,
    /// Guest frame pointer when guest code last trapped, faulted or was interrupted.
    pub(crate) guest_rbp: u64,
    /// Serves builtins for the host that entered.
    pub(crate) builtin: u64,
    /// That host's view, lent for the entry.
    pub(crate) view: *mut (),
    /// Entries now on the guest stack.
    pub(crate) depth: u32,
    /// The requests that this entry obeys; others wait for the one outside.
    pub(crate) heeds: u8,
}

/// Where guest code is that can go on later.
#[derive(Debug)]
pub(crate) enum Parked {
    /// Before its first instruction.
    Start(Start),
    /// In a host call, which has no results yet: its `values` array, the [`Served`](crate::host::Served) that was called
    /// (null if it is not asked again), and the context of its caller.
    HostCall { values: *mut RawValue, count: u32, served: *const (), context: u64 },
    /// On the way back from a host call, which has its results.
    AfterCall,
    /// Anywhere in its code.
    Anywhere(Box<Registers>),
}

/// What is entered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    pub(crate) entry: u64,
    pub(crate) context: u64,
    pub(crate) code: u64,
}

impl Deref for State {
    type Target = Entry;

    #[inline]
    fn deref(&self) -> &Entry {
        &self.entry
    }
}

impl DerefMut for State {
    #[inline]
    fn deref_mut(&mut self) -> &mut Entry {
        &mut self.entry
    }
}

pub(crate) const HOST_RSP: usize = offset_of!(State, entry.host_rsp);
pub(crate) const GUEST_RSP: usize = offset_of!(State, entry.guest_rsp);
pub(crate) const GUEST_RBP: usize = offset_of!(State, entry.guest_rbp);
pub(crate) const BUILTIN: usize = offset_of!(State, entry.builtin);
pub(crate) const PC: usize = offset_of!(State, pc);
pub(crate) const TRAP_CODE: usize = offset_of!(State, trap_code);
pub(crate) const HEEDS: usize = offset_of!(State, entry.heeds);
/// The byte whose bits are the requests ([`crate::interrupt::Request`]).
pub(crate) const REQUEST: usize = offset_of!(Control, signal);
const _: () = assert!(offset_of!(Control, state) == 0);

impl Control {
    pub(crate) fn new() -> Control {
        let entry = Entry {
            host_rsp: 0,
            guest_rsp: 0,
            guest_rbp: 0,
            builtin: 0,
            view: std::ptr::null_mut(),
            depth: 0,
            heeds: 0,
        };
        let state = State {
            entry,
            pc: 0,
            direct: 0,
            trap_code: 0,
            values_len: 0,
            may_park: false,
            used: false,
            unreached: false,
            parks_at_meter: false,
            slots_len: 0,
            slots: std::ptr::NonNull::dangling().as_ptr(),
            parked: None,
            stack_low: 0,
            stack_high: 0,
            panic: None,
        };
        Control { state: UnsafeCell::new(state), signal: Signal::default(), waker: Mutex::new(None) }
    }

    /// The owner's part, for whoever may touch it.
    #[inline]
    pub(crate) fn state(&self) -> *mut State {
        self.state.get()
    }

    /// Begins a new generation: requests to the old one are void, and nobody is woken for it.
    pub(crate) fn renew(&self) {
        self.signal.renew();
        // Whoever waits has to be asked for again; most often nobody did.
        if self.signal.whose.load(Ordering::Relaxed) != whose::NOBODYS {
            drop(self.take_waker());
        }
    }

    /// Remembers whom a request wakes.
    pub(crate) fn set_waker(&self, waker: &Waker) {
        self.set(waker, whose::ANYBODYS);
    }

    /// Remembers that a request wakes the task that polls the call; always the same until [`Control::forget_task`].
    /// If the task is found here, whoever takes it does so later, and wakes it: no lock is needed then.
    #[inline]
    pub(crate) fn set_task(&self, waker: &Waker) {
        if !self.wakes_task() {
            self.set(waker, whose::THE_TASKS);
        }
    }

    /// Whether a request wakes the task that polls the call.
    #[inline]
    pub(crate) fn wakes_task(&self) -> bool {
        self.signal.whose.load(Ordering::Acquire) == whose::THE_TASKS
    }

    /// Another task polls the call from now on.
    pub(crate) fn forget_task(&self) {
        if self.signal.whose.load(Ordering::Relaxed) == whose::THE_TASKS {
            drop(self.take_waker());
        }
    }

    #[cold]
    fn set(&self, waker: &Waker, whose: u8) {
        let new = waker.clone();
        let old = {
            let mut place = self.waker();
            self.signal.whose.store(whose, Ordering::Release);
            place.replace(new)
        };
        drop(old);
    }

    /// Wakes and forgets whoever waits.
    pub(crate) fn wake(&self) {
        if let Some(waker) = self.take_waker() {
            waker.wake();
        }
    }

    /// Wakers run code of others when they are cloned, woken or dropped: never under the lock.
    fn take_waker(&self) -> Option<Waker> {
        let mut place = self.waker();
        self.signal.whose.store(whose::NOBODYS, Ordering::Release);
        place.take()
    }

    fn waker(&self) -> MutexGuard<'_, Option<Waker>> {
        self.waker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The interruption that is asked for or not.
    #[inline]
    pub(crate) fn signal(&self) -> &Signal {
        &self.signal
    }
}

impl State {
    pub(crate) fn entry(&self) -> Entry {
        self.entry
    }

    pub(crate) fn set_entry(&mut self, entry: Entry) {
        self.entry = entry;
    }

    pub(crate) fn set_stack(&mut self, stack: Range<u64>) {
        (self.stack_low, self.stack_high) = (stack.start, stack.end);
    }

    #[inline]
    pub(crate) fn stack(&self) -> Range<u64> {
        self.stack_low..self.stack_high
    }

    /// Where the values of an entry that may be parked are.
    pub(crate) fn values(&self) -> *mut RawValue {
        (self.stack_high - u64::from(self.values_len) * size_of::<RawValue>() as u64) as *mut RawValue
    }

    /// Tells the signal handler which slots belong to the arena. They must stay where they are until the next call:
    /// the arena owns them.
    pub(crate) fn set_slots(&mut self, slots: &[Slot]) {
        (self.slots, self.slots_len) = (slots.as_ptr(), slots.len() as u32);
    }

    /// Whether an address belongs to the arena. Async-signal-safe.
    pub(crate) fn owns(&self, address: u64) -> bool {
        // SAFETY: the arena owns the slice, tells us of every change, and outlives its control block's use.
        let slots = unsafe { std::slice::from_raw_parts(self.slots, self.slots_len as usize) };
        slots.iter().any(|slot| slot.range().contains(&address))
    }
}
