//! A few instructions on the real processor: registers in, registers out.

use std::arch::global_asm;
use std::mem::offset_of;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

/// The registers of a processor, and the six status flags among its flags.
#[derive(Clone, Debug)]
#[repr(C, align(16))]
pub(crate) struct Registers {
    pub(crate) general: [u64; 16],
    pub(crate) flags: u64,
    /// Not 0 if a division faulted.
    pub(crate) faulted: u64,
    pub(crate) vectors: [[u8; 16]; 16],
}

/// What the assembly keeps while the registers are the test's: registers, stack pointer, code, a scratch word.
static REGISTERS: AtomicUsize = AtomicUsize::new(0);
static STACK: AtomicUsize = AtomicUsize::new(0);
static CODE: AtomicUsize = AtomicUsize::new(0);
static SCRATCH: AtomicUsize = AtomicUsize::new(0);
/// The signal that came last.
static SIGNAL: AtomicI32 = AtomicI32::new(0);
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

global_asm!(
    "selvedge_test_run:",
    "push rbx",
    "push rbp",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "mov [rip + {registers}], rdi",
    "mov [rip + {stack}], rsp",
    "mov [rip + {code}], rsi",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movups xmm\\n, [rdi + {vectors} + 16 * \\n]",
    ".endr",
    "push qword ptr [rdi + {flags}]",
    "popfq",
    "mov rax, [rdi]",
    "mov rcx, [rdi + 8]",
    "mov rdx, [rdi + 16]",
    "mov rbx, [rdi + 24]",
    "mov rsp, [rdi + 32]",
    "mov rbp, [rdi + 40]",
    "mov rsi, [rdi + 48]",
    ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov r\\n, [rdi + 8 * \\n]",
    ".endr",
    "mov rdi, [rdi + 56]",
    "jmp [rip + {code}]",
    "selvedge_test_done:",
    "mov [rip + {scratch}], rdi",
    "mov rdi, [rip + {registers}]",
    "mov [rdi], rax",
    "mov [rdi + 8], rcx",
    "mov [rdi + 16], rdx",
    "mov [rdi + 24], rbx",
    "mov [rdi + 32], rsp",
    "mov [rdi + 40], rbp",
    "mov [rdi + 48], rsi",
    ".irp n, 8, 9, 10, 11, 12, 13, 14, 15",
    "mov [rdi + 8 * \\n], r\\n",
    ".endr",
    "mov rsp, [rip + {stack}]",
    "pushfq",
    "pop qword ptr [rdi + {flags}]",
    "mov rax, [rip + {scratch}]",
    "mov [rdi + 56], rax",
    ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "movups [rdi + {vectors} + 16 * \\n], xmm\\n",
    ".endr",
    "2:",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbp",
    "pop rbx",
    "ret",
    "selvedge_test_faulted:",
    "mov rdi, [rip + {registers}]",
    "mov rsp, [rip + {stack}]",
    "mov qword ptr [rdi + {faulted}], 1",
    "jmp 2b",
    registers = sym REGISTERS,
    stack = sym STACK,
    code = sym CODE,
    scratch = sym SCRATCH,
    flags = const offset_of!(Registers, flags),
    faulted = const offset_of!(Registers, faulted),
    vectors = const offset_of!(Registers, vectors),
);

unsafe extern "sysv64" {
    fn selvedge_test_run(registers: *mut Registers, code: usize);
    fn selvedge_test_done();
    fn selvedge_test_faulted();
}

/// A page of code.
pub(crate) struct Processor {
    page: *mut u8,
    _alone: MutexGuard<'static, ()>,
}

const PAGE: usize = 4096;

impl Processor {
    pub(crate) fn new() -> Processor {
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let all = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: a new anonymous mapping disturbs nothing.
        let page =
            unsafe { libc::mmap(std::ptr::null_mut(), PAGE, all, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        assert_ne!(page, libc::MAP_FAILED, "a page that may be executed");
        // SAFETY: all zero is a valid action, of which handler and flags are set; the handler touches nothing but the
        // interrupted registers.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = leave as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            for signal in [libc::SIGFPE, libc::SIGILL] {
                assert_eq!(libc::sigaction(signal, &action, std::ptr::null_mut()), 0);
            }
        }
        Processor { page: page.cast(), _alone: alone }
    }

    /// Runs code.
    ///
    /// # Panics
    /// If the processor does not know an instruction.
    ///
    /// # Safety
    /// It runs off its own end, leaves alone all memory but what lies around the stack pointer and may be written
    /// there, and 16 KiB below that is free.
    pub(crate) unsafe fn run(&self, code: &[u8], registers: &mut Registers) {
        let done = selvedge_test_done as *const () as usize;
        let leave = [&[0xff, 0x25, 0, 0, 0, 0][..], &done.to_le_bytes()].concat();
        assert!(code.len() + leave.len() <= PAGE);
        // SAFETY: it fits the page; the caller promises the rest.
        unsafe {
            std::ptr::copy_nonoverlapping(code.as_ptr(), self.page, code.len());
            std::ptr::copy_nonoverlapping(leave.as_ptr(), self.page.add(code.len()), leave.len());
            registers.faulted = 0;
            selvedge_test_run(registers, self.page as usize);
        }
        let known = registers.faulted == 0 || SIGNAL.load(Ordering::Relaxed) != libc::SIGILL;
        assert!(known, "the processor has no such instruction: {code:x?}");
        CODE.store(0, Ordering::Relaxed);
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        // SAFETY: it is ours, and nothing runs there.
        unsafe { libc::munmap(self.page.cast(), PAGE) };
    }
}

/// A division has faulted, or there is no such instruction: ends the code.
extern "C" fn leave(signal: libc::c_int, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    SIGNAL.store(signal, Ordering::Relaxed);
    // SAFETY: the kernel passes the interrupted registers.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    context.uc_mcontext.gregs[libc::REG_RIP as usize] = selvedge_test_faulted as *const () as i64;
}
