//! How guest code reaches the host: host functions, builtins, and what comes of a call.
//!
//! An import's slot in the context holds the address of a function made for one closure type
//! ([`HostFunction::new`]) and the closure's own, so that a host call looks nothing up.

use std::any::Any;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use selvedge_contract::abi::Builtin;
use selvedge_contract::trap::TrapCode;
use selvedge_contract::vmctx::header;

use crate::RawValue;
use crate::arena::{Arena, SlotId};
use crate::control::{Control, HostCall, Parked, State, reason};
use crate::switch;

/// A kind of host: whoever runs guest code and serves its calls. The type only names it; what is lent to a call
/// is its [`Host::View`].
pub trait Host: 'static {
    /// What a host function works with: among it the arena, exclusively.
    type View<'a>;

    /// The arena.
    fn arena<'v>(view: &'v mut Self::View<'_>) -> &'v mut Arena;

    /// Serves a builtin for an instance; `values` are its parameters, to be overwritten with its results, and
    /// empty for an index that no [`Builtin`] has. Panics are caught and end the call.
    fn builtin(view: &mut Self::View<'_>, slot: SlotId, index: u32, values: &mut [RawValue]) -> HostVerdict;
}

/// How guest code goes on after a host call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostVerdict {
    /// It goes on.
    Resume,
    /// It is abandoned; the host knows why.
    Leave,
    /// It traps.
    Trap(TrapCode),
    /// It is left as it is, to go on later: [`Exit::Suspended`](crate::Exit::Suspended). Only where
    /// [`Arena::can_suspend`].
    Suspend,
}

type Entry = unsafe extern "sysv64" fn(u64, *const (), *mut RawValue, *const Control) -> u32;

/// A host function, ready to be put into import slots. Cheap to clone.
pub struct HostFunction<H: Host> {
    entry: Entry,
    /// Keeps what `data` points to.
    body: Arc<dyn Any + Send + Sync>,
    data: *const (),
    values: usize,
    marker: PhantomData<fn(H)>,
}

// SAFETY: `data` points into `body`, which is Send and Sync and only read.
unsafe impl<H: Host> Send for HostFunction<H> {}
// SAFETY: as above.
unsafe impl<H: Host> Sync for HostFunction<H> {}

impl<H: Host> Clone for HostFunction<H> {
    fn clone(&self) -> Self {
        HostFunction { body: self.body.clone(), ..*self }
    }
}

/// What a host function does, where the length of its `values` array is known to the Rust compiler.
pub trait HostBody<H: Host>: Send + Sync + 'static {
    /// Slots in its `values` array.
    const VALUES: usize;

    /// Serves a call: parameters in, results out. Panics are caught and end the call.
    fn call(&self, view: &mut H::View<'_>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict;
}

/// A closure and the length of its `values` array.
struct Dynamic<F> {
    values: usize,
    function: F,
}

/// What an entry is made for.
trait Body<H: Host>: Send + Sync + 'static {
    fn values(&self) -> usize;

    fn call(&self, view: &mut H::View<'_>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict;
}

impl<H, F> Body<H> for Dynamic<F>
where
    H: Host,
    F: Fn(&mut H::View<'_>, SlotId, &mut [RawValue]) -> HostVerdict + Send + Sync + 'static,
{
    #[inline]
    fn values(&self) -> usize {
        self.values
    }

    #[inline]
    fn call(&self, view: &mut H::View<'_>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict {
        (self.function)(view, slot, values)
    }
}

struct Static<B>(B);

impl<H: Host, B: HostBody<H>> Body<H> for Static<B> {
    #[inline]
    fn values(&self) -> usize {
        B::VALUES
    }

    #[inline]
    fn call(&self, view: &mut H::View<'_>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict {
        self.0.call(view, slot, values)
    }
}

impl<H: Host> HostFunction<H> {
    /// A host function whose `values` array has so many slots: parameters in, results out. Panics are caught
    /// and end the call.
    pub fn new<F>(values: usize, function: F) -> HostFunction<H>
    where
        F: Fn(&mut H::View<'_>, SlotId, &mut [RawValue]) -> HostVerdict + Send + Sync + 'static,
    {
        HostFunction::of(Dynamic { values, function })
    }

    /// A host function from its body.
    pub fn typed<B: HostBody<H>>(body: B) -> HostFunction<H> {
        HostFunction::of(Static(body))
    }

    fn of<B: Body<H>>(body: B) -> HostFunction<H> {
        let values = body.values();
        let body = Arc::new(body);
        let data = Arc::as_ptr(&body).cast();
        HostFunction { entry: serve::<H, B>, body, data, values, marker: PhantomData }
    }

    /// Slots in its `values` array.
    pub(crate) fn values(&self) -> usize {
        self.values
    }

    /// Address of its entry, and what to pass it.
    pub(crate) fn slot_fields(&self) -> [u64; 2] {
        [self.entry as *const () as u64, self.data as u64]
    }
}

/// Reads an instance's number from its context.
///
/// # Safety
/// `context` is that of a living slot.
#[inline]
unsafe fn slot_of(context: u64) -> SlotId {
    // SAFETY: the caller's promise; the header lies there, aligned.
    SlotId(unsafe { (context.wrapping_add_signed(header::INSTANCE.into()) as *const u64).read() } as u32)
}

/// Serves a host call on the host's stack; returns a [`reason`], `RETURNED` to go on.
///
/// # Safety
/// Called by the `host_call` stub: `control.view` is the `H::View` that entered, stopped in `enter_callable`;
/// `context` is that of a slot of its arena; `data` is a `B` that the slot keeps; `values` lies in the caller's
/// frame with as many slots as that body says, which never changes and which linking checked.
unsafe extern "sysv64" fn serve<H: Host, B: Body<H>>(
    context: u64,
    data: *const (),
    values: *mut RawValue,
    control: *const Control,
) -> u32 {
    // SAFETY: the caller's promise.
    let body = unsafe { &*data.cast::<B>() };
    let served = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise; `enter_callable` does not use the view until the stubs return, and the
        // guest is stopped, so nobody else uses its frame.
        let (view, slot, values) = unsafe {
            let view = &mut *(&*(*control).state()).view.cast::<H::View<'_>>();
            (view, slot_of(context), std::slice::from_raw_parts_mut(values, body.values()))
        };
        body.call(view, slot, values)
    }));
    match served {
        Ok(HostVerdict::Resume) => reason::RETURNED,
        // SAFETY: the control block outlives the call; nested entries have restored it.
        served => unsafe { stop(&mut *(*control).state(), served, HostCall { values, count: body.values() }) },
    }
}

/// Serves a builtin, likewise.
///
/// # Safety
/// As for [`serve`], with the `values` array that the builtin states.
pub(crate) unsafe extern "sysv64" fn serve_builtin<H: Host>(
    context: u64,
    index: u32,
    values: *mut RawValue,
    control: *const Control,
) -> u32 {
    let count = Builtin::from_index(index).map_or(0, Builtin::values);
    let served = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: as in `serve`.
        let (view, slot, values) = unsafe {
            let view = &mut *(&*(*control).state()).view.cast::<H::View<'_>>();
            (view, slot_of(context), std::slice::from_raw_parts_mut(values, count))
        };
        H::builtin(view, slot, index, values)
    }));
    match served {
        Ok(HostVerdict::Resume) => reason::RETURNED,
        // SAFETY: as in `serve`.
        served => unsafe { stop(&mut *(*control).state(), served, HostCall { values, count }) },
    }
}

/// A host call after which guest code does not simply go on.
#[cold]
fn stop(state: &mut State, served: Result<HostVerdict, Box<dyn Any + Send>>, call: HostCall) -> u32 {
    match served {
        Ok(HostVerdict::Resume) => reason::RETURNED,
        Ok(HostVerdict::Suspend) => {
            state.parked = Some(Parked::HostCall(call));
            reason::SUSPENDED
        }
        Ok(HostVerdict::Leave) => {
            state.stopped_in_host_call();
            reason::HOST_LEFT
        }
        Ok(HostVerdict::Trap(code)) => {
            state.stopped_in_host_call();
            state.trap_code = code as u32;
            reason::RAISED
        }
        Err(payload) => {
            state.stopped_in_host_call();
            state.panic = Some(payload);
            reason::HOST_PANICKED
        }
    }
}

impl State {
    /// Notes where guest code is that stands in a host call.
    pub(crate) fn stopped_in_host_call(&mut self) {
        self.stopped_at(self.guest_rsp);
    }

    /// Notes where guest code is that a host call has suspended.
    pub(crate) fn stopped_while_suspended(&mut self) {
        self.stopped_at(self.guest_rsp + switch::SUSPENDED_BYTES);
    }

    fn stopped_at(&mut self, saved: u64) {
        // SAFETY: `saved` is where the stub saved the caller's frame pointer, just below the return address; the
        // guest is stopped. The stub's own frame is not the guest's.
        let (frame, address) = unsafe { ((saved as *const u64).read(), (saved as *const u64).add(1).read()) };
        self.guest_rbp = frame;
        self.pc = address.wrapping_sub(1);
    }
}
