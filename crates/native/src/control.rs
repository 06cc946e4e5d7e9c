//! What the stubs, the signal handler and [`crate::enter`] share about the guest code of one arena.

use std::mem::offset_of;
use std::ops::Range;
use std::sync::Arc;

use crate::interrupt::{InterruptHandle, InterruptState};

/// Why guest code was left; the stubs return it from [`crate::switch::enter`].
pub(crate) mod reason {
    pub(crate) const RETURNED: u32 = 0;
    /// A host function said so.
    pub(crate) const HOST_LEFT: u32 = 1;
    /// A host function panicked; the payload waits in the control block.
    pub(crate) const HOST_PANICKED: u32 = 2;
    /// The raise stub was called, or a host call ended in a trap; `trap_code` says which.
    pub(crate) const RAISED: u32 = 3;
    /// A processor exception in guest code.
    pub(crate) const FAULT: u32 = 4;
    /// An interruption, seen by the signal handler or after a host call.
    pub(crate) const INTERRUPTED: u32 = 5;
}

/// The control block of one arena. Contexts point to it; the stubs read and write it by offset.
///
/// Nested entries reuse it: [`crate::enter`] saves what it overwrites and restores it.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct Control {
    /// Where the stubs continue on the host's stack.
    pub(crate) host_rsp: u64,
    /// Guest stack pointer when guest code last called out.
    pub(crate) guest_rsp: u64,
    /// Guest frame pointer when guest code last called out, or faulted.
    pub(crate) guest_rbp: u64,
    /// `dispatch` of the host that entered.
    pub(crate) dispatch: u64,
    /// That host.
    pub(crate) host: *mut (),
    /// Program counter of a fault, trap or interruption.
    pub(crate) pc: u64,
    /// A raised trap's code.
    pub(crate) trap_code: u32,
    /// Entries now on the guest stack.
    pub(crate) depth: u32,
    stack_low: u64,
    stack_high: u64,
    ranges: *const Range<u64>,
    ranges_len: usize,
    interrupt: Arc<InterruptState>,
    pub(crate) panic: Option<Box<dyn std::any::Any + Send>>,
}

pub(crate) const HOST_RSP: usize = offset_of!(Control, host_rsp);
pub(crate) const GUEST_RSP: usize = offset_of!(Control, guest_rsp);
pub(crate) const GUEST_RBP: usize = offset_of!(Control, guest_rbp);
pub(crate) const DISPATCH: usize = offset_of!(Control, dispatch);
pub(crate) const PC: usize = offset_of!(Control, pc);
pub(crate) const TRAP_CODE: usize = offset_of!(Control, trap_code);

impl Control {
    pub(crate) fn new(interrupt: &InterruptHandle) -> Control {
        Control {
            host_rsp: 0,
            guest_rsp: 0,
            guest_rbp: 0,
            dispatch: 0,
            host: std::ptr::null_mut(),
            pc: 0,
            trap_code: 0,
            depth: 0,
            stack_low: 0,
            stack_high: 0,
            ranges: std::ptr::null(),
            ranges_len: 0,
            interrupt: interrupt.state(),
            panic: None,
        }
    }

    pub(crate) fn set_stack(&mut self, stack: Range<u64>) {
        (self.stack_low, self.stack_high) = (stack.start, stack.end);
    }

    #[inline]
    pub(crate) fn stack(&self) -> Range<u64> {
        self.stack_low..self.stack_high
    }

    /// Tells the signal handler which addresses belong to the arena. The slice must stay where it is until
    /// the next call: the arena owns it.
    pub(crate) fn set_ranges(&mut self, ranges: &[Range<u64>]) {
        (self.ranges, self.ranges_len) = (ranges.as_ptr(), ranges.len());
    }

    /// Whether an address belongs to the arena. Async-signal-safe.
    pub(crate) fn owns(&self, address: u64) -> bool {
        // SAFETY: the arena owns the slice, tells us of every change, and outlives its control block's use.
        let ranges = unsafe { std::slice::from_raw_parts(self.ranges, self.ranges_len) };
        self.ranges_len > 0 && ranges.iter().any(|range| range.contains(&address))
    }

    /// The interruption that is asked for or not.
    #[inline]
    pub(crate) fn interrupt(&self) -> &InterruptState {
        &self.interrupt
    }
}
