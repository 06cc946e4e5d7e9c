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

/// Prepares [`Registers::save`], for the whole process.
pub(crate) fn prepare() {
    VECTORS.get_or_init(vectors);
}

/// What preempted guest code would lose on a machine whose vector state has no room here; `false` on none known.
pub(crate) fn fit() -> bool {
    VECTORS.get().is_some_and(|vectors| vectors.bytes <= VECTOR_BYTES_MAX)
}

fn vectors() -> Vectors {
    const OSXSAVE: u32 = 1 << 27;
    if __cpuid(1).ecx & OSXSAVE == 0 {
        return Vectors { components: 0, bytes: LEGACY_BYTES };
    }
    // SAFETY: the processor has just said that there is such an instruction.
    let components = unsafe { enabled() } & COMPONENTS;
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
        let (mut x87, mut sse) = (0u16, 0u32);
        // SAFETY: both only store to the variables.
        unsafe {
            asm!("fnstcw word ptr [{}]", "stmxcsr dword ptr [{}]", in(reg) &mut x87, in(reg) &mut sse,
                 options(nostack, preserves_flags));
        }
        self.vector[X87_CONTROL..X87_CONTROL + 2].copy_from_slice(&x87.to_le_bytes());
        let at = &mut self.vector[SSE_CONTROL..SSE_CONTROL + 4];
        at.copy_from_slice(&(sse & SSE_CONTROL_BITS).to_le_bytes());
    }
}
