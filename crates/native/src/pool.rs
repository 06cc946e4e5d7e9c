//! Address space for many slots, reserved at once.
//!
//! ```text
//!   │ slot 0 │ slot 1 │ slot 2 │ …      each `stride` bytes; inaccessible until an instance is put there
//! ```
//!
//! All slots of a pool are alike, so that the slot of any address is one division, in the signal handler too.

use std::ffi::c_void;
use std::ops::Range;
use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
use selvedge_contract::limits::{HOST_PAGE_BYTES, STACK_BYTES_MAX, STACK_BYTES_MIN, STACK_GUARD_BYTES};

use crate::error::NativeError;
use crate::pages::Pages;
use crate::signals;
use crate::slot::{release, reserve};

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
}

/// Address space for slots.
#[derive(Debug)]
pub struct Pool {
    base: u64,
    stride: u64,
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
/// Held to change [`POOLS`].
static POOLS_CHANGE: Mutex<()> = Mutex::new(());

impl Pool {
    /// Reserves the slots.
    ///
    /// # Errors
    /// If a limit is out of range, or there is not so much address space.
    pub fn new(limits: SlotLimits) -> Result<Arc<Pool>, NativeError> {
        let SlotLimits { slots, stack_bytes, context_bytes_max, memory_bytes_max } = limits;
        if !(STACK_BYTES_MIN..=STACK_BYTES_MAX).contains(&stack_bytes) {
            let (min, max) = (STACK_BYTES_MIN as u64, STACK_BYTES_MAX as u64);
            return Err(NativeError::Limit { what: "a stack", bytes: stack_bytes as u64, min, max });
        }
        let parts = [2 * STACK_GUARD_BYTES as u64, stack_bytes as u64, context_bytes_max, memory_bytes_max];
        let rounded = parts.iter().map(|bytes| bytes.checked_next_multiple_of(HOST_PAGE_BYTES));
        let stride = rounded.flatten().try_fold(HOST_PAGE_BYTES, u64::checked_add);
        let bytes = stride.and_then(|stride| stride.checked_mul(u64::from(slots.max(1))));
        let (Some(stride), Some(bytes)) = (stride, bytes.filter(|bytes| *bytes <= 1 << 47)) else {
            return Err(NativeError::Limit { what: "a pool", bytes: bytes.unwrap_or(u64::MAX), min: 0, max: 1 << 47 });
        };
        signals::install()?;
        let pool = Arc::new(Pool {
            base: reserve(bytes)?,
            stride,
            limits,
            pages: (0..slots).map(|_| AtomicPtr::default()).collect(),
            free: Mutex::new((0..slots).rev().collect()),
        });
        pool.register()?;
        Ok(pool)
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
        Some(Space { base, bytes: self.stride, home: Some((self.clone(), index)) })
    }

    fn give_back(&self, index: u32) {
        let base = self.base + u64::from(index) * self.stride;
        let flags = MapFlags::PRIVATE | MapFlags::FIXED | MapFlags::NORESERVE;
        // SAFETY: the range is the slot's own, nothing refers into it any more, and inaccessible memory replaces it.
        let cleared = unsafe { mmap_anonymous(base as *mut c_void, self.stride as usize, ProtFlags::empty(), flags) };
        // Where even that fails, the slot is not handed out again.
        if cleared.is_ok() {
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
        release(self.base, self.bytes());
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
    home: Option<(Arc<Pool>, u32)>,
}

impl Space {
    /// Reserves address space.
    pub(crate) fn reserve(bytes: u64) -> Result<Space, NativeError> {
        Ok(Space { base: reserve(bytes)?, bytes, home: None })
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.base..self.base + self.bytes
    }

    /// Lets the signal handler open pages of a pooled slot. They must stay until [`Space::hide`].
    pub(crate) fn show(&self, pages: &Pages) {
        if let Some((pool, index)) = &self.home {
            pool.pages[*index as usize].store(ptr::from_ref(pages).cast_mut(), Ordering::Release);
        }
    }

    pub(crate) fn hide(&self) {
        if let Some((pool, index)) = &self.home {
            pool.pages[*index as usize].store(ptr::null_mut(), Ordering::Release);
        }
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.hide();
        match self.home.take() {
            Some((pool, index)) => pool.give_back(index),
            None => release(self.base, self.bytes),
        }
    }
}
