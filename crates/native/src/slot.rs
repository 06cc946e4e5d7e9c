//! One instance's address space: context, tables and memories, and for the first of an arena the stack.
//!
//! ```text
//!  low                                                                       high
//!  │ guard │ stack ┊ tables, context │ memory 0 … │ guard │ memory 1 … │
//!                                    ▲ context pointer
//! ```
//!
//! The stack ends where tables and context begin, in the middle of a page: what a small instance always touches is
//! one page. Proved code writes no frame above its own stack.
//!
//! What is inaccessible is not mapped so, or, in a slot of a pool of small ones, *marked* ([`crate::pages`]): then
//! all slots of the pool are one mapping, however many there are.

use std::any::Any;
use std::ffi::c_void;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::io::Errno;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap, mmap_anonymous, mprotect, munmap};
use selvedge_contract::limits::{HOST_PAGE_BYTES, IMAGE_PAGES_COPIED_MAX, STACK_GUARD_BYTES, WASM_PAGE_BYTES};
use selvedge_contract::vmctx::{VmLayout, memory_def, table_def};
use selvedge_contract::{ImageRun, MemoryPlan};

use crate::code::Code;
use crate::error::NativeError;
use crate::pages::{self, Pages, Recycling};
use crate::pool::Space;
use crate::scan;

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

/// The address space of one instance, set up.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Before `pages`, which it hides from the signal handler when it is dropped.
    space: Space,
    /// Of a pooled slot: what was touched.
    pages: Option<Box<Pages>>,
    /// The context pointer.
    context: u64,
    code: Arc<Code>,
    /// Keeps the host functions in the import slots.
    hosts: Option<Arc<dyn Any + Send + Sync>>,
    /// Memory 0 up to here was opened once; beyond its size it is marked.
    window: AtomicU64,
    /// The globals when the instance was new; empty until [`Slot::seal`].
    globals: Arc<[u8]>,
    has_stack: bool,
    /// Whether the image was copied into the slot, not mapped.
    image_is_copied: bool,
}

impl Slot {
    /// Reserves a slot for an instance and maps its stack (of `stack_bytes`, which may be 0), its context, and
    /// its memories at their initial sizes with their images. The context is zero but for the definitions.
    pub(crate) fn new(code: Arc<Code>, stack_bytes: u64) -> Result<Slot, NativeError> {
        let bytes = Self::below(&code, stack_bytes) + code.index().layout.total_bytes().max(HOST_PAGE_BYTES);
        let slot = Slot::set_up(code, stack_bytes, Space::reserve(bytes)?)?;
        slot.fill_image()?;
        Ok(slot)
    }

    /// Sets up a slot of a pool. `profile` has the pages that such an instance is known to touch.
    pub(crate) fn pooled(
        code: Arc<Code>,
        space: Space,
        stack_bytes: u64,
        profile: &[u64],
    ) -> Result<Slot, NativeError> {
        let range = space.range();
        let bytes = Self::below(&code, stack_bytes) + code.index().layout.total_bytes();
        if bytes > range.end - range.start {
            let max = range.end - range.start;
            return Err(NativeError::Limit { what: "an instance for the pool's slots", bytes, min: 0, max });
        }
        let mut slot = Slot::set_up(code, stack_bytes, space)?;
        let memory = slot.context..slot.context + slot.initial_bytes(0);
        let ranges = [slot.stack().start..slot.stack_top(), memory];
        let pages = Pages::new(ranges, slot.mapped_image(), profile, slot.recycling()).map(Box::new);
        let pages = pages.ok_or(refused("open memory"))?;
        slot.space.show(&pages);
        slot.pages = Some(pages);
        slot.fill_image()?;
        Ok(slot)
    }

    /// The best way of recycling that its pool allows.
    fn recycling(&self) -> Recycling {
        self.space.limits().map_or(Recycling::Discard, |limits| limits.recycling)
    }

    /// Bytes below the context pointer.
    fn below(code: &Code, stack_bytes: u64) -> u64 {
        let bytes = stack_bytes + code.index().layout.context_bytes();
        STACK_GUARD_BYTES as u64 + bytes.next_multiple_of(HOST_PAGE_BYTES)
    }

    fn set_up(code: Arc<Code>, stack_bytes: u64, space: Space) -> Result<Slot, NativeError> {
        let context = space.range().start + Self::below(&code, stack_bytes);
        let mut slot = Slot {
            pages: None,
            space,
            context,
            code,
            hosts: None,
            window: AtomicU64::new(context),
            globals: Arc::default(),
            has_stack: stack_bytes > 0,
            image_is_copied: false,
        };
        if slot.space.is_marked() && !pages::guard(slot.space.range()) {
            return Err(refused("protect a slot"));
        }
        let low = slot.stack().start;
        // Memory 0 begins where the context ends.
        slot.open(low, slot.context + slot.initial_bytes(0) - low)?;
        slot.init_memories()?;
        slot.write_definitions();
        slot.window = AtomicU64::new(context + slot.initial_bytes(0));
        Ok(slot)
    }

    /// The page that has the top of the stack, and may have context: always open.
    fn stack_top(&self) -> u64 {
        let stack = self.stack();
        stack.end.saturating_sub(1).max(stack.start) & !(HOST_PAGE_BYTES - 1)
    }

    /// Size of a memory of a new instance; 0 if it has no such memory.
    fn initial_bytes(&self, defined: usize) -> u64 {
        self.plans().get(defined).map_or(0, |plan| plan.ty.min_pages * WASM_PAGE_BYTES)
    }

    fn init_memories(&mut self) -> Result<(), NativeError> {
        for defined in 1..self.plans().len() {
            self.open(self.memory_base(defined), self.initial_bytes(defined))?;
        }
        self.init_image()
    }

    /// Writes what defines memories and tables, at their initial sizes.
    fn write_definitions(&self) {
        for (defined, plan) in self.plans().iter().enumerate() {
            let def = self.layout().memory_def(defined as u32);
            self.write(def + memory_def::BASE, self.memory_base(defined));
            self.write(def + memory_def::SIZE, plan.ty.min_pages * WASM_PAGE_BYTES);
            self.write(def + memory_def::BOUND, plan.reservation_bytes);
        }
        for (defined, plan) in (0..).zip(&self.code.index().contract.tables) {
            let def = self.layout().table_def(defined);
            let base = self.context.wrapping_add_signed(i64::from(self.layout().table_entries(defined)));
            self.write(def + table_def::BASE, base);
            self.write(def + table_def::SIZE, plan.ty.min);
            self.write(def + table_def::BOUND, plan.entries_max);
            self.write(def + table_def::OWNER, self.context);
        }
    }

    /// Maps the memories' image, unless it is to be copied: that is cheaper for a few pages of a small slot, and all
    /// that is left when the kernel allows no more mappings.
    fn init_image(&mut self) -> Result<(), NativeError> {
        let code = self.code.clone();
        let image = &code.index().contract.image;
        let pages: u64 = image.iter().map(|run| run.pages).sum();
        if self.space.is_marked() && pages <= IMAGE_PAGES_COPIED_MAX || !self.space.may_map(image.len() as u64) {
            self.image_is_copied = true;
            return Ok(());
        }
        match image.iter().try_for_each(|run| self.map_image(run)) {
            Err(NativeError::Memory { source: Errno::NOMEM, .. }) => self.image_is_copied = true,
            mapped => mapped?,
        }
        Ok(())
    }

    /// Where memory 0 is mapped from the image.
    fn mapped_image(&self) -> Box<[Range<u64>]> {
        if self.image_is_copied {
            return Box::default();
        }
        let runs = self.code.index().contract.image.iter().filter(|run| run.memory == 0);
        runs.map(|run| self.page(run.page)..self.page(run.page + run.pages)).collect()
    }

    /// Copies the image into memories that were set up, unless it is mapped there.
    fn fill_image(&self) -> Result<(), NativeError> {
        if !self.image_is_copied {
            return Ok(());
        }
        if let Some(pages) = self.pages().filter(|pages| pages.tracked()) {
            let runs = self.code.index().contract.image.iter().filter(|run| run.memory == 0);
            let mut addresses = runs.flat_map(|run| (run.page..run.page + run.pages).map(|page| self.page(page)));
            if !addresses.all(|page| pages.open(page)) {
                return Err(refused("open memory"));
            }
        }
        (0..self.plans().len()).for_each(|memory| self.copy_image(memory));
        Ok(())
    }

    /// Address of a page of memory 0.
    fn page(&self, number: u64) -> u64 {
        self.context + number * HOST_PAGE_BYTES
    }

    /// Copies the image of one memory, where it is open.
    fn copy_image(&self, memory: usize) {
        let runs = self.code.index().contract.image.iter().filter(|run| run.memory as usize == memory);
        for run in runs {
            let at = self.memory_base(memory) + run.page * HOST_PAGE_BYTES;
            let bytes = self.image_bytes(run.offset, run.pages);
            assert!(self.holds(at, bytes.len() as u64), "an image lies in its memory");
            // SAFETY: the run lies in its memory at its initial size (checked when the artifact was read), which is
            // open there; the instance does not run.
            unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), at as *mut u8, bytes.len()) };
        }
    }

    /// Pages of the image, from an offset in its section.
    fn image_bytes(&self, offset: u64, pages: u64) -> &[u8] {
        let at = self.code.index().image().start + offset as usize;
        &self.code.bytes()[at..at + (pages * HOST_PAGE_BYTES) as usize]
    }

    /// Makes part of the reservation readable and writable.
    fn open(&self, address: u64, bytes: u64) -> Result<(), NativeError> {
        if bytes == 0 {
            return Ok(());
        }
        assert!(self.holds(address, bytes), "only the slot's own pages are opened");
        if self.space.is_marked() {
            return if pages::unguard(address..address + bytes) { Ok(()) } else { Err(refused("open memory")) };
        }
        // SAFETY: the range lies in this slot's reservation, and opening it takes nothing away from anyone.
        let opened =
            unsafe { mprotect(address as *mut c_void, bytes as usize, MprotectFlags::READ | MprotectFlags::WRITE) };
        opened.map_err(|source| NativeError::Memory { what: "make memory accessible", bytes, source })
    }

    /// Maps part of the artifact copy-on-write over pages of a memory.
    fn map_image(&self, run: &ImageRun) -> Result<(), NativeError> {
        let address = self.memory_base(run.memory as usize) + run.page * HOST_PAGE_BYTES;
        let bytes = run.pages * HOST_PAGE_BYTES;
        let file_offset = self.code.index().image().start as u64 + run.offset;
        assert!(self.holds(address, bytes), "an image lies in its memory: checked when the artifact was read");
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE | MapFlags::FIXED);
        // SAFETY: the range lies in this slot's reservation; the instance has not run, so nothing refers to the
        // pages that are replaced.
        let mapped =
            unsafe { mmap(address as *mut c_void, bytes as usize, prot, flags, self.code.file(), file_offset) };
        mapped.map(drop).map_err(|source| NativeError::Memory { what: "map a memory image", bytes, source })
    }

    fn holds(&self, address: u64, bytes: u64) -> bool {
        let range = self.space.range();
        address >= range.start && address.checked_add(bytes).is_some_and(|end| end <= range.end)
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
        let low = self.space.range().start + STACK_GUARD_BYTES as u64;
        low..if self.has_stack { self.context - self.layout().context_bytes() } else { low }
    }

    /// The host functions that its import slots lead to.
    pub(crate) fn hosts(&self) -> Option<&Arc<dyn Any + Send + Sync>> {
        self.hosts.as_ref()
    }

    pub(crate) fn set_hosts(&mut self, hosts: Arc<dyn Any + Send + Sync>) {
        self.hosts = Some(hosts);
    }

    /// Every address that belongs to the slot.
    pub(crate) fn range(&self) -> Range<u64> {
        self.space.range()
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
        let base = self.memory_base(defined as usize);
        if defined == 0 {
            self.open_window(base + old, base + bytes)?;
        } else {
            self.open(base + old, bytes - old)?;
        }
        self.write(self.layout().memory_def(defined) + memory_def::SIZE, bytes);
        Ok(())
    }

    /// Opens more of memory 0. What an instance before has opened is only marked, and needs no change of mappings.
    fn open_window(&self, from: u64, to: u64) -> Result<(), NativeError> {
        let known = self.window.load(Ordering::Relaxed).clamp(from, to);
        let opened = self.open(known, to - known);
        if opened.is_err() || !pages::unguard(from..known) {
            // Nothing may stay open beyond the memory's size: no bounds are checked there.
            self.close_window(from, to)?;
            return opened.and(Err(refused("open memory")));
        }
        self.window.fetch_max(to, Ordering::Relaxed);
        Ok(())
    }

    /// Closes all of memory 0 from an address on, up to `to` and to what was ever opened.
    fn close_window(&self, from: u64, to: u64) -> Result<(), NativeError> {
        let opened = self.window.load(Ordering::Relaxed).max(to);
        self.close(from..opened)?;
        self.window.fetch_min(from, Ordering::Relaxed);
        Ok(())
    }

    /// Stops tracking pages: recycling does the next best from now on.
    pub(crate) fn untrack(&self) -> Result<(), NativeError> {
        let Some(pages) = self.pages() else { return Err(NativeError::NotPooled) };
        if !pages.untrack(self.recycling().min(Recycling::Scan)) {
            return Err(refused("open memory"));
        }
        // What is resident now is more than it may keep.
        self.discard_all(pages)
    }

    /// What the pages of a pooled slot tell.
    pub(crate) fn pages(&self) -> Option<&Pages> {
        self.pages.as_deref()
    }

    /// Remembers the globals as they are: what [`Slot::recycle`] goes back to.
    pub(crate) fn seal(&mut self) {
        let globals = self.globals_address();
        let bytes = self.layout().globals().1 as usize;
        // SAFETY: the globals lie in the context, which is mapped, and no guest code runs: the slot is borrowed mutably.
        self.globals = self.code.share_globals(unsafe { std::slice::from_raw_parts(globals, bytes) });
    }

    fn globals_address(&self) -> *mut u8 {
        self.context.wrapping_add_signed(self.layout().globals().0.into()) as *mut u8
    }

    /// Makes the slot what it was when it was sealed, tables' entries and the context's header excepted. Fails if the
    /// kernel refuses what it must do for that; then the slot cannot be used again.
    pub(crate) fn recycle(&mut self) -> Result<(), NativeError> {
        let grown = self.context + self.initial_bytes(0)..self.context + self.size_of_memory_0();
        self.shrink(grown)?;
        for defined in 1..self.plans().len() {
            self.renew_memory(defined)?;
        }
        let Some(pages) = self.pages.as_deref() else { return Err(NativeError::NotPooled) };
        match pages.way() {
            Recycling::Track => self.recycle_hot(pages)?,
            Recycling::Scan => self.recycle_by_scan(pages)?,
            Recycling::Discard => self.discard_all(pages)?,
        }
        self.reset_stack_top();
        self.write_definitions();
        // SAFETY: as many bytes as there are globals, in the context, which is mapped and which nobody uses now.
        unsafe { std::ptr::copy_nonoverlapping(self.globals.as_ptr(), self.globals_address(), self.globals.len()) };
        Ok(())
    }

    /// Gives all pages back to the kernel.
    fn discard_all(&self, pages: &Pages) -> Result<(), NativeError> {
        if !pages.ranges().into_iter().all(pages::discard) {
            return Err(refused("discard pages"));
        }
        if self.image_is_copied {
            self.copy_image(0);
        }
        Ok(())
    }

    /// Resets what was touched, and begins anew to learn what that is, if it is time for that.
    fn recycle_hot(&self, pages: &Pages) -> Result<(), NativeError> {
        pages.hot_pages().for_each(|page| self.reset_page(pages, page));
        if pages.changes_way() {
            if !pages.begin_anew() {
                return Err(refused("open memory"));
            }
            self.discard_all(pages)?;
        }
        Ok(())
    }

    /// Resets what was written, and begins to track pages if it is time for that and there are not too many.
    fn recycle_by_scan(&self, pages: &Pages) -> Result<(), NativeError> {
        let keep = self.space.limits().map_or(0, |limits| limits.resident_pages_max);
        let all_are_hot = self.reset_written(pages, keep)?;
        let is_time = pages.changes_way() && all_are_hot && pages.hot_pages().count() as u64 <= keep;
        if is_time && !pages.track() { Err(refused("open memory")) } else { Ok(()) }
    }

    /// Resets the pages that the kernel says were written, and notes them as hot; those beyond `keep` pages it gives back.
    /// Says whether there were none of those.
    fn reset_written(&self, pages: &Pages, keep: u64) -> Result<bool, NativeError> {
        let (mut left, mut discarded) = (keep, true);
        let mut reset = |run: Range<u64>| {
            let kept = run.start + left.saturating_mul(HOST_PAGE_BYTES).min(run.end - run.start);
            for page in (run.start..kept).step_by(HOST_PAGE_BYTES as usize) {
                self.reset_page(pages, page);
                pages.set_hot(page);
            }
            left -= (kept - run.start) / HOST_PAGE_BYTES;
            discarded &= pages::discard(kept..run.end);
        };
        if !pages.ranges().into_iter().all(|range| scan::written(range, &mut reset)) || !discarded {
            pages.set_kept(0);
            self.discard_all(pages)?;
            return Ok(false);
        }
        pages.set_kept(keep - left);
        if left == 0 && self.image_is_copied {
            self.copy_image(0);
        }
        Ok(left > 0)
    }

    /// The stack's part of the page that is always open becomes zero.
    fn reset_stack_top(&self) {
        let top = self.stack_top();
        // SAFETY: the page is open, and from there to the stack's end nothing lies but old frames; the slot is
        // borrowed mutably by way of its arena.
        unsafe { (top as *mut u8).write_bytes(0, (self.stack().end - top) as usize) };
    }

    fn size_of_memory_0(&self) -> u64 {
        if self.plans().is_empty() { 0 } else { self.memory_size(0) }
    }

    /// Takes back what memory 0 has grown.
    fn shrink(&self, grown: Range<u64>) -> Result<(), NativeError> {
        if grown.is_empty() || pages::guard(grown.clone()) {
            return Ok(());
        }
        self.close_window(grown.start, grown.end)
    }

    /// Makes part of the slot inaccessible; what was there is gone.
    fn close(&self, range: Range<u64>) -> Result<(), NativeError> {
        let bytes = range.end - range.start;
        assert!(self.holds(range.start, bytes), "only the slot's own pages are closed");
        if self.space.is_marked() {
            return if pages::guard(range) { Ok(()) } else { Err(refused("close memory")) };
        }
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the range lies in this slot's reservation, and nothing refers to what is replaced.
        let closed = unsafe { mmap_anonymous(range.start as *mut c_void, bytes as usize, ProtFlags::empty(), flags) };
        closed.map(drop).map_err(|source| NativeError::Memory { what: "close memory", bytes, source })
    }

    /// Gives back another memory than the first: such modules are few.
    fn renew_memory(&self, defined: usize) -> Result<(), NativeError> {
        let base = self.memory_base(defined);
        let initial = self.initial_bytes(defined);
        let size = self.memory_size(defined as u32);
        if size > initial {
            self.close(base + initial..base + size)?;
        }
        if !pages::discard(base..base + initial) {
            return Err(refused("discard pages"));
        }
        if self.image_is_copied {
            self.copy_image(defined);
        }
        Ok(())
    }

    /// Makes a hot page what it was at first.
    fn reset_page(&self, pages: &Pages, page: u64) {
        let image = if pages.in_stack(page) { None } else { self.image_page(page) };
        // SAFETY: a hot page is mapped and writable, and the slot is borrowed mutably by way of its arena: nobody
        // else uses it. An image's page lies in the artifact, which stays mapped.
        unsafe {
            let page = page as *mut u8;
            match image {
                None => page.write_bytes(0, HOST_PAGE_BYTES as usize),
                Some(image) => page.copy_from_nonoverlapping(image.as_ptr(), HOST_PAGE_BYTES as usize),
            }
        }
    }

    /// The initial contents of a page of memory 0, unless they are zero.
    fn image_page(&self, page: u64) -> Option<&[u8]> {
        let number = (page - self.context) / HOST_PAGE_BYTES;
        let runs = &self.code.index().contract.image;
        // Ordered by memory and page.
        let after = runs.partition_point(|run| run.memory == 0 && run.page <= number);
        let run = runs.get(after.checked_sub(1)?).filter(|run| run.memory == 0 && number < run.page + run.pages)?;
        Some(self.image_bytes(run.offset + (number - run.page) * HOST_PAGE_BYTES, 1))
    }
}

fn refused(what: &'static str) -> NativeError {
    NativeError::Memory { what, bytes: 0, source: Errno::INVAL }
}
