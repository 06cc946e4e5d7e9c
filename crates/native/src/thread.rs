//! What each thread that runs guest code has: a signal stack, room for a guest's registers, its number, the floor of
//! its stack.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::mem::MaybeUninit;

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};

use crate::control::Control;
use crate::error::NativeError;
use crate::registers::{self, Registers};
use crate::signals;

/// Size of a signal stack: the kernel's frame with AVX-512 state takes 3.5 KiB of it.
const SIGNAL_STACK_BYTES: usize = 64 << 10;
/// Signal stack and [`Thread::registers`].
const MAPPED_BYTES: usize = SIGNAL_STACK_BYTES + size_of::<Registers>();
/// Host stack that must be left to enter guest code: host functions run there.
const HOST_STACK_BYTES_MIN: usize = 128 << 10;

/// Read by signal handlers: constant initialiser, no destructor.
struct Thread {
    current: Cell<*const Control>,
    number: Cell<i32>,
    /// Stack pointers above leave host functions enough; none does before the thread is prepared.
    stack_least: Cell<usize>,
    /// Room for the registers of guest code that is preempted, behind the signal stack; null before and after it.
    registers: Cell<*mut Registers>,
}

thread_local! {
    static THREAD: Thread = const {
        Thread {
            current: Cell::new(std::ptr::null()),
            number: Cell::new(0),
            stack_least: Cell::new(usize::MAX),
            registers: Cell::new(std::ptr::null_mut()),
        }
    };
    static SIGNAL_STACK: RefCell<Option<SignalStack>> = const { RefCell::new(None) };
}

/// The control block of the guest code that this thread runs; null if none. Async-signal-safe.
#[inline]
pub(crate) fn current() -> *const Control {
    THREAD.with(|thread| thread.current.get())
}

/// What this thread has: found once, and not passed on to another.
#[derive(Clone, Copy)]
pub(crate) struct Here(*const Thread);

impl Here {
    #[inline]
    fn find() -> Here {
        // Unlike `with`, `try_with` is inlined into other crates.
        Here(THREAD.try_with(std::ptr::from_ref).expect("it has no destructor"))
    }

    #[inline]
    fn thread(&self) -> &Thread {
        // SAFETY: a thread's own value has no destructor and lives as long as the thread, which this does not leave:
        // a pointer is not `Send`.
        unsafe { &*self.0 }
    }

    /// Sets the control block of the guest code that this thread runs; returns what it was.
    #[inline]
    pub(crate) fn set_current(self, control: *const Control) -> *const Control {
        self.thread().current.replace(control)
    }

    /// This thread's number.
    #[inline]
    pub(crate) fn number(self) -> i32 {
        self.thread().number.get()
    }
}

/// This thread, if it is prepared to run guest code and its own stack has room for another level of host functions.
#[inline]
pub(crate) fn ready() -> Option<Here> {
    let (mark, here) = (0u8, Here::find());
    (std::ptr::from_ref(&mark) as usize > here.thread().stack_least.get()).then_some(here)
}

/// Makes this thread ready, if that was not done yet.
///
/// # Errors
/// `None` if there is no room on its stack.
#[cold]
pub(crate) fn make_ready() -> Result<Here, Option<NativeError>> {
    if Here::find().number() == 0 {
        prepare().map_err(Some)?;
    }
    ready().ok_or(None)
}

/// Prepares this thread to run guest code.
fn prepare() -> Result<(), NativeError> {
    signals::install()?;
    registers::prepare();
    let stack = SignalStack::new()?;
    SIGNAL_STACK.with(|slot| *slot.borrow_mut() = Some(stack));
    // SAFETY: gettid has no preconditions.
    let number = unsafe { libc::gettid() };
    THREAD.with(|thread| {
        thread.stack_least.set(stack_floor() + HOST_STACK_BYTES_MIN);
        thread.number.set(number);
    });
    Ok(())
}

/// Copies a guest's registers from the kernel's frame to this thread's room for them, if it has some.
/// Async-signal-safe.
///
/// # Safety
/// As for [`Registers::save`], on a thread that is ready to run guest code.
pub(crate) unsafe fn save_registers(context: &libc::ucontext_t) -> bool {
    let room = THREAD.with(|thread| thread.registers.get());
    // SAFETY: the room lies in this thread's own mapping, as long as it is not null; zero bytes are such a value,
    // and nobody else uses it. The rest is the caller's promise.
    unsafe { room.as_mut().map(|room| room.save(context)).is_some() }
}

/// The registers that the signal handler has saved last on this thread.
///
/// # Panics
/// If it has saved none.
pub(crate) fn saved_registers() -> Box<Registers> {
    let room = THREAD.with(|thread| thread.registers.get());
    // SAFETY: as in `save_registers`; the handler uses it only while guest code runs on this thread.
    unsafe { room.as_ref() }.expect("a thread that was preempted has saved registers").boxed()
}

/// The lowest address of this thread's stack, or 0 where the system does not tell.
fn stack_floor() -> usize {
    let mut attributes = MaybeUninit::<libc::pthread_attr_t>::uninit();
    // SAFETY: `attributes` is initialised by a successful pthread_getattr_np, read only then, and destroyed.
    unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return 0;
        }
        let (mut low, mut bytes) = (std::ptr::null_mut(), 0);
        let got = libc::pthread_attr_getstack(attributes.as_ptr(), &mut low, &mut bytes);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        if got == 0 { low as usize } else { 0 }
    }
}

/// A signal stack, in use while the thread lives.
struct SignalStack {
    base: *mut c_void,
}

impl SignalStack {
    fn new() -> Result<SignalStack, NativeError> {
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new anonymous mapping at an address the kernel chooses replaces nothing.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), MAPPED_BYTES, prot, flags) };
        let bytes = MAPPED_BYTES as u64;
        let base = base.map_err(|source| NativeError::Memory { what: "map a signal stack", bytes, source })?;
        let stack = libc::stack_t { ss_sp: base, ss_flags: 0, ss_size: SIGNAL_STACK_BYTES };
        // SAFETY: `stack` describes memory that is ours until drop, which first takes it out of use.
        unsafe {
            if libc::sigaltstack(&stack, std::ptr::null_mut()) != 0 {
                let _ = munmap(base, MAPPED_BYTES);
                return Err(NativeError::Signals(rustix::io::Errno::INVAL));
            }
        }
        let registers = base.cast::<u8>().wrapping_add(SIGNAL_STACK_BYTES).cast();
        THREAD.with(|thread| thread.registers.set(registers));
        Ok(SignalStack { base })
    }
}

impl Drop for SignalStack {
    /// Signals may still come to a thread that ends. What was there before is not put back: whose it was may have
    /// unmapped it by now, as the standard library does.
    fn drop(&mut self) {
        THREAD.with(|thread| thread.registers.set(std::ptr::null_mut()));
        let none = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: libc::SS_DISABLE, ss_size: 0 };
        // SAFETY: the thread runs no handler on this stack; once no stack is in use, or another's already is, nothing
        // refers to the mapping.
        unsafe {
            if current_stack().is_some_and(|stack| stack.ss_sp == self.base) {
                libc::sigaltstack(&none, std::ptr::null_mut());
            }
            let _ = munmap(self.base, MAPPED_BYTES);
        }
    }
}

/// The signal stack that this thread uses, as the kernel knows it.
fn current_stack() -> Option<libc::stack_t> {
    let mut current = MaybeUninit::<libc::stack_t>::uninit();
    // SAFETY: nothing is changed; `current` is written on success, and read only then.
    unsafe { (libc::sigaltstack(std::ptr::null(), current.as_mut_ptr()) == 0).then(|| current.assume_init()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Asks, when its thread ends, for the signal stack.
    struct Last(std::sync::mpsc::Sender<i32>);

    impl Drop for Last {
        fn drop(&mut self) {
            self.0.send(current_stack().unwrap().ss_flags).unwrap();
        }
    }

    // The standard library gives its signal stack back before a thread's values are dropped; ours used to put that
    // one in use again, and a late interruption found no stack.
    #[test]
    fn a_thread_that_ends_has_no_signal_stack() {
        thread_local!(static LAST: RefCell<Option<Last>> = const { RefCell::new(None) });
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            // Made before the signal stack, and so dropped after it.
            LAST.with(|last| *last.borrow_mut() = Some(Last(sender)));
            prepare().unwrap();
            assert_eq!(current_stack().unwrap().ss_size, SIGNAL_STACK_BYTES);
        });
        assert_eq!(receiver.recv().unwrap(), libc::SS_DISABLE);
        thread.join().unwrap();
    }
}
