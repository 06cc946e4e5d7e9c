//! One handler for processor exceptions, one for interruptions, one for what needs none.
//!
//! Both look at the program counter first. Guest code is left by letting the interrupted context continue at
//! `leave` on the host's stack; nothing is unwound, and returning from the handler restores the signal mask.
//! An exception anywhere else, or at an address that is not the guest's, is our own bug or the host's: it goes
//! to whoever handled it before, or ends the process.

use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::sync::OnceLock;

use rustix::io::Errno;

use crate::control::{Control, reason};
use crate::error::NativeError;
use crate::interrupt::Request;
use crate::switch::Armed;
use crate::{barrier, pool, region, switch, thread};

/// Exceptions that guest code may cause; the last by metered code, which may go on behind it.
const FAULTS: [c_int; 5] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP];
/// Ignored by default, so that a late one is harmless.
const INTERRUPT: c_int = libc::SIGURG;

/// What the kernel sends to the process, beside an error, for what a guest does to files: writing beyond the
/// process's limit, or to a pipe nobody reads. By default they end the process.
const CONSEQUENCES: [c_int; 2] = [libc::SIGXFSZ, libc::SIGPIPE];

/// Who handled [`FAULTS`] before us, in order.
static PREVIOUS: OnceLock<Result<[libc::sigaction; FAULTS.len()], Errno>> = OnceLock::new();

/// Installs the handlers, once per process.
pub(crate) fn install() -> Result<(), NativeError> {
    PREVIOUS.get_or_init(install_all).as_ref().map(drop).map_err(|e| NativeError::Signals(*e))
}

fn install_all() -> Result<[libc::sigaction; FAULTS.len()], Errno> {
    barrier::register();
    let mut previous = [set_handler(INTERRUPT, on_interrupt, libc::SA_RESTART)?; FAULTS.len()];
    for (slot, signal) in previous.iter_mut().zip(FAULTS) {
        *slot = set_handler(signal, on_fault, libc::SA_NODEFER)?;
    }
    for signal in CONSEQUENCES.into_iter().filter(|signal| is_default(*signal)) {
        // A handler, unlike ignoring, is not passed on to programs that the embedder starts.
        set_handler(signal, on_consequence, libc::SA_RESTART)?;
    }
    Ok(previous)
}

/// Whether nobody has said what is to be done about a signal.
fn is_default(signal: c_int) -> bool {
    let mut current = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: nothing is changed; `current` is written on success, and read only then.
    unsafe {
        libc::sigaction(signal, std::ptr::null(), current.as_mut_ptr()) == 0
            && current.assume_init().sa_sigaction == libc::SIG_DFL
    }
}

type Handler = extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void);

fn set_handler(signal: c_int, handler: Handler, flags: c_int) -> Result<libc::sigaction, Errno> {
    let mut previous = MaybeUninit::<libc::sigaction>::uninit();
    // SAFETY: the action is fully set up; the handler keeps to what is allowed in one. `previous` is written on
    // success.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = handler as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK | flags;
        libc::sigemptyset(&mut action.sa_mask);
        // An interruption waits until a fault is dealt with: it looks at where guest code is.
        libc::sigaddset(&mut action.sa_mask, INTERRUPT);
        if libc::sigaction(signal, &action, previous.as_mut_ptr()) != 0 {
            return Err(Errno::INVAL);
        }
        Ok(previous.assume_init())
    }
}

/// Sends the interruption signal to a thread of this process. If it has ended meanwhile, nothing happens; if
/// its number names another by now, that one finds no request of its own.
pub(crate) fn send_interrupt(thread: i32) {
    // SAFETY: tgkill has no preconditions.
    unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, INTERRUPT) };
}

extern "C" fn on_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes valid pointers for an SA_SIGINFO handler; the control block of guest code that
    // this thread is inside of is alive, and its fields are ours to use while the guest is stopped here.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let pc = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
        let access = signal == libc::SIGSEGV || signal == libc::SIGBUS;
        let address = (*info).si_addr() as u64;
        // Markers raise SIGSEGV alone; SIGBUS (a file that lost its end) would come again and again.
        if signal == libc::SIGSEGV && pool::open_page(address) {
            return;
        }
        let control = thread::current();
        if control.is_null() || !region::contains(pc) {
            return pass_on(signal, info, context);
        }
        if access && !(*(*control).state()).owns(address) {
            die(b"selvedge: guest code touched memory outside its slot; this is a bug in the host\n");
        }
        if signal != libc::SIGTRAP {
            return leave(context, control, reason::FAULT);
        }
        if (&*(*control).state()).heeds & Request::AT_METER != 0 {
            thread::save_registers(context);
        }
        leave(context, control, reason::EXHAUSTED);
    }
}

/// The system call that caused it answers with an error; that is enough.
extern "C" fn on_consequence(_: c_int, _: *mut libc::siginfo_t, _: *mut c_void) {}

extern "C" fn on_interrupt(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: as in `on_fault`.
    unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        let pc = context.uc_mcontext.gregs[libc::REG_RIP as usize] as u64;
        let control = thread::current();
        if control.is_null() {
            return;
        }
        let asked = (*control).signal().asked();
        let place = if region::contains(pc) { None } else { Some(switch::armed(pc)) };
        // Anywhere else the request is found on the way to guest code.
        if asked & Request::ANY == 0 || place == Some(None) || asked & (&*(*control).state()).heeds == 0 {
            return;
        }
        match place.flatten() {
            Some(Armed::Before) => leave(context, control, reason::STOPPED_BEFORE),
            Some(Armed::AfterCall) => go_to(context, control, switch::stop_after_call_address()),
            Some(Armed::AfterDirectCall) => go_to(context, control, switch::stop_after_direct_call_address()),
            None if asked & Request::END != 0 => leave(context, control, reason::INTERRUPTED),
            None if thread::save_registers(context) => leave(context, control, reason::PREEMPTED),
            None => {}
        }
    }
}

/// Lets the interrupted context continue in the stubs, with the control block in `rcx`.
fn go_to(context: &mut libc::ucontext_t, control: *const Control, stub: u64) {
    let registers = &mut context.uc_mcontext.gregs;
    registers[libc::REG_RCX as usize] = control as i64;
    registers[libc::REG_RIP as usize] = stub as i64;
}

/// Lets the interrupted context continue in the host.
///
/// # Safety
/// `context` was interrupted in guest code, or in the stubs where they may be left, under `control`.
unsafe fn leave(context: &mut libc::ucontext_t, control: *const Control, why: u32) {
    let registers = &mut context.uc_mcontext.gregs;
    // SAFETY: the caller's promise; the guest is stopped, so the block is ours.
    unsafe {
        let state = &mut *(*control).state();
        state.pc = registers[libc::REG_RIP as usize] as u64;
        state.guest_rbp = registers[libc::REG_RBP as usize] as u64;
        registers[libc::REG_RSP as usize] = state.host_rsp as i64;
    }
    registers[libc::REG_RAX as usize] = i64::from(why);
    registers[libc::REG_RIP as usize] = switch::leave_address() as i64;
}

/// Hands a signal that is not ours to the handler before us.
///
/// # Safety
/// Called from a signal handler with its own arguments.
unsafe fn pass_on(signal: c_int, info: *mut libc::siginfo_t, context: &mut libc::ucontext_t) {
    let previous = PREVIOUS.get().and_then(|p| p.as_ref().ok());
    let at = FAULTS.iter().position(|s| *s == signal);
    let Some(action) = previous.zip(at).map(|(previous, at)| previous[at]) else {
        die(b"selvedge: exception outside guest code\n");
    };
    // SAFETY: `action` is what the kernel reported for this signal, so its handler has the type its flags say.
    // Without a handler the default comes back, and the instruction faults again under it.
    unsafe {
        match action.sa_sigaction {
            libc::SIG_DFL | libc::SIG_IGN => {
                libc::sigaction(signal, &action, std::ptr::null_mut());
                if signal == libc::SIGTRAP {
                    // A breakpoint is not executed again.
                    libc::raise(signal);
                }
            }
            handler if action.sa_flags & libc::SA_SIGINFO != 0 => {
                let handler: Handler = std::mem::transmute(handler);
                handler(signal, info, std::ptr::from_mut(context).cast());
            }
            handler => {
                let handler: extern "C" fn(c_int) = std::mem::transmute(handler);
                handler(signal);
            }
        }
    }
}

/// Ends the process with a message. Async-signal-safe.
fn die(message: &[u8]) -> ! {
    // SAFETY: write and abort are async-signal-safe; the message is valid.
    unsafe {
        libc::write(libc::STDERR_FILENO, message.as_ptr().cast(), message.len());
        libc::abort();
    }
}
