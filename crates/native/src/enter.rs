//! Running guest code, and what comes of it.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use selvedge_contract::artifact::TextFunction;
use selvedge_contract::trap::TrapCode;
use selvedge_contract::vmctx::header;

use crate::RawValue;
use crate::arena::{Arena, SlotId};
use crate::code::value_count;
use crate::control::{Control, reason};
use crate::error::NativeError;
use crate::{switch, thread};

/// Most return addresses collected for a backtrace.
const FRAMES_MAX: usize = 128;
/// Most entries on one guest stack: guest to host to guest and so on.
const DEPTH_MAX: u32 = 1000;

/// Whoever runs guest code: the owner of an arena, who serves its host calls.
pub trait Host {
    /// The arena.
    fn arena(&mut self) -> &mut Arena;

    /// Serves a host call of an instance: `index` as in [`selvedge_contract::abi`], `values` the parameters,
    /// to be overwritten with the results. `values` is empty for an index that the contract does not have.
    /// Panics are caught and end the call.
    fn host_call(&mut self, slot: SlotId, index: u32, values: &mut [RawValue]) -> HostVerdict;
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
}

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

/// How a call ended.
#[derive(Debug)]
pub enum Exit {
    /// It returned; the results are in the values.
    Returned,
    /// It trapped.
    Trapped(Trap),
    /// A host function abandoned it.
    HostLeft {
        /// Return addresses, innermost first.
        frames: Vec<u64>,
    },
    /// A host function panicked, with this payload.
    HostPanicked(Box<dyn Any + Send>),
    /// It was interrupted.
    Interrupted {
        /// Where; 0 if nothing had run yet.
        pc: u64,
        /// Return addresses, innermost first.
        frames: Vec<u64>,
    },
}

/// A function ready to be entered: found once, called often.
#[derive(Clone, Copy, Debug)]
pub struct Callable {
    arena: u64,
    entry: u64,
    code: u64,
    context: u64,
    values: usize,
}

impl Arena {
    /// Finds a function of an instance. `None` if it has no such function or it cannot be called.
    pub fn callable(&self, slot: SlotId, function: TextFunction) -> Option<Callable> {
        let slot = self.slot(slot);
        let code = slot.code();
        if !matches!(function, TextFunction::Defined(_) | TextFunction::ImportThunk(_)) {
            return None;
        }
        let record = code.record(function)?;
        let values = value_count(code.index().contract.types.get(record.ty as usize)?);
        let entry = code.address(TextFunction::Entry(record.ty))?;
        Some(Callable { arena: self.id(), entry, code: code.address(function)?, context: slot.context(), values })
    }
}

/// Calls a function of an instance: [`Arena::callable`] and [`enter_callable`] in one.
///
/// # Panics
/// If there is no such function, or `values` is shorter than its type needs.
pub fn enter<H: Host>(host: &mut H, slot: SlotId, function: TextFunction, values: &mut [RawValue]) -> Exit {
    let callable = host.arena().callable(slot, function).expect("the function exists and can be called");
    enter_callable(host, &callable, values)
}

/// Calls a function with its parameters in `values`, where its results will be. Host calls on the way may
/// enter again.
///
/// # Panics
/// If `callable` is of another arena, or `values` is shorter than its type needs.
#[inline]
pub fn enter_callable<H: Host>(host: &mut H, callable: &Callable, values: &mut [RawValue]) -> Exit {
    let arena = host.arena();
    assert!(arena.id() == callable.arena, "a callable is entered in its own arena");
    assert!(values.len() >= callable.values, "every parameter and result has its slot");
    let control = arena.control();
    let number = match thread::number() {
        0 => match thread::prepare() {
            Ok(number) => number,
            Err(error) => return unprepared(&error),
        },
        number => number,
    };
    // SAFETY: the control block lives as long as the arena, which `host` owns and keeps while it is borrowed.
    // Others reach it only through contexts and the thread's current pointer, from this same thread.
    let block = unsafe { &mut *control };
    if block.depth >= DEPTH_MAX || !thread::has_host_stack() {
        return exhausted();
    }
    let saved = Saved::begin(block, number, dispatch::<H> as *const () as u64, std::ptr::from_mut(host).cast());
    if block.interrupt().requested() {
        return interrupted(block, &saved);
    }
    // SAFETY: `callable` came from this arena, whose slots and code still live; its entry trampoline was chosen
    // by the function's own type, for which `values` is long enough; the control block was just prepared, with
    // `dispatch::<H>` for this `host`, which nothing else touches until the call is over.
    let why = unsafe {
        let Callable { entry, code, context, .. } = *callable;
        switch::enter(control.cast(), saved.stack_top, entry, context, code, values.as_mut_ptr())
    };
    // SAFETY: as above; host calls have given up their own references to it.
    let block = unsafe { &mut *control };
    if why == reason::RETURNED {
        saved.end(block);
        return Exit::Returned;
    }
    let left = Left::new(block, &saved, why);
    saved.end(block);
    left.exit(host.arena())
}

#[cold]
fn unprepared(error: &NativeError) -> Exit {
    Exit::HostPanicked(Box::new(format!("this thread cannot run guest code: {error}")))
}

#[cold]
fn exhausted() -> Exit {
    Exit::Trapped(Trap { code: TrapCode::StackOverflow, pc: 0, frames: Vec::new() })
}

#[cold]
fn interrupted(block: &mut Control, saved: &Saved) -> Exit {
    block.interrupt().take();
    saved.end(block);
    Exit::Interrupted { pc: 0, frames: Vec::new() }
}

/// What a nested entry overwrites in the control block.
struct Saved {
    host_rsp: u64,
    guest_rsp: u64,
    guest_rbp: u64,
    dispatch: u64,
    host: *mut (),
    current: *mut Control,
    /// Where the entry's guest stack begins.
    stack_top: u64,
}

impl Saved {
    /// Sets up the control block for an entry.
    #[inline]
    fn begin(block: &mut Control, number: i32, dispatch: u64, host: *mut ()) -> Saved {
        let saved = Saved {
            host_rsp: block.host_rsp,
            guest_rsp: block.guest_rsp,
            guest_rbp: block.guest_rbp,
            dispatch: block.dispatch,
            host: block.host,
            current: thread::set_current(block),
            stack_top: if block.depth == 0 { block.stack().end } else { block.guest_rsp & !15 },
        };
        block.depth += 1;
        block.dispatch = dispatch;
        block.host = host;
        block.interrupt().set_thread(number);
        saved
    }

    /// Puts the control block back.
    #[inline]
    fn end(&self, block: &mut Control) {
        block.depth -= 1;
        if block.depth == 0 {
            block.interrupt().set_thread(0);
        } else {
            block.host_rsp = self.host_rsp;
            block.guest_rsp = self.guest_rsp;
            block.guest_rbp = self.guest_rbp;
            block.dispatch = self.dispatch;
            block.host = self.host;
        }
        thread::set_current(self.current);
    }
}

/// A call that did not return.
struct Left {
    why: u32,
    pc: u64,
    trap_code: u32,
    frames: Vec<u64>,
    panic: Option<Box<dyn Any + Send>>,
}

impl Left {
    #[cold]
    fn new(block: &mut Control, saved: &Saved, why: u32) -> Left {
        if why == reason::INTERRUPTED {
            block.interrupt().take();
        }
        let frames = frames(block, saved.stack_top);
        Left { why, pc: block.pc, trap_code: block.trap_code, frames, panic: block.panic.take() }
    }

    #[cold]
    fn exit(self, arena: &Arena) -> Exit {
        let Left { why, pc, mut frames, .. } = self;
        let trap = |code: Option<TrapCode>, frames| {
            let code = code.unwrap_or_else(|| bug("guest code trapped for an unknown reason", pc));
            Exit::Trapped(Trap { code, pc, frames })
        };
        match why {
            reason::RAISED => trap(u8::try_from(self.trap_code).ok().and_then(TrapCode::from_byte), frames),
            reason::FAULT => trap(arena.trap_at(pc), frames),
            reason::INTERRUPTED => Exit::Interrupted { pc, frames },
            reason::HOST_PANICKED => Exit::HostPanicked(self.panic.unwrap_or_else(|| Box::new("unknown"))),
            reason::HOST_LEFT => {
                frames.insert(0, pc + 1);
                Exit::HostLeft { frames }
            }
            _ => bug("guest code was left for an unknown reason", pc),
        }
    }
}

/// Our own bug, or a broken artifact's: going on would run on broken ground.
fn bug(what: &str, pc: u64) -> ! {
    eprintln!("selvedge: {what} (pc {pc:#x}); this is a bug in the host, the process ends");
    std::process::abort();
}

/// Return addresses of the guest frames of one entry, innermost first.
fn frames(block: &Control, stack_top: u64) -> Vec<u64> {
    let stack = block.stack().start..stack_top;
    let mut frames = Vec::new();
    let mut frame = block.guest_rbp;
    while frames.len() < FRAMES_MAX && frame.is_multiple_of(8) && stack.contains(&frame) && frame + 16 <= stack.end {
        // SAFETY: the frame lies within the arena's mapped stack, aligned; guest code is stopped.
        let (next, address) = unsafe { ((frame as *const u64).read(), (frame as *const u64).add(1).read()) };
        if next == 0 || !crate::region::contains(address) {
            break;
        }
        frames.push(address);
        if next <= frame {
            break;
        }
        frame = next;
    }
    frames
}

/// Serves a host call on the host's stack; returns a [`reason`], `RETURNED` to go on.
///
/// # Safety
/// Called by the `host_call` stub: `control.host` is the `H` that entered, stopped in `enter_callable`; `context`
/// is that of a slot of its arena; `values` lies in the caller's frame with as many slots as the call needs.
unsafe extern "sysv64" fn dispatch<H: Host>(
    context: u64,
    index: u32,
    values: *mut RawValue,
    control: *mut Control,
) -> u32 {
    let served = catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's promise; `enter_callable` does not use `host` until the stubs return.
        let (host, slot) = unsafe {
            let instance = (context.wrapping_add_signed(header::INSTANCE.into()) as *const u64).read();
            (&mut *(*control).host.cast::<H>(), SlotId(instance as u32))
        };
        let count = host.arena().code(slot).host_call_values(index);
        // SAFETY: the caller's promise; the guest is stopped, so nobody else uses its frame.
        let values = unsafe { std::slice::from_raw_parts_mut(values, count) };
        host.host_call(slot, index, values)
    }));
    // SAFETY: the control block outlives the call; nested entries have restored it.
    let block = unsafe { &mut *control };
    match served {
        Ok(HostVerdict::Resume) if !block.interrupt().requested() => reason::RETURNED,
        Ok(verdict) => stop(block, verdict),
        Err(payload) => {
            block.panic = Some(payload);
            reason::HOST_PANICKED
        }
    }
}

/// A host call after which guest code does not go on.
#[cold]
fn stop(block: &mut Control, verdict: HostVerdict) -> u32 {
    // SAFETY: `guest_rsp` is where the stub saved the caller's frame pointer, just below the return address.
    let address = unsafe { (block.guest_rsp as *const u64).add(1).read() };
    block.pc = address.wrapping_sub(1);
    // The stub's own frame is not the guest's.
    // SAFETY: as above.
    block.guest_rbp = unsafe { (block.guest_rsp as *const u64).read() };
    match verdict {
        HostVerdict::Resume => reason::INTERRUPTED,
        HostVerdict::Leave => reason::HOST_LEFT,
        HostVerdict::Trap(code) => {
            block.trap_code = code as u32;
            reason::RAISED
        }
    }
}
