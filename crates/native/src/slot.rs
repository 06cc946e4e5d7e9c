//! One instance's address space: context, tables and memories, and for the first of an arena the stack.
//!
//! ```text
//!  low                                                                       high
//!  │ guard │ stack │ guard │ tables, context │ memory 0 … │ guard │ memory 1 … │
//!                                            ▲ context pointer
//! ```

use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;

use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};
use selvedge_contract::MemoryPlan;
use selvedge_contract::limits::{HOST_PAGE_BYTES, STACK_GUARD_BYTES, WASM_PAGE_BYTES};
use selvedge_contract::vmctx::{VmLayout, memory_def, table_def};

use crate::code::Code;
use crate::error::NativeError;

/// Reserves inaccessible address space.
pub(crate) fn reserve(bytes: u64) -> Result<u64, NativeError> {
    let flags = MapFlags::PRIVATE | MapFlags::NORESERVE;
    // SAFETY: a new anonymous mapping at an address the kernel chooses replaces nothing.
    let base = unsafe { mmap_anonymous(std::ptr::null_mut(), bytes as usize, ProtFlags::empty(), flags) };
    base.map(|base| base as u64).map_err(|source| NativeError::Memory { what: "reserve address space", bytes, source })
}

/// Gives back what [`reserve`] returned.
pub(crate) fn release(base: u64, bytes: u64) {
    // SAFETY: callers own the whole range and use no pointer into it afterwards. It cannot fail for a range
    // that was reserved whole.
    let _ = unsafe { munmap(base as *mut c_void, bytes as usize) };
}

/// The reservation of one instance.
#[derive(Debug)]
pub(crate) struct Slot {
    base: u64,
    bytes: u64,
    /// The context pointer.
    context: u64,
    stack: Range<u64>,
    code: Arc<Code>,
}

impl Slot {
    /// Reserves a slot for an instance and maps its stack (of `stack_bytes`, which may be 0), its context, and
    /// its memories at their initial sizes with their images. The context is zero but for the definitions.
    pub(crate) fn new(code: Arc<Code>, stack_bytes: u64) -> Result<Slot, NativeError> {
        let layout = &code.index().layout;
        let below = 2 * STACK_GUARD_BYTES as u64 + stack_bytes + layout.context_bytes();
        let bytes = below + layout.total_bytes().max(HOST_PAGE_BYTES);
        let base = reserve(bytes)?;
        let stack_low = base + STACK_GUARD_BYTES as u64;
        let stack = stack_low..stack_low + stack_bytes;
        let slot = Slot { base, bytes, context: base + below, stack, code };
        slot.open(slot.stack.start, stack_bytes)?;
        let context_bytes = slot.layout().context_bytes();
        slot.open(slot.context - context_bytes, context_bytes)?;
        slot.init_memories()?;
        slot.init_tables();
        Ok(slot)
    }

    fn init_memories(&self) -> Result<(), NativeError> {
        for (defined, plan) in self.plans().iter().enumerate() {
            let base = self.memory_base(defined);
            let size = plan.ty.min_pages * WASM_PAGE_BYTES;
            self.open(base, size)?;
            let def = self.layout().memory_def(defined as u32);
            self.write(def + memory_def::BASE, base);
            self.write(def + memory_def::SIZE, size);
            self.write(def + memory_def::BOUND, plan.reservation_bytes);
        }
        let image = self.code.index().image().start as u64;
        for run in &self.code.index().contract.image {
            let at = self.memory_base(run.memory as usize) + run.page * HOST_PAGE_BYTES;
            self.map_image(at, run.pages * HOST_PAGE_BYTES, image + run.offset)?;
        }
        Ok(())
    }

    fn init_tables(&self) {
        for (defined, plan) in self.code.index().contract.tables.iter().enumerate() {
            let defined = defined as u32;
            let def = self.layout().table_def(defined);
            let base = self.context.wrapping_add_signed(i64::from(self.layout().table_entries(defined)));
            self.write(def + table_def::BASE, base);
            self.write(def + table_def::SIZE, plan.ty.min);
            self.write(def + table_def::BOUND, plan.entries_max);
            self.write(def + table_def::OWNER, self.context);
        }
    }

    /// Makes part of the reservation readable and writable.
    fn open(&self, address: u64, bytes: u64) -> Result<(), NativeError> {
        if bytes == 0 {
            return Ok(());
        }
        assert!(self.holds(address, bytes), "only the slot's own pages are opened");
        // SAFETY: the range lies in this slot's reservation, and opening it takes nothing away from anyone.
        let opened =
            unsafe { mprotect(address as *mut c_void, bytes as usize, MprotectFlags::READ | MprotectFlags::WRITE) };
        opened.map_err(|source| NativeError::Memory { what: "make memory accessible", bytes, source })
    }

    /// Maps part of the artifact copy-on-write over pages of a memory.
    fn map_image(&self, address: u64, bytes: u64, file_offset: u64) -> Result<(), NativeError> {
        assert!(self.holds(address, bytes), "an image lies in its memory: checked when the artifact was read");
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
        // SAFETY: the range lies in this slot's reservation; the instance has not run, so nothing refers to the
        // pages that are replaced.
        let mapped =
            unsafe { mmap(address as *mut c_void, bytes as usize, prot, flags, self.code.file(), file_offset) };
        mapped.map(drop).map_err(|source| NativeError::Memory { what: "map a memory image", bytes, source })
    }

    fn holds(&self, address: u64, bytes: u64) -> bool {
        address >= self.base && address.checked_add(bytes).is_some_and(|end| end <= self.base + self.bytes)
    }

    #[inline]
    pub(crate) fn code(&self) -> &Arc<Code> {
        &self.code
    }

    pub(crate) fn layout(&self) -> &VmLayout {
        &self.code.index().layout
    }

    pub(crate) fn plans(&self) -> &[MemoryPlan] {
        &self.code.index().contract.memories
    }

    /// The context pointer.
    #[inline]
    pub(crate) fn context(&self) -> u64 {
        self.context
    }

    /// The stack's addresses; empty but for an arena's first slot.
    pub(crate) fn stack(&self) -> Range<u64> {
        self.stack.clone()
    }

    /// Every address that belongs to the slot.
    pub(crate) fn range(&self) -> Range<u64> {
        self.base..self.base + self.bytes
    }

    fn memory_base(&self, defined: usize) -> u64 {
        self.context + self.layout().memory_offsets()[defined]
    }

    /// Where a field of `bytes` bytes lies; panics outside the context.
    fn field<T>(&self, offset: i32) -> *mut T {
        let below = u64::from(offset.unsigned_abs());
        assert!(
            offset < 0 && below <= self.layout().context_bytes() && below >= size_of::<T>() as u64,
            "offsets come from the layout"
        );
        let address = (self.context - below) as *mut T;
        assert!(address.is_aligned(), "fields are aligned");
        address
    }

    /// Reads a field of the context.
    pub(crate) fn read(&self, offset: i32) -> u64 {
        // SAFETY: `field` checked that the address lies in the context, which is mapped while the slot lives, and
        // is aligned. Guest code is not running: we are the host.
        unsafe { self.field::<u64>(offset).read() }
    }

    /// Writes a field of the context. Callers write what the layout says belongs there.
    pub(crate) fn write(&self, offset: i32, value: u64) {
        // SAFETY: as for `read`; the context is writable.
        unsafe { self.field::<u64>(offset).write(value) }
    }

    /// Reads a global's cell.
    pub(crate) fn read_wide(&self, offset: i32) -> u128 {
        // SAFETY: as for `read`.
        unsafe { self.field::<u128>(offset).read() }
    }

    /// Writes a global's cell.
    pub(crate) fn write_wide(&self, offset: i32, value: u128) {
        // SAFETY: as for `write`.
        unsafe { self.field::<u128>(offset).write(value) }
    }

    /// A memory's current size, in bytes.
    pub(crate) fn memory_size(&self, defined: u32) -> u64 {
        self.read(self.layout().memory_def(defined) + memory_def::SIZE)
    }

    /// A memory's contents. The slice is raw: its owner, the arena, ties it to a borrow.
    pub(crate) fn memory_parts(&self, defined: u32) -> (*mut u8, usize) {
        (self.memory_base(defined as usize) as *mut u8, self.memory_size(defined) as usize)
    }

    /// Grows a memory to `bytes`, a multiple of the WebAssembly page within its plan.
    pub(crate) fn memory_grow(&self, defined: u32, bytes: u64) -> Result<(), NativeError> {
        let max = self.plans()[defined as usize].pages_max * WASM_PAGE_BYTES;
        let old = self.memory_size(defined);
        if bytes < old || bytes > max || !bytes.is_multiple_of(WASM_PAGE_BYTES) {
            return Err(NativeError::Limit { what: "a memory", bytes, min: old, max });
        }
        self.open(self.memory_base(defined as usize) + old, bytes - old)?;
        self.write(self.layout().memory_def(defined) + memory_def::SIZE, bytes);
        Ok(())
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        release(self.base, self.bytes);
    }
}
