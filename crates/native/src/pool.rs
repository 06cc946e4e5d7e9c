//! Address space for many slots, reserved at once.
//!
//! ```text
//!   │ slot 0 │ slot 1 │ slot 2 │ …      each `stride` bytes
//! ```
//!
//! All slots of a pool are alike, so that the slot of any address is one division, in the signal handler too.
//!
//! Large slots are inaccessible until an instance is put there, and two mappings from then on; the kernel bounds how
//! many a process may have (`vm.max_map_count`). They begin where a page-table page does, so that stack, context and
//! the start of memory share one. Small slots lie close together in one mapping for all, and each marks what of it is
//! out of bounds ([`crate::pages`]); several share a page-table page.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use selvedge_contract::limits::{
    HOST_PAGE_BYTES, MARKED_SLOT_BYTES_MAX, STACK_BYTES_MAX, STACK_BYTES_MIN, STACK_GUARD_BYTES,
};

use crate::error::NativeError;
use crate::pages::{self, Pages, Recycling};
use crate::signals;
use crate::slot::{release, reserve};

/// Address space that one page-table page maps.
const PAGE_TABLE_BYTES: u64 = 2 << 20;
/// Pools alive in one process: the signal handler looks at each.
const POOLS_MAX: usize = 64;

/// What the slots of a pool have room for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotLimits {
    /// Slots.
    pub slots: u32,
    /// Bytes of stack for guest code, within the limits of [`selvedge_contract::limits`].
    pub stack_bytes: usize,
    /// Bytes of address space for context and tables.
    pub context_bytes_max: u64,
    /// Bytes of address space for memories, their guards included.
    pub memory_bytes_max: u64,
    /// The best way of recycling to use.
    pub recycling: Recycling,
    /// Pages that one slot keeps when the kernel is asked which were written.
    pub resident_pages_max: u64,
}

/// Address space for slots.
#[derive(Debug)]
pub struct Pool {
    /// What was reserved.
    reserved: Range<u64>,
    /// The first slot.
    base: u64,
    stride: u64,
    /// Whether all slots are one mapping.
    marked: bool,
    limits: SlotLimits,
    /// The pages of the slot that is in use, for the signal handler.
    pages: Box<[AtomicPtr<Pages>]>,
    free: Mutex<Vec<u32>>,
}

/// A pool's entry in the signal handler's list; `low` is 0 where there is none.
struct Entry {
    low: AtomicU64,
    high: AtomicU64,
    pool: AtomicPtr<Pool>,
}

static POOLS: [Entry; POOLS_MAX] =
    [const { Entry { low: AtomicU64::new(0), high: AtomicU64::new(0), pool: AtomicPtr::new(ptr::null_mut()) } };
        POOLS_MAX];
/// Mappings of memory images in pooled slots.
static IMAGE_RUNS: AtomicU64 = AtomicU64::new(0);

/// How many there may be: each splits another mapping, and half of what the kernel allows is for the rest of the
/// process.
pub(crate) fn image_runs_max() -> u64 {
    static MAX: OnceLock<u64> = OnceLock::new();
    *MAX.get_or_init(|| {
        let text = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
        text.trim().parse().unwrap_or(65_530) / 4
    })
}

/// Bytes of a slot, or `None` if there are too many: they all begin at the same place of a page, or of a page table.
fn stride(limits: &SlotLimits) -> Option<u64> {
    let below = (limits.stack_bytes as u64).checked_add(limits.context_bytes_max)?;
    let below = below.checked_next_multiple_of(HOST_PAGE_BYTES)?.checked_add(STACK_GUARD_BYTES as u64)?;
    let bytes = below.checked_add(limits.memory_bytes_max.max(1))?;
    let align = if bytes > MARKED_SLOT_BYTES_MAX { PAGE_TABLE_BYTES } else { HOST_PAGE_BYTES };
    bytes.checked_next_multiple_of(align)
}

/// Held to change [`POOLS`].
static POOLS_CHANGE: Mutex<()> = Mutex::new(());

impl Pool {
    /// Reserves the slots.
    ///
    /// # Errors
    /// If a limit is out of range, or there is not so much address space.
    pub fn new(limits: SlotLimits) -> Result<Arc<Pool>, NativeError> {
        let (min, max) = (STACK_BYTES_MIN as u64, STACK_BYTES_MAX as u64);
        let stack_bytes = limits.stack_bytes as u64;
        if !(min..=max).contains(&stack_bytes) {
            return Err(NativeError::Limit { what: "a stack", bytes: stack_bytes, min, max });
        }
        let slots = u64::from(limits.slots.max(1));
        let stride = stride(&limits);
        // One more than there are, to align the first.
        let bytes = stride.and_then(|stride| stride.checked_mul(slots)?.checked_add(PAGE_TABLE_BYTES));
        let (Some(stride), Some(bytes)) = (stride, bytes.filter(|bytes| *bytes <= 1 << 47)) else {
            return Err(NativeError::Limit { what: "a pool", bytes: bytes.unwrap_or(u64::MAX), min: 0, max: 1 << 47 });
        };
        signals::install()?;
        let start = reserve(bytes)?;
        pages::small(start..start + bytes);
        let mut pool = Pool {
            reserved: start..start + bytes,
            base: start.next_multiple_of(PAGE_TABLE_BYTES),
            stride,
            marked: false,
            limits,
            pages: (0..limits.slots).map(|_| AtomicPtr::default()).collect(),
            free: Mutex::new((0..limits.slots).rev().collect()),
        };
        pool.marked = stride <= MARKED_SLOT_BYTES_MAX && pool.open_all();
        let pool = Arc::new(pool);
        pool.register()?;
        Ok(pool)
    }

    /// Makes one accessible mapping of all slots, if slots can be marked then.
    fn open_all(&self) -> bool {
        let range = self.base..self.base + self.bytes();
        self.map_over(range.clone(), ProtFlags::READ | ProtFlags::WRITE)
            && (pages::guard(range.start..range.start + HOST_PAGE_BYTES) || {
                self.map_over(range, ProtFlags::empty());
                false
            })
    }

    /// Maps fresh memory over slots that nobody uses.
    fn map_over(&self, range: Range<u64>, access: ProtFlags) -> bool {
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        let bytes = (range.end - range.start) as usize;
        assert!(self.reserved.start <= range.start && range.end <= self.reserved.end, "the pool's own");
        // SAFETY: the range is part of the pool's reservation, and nothing refers into it.
        let mapped = unsafe { mmap_anonymous(range.start as *mut c_void, bytes, access, flags) };
        if mapped.is_ok() {
            pages::small(range);
        }
        mapped.is_ok()
    }

    /// What its slots have room for.
    pub fn limits(&self) -> &SlotLimits {
        &self.limits
    }

    fn bytes(&self) -> u64 {
        self.stride * self.limits.slots.max(1) as u64
    }

    fn register(self: &Arc<Pool>) -> Result<(), NativeError> {
        let _change = POOLS_CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = POOLS.iter().find(|entry| entry.low.load(Ordering::Relaxed) == 0);
        let entry = entry.ok_or(NativeError::Limit { what: "the list of pools", bytes: 65, min: 0, max: 64 })?;
        entry.pool.store(Arc::as_ptr(self).cast_mut(), Ordering::Release);
        entry.high.store(self.base + self.bytes(), Ordering::Release);
        // Last: whoever sees it sees the rest.
        entry.low.store(self.base, Ordering::Release);
        Ok(())
    }

    /// Takes a slot, if one is free.
    pub(crate) fn take(self: &Arc<Pool>) -> Option<Space> {
        let index = self.free.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
        let base = self.base + u64::from(index) * self.stride;
        Some(Space { base, bytes: self.stride, pool: Some(self.clone()), index, image_runs: 0 })
    }

    /// Takes back a slot, in which something was mapped or not.
    fn give_back(&self, index: u32, mapped: bool) {
        let base = self.base + u64::from(index) * self.stride;
        let range = base..base + self.stride;
        let cleared = match (self.marked, mapped) {
            (true, false) => pages::discard(range),
            (true, true) => self.map_over(range, ProtFlags::READ | ProtFlags::WRITE),
            (false, _) => self.map_over(range, ProtFlags::empty()),
        };
        // Where even that fails, the slot is not handed out again.
        if cleared {
            self.free.lock().unwrap_or_else(PoisonError::into_inner).push(index);
        }
    }

    fn open(&self, address: u64) -> bool {
        let index = address.checked_sub(self.base).map(|offset| offset / self.stride);
        let Some(pages) = index.and_then(|index| self.pages.get(index as usize)) else { return false };
        // SAFETY: a slot's pages are in the list only while they live, and someone touches the slot, so its owner
        // does not drop it now.
        unsafe { pages.load(Ordering::Acquire).as_ref() }.is_some_and(|pages| pages.open(address))
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _change = POOLS_CHANGE.lock().unwrap_or_else(PoisonError::into_inner);
        let own: *mut Pool = self;
        if let Some(entry) = POOLS.iter().find(|entry| entry.pool.load(Ordering::Relaxed) == own) {
            entry.low.store(0, Ordering::Release);
            entry.pool.store(ptr::null_mut(), Ordering::Release);
        }
        release(self.reserved.start, self.reserved.end - self.reserved.start);
    }
}

/// Opens the cold page of a pooled slot that was touched; says whether the access can go on.
/// Async-signal-safe.
pub(crate) fn open_page(address: u64) -> bool {
    POOLS.iter().any(|entry| {
        let low = entry.low.load(Ordering::Acquire);
        if low == 0 || !(low..entry.high.load(Ordering::Acquire)).contains(&address) {
            return false;
        }
        let pool = entry.pool.load(Ordering::Acquire);
        // The entry of a pool that is touched stays as it is; one that changes just now is another's.
        if entry.low.load(Ordering::Relaxed) != low {
            return false;
        }
        // SAFETY: the pool lives while addresses of it are touched: its slots keep it.
        unsafe { pool.as_ref() }.is_some_and(|pool| pool.open(address))
    })
}

/// Address space of one slot: a reservation of its own, or a place in a pool.
#[derive(Debug)]
pub(crate) struct Space {
    base: u64,
    bytes: u64,
    pool: Option<Arc<Pool>>,
    /// Its number in the pool.
    index: u32,
    /// Mappings of a memory image that count among [`IMAGE_RUNS`].
    image_runs: u32,
}

impl Space {
    /// Reserves address space.
    pub(crate) fn reserve(bytes: u64) -> Result<Space, NativeError> {
        Ok(Space { base: reserve(bytes)?, bytes, pool: None, index: 0, image_runs: 0 })
    }

    /// Whether what is inaccessible is marked, not mapped so.
    pub(crate) fn is_marked(&self) -> bool {
        self.pool.as_ref().is_some_and(|pool| pool.marked)
    }

    /// The limits of the pool it is in.
    pub(crate) fn limits(&self) -> Option<&SlotLimits> {
        self.pool.as_ref().map(|pool| pool.limits())
    }

    /// Whether a memory image may be mapped, in so many runs: the slots of all pools leave mappings to the rest of
    /// the process.
    pub(crate) fn may_map(&mut self, runs: u64) -> bool {
        if self.pool.is_none() {
            return true;
        }
        let Ok(count) = u32::try_from(runs) else { return false };
        let counted = IMAGE_RUNS.fetch_add(runs, Ordering::Relaxed) + runs;
        self.image_runs = count;
        counted <= image_runs_max()
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.base..self.base + self.bytes
    }

    /// Lets the signal handler open pages of a pooled slot. They must stay until [`Space::hide`].
    pub(crate) fn show(&self, pages: &Pages) {
        if let Some(pool) = &self.pool {
            pool.pages[self.index as usize].store(ptr::from_ref(pages).cast_mut(), Ordering::Release);
        }
    }

    pub(crate) fn hide(&self) {
        if let Some(pool) = &self.pool {
            pool.pages[self.index as usize].store(ptr::null_mut(), Ordering::Release);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.hide();
        match self.pool.take() {
            Some(pool) => {
                pool.give_back(self.index, self.image_runs > 0);
                IMAGE_RUNS.fetch_sub(self.image_runs.into(), Ordering::Relaxed);
            }
            None => release(self.base, self.bytes),
        }
    }
}
