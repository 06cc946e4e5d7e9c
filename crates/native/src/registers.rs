//! All registers of guest code that was stopped at any instruction.
//!
//! The kernel has saved them before the signal handler runs; the handler copies them from the signal frame to a
//! buffer of its thread, and whoever leaves guest code moves them on into a box. So nothing is saved on the guest's
//! stack, which may have no room, and guest code that is never preempted has no place for it.
//!
//! Saved are the general registers, flags, and the components of the vector state that guest code may use: x87,
//! SSE, AVX, AVX-512. Protection keys stay those of the thread; tiles are never used. What says how to calculate
//! (rounding, exceptions) also is the thread's: guest code cannot change it, and a host may.

use std::arch::asm;
use std::arch::x86_64::{__cpuid, __cpuid_count, _xgetbv};
use std::mem::offset_of;
use std::sync::OnceLock;

/// x87, SSE, AVX, and the three of AVX-512.
const COMPONENTS: u64 = 0b1110_0111;
/// Vector state of the largest processors, in the kernel's (the standard) form.
const VECTOR_BYTES_MAX: usize = 4096;
/// The part that `fxsave` knows, and the header after it.
const LEGACY_BYTES: usize = 512;
const HEADER_BYTES: usize = 64;
/// Where `fxsave` keeps how x87 calculates, and SSE.
const X87_CONTROL: usize = 0;
const SSE_CONTROL: usize = 24;
/// The upper half of `mxcsr` and its lowest six bits are not control.
const SSE_CONTROL_BITS: u32 = 0xffc0;

/// The kernel's description of what it has saved, in bytes that `fxsave` leaves free.
#[repr(C)]
struct Saved {
    magic: u32,
    bytes: u32,
    components: u64,
}

const SAVED: usize = 464;
const SAVED_MAGIC: u32 = 0x4650_5853;

/// Guest code's registers. [`crate::switch::restore`] reads them by offset.
#[repr(C, align(64))]
#[derive(Debug)]
pub(crate) struct Registers {
    vector: [u8; VECTOR_BYTES_MAX],
    /// By the processor's numbers.
    pub(crate) general: [u64; 16],
    pub(crate) pc: u64,
    pub(crate) flags: u64,
    /// Components of the vector state to be loaded; 0 if there is only what `fxsave` knows.
    pub(crate) components: u32,
}

const _: () = assert!(offset_of!(Registers, vector) == 0);

/// The kernel's names for the general registers, by the processor's numbers.
const GENERAL: [libc::c_int; 16] = [
    libc::REG_RAX,
    libc::REG_RCX,
    libc::REG_RDX,
    libc::REG_RBX,
    libc::REG_RSP,
    libc::REG_RBP,
    libc::REG_RSI,
    libc::REG_RDI,
    libc::REG_R8,
    libc::REG_R9,
    libc::REG_R10,
    libc::REG_R11,
    libc::REG_R12,
    libc::REG_R13,
    libc::REG_R14,
    libc::REG_R15,
];

/// How much vector state this machine has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Vectors {
    components: u32,
    bytes: usize,
}

/// Asked once: virtual machines take long to answer.
static VECTORS: OnceLock<Vectors> = OnceLock::new();

/// A machine that has less than this one.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LesserMachine {
    /// It has no `xsave`.
    WithoutXsave,
    /// It has `xsave`, and SSE alone.
    WithoutAvx,
    /// It has AVX, and not AVX-512.
    WithoutAvx512,
}

/// For tests, before anything runs: guest code that is stopped keeps what it would on such a machine, and no more. Says
/// whether it came in time.
#[doc(hidden)]
pub fn pretend(machine: LesserMachine) -> bool {
    let vectors = match machine {
        LesserMachine::WithoutXsave => Vectors::LEGACY,
        LesserMachine::WithoutAvx => vectors(0b011),
        LesserMachine::WithoutAvx512 => vectors(0b111),
    };
    VECTORS.set(vectors).is_ok()
}

impl Vectors {
    /// What `fxsave` knows.
    const LEGACY: Vectors = Vectors { components: 0, bytes: LEGACY_BYTES };
}

/// Prepares [`Registers::save`], for the whole process.
pub(crate) fn prepare() {
    VECTORS.get_or_init(|| vectors(COMPONENTS));
}

/// What preempted guest code would lose on a machine whose vector state has no room here; `false` on none known.
#[inline]
pub(crate) fn fit() -> bool {
    VECTORS.get().is_some_and(|vectors| vectors.bytes <= VECTOR_BYTES_MAX)
}

/// What this machine has of some components.
fn vectors(components: u64) -> Vectors {
    const OSXSAVE: u32 = 1 << 27;
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return Vectors::LEGACY;
    }
    // SAFETY: the processor has just said that there is such an instruction.
    let components = unsafe { enabled() } & components;
    let end = |component: u32| {
        let answer = __cpuid_count(0xd, component);
        (answer.ebx + answer.eax) as usize
    };
    let extended = (2..63).filter(|component| components >> component & 1 != 0).map(end);
    let bytes = extended.max().unwrap_or(0).max(LEGACY_BYTES + HEADER_BYTES);
    Vectors { components: components as u32, bytes }
}

#[target_feature(enable = "xsave")]
fn enabled() -> u64 {
    // SAFETY: register 0 is there wherever the instruction is.
    unsafe { _xgetbv(0) }
}

impl Registers {
    /// Copies what the kernel has saved. Async-signal-safe.
    ///
    /// # Safety
    /// `context` is the kernel's, given to a signal handler that still runs; [`prepare`] was called, and [`fit`].
    pub(crate) unsafe fn save(&mut self, context: &libc::ucontext_t) {
        let machine = &context.uc_mcontext;
        for (register, name) in self.general.iter_mut().zip(GENERAL) {
            *register = machine.gregs[name as usize] as u64;
        }
        self.pc = machine.gregs[libc::REG_RIP as usize] as u64;
        self.flags = machine.gregs[libc::REG_EFL as usize] as u64;
        let Some(vectors) = VECTORS.get() else { return };
        let frame = machine.fpregs.cast::<u8>();
        // SAFETY: the caller's promise: the kernel has put so much there, which it describes in the frame itself.
        unsafe {
            let saved = frame.add(SAVED).cast::<Saved>().read_unaligned();
            let extended = saved.magic == SAVED_MAGIC;
            self.components = if extended { vectors.components & saved.components as u32 } else { 0 };
            let bytes =
                if extended { vectors.bytes.min(saved.bytes as usize).min(VECTOR_BYTES_MAX) } else { LEGACY_BYTES };
            frame.copy_to_nonoverlapping(self.vector.as_mut_ptr(), bytes);
        }
        if self.components != 0 {
            self.only_known_components();
        }
    }

    /// What is not loaded is not described either; what comes after the description has to be zero.
    fn only_known_components(&mut self) {
        let (present, rest) = self.vector[LEGACY_BYTES..LEGACY_BYTES + HEADER_BYTES].split_at_mut(8);
        let components = u64::from(self.components).to_le_bytes();
        present.iter_mut().zip(components).for_each(|(byte, mask)| *byte &= mask);
        rest.fill(0);
    }

    /// The frame pointer.
    pub(crate) fn frame(&self) -> u64 {
        self.general[5]
    }

    /// A copy, for as long as guest code is stopped.
    pub(crate) fn boxed(&self) -> Box<Registers> {
        let mut copy = Box::<Registers>::new_uninit();
        // SAFETY: plain bytes are copied between two of the same type, which do not overlap.
        unsafe {
            std::ptr::from_ref(self).copy_to_nonoverlapping(copy.as_mut_ptr(), 1);
            copy.assume_init()
        }
    }

    /// Lets guest code calculate as this thread does.
    pub(crate) fn adopt_control(&mut self) {
        let (x87, sse) = control_of_this_thread();
        self.vector[X87_CONTROL..X87_CONTROL + 2].copy_from_slice(&x87.to_le_bytes());
        let at = &mut self.vector[SSE_CONTROL..SSE_CONTROL + 4];
        at.copy_from_slice(&sse.to_le_bytes());
    }
}

/// How this thread calculates: x87, and SSE.
fn control_of_this_thread() -> (u16, u32) {
    let (mut x87, mut sse) = (0u16, 0u32);
    // SAFETY: both only store to the variables.
    unsafe {
        asm!("fnstcw word ptr [{}]", "stmxcsr dword ptr [{}]", in(reg) &mut x87, in(reg) &mut sse,
             options(nostack, preserves_flags));
    }
    (x87, sse & SSE_CONTROL_BITS)
}

#[cfg(test)]
mod tests {
    //! Every register is given a value of its own, saved by a signal handler, lost, and loaded again.

    use std::arch::global_asm;
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64, Ordering};

    use super::*;
    use crate::control::{self, Control};
    use crate::switch;

    /// What this machine has: 0 for SSE alone, 1 with AVX, 2 with AVX-512.
    static LEVEL: AtomicU32 = AtomicU32::new(0);
    static CONTROL: AtomicPtr<Control> = AtomicPtr::new(std::ptr::null_mut());
    static SAVED: AtomicPtr<Registers> = AtomicPtr::new(std::ptr::null_mut());
    /// What is found after the jump.
    static FOUND: [[AtomicU64; 8]; 32] = [const { [const { AtomicU64::new(0) }; 8] }; 32];
    static GENERAL: [AtomicU64; 16] = [const { AtomicU64::new(0) }; 16];
    static FLAGS: AtomicU64 = AtomicU64::new(0);

    global_asm!(
        ".text",
        // (values: rdi, level: esi): loads them, and stops there.
        ".hidden selvedge_test_fill",
        ".globl selvedge_test_fill",
        "selvedge_test_fill:",
        "cmp esi, 1",
        "jb 4f",
        "je 3f",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "vmovdqu64 zmm\\i, [rdi + 64*\\i]",
        ".endr",
        "jmp 5f",
        "3:",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "vmovdqu ymm\\i, [rdi + 64*\\i]",
        ".endr",
        "jmp 5f",
        "4:",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "movdqu xmm\\i, [rdi + 64*\\i]",
        ".endr",
        "5:",
        "ud2",
        "ret",
        // Where everything is looked at.
        ".hidden selvedge_test_land",
        ".globl selvedge_test_land",
        "selvedge_test_land:",
        "mov [rip + {general}], rax",
        "mov [rip + {general} + 8], rcx",
        "mov [rip + {general} + 8*2], rdx",
        "mov [rip + {general} + 8*3], rbx",
        "mov [rip + {general} + 8*4], rsp",
        "mov [rip + {general} + 8*5], rbp",
        "mov [rip + {general} + 8*6], rsi",
        "mov [rip + {general} + 8*7], rdi",
        "mov [rip + {general} + 8*8], r8",
        "mov [rip + {general} + 8*9], r9",
        "mov [rip + {general} + 8*10], r10",
        "mov [rip + {general} + 8*11], r11",
        "mov [rip + {general} + 8*12], r12",
        "mov [rip + {general} + 8*13], r13",
        "mov [rip + {general} + 8*14], r14",
        "mov [rip + {general} + 8*15], r15",
        "pushfq",
        "pop [rip + {flags}]",
        "lea rdi, [rip + {vectors}]",
        "cmp dword ptr [rip + {level}], 1",
        "jb 4f",
        "je 3f",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
        "vmovdqu64 [rdi + 64*\\i], zmm\\i",
        ".endr",
        "jmp 5f",
        "3:",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "vmovdqu [rdi + 64*\\i], ymm\\i",
        ".endr",
        "jmp 5f",
        "4:",
        ".irp i, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15",
        "movdqu [rdi + 64*\\i], xmm\\i",
        ".endr",
        "5:",
        "mov rax, [rip + {control}]",
        "mov rsp, [rax + {host_rsp}]",
        "xor eax, eax",
        "jmp selvedge_leave",
        general = sym GENERAL,
        flags = sym FLAGS,
        vectors = sym FOUND,
        level = sym LEVEL,
        control = sym CONTROL,
        host_rsp = const control::HOST_RSP,
    );

    unsafe extern "sysv64" {
        #[link_name = "selvedge_test_fill"]
        unsafe fn fill(values: *const [u64; 8], level: u32);
        safe static selvedge_test_land: u8;
    }

    extern "C" fn on_stop(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel's context; the room was set up before, and the instruction stepped over is `ud2`.
        unsafe {
            let context = &mut *context.cast::<libc::ucontext_t>();
            (*SAVED.load(Ordering::SeqCst)).save(context);
            context.uc_mcontext.gregs[libc::REG_RIP as usize] += 2;
        }
    }

    fn level() -> u32 {
        let components = super::VECTORS.get().map_or(0, |vectors| vectors.components);
        match components {
            all if all & 0b1110_0000 == 0b1110_0000 => 2,
            some if some & 0b100 != 0 => 1,
            _ => 0,
        }
    }

    /// Saves the registers with the values in the vectors.
    fn save(values: &[[u64; 8]; 32]) -> Box<Registers> {
        let mut room = Box::<Registers>::new_zeroed();
        SAVED.store(room.as_mut_ptr(), Ordering::SeqCst);
        // SAFETY: zero bytes are such a value, which the handler then overwrites; the handler is set up, and put back.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_stop as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO;
            let mut previous: libc::sigaction = std::mem::zeroed();
            assert_eq!(libc::sigaction(libc::SIGILL, &action, &mut previous), 0);
            fill(values.as_ptr(), level());
            libc::sigaction(libc::SIGILL, &previous, std::ptr::null_mut());
            room.assume_init()
        }
    }

    fn set_control((x87, sse): (u16, u32)) {
        // SAFETY: both only load from the variables; the test puts back what was there before it ends.
        unsafe {
            asm!("fldcw word ptr [{}]", "ldmxcsr dword ptr [{}]", in(reg) &x87, in(reg) &sse, options(nostack));
        }
    }

    /// Tells a child which machine to be.
    const CHILD: &str = "SELVEDGE_TEST_MACHINE";
    const LESSER: [LesserMachine; 3] =
        [LesserMachine::WithoutXsave, LesserMachine::WithoutAvx, LesserMachine::WithoutAvx512];

    /// What the processor has is asked once in a process: each lesser machine is one of its own.
    #[test]
    fn so_are_those_of_lesser_machines() {
        for machine in LESSER {
            let output = std::process::Command::new(std::env::current_exe().unwrap())
                .args(["every_register_is_saved_and_loaded_with_all_its_bits", "--nocapture"])
                .env(CHILD, format!("{machine:?}"))
                .output()
                .unwrap();
            assert!(output.status.success(), "{machine:?}: {}", String::from_utf8_lossy(&output.stderr));
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(said.contains(&format!("{machine:?}, level")), "{said}");
        }
    }

    #[test]
    fn every_register_is_saved_and_loaded_with_all_its_bits() {
        let asked = std::env::var(CHILD).ok();
        let lesser = LESSER.into_iter().find(|machine| Some(format!("{machine:?}")) == asked);
        assert!(lesser.is_none_or(pretend), "nothing has run yet");
        prepare();
        assert!(fit());
        if let Some(machine) = lesser {
            println!("{machine:?}, level {}", level());
            assert!(level() <= u32::from(machine == LesserMachine::WithoutAvx512));
        }
        LEVEL.store(level(), Ordering::SeqCst);
        let value = |register: usize, word: usize| 0x0101_0101_0101_0101 * (register as u64 + 1) + word as u64;
        let values: [[u64; 8]; 32] = std::array::from_fn(|r| std::array::from_fn(|w| value(r, w)));
        let mut registers = save(&values);
        // What comes between spoils them.
        let other = save(&[[u64::MAX; 8]; 32]);
        assert_ne!(registers.vector[160..], other.vector[160..]);

        let mut stack = vec![0u64; 512];
        registers.general = std::array::from_fn(|n| 0x1234_5678_0000 + n as u64);
        registers.general[4] = std::ptr::from_mut(&mut stack[256]) as u64 & !15;
        registers.pc = std::ptr::from_ref(&selvedge_test_land) as u64;
        const STATUS: u64 = 0x8d5;
        // Saved where numbers are rounded to the nearest, it goes on where they are rounded to zero, and the other way.
        let usual = control_of_this_thread();
        for (status, control_there) in [(STATUS, (usual.0 | 0xc00, usual.1 | 0x6000)), (0, usual)] {
            set_control(control_there);
            registers.flags = 0x202 | status;
            let control = Control::new();
            CONTROL.store(std::ptr::from_ref(&control).cast_mut(), Ordering::SeqCst);
            registers.adopt_control();
            // SAFETY: the code at `pc` only looks, on a stack that is there, and leaves as guest code does.
            let why = unsafe { switch::restore(std::ptr::from_ref(&control).cast(), &*registers) };
            assert_eq!(why, control::reason::RETURNED);
            assert_eq!(control_of_this_thread(), control_there, "what says how to calculate is the thread's");
            assert_eq!(FLAGS.load(Ordering::SeqCst) & STATUS, status);
            assert_eq!(GENERAL.each_ref().map(|found| found.load(Ordering::SeqCst)), registers.general);
            let (count, words) = [(16, 2), (16, 4), (32, 8)][level() as usize];
            for (register, (found, expected)) in FOUND.iter().zip(&values).take(count).enumerate() {
                for (found, expected) in found.iter().zip(expected).take(words) {
                    assert_eq!(found.load(Ordering::SeqCst), *expected, "vector register {register}");
                }
            }
        }
    }
}
