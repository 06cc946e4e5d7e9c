//! The stack switch: six labels of assembly.
//!
//! * `enter` saves the host's callee-saved registers, switches to the guest's stack and calls an entry
//!   trampoline; it returns when that returns or when anyone jumps to `leave` with the host's stack pointer
//!   restored.
//! * `host_call` is called by guest code; it calls `dispatch` on the host's stack, below `enter`'s frame, so
//!   that calls and returns stay paired for the processor's return predictor, and no host code needs room on a
//!   guest's stack.
//! * `raise` is called by guest code for an explicit trap, and leaves.
//!
//! Between `armed` and the jump into guest code, and between `resume` and `resume_end`, an interruption may
//! leave at once: the host's stack pointer is saved and nothing is half done. Elsewhere in the stubs the
//! request waits for the check after the host call.

use std::arch::global_asm;
use std::ffi::c_void;

use selvedge_contract::vmctx::header;

use crate::RawValue;
use crate::control::{self, reason};

global_asm!(
    ".text",
    ".balign 16",
    // (control: rdi, stack: rsi, entry: rdx, context: rcx, code: r8, values: r9) -> eax: reason
    ".hidden selvedge_enter",
    ".globl selvedge_enter",
    "selvedge_enter:",
    "push rbp",
    "push rbx",
    "push r12",
    "push r13",
    "push r14",
    "push r15",
    "sub rsp, 8",
    "mov [rdi + {host_rsp}], rsp",
    ".hidden selvedge_armed",
    ".globl selvedge_armed",
    "selvedge_armed:",
    "mov rbx, rdi",
    "mov rsp, rsi",
    // Frame pointers end here.
    "xor ebp, ebp",
    "mov rax, rdx",
    "mov rdi, rcx",
    "mov rsi, r8",
    "mov rdx, r9",
    "call rax",
    ".hidden selvedge_armed_end",
    ".globl selvedge_armed_end",
    "selvedge_armed_end:",
    "mov rsp, [rbx + {host_rsp}]",
    "xor eax, eax",
    ".hidden selvedge_leave",
    ".globl selvedge_leave",
    "selvedge_leave:",
    "add rsp, 8",
    "pop r15",
    "pop r14",
    "pop r13",
    "pop r12",
    "pop rbx",
    "pop rbp",
    "ret",
    ".balign 16",
    // (context: rdi, index: esi, values: rdx)
    ".hidden selvedge_host_call",
    ".globl selvedge_host_call",
    "selvedge_host_call:",
    "push rbp",
    "mov rbp, rsp",
    "mov rcx, [rdi + {activation}]",
    "mov [rcx + {guest_rsp}], rsp",
    "mov [rcx + {guest_rbp}], rbp",
    "mov rsp, [rcx + {host_rsp}]",
    "push rcx",
    "push rcx",
    "call [rcx + {dispatch}]",
    ".hidden selvedge_resume",
    ".globl selvedge_resume",
    "selvedge_resume:",
    "pop rcx",
    "pop rcx",
    "test eax, eax",
    "jne selvedge_leave",
    "mov rsp, [rcx + {guest_rsp}]",
    "pop rbp",
    "ret",
    ".hidden selvedge_resume_end",
    ".globl selvedge_resume_end",
    "selvedge_resume_end:",
    ".balign 16",
    // (context: rdi, code: esi)
    ".hidden selvedge_raise",
    ".globl selvedge_raise",
    "selvedge_raise:",
    "mov rcx, [rdi + {activation}]",
    "mov rax, [rsp]",
    "dec rax",
    "mov [rcx + {pc}], rax",
    "mov [rcx + {trap_code}], esi",
    "mov [rcx + {guest_rbp}], rbp",
    "mov rsp, [rcx + {host_rsp}]",
    "mov eax, {raised}",
    "jmp selvedge_leave",
    host_rsp = const control::HOST_RSP,
    guest_rsp = const control::GUEST_RSP,
    guest_rbp = const control::GUEST_RBP,
    dispatch = const control::DISPATCH,
    pc = const control::PC,
    trap_code = const control::TRAP_CODE,
    activation = const header::ACTIVATION,
    raised = const reason::RAISED,
);

unsafe extern "sysv64" {
    /// Enters guest code; returns a [`reason`].
    ///
    /// # Safety
    /// `entry` is an entry trampoline for the type of `code`, both published and of `context`'s slot or linked to
    /// it; `control` is the control block that `context`'s header leads to; `stack` is 16-aligned in the arena's stack with everything
    /// live above it; `values` has as many slots as the type needs; `control.dispatch` takes `control.host`.
    #[link_name = "selvedge_enter"]
    pub(crate) unsafe fn enter(
        control: *mut c_void,
        stack: u64,
        entry: u64,
        context: u64,
        code: u64,
        values: *mut RawValue,
    ) -> u32;

    safe static selvedge_armed: u8;
    safe static selvedge_armed_end: u8;
    safe static selvedge_leave: u8;
    safe static selvedge_host_call: u8;
    safe static selvedge_resume: u8;
    safe static selvedge_resume_end: u8;
    safe static selvedge_raise: u8;
}

fn address(label: &u8) -> u64 {
    std::ptr::from_ref(label) as u64
}

/// Address of the stub for host calls.
pub(crate) fn host_call_address() -> u64 {
    address(&selvedge_host_call)
}

/// Address of the stub for explicit traps.
pub(crate) fn raise_address() -> u64 {
    address(&selvedge_raise)
}

/// Where to continue, with the host's stack pointer restored and the reason in `eax`.
pub(crate) fn leave_address() -> u64 {
    address(&selvedge_leave)
}

/// Whether a program counter in the stubs may be left at once. Async-signal-safe.
pub(crate) fn may_leave(pc: u64) -> bool {
    (address(&selvedge_armed)..address(&selvedge_armed_end)).contains(&pc)
        || (address(&selvedge_resume)..address(&selvedge_resume_end)).contains(&pc)
}
