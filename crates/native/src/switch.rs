//! The stack switch: a few labels of assembly.
//!
//! * `enter` switches to the guest's stack and calls an entry trampoline; it returns when that returns or when anyone
//!   jumps to `leave` with the host's stack pointer restored. What of the host's registers guest code may leave
//!   changed, the Rust compiler is told; so it saves only what it has in use.
//! * `enter_direct` does so for a function whose values are passed in registers, and needs no trampoline.
//! * `host_call` is called by guest code; it calls the host function on the host's stack, below `enter`'s frame,
//!   so that calls and returns stay paired for the processor's return predictor, and no host code needs room on
//!   a guest's stack. `builtin` does the same for the runtime's own functions.
//! * `direct_call` is what an import's slot leads to if all values fit registers: guests and System V pass those
//!   in the same ones, so that they stay where they are from the guest's call to the host function.
//! * A host call that is to be finished later keeps the guest's callee-saved registers on the guest's stack and
//!   leaves; `proceed` goes on from there, on whatever thread. A direct call has left its values there, too.
//! * `raise` is called by guest code for an explicit trap, and leaves.
//!
//! * `restore` goes on with code that was stopped at any instruction: it loads every register, and jumps there by
//!   way of two words below the guest's stack pointer, where guest code keeps nothing.
//!
//! From the test of the request on, in `enter`, `proceed`, `restore` and after a host call, a request is obeyed at
//! once ("armed"): the host's stack pointer is saved and nothing is half done. Before, it is found by that test
//! ([`crate::interrupt`]). The test is of all requests; whether the entry obeys them is asked out of line.

use std::arch::{asm, global_asm};
use std::ffi::c_void;
use std::mem::offset_of;

use selvedge_contract::vmctx::{header, import_function};

use crate::RawValue;
use crate::control::{self, reason};
use crate::direct::{RegisterValues, Returned};
use crate::host;
use crate::interrupt::Request;
use crate::registers::Registers;

/// Registers that a suspended guest keeps on its stack, below the stub's frame.
pub(crate) const SUSPENDED_BYTES: u64 = 5 * 8;

global_asm!(
    ".text",
    ".balign 16",
    // (control: rdi, stack: rsi, entry: rdx, context: rcx, code: r8, values: r9) -> eax: reason
    ".hidden selvedge_enter",
    ".globl selvedge_enter",
    "selvedge_enter:",
    "push rbp",
    "push rbx",
    "mov [rdi + {host_rsp}], rsp",
    ".hidden selvedge_armed",
    ".globl selvedge_armed",
    "selvedge_armed:",
    "test byte ptr [rdi + {request}], {any}",
    "jne 2f",
    "7:",
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
    "pop rbx",
    "pop rbp",
    "ret",
    ".hidden selvedge_enter_asked",
    ".globl selvedge_enter_asked",
    "selvedge_enter_asked:",
    "2:",
    "mov al, [rdi + {heeds}]",
    "test [rdi + {request}], al",
    "je 7b",
    "mov eax, {stopped_before}",
    "jmp selvedge_leave",
    ".hidden selvedge_enter_asked_end",
    ".globl selvedge_enter_asked_end",
    "selvedge_enter_asked_end:",
    ".balign 16",
    // (control: r10, stack: r11, code: rax, context: rdi, parameters of the code's type in registers)
    // -> eax: reason, rdx or xmm0: its result
    ".hidden selvedge_enter_direct",
    ".globl selvedge_enter_direct",
    "selvedge_enter_direct:",
    "push rbp",
    "push rbx",
    "mov [r10 + {host_rsp}], rsp",
    ".hidden selvedge_direct_armed",
    ".globl selvedge_direct_armed",
    "selvedge_direct_armed:",
    "test byte ptr [r10 + {request}], {any}",
    "jne 2f",
    "7:",
    // It is never parked, so that it returns under the frame it was entered from: no load need wait for a store.
    "mov rbx, rsp",
    "mov rsp, r11",
    "xor ebp, ebp",
    "call rax",
    ".hidden selvedge_direct_armed_end",
    ".globl selvedge_direct_armed_end",
    "selvedge_direct_armed_end:",
    "mov rsp, rbx",
    "mov rdx, rax",
    "xor eax, eax",
    "pop rbx",
    "pop rbp",
    "ret",
    ".hidden selvedge_enter_direct_asked",
    ".globl selvedge_enter_direct_asked",
    "selvedge_enter_direct_asked:",
    "2:",
    "mov bl, [r10 + {heeds}]",
    "test [r10 + {request}], bl",
    "je 7b",
    "mov eax, {stopped_before}",
    "jmp selvedge_leave",
    ".hidden selvedge_enter_direct_asked_end",
    ".globl selvedge_enter_direct_asked_end",
    "selvedge_enter_direct_asked_end:",
    ".balign 16",
    // (control: rdi) -> eax: reason
    ".hidden selvedge_proceed",
    ".globl selvedge_proceed",
    "selvedge_proceed:",
    "push rbp",
    "push rbx",
    "mov [rdi + {host_rsp}], rsp",
    ".hidden selvedge_proceed_armed",
    ".globl selvedge_proceed_armed",
    "selvedge_proceed_armed:",
    "test byte ptr [rdi + {request}], {any}",
    "jne 2f",
    "7:",
    "mov rsp, [rdi + {guest_rsp}]",
    "pop r15; pop r14; pop r13; pop r12; pop rbx; pop rbp",
    // Not `ret`, nor below: the processor would expect who called `proceed`, and be wrong.
    "pop r11",
    "jmp r11",
    "2:",
    "mov al, [rdi + {heeds}]",
    "test [rdi + {request}], al",
    "je 7b",
    "mov eax, {stopped_before}",
    "jmp selvedge_leave",
    // What a suspended direct call goes on by: its result is the first of the values behind the import slot's address.
    ".hidden selvedge_direct_proceed",
    ".globl selvedge_direct_proceed",
    "selvedge_direct_proceed:",
    "mov rax, [rsp + 8]",
    "movq xmm0, rax",
    "mov rsp, rbp",
    "pop rbp",
    "pop r11",
    "jmp r11",
    // What a direct call's results were kept by.
    "selvedge_results:",
    "movq xmm0, [rsp]",
    "add rsp, 8",
    "pop rax",
    "pop rbp",
    "ret",
    ".hidden selvedge_proceed_end",
    ".globl selvedge_proceed_end",
    "selvedge_proceed_end:",
    ".balign 16",
    // (control: rdi, registers: rsi) -> eax: reason
    ".hidden selvedge_restore",
    ".globl selvedge_restore",
    "selvedge_restore:",
    "push rbp",
    "push rbx",
    "mov [rdi + {host_rsp}], rsp",
    ".hidden selvedge_restore_armed",
    ".globl selvedge_restore_armed",
    "selvedge_restore_armed:",
    "test byte ptr [rdi + {request}], {any}",
    "jne 2f",
    "7:",
    "mov eax, [rsi + {components}]",
    "xor edx, edx",
    "test eax, eax",
    "je 3f",
    "xrstor64 [rsi]",
    "jmp 4f",
    "3:",
    "fxrstor64 [rsi]",
    "4:",
    "mov rcx, [rsi + {general} + 8*4]",
    "mov rax, [rsi + {pc_saved}]",
    "mov [rcx - 8], rax",
    "mov rax, [rsi + {flags}]",
    "mov [rcx - 16], rax",
    "lea rsp, [rcx - 16]",
    "mov rax, [rsi + {general}]",
    "mov rcx, [rsi + {general} + 8]",
    "mov rdx, [rsi + {general} + 8*2]",
    "mov rbx, [rsi + {general} + 8*3]",
    "mov rbp, [rsi + {general} + 8*5]",
    "mov rdi, [rsi + {general} + 8*7]",
    "mov r8, [rsi + {general} + 8*8]",
    "mov r9, [rsi + {general} + 8*9]",
    "mov r10, [rsi + {general} + 8*10]",
    "mov r11, [rsi + {general} + 8*11]",
    "mov r12, [rsi + {general} + 8*12]",
    "mov r13, [rsi + {general} + 8*13]",
    "mov r14, [rsi + {general} + 8*14]",
    "mov r15, [rsi + {general} + 8*15]",
    "mov rsi, [rsi + {general} + 8*6]",
    "popfq",
    "ret",
    "2:",
    "mov al, [rdi + {heeds}]",
    "test [rdi + {request}], al",
    "je 7b",
    "mov eax, {stopped_before}",
    "jmp selvedge_leave",
    ".hidden selvedge_restore_end",
    ".globl selvedge_restore_end",
    "selvedge_restore_end:",
    ".balign 16",
    // (context: rdi, offset: rsi, values: rdx)
    ".hidden selvedge_host_call",
    ".globl selvedge_host_call",
    "selvedge_host_call:",
    "push rbp",
    "mov rbp, rsp",
    "mov rcx, [rdi + {activation}]",
    "mov rsi, [rdi + rsi + {host}]",
    "mov [rcx + {guest_rsp}], rsp",
    "mov rsp, [rcx + {host_rsp}]",
    // Aligns the stack: `host_rsp` is 8 off.
    "push rcx",
    "call [rsi + {entry}]",
    "3:",
    "pop rcx",
    "test eax, eax",
    "jne 5f",
    ".hidden selvedge_resume",
    ".globl selvedge_resume",
    "selvedge_resume:",
    "test byte ptr [rcx + {request}], {any}",
    "jne 4f",
    "2:",
    // The host kept `rbp`; a load would wait for the store above.
    "mov rsp, rbp",
    "pop rbp",
    "ret",
    "4:",
    "mov al, [rcx + {heeds}]",
    "test [rcx + {request}], al",
    "je 2b",
    ".hidden selvedge_resume_end",
    ".globl selvedge_resume_end",
    "selvedge_resume_end:",
    // From anywhere above, with the control block in rcx.
    ".hidden selvedge_stop_after_call",
    ".globl selvedge_stop_after_call",
    "selvedge_stop_after_call:",
    "mov rbp, [rcx + {guest_rsp}]",
    "mov eax, {stopped_after_call}",
    "jmp selvedge_park",
    "5:",
    "cmp eax, {suspended}",
    "jne selvedge_leave",
    // The processor expects a return to the guest next. It learns here that there is none: what it goes by here depends
    // on nothing that comes late, while the way back is what three loads after each other say.
    "lea r11, [rip + selvedge_park]",
    "push r11",
    "ret",
    // (control: rcx, eax: reason), with what `proceed` pops last at rbp.
    "selvedge_park:",
    "mov rsp, rbp",
    "push rbx; push r12; push r13; push r14; push r15",
    "mov [rcx + {guest_rsp}], rsp",
    "mov rsp, [rcx + {host_rsp}]",
    "pop rbx",
    "pop rbp",
    "pop r11",
    "jmp r11",
    ".balign 16",
    // (import slot: rdi, parameters of the import's type in registers) -> its result, in a register
    ".hidden selvedge_direct_call",
    ".globl selvedge_direct_call",
    "selvedge_direct_call:",
    "push rbp",
    "mov rbp, rsp",
    "mov rax, [rdi + {owner}]",
    "mov r10, [rdi + {host}]",
    "mov rax, [rax + {activation}]",
    "mov [rax + {guest_rsp}], rsp",
    "mov rsp, [rax + {host_rsp}]",
    "push rax",
    "call [r10 + {entry}]",
    "pop rcx",
    "test eax, eax",
    "jne 5f",
    // A result that is no float; where there is none, nobody looks.
    "mov rax, rdx",
    ".hidden selvedge_direct_resume",
    ".globl selvedge_direct_resume",
    "selvedge_direct_resume:",
    "test byte ptr [rcx + {request}], {any}",
    "jne 9f",
    "8:",
    "mov rsp, rbp",
    "pop rbp",
    "ret",
    "9:",
    "mov dl, [rcx + {heeds}]",
    "test [rcx + {request}], dl",
    "je 8b",
    ".hidden selvedge_direct_resume_end",
    ".globl selvedge_direct_resume_end",
    "selvedge_direct_resume_end:",
    // From anywhere above, with the control block in rcx: the guest goes on by way of
    // `results`.
    ".hidden selvedge_stop_after_direct_call",
    ".globl selvedge_stop_after_direct_call",
    "selvedge_stop_after_direct_call:",
    "mov rbp, [rcx + {guest_rsp}]",
    "mov rsp, rbp",
    "push rax",
    "sub rsp, 8",
    "movq [rsp], xmm0",
    "lea rax, [rip + selvedge_results]",
    "push rax",
    "push rbp",
    "mov rbp, rsp",
    "mov eax, {stopped_after_call}",
    "jmp selvedge_park",
    "5:",
    "cmp eax, {suspended}",
    "jne selvedge_leave",
    // As after `host_call`.
    "lea r11, [rip + 6f]",
    "push r11",
    "ret",
    "6:",
    // What the call left on the guest's stack stays above: `selvedge_direct_proceed` finds it.
    "mov rsp, [rcx + {guest_rsp}]",
    "lea rdx, [rip + selvedge_direct_proceed]",
    "push rdx",
    "push rbp",
    "mov rbp, rsp",
    "jmp selvedge_park",
    ".balign 16",
    // (context: rdi, index: esi, values: rdx)
    ".hidden selvedge_builtin",
    ".globl selvedge_builtin",
    "selvedge_builtin:",
    "push rbp",
    "mov rbp, rsp",
    "mov rcx, [rdi + {activation}]",
    "mov [rcx + {guest_rsp}], rsp",
    "mov rsp, [rcx + {host_rsp}]",
    "push rcx",
    "call [rcx + {builtin}]",
    "jmp 3b",
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
    builtin = const control::BUILTIN,
    pc = const control::PC,
    trap_code = const control::TRAP_CODE,
    request = const control::REQUEST,
    activation = const header::ACTIVATION,
    host = const import_function::HOST,
    any = const Request::ANY,
    heeds = const control::HEEDS,
    components = const offset_of!(Registers, components),
    general = const offset_of!(Registers, general),
    pc_saved = const offset_of!(Registers, pc),
    flags = const offset_of!(Registers, flags),
    owner = const import_function::OWNER,
    entry = const host::ENTRY,
    raised = const reason::RAISED,
    suspended = const reason::SUSPENDED,
    stopped_before = const reason::STOPPED_BEFORE,
    stopped_after_call = const reason::STOPPED_AFTER_CALL,
);

unsafe extern "sysv64" {
    fn selvedge_enter();
    fn selvedge_enter_direct();
    fn selvedge_proceed();
    fn selvedge_restore();
    safe static selvedge_armed: u8;
    safe static selvedge_armed_end: u8;
    safe static selvedge_enter_asked: u8;
    safe static selvedge_enter_asked_end: u8;
    safe static selvedge_direct_armed: u8;
    safe static selvedge_direct_armed_end: u8;
    safe static selvedge_enter_direct_asked: u8;
    safe static selvedge_enter_direct_asked_end: u8;
    safe static selvedge_restore_armed: u8;
    safe static selvedge_restore_end: u8;
    safe static selvedge_direct_proceed: u8;
    safe static selvedge_stop_after_call: u8;
    safe static selvedge_leave: u8;
    safe static selvedge_proceed_armed: u8;
    safe static selvedge_proceed_end: u8;
    safe static selvedge_host_call: u8;
    safe static selvedge_resume: u8;
    safe static selvedge_resume_end: u8;
    safe static selvedge_direct_call: u8;
    safe static selvedge_direct_resume: u8;
    safe static selvedge_direct_resume_end: u8;
    safe static selvedge_stop_after_direct_call: u8;
    safe static selvedge_builtin: u8;
    safe static selvedge_raise: u8;
}

/// Enters guest code; returns a [`reason`].
///
/// # Safety
/// `entry` is an entry trampoline for the type of `code`, both published and of `context`'s slot or linked to
/// it; `control` is the control block that `context`'s header leads to; `stack` is 16-aligned in the arena's
/// stack with everything live above it; `values` has as many slots as the type needs and stays where it is
/// until the entry has ended; `control.view` is what `control.builtin` and the slots' host functions take.
#[inline]
pub(crate) unsafe fn enter(
    control: *const c_void,
    stack: u64,
    entry: u64,
    context: u64,
    code: u64,
    values: *mut RawValue,
) -> u32 {
    let why: u32;
    // SAFETY: the caller's promise. The stub keeps `rbx` and `rbp`, and comes back with the stack pointer as it was.
    unsafe {
        asm!(
            "call {stub}", stub = sym selvedge_enter,
            in("rdi") control, in("rsi") stack, in("rdx") entry, in("rcx") context, in("r8") code, in("r9") values,
            lateout("eax") why, out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"),
        );
    }
    why
}

/// Enters guest code whose values are passed in registers, and which is not parked; returns a [`reason`] and the
/// result, which means something if it has returned.
///
/// # Safety
/// As for [`enter`]; `code` is a guest function whose parameters are in these registers and whose result, if any, is in
/// one, and the stack has room for what a function need not ask for.
#[inline]
pub(crate) unsafe fn enter_direct(
    control: *const c_void,
    stack: u64,
    context: u64,
    code: u64,
    values: &RegisterValues,
) -> (u32, Returned) {
    let RegisterValues { integers: [i0, i1, i2, i3, i4], floats: [f0, f1, f2, f3, f4, f5, f6, f7] } = *values;
    let (why, integer, float): (u64, u64, u64);
    // SAFETY: as in `enter`. What is uninitialised goes to registers that the code does not read.
    unsafe {
        asm!(
            "call {stub}", stub = sym selvedge_enter_direct,
            in("r10") control, in("r11") stack, in("rdi") context,
            in("rsi") i0, inout("rdx") i1 => integer, in("rcx") i2, in("r8") i3, in("r9") i4,
            inout("xmm0") f0 => float, in("xmm1") f1, in("xmm2") f2, in("xmm3") f3,
            in("xmm4") f4, in("xmm5") f5, in("xmm6") f6, in("xmm7") f7,
            inout("rax") code => why,
            out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"),
        );
    }
    (why as u32, Returned { integer, float })
}

/// Goes on with guest code that a host call has suspended; returns a [`reason`].
///
/// # Safety
/// `control` was left with [`reason::SUSPENDED`] and not entered since; otherwise as for [`enter`].
#[inline]
pub(crate) unsafe fn proceed(control: *const c_void) -> u32 {
    let why: u32;
    // SAFETY: as in `enter`. It is a call, made by a jump, since it comes back by one: so the processor's stack of returns
    // has what it had.
    unsafe {
        asm!(
            "lea r11, [rip + 2f]", "push r11", "jmp {stub}", "2:", stub = sym selvedge_proceed, in("rdi") control,
            lateout("eax") why, out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"),
        );
    }
    why
}

/// Goes on with guest code that was stopped at any instruction; returns a [`reason`].
///
/// # Safety
/// `registers` are what the signal handler saved of guest code under `control`, which has not been entered
/// since; they stay where they are until it returns. Otherwise as for [`enter`].
pub(crate) unsafe fn restore(control: *const c_void, registers: *const Registers) -> u32 {
    let why: u32;
    // SAFETY: as in `enter`.
    unsafe {
        asm!(
            "call {stub}", stub = sym selvedge_restore, in("rdi") control, in("rsi") registers,
            lateout("eax") why, out("r12") _, out("r13") _, out("r14") _, out("r15") _, clobber_abi("sysv64"),
        );
    }
    why
}

fn address(label: &u8) -> u64 {
    std::ptr::from_ref(label) as u64
}

/// Address of the stub for host calls.
pub(crate) fn host_call_address() -> u64 {
    address(&selvedge_host_call)
}

/// Address of the stub for host calls whose values are passed in registers.
pub(crate) fn direct_call_address() -> u64 {
    address(&selvedge_direct_call)
}

/// Where a suspended direct call goes on, which tells it from others.
pub(crate) fn direct_proceed_address() -> u64 {
    address(&selvedge_direct_proceed)
}

/// Address of the stub for builtins.
pub(crate) fn builtin_address() -> u64 {
    address(&selvedge_builtin)
}

/// Address of the stub for explicit traps.
pub(crate) fn raise_address() -> u64 {
    address(&selvedge_raise)
}

/// Where to continue, with the host's stack pointer restored and the reason in `eax`.
pub(crate) fn leave_address() -> u64 {
    address(&selvedge_leave)
}

/// Where to continue to leave guest code parked on its way back from a host call, with the control block in `rcx`.
pub(crate) fn stop_after_call_address() -> u64 {
    address(&selvedge_stop_after_call)
}

/// As [`stop_after_call_address`], for a direct call, with its result in its register.
pub(crate) fn stop_after_direct_call_address() -> u64 {
    address(&selvedge_stop_after_direct_call)
}

/// Where a thread is in the stubs that can be left at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Armed {
    /// Before guest code: nothing of it has run since it was entered.
    Before,
    /// On the way back from a host call.
    AfterCall,
    /// On the way back from a direct call, the result in its register.
    AfterDirectCall,
}

/// What may be done at a program counter in the stubs. Async-signal-safe.
pub(crate) fn armed(pc: u64) -> Option<Armed> {
    let ranges = [
        (&selvedge_armed, &selvedge_armed_end, Armed::Before),
        (&selvedge_enter_asked, &selvedge_enter_asked_end, Armed::Before),
        (&selvedge_direct_armed, &selvedge_direct_armed_end, Armed::Before),
        (&selvedge_enter_direct_asked, &selvedge_enter_direct_asked_end, Armed::Before),
        (&selvedge_proceed_armed, &selvedge_proceed_end, Armed::Before),
        (&selvedge_restore_armed, &selvedge_restore_end, Armed::Before),
        (&selvedge_resume, &selvedge_resume_end, Armed::AfterCall),
        (&selvedge_direct_resume, &selvedge_direct_resume_end, Armed::AfterDirectCall),
    ];
    ranges.into_iter().find(|(low, high, _)| (address(low)..address(high)).contains(&pc)).map(|(.., armed)| armed)
}
