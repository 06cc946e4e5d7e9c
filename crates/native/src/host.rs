//! How guest code reaches the host: host functions, builtins, and what comes of a call.
//!
//! An import's slot in the context leads to a [`Served`]: the address of a function made for one closure type and
//! the closure, so that a host call looks nothing up. Values come in an array, or directly in registers
//! ([`direct`](crate::direct)) where they all fit.

use std::any::Any;
use std::marker::PhantomData;
use std::mem::offset_of;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use selvedge_contract::abi::Builtin;
use selvedge_contract::trap::TrapCode;
use selvedge_contract::types::{FuncType, ValType};
use selvedge_contract::vmctx::header;

use crate::RawValue;
use crate::arena::{Arena, SlotId};
use crate::code::value_count;
use crate::control::{Control, Parked, Payload, State, reason};
use crate::direct::{self, DirectTypes};
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
// With a byte of its own for the tag: to tell them apart is one comparison.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
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

/// What the stubs call: a function for one type of body, and the body.
#[repr(C)]
pub(crate) struct Served<B> {
    /// [`serve`], or what [`direct::entry`] says.
    entry: Address,
    /// An [`Again`], or null.
    again: Address,
    pub(crate) body: B,
}

/// Offset of the function's address in any [`Served`].
pub(crate) const ENTRY: usize = offset_of!(Served<()>, entry);

/// Address of a function.
#[derive(Clone, Copy)]
pub(crate) struct Address(pub(crate) *const ());

// SAFETY: functions may be called from any thread; whoever calls this one makes the promises it asks for.
unsafe impl Send for Address {}
// SAFETY: as above.
unsafe impl Sync for Address {}

/// A host function, ready to be put into import slots. Cheap to clone.
pub struct HostFunction<H: Host> {
    /// A [`Served`].
    served: Arc<dyn Any + Send + Sync>,
    values: usize,
    direct: Option<DirectTypes>,
    marker: PhantomData<fn(H)>,
}

impl<H: Host> Clone for HostFunction<H> {
    fn clone(&self) -> Self {
        HostFunction { served: self.served.clone(), ..*self }
    }
}

/// What a host function does, where its type is known to the Rust compiler.
pub trait HostBody<H: Host>: Send + Sync + 'static {
    /// Types of its parameters.
    const PARAMS: &'static [ValType];
    /// Types of its results.
    const RESULTS: &'static [ValType];
    /// Whether it may say [`HostVerdict::Suspend`].
    const MAY_SUSPEND: bool = false;
    /// Slots in its `values` array.
    const VALUES: usize =
        if Self::PARAMS.len() > Self::RESULTS.len() { Self::PARAMS.len() } else { Self::RESULTS.len() };

    /// Serves a call: parameters in, results out. Panics are caught and end the call. If it suspends its guest it is called
    /// again with the same parameters.
    fn call(&self, view: &mut H::View<'_>, slot: SlotId, values: &mut [RawValue]) -> HostVerdict;
}

/// A closure and the length of its `values` array.
struct Dynamic<F> {
    values: usize,
    function: F,
}

/// What [`serve`] is made for.
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

    /// A host function from its body. Its values are passed in registers if they fit.
    pub fn typed<B: HostBody<H>>(body: B) -> HostFunction<H> {
        match direct::types::<H, B>() {
            Some(types) => {
                let (entry, again) = (direct::entry::<H, B>(), Address(direct::again::<H, B> as *const ()));
                HostFunction::made(Served { entry, again, body }, B::VALUES, Some(types))
            }
            None => HostFunction::of(Static(body)),
        }
    }

    fn of<B: Body<H>>(body: B) -> HostFunction<H> {
        let values = body.values();
        let (entry, again) = (Address(serve::<H, B> as *const ()), Address(again::<H, B> as *const ()));
        HostFunction::made(Served { entry, again, body }, values, None)
    }

    fn made<B>(served: Served<B>, values: usize, direct: Option<DirectTypes>) -> HostFunction<H>
    where
        B: Send + Sync + 'static,
    {
        HostFunction { served: Arc::new(served), values, direct, marker: PhantomData }
    }

    /// Whether it can be what a module imports under this type.
    pub(crate) fn fits(&self, ty: &FuncType) -> bool {
        self.values == value_count(ty)
            && self.direct.is_none_or(|(params, results)| ty.params == params && ty.results == results)
    }

    /// Whether its values are passed in registers.
    pub(crate) fn is_direct(&self) -> bool {
        self.direct.is_some()
    }

    /// Address of its [`Served`].
    pub(crate) fn address(&self) -> u64 {
        Arc::as_ptr(&self.served).cast::<()>() as u64
    }
}

/// Reads an instance's number from its context.
///
/// # Safety
/// `context` is that of a living slot.
#[inline]
pub(crate) unsafe fn slot_of(context: u64) -> SlotId {
    // SAFETY: the caller's promise; the header lies there, aligned.
    SlotId(unsafe { (context.wrapping_add_signed(header::INSTANCE.into()) as *const u64).read() } as u32)
}

/// Serves a host call on the host's stack; returns a [`reason`], `RETURNED` to go on.
///
/// # Safety
/// Called by the `host_call` stub: `control.view` is the `H::View` that entered, stopped in `enter_callable`;
/// `context` is that of a slot of its arena; the slot keeps `served`; `values` lies in the caller's
/// frame with as many slots as the body says, which never changes and which linking checked.
unsafe extern "sysv64" fn serve<H: Host, B: Body<H>>(
    context: u64,
    served: *const Served<B>,
    values: *mut RawValue,
    control: *const Control,
) -> u32 {
    // SAFETY: the caller's promise.
    let body = unsafe { &(*served).body };
    let called = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise; `enter_callable` does not use the view until the stubs return, and the
        // guest is stopped, so nobody else uses its frame.
        let (view, slot, values) = unsafe {
            let view = &mut *(&*(*control).state()).view.cast::<H::View<'_>>();
            (view, slot_of(context), std::slice::from_raw_parts_mut(values, body.values()))
        };
        body.call(view, slot, values)
    }));
    match called {
        Ok(HostVerdict::Resume) => reason::RETURNED,
        // SAFETY: the control block outlives the call; nested entries have restored it.
        Ok(HostVerdict::Suspend) => unsafe {
            let count = body.values() as u32;
            let call = Parked::HostCall { values, count, served: served.cast(), context };
            (*(*control).state()).parked = Some(call);
            reason::SUSPENDED
        },
        // SAFETY: as above.
        verdict => unsafe { stop(&mut *(*control).state(), verdict, None) },
    }
}

/// How a body is called that has suspended its guest and is asked again.
type Again<H> = unsafe fn(*const (), &mut <H as Host>::View<'_>, SlotId, *mut RawValue) -> HostVerdict;

/// Calls a body.
///
/// # Safety
/// `served` is a [`Served`] with this body; `values` has as many slots as it says, and nobody else uses them.
unsafe fn again<H: Host, B: Body<H>>(
    served: *const (),
    view: &mut H::View<'_>,
    slot: SlotId,
    values: *mut RawValue,
) -> HostVerdict {
    // SAFETY: the caller's promise.
    let (body, values) = unsafe {
        let body = &(*served.cast::<Served<B>>()).body;
        (body, std::slice::from_raw_parts_mut(values, body.values()))
    };
    body.call(view, slot, values)
}

/// Asks the host function that a suspended guest waits in again, with its parameters as they were, between
/// [`Arena::resume_host_call`] and [`Arena::pause_host_call`]. If it says [`HostVerdict::Resume`], its results are in
/// place. Panics of the function are the caller's to catch.
///
/// # Panics
/// If no guest waits in a host function, or the arena's are for another kind of host.
#[inline]
pub fn ask_again<H: Host>(view: &mut H::View<'_>) -> HostVerdict {
    let arena = H::arena(view);
    assert!(arena.host_is::<H>() && arena.state().depth == 1, "a host call goes on where it began");
    let Some(Parked::HostCall { values, served, context, .. }) = arena.state().parked else {
        panic!("a call is suspended")
    };
    assert!(!served.is_null(), "it waits in a host function");
    // SAFETY: the guest that waits keeps its slot, and that its host functions, which `serve` was called with; a `Served`
    // of another body begins with the same two addresses. The second is an `Again` for this kind of host. The
    // values lie in the frame of the guest, which is stopped.
    unsafe {
        let again = std::mem::transmute::<*const (), Again<H>>((*served.cast::<Served<()>>()).again.0);
        again(served, view, slot_of(context), values)
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
        served => unsafe {
            let call = Parked::HostCall { values, count: count as u32, served: std::ptr::null(), context };
            stop(&mut *(*control).state(), served, Some(call))
        },
    }
}

/// A host call after which guest code does not simply go on. `call` is where it is parked, if it may be suspended here.
#[cold]
pub(crate) fn stop(state: &mut State, served: Result<HostVerdict, Payload>, call: Option<Parked>) -> u32 {
    match served {
        Ok(HostVerdict::Resume) => reason::RETURNED,
        Ok(HostVerdict::Suspend) => {
            state.parked = call;
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
            state.panic = Some(Box::new(payload));
            reason::HOST_PANICKED
        }
    }
}

impl State {
    /// Notes where guest code is that stands in a host call.
    pub(crate) fn stopped_in_host_call(&mut self) {
        if self.direct == 0 {
            self.stopped_at(self.guest_rsp);
        } else {
            // There is no thunk: the stub's frame stands for its frame, the import's slot for a place in it.
            (self.guest_rbp, self.pc) = (self.guest_rsp, 0);
        }
    }

    /// Notes where guest code is that a host call has suspended. Returns the import's slot if that was a direct call.
    pub(crate) fn stopped_while_suspended(&mut self) -> Option<u64> {
        let saved = self.guest_rsp + switch::SUSPENDED_BYTES;
        self.stopped_at(saved);
        // SAFETY: `direct::suspend` has left it there, above what the stub saved; the guest is stopped.
        (self.pc + 1 == switch::direct_proceed_address()).then(|| unsafe { (saved as *const u64).add(2).read() })
    }

    fn stopped_at(&mut self, saved: u64) {
        // SAFETY: `saved` is where the stub saved the caller's frame pointer, just below the return address; the
        // guest is stopped. The stub's own frame is not the guest's.
        let (frame, address) = unsafe { ((saved as *const u64).read(), (saved as *const u64).add(1).read()) };
        self.guest_rbp = frame;
        self.pc = address.wrapping_sub(1);
    }
}
