//! Instances that are used again: a fresh one for every request, without a system call.
//!
//! ```text
//!   Pool ─ shards, one for each thread, by turns
//!            └─ idle instances by module, last used first ──► Store ──► recycled when dropped
//! ```
//!
//! All address space is reserved when the pool is made. A slot is set up for a module once, and then belongs to
//! it: dropping the store puts memory, globals, tables and stack back to what they were when the instance was
//! new, and the next store of that module starts from there. When no slot is free, an idle instance of another
//! module gives up its own.
//!
//! A recycled instance cannot be told from a new one. Its handles can: they are refused, like those of another
//! store, and handles to interrupt it do nothing.
//!
//! Memory of a pooled instance that nothing has touched yet is protected, and opened when it is touched, by
//! the guest or by Rust code. A *system call* that is given such memory fails with `EFAULT`: touch each page
//! first ([`touch`], [`touch_mut`]).
//!
//! The stack is protected likewise: a handler of the embedder's for a signal that may come while a guest runs has to
//! be installed with `SA_ONSTACK`, or the kernel finds no room for its frame and ends the process.

mod idle;

use std::cell::Cell;
use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use selvedge_contract::limits::{DENSE_GUARD_BYTES, GUARDED_GUARD_BYTES, GUARDED_RESERVATION_BYTES, HOST_PAGE_BYTES};
use selvedge_native::{Arena, HandOn, HandedOn, NativeError, Recycling, SlotId, SlotLimits};

use self::idle::Idle;
pub(crate) use self::idle::Wanted;
use crate::context::{AsContextMut, Inner};
use crate::core::{Core, StoreId};
use crate::error::InstantiateError;
use crate::instance::Instance;
use crate::instantiate::{begin, init_tables, set_up};
use crate::limits::Limits;
use crate::linker::InstancePre;
use crate::module::Module;
use crate::store::Store;
use crate::time;

/// What a pool has room for, and what each of its stores may use.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PoolLimits {
    /// Instances alive at once.
    pub slots: u32,
    /// Address space for the memories of one instance, in bytes, guards included. [`PoolLimits::guarded`] and
    /// [`PoolLimits::dense`] say how much that is.
    pub memory_bytes_max: u64,
    /// Address space for context and tables of one instance, in bytes.
    pub context_bytes_max: u64,
    /// Pages that one idle instance keeps, in bytes. One that touches more is no longer tracked: the kernel is asked
    /// what was written, and given back what is too much.
    pub resident_bytes_per_slot_max: u64,
    /// Pages that all idle instances keep, in bytes, shared out evenly among threads.
    pub resident_bytes_max: u64,
    /// The best way of recycling to use; where the kernel cannot, the next best is used.
    pub recycling: Recycling,
    /// The limits of each store. Its stack is the slot's.
    pub store: Limits,
}

impl Default for PoolLimits {
    /// A thousand instances with one guarded memory each.
    fn default() -> PoolLimits {
        PoolLimits::guarded(1_000)
    }
}

impl PoolLimits {
    /// Slots for modules with one guarded memory.
    pub fn guarded(slots: u32) -> PoolLimits {
        PoolLimits {
            slots,
            memory_bytes_max: GUARDED_RESERVATION_BYTES + GUARDED_GUARD_BYTES,
            context_bytes_max: 4 << 20,
            resident_bytes_per_slot_max: 4 << 20,
            resident_bytes_max: 1 << 30,
            recycling: Recycling::Track,
            store: Limits::default(),
        }
    }

    /// Slots for modules with one dense memory of at most so many bytes.
    pub fn dense(slots: u32, memory_bytes: u64) -> PoolLimits {
        PoolLimits { memory_bytes_max: memory_bytes.saturating_add(DENSE_GUARD_BYTES), ..PoolLimits::guarded(slots) }
    }

    /// Slots as large as a module needs, and no larger: for as many instances of it as can be. With dense memories
    /// and a small [`Limits::stack_bytes`] a slot is little more than the memory's maximum.
    ///
    /// ```
    /// use selvedge_compiler::{Options, compile};
    /// use selvedge_contract::MemoryLayout;
    /// use selvedge_runtime::{Limits, Linker, Module, Pool, PoolLimits};
    ///
    /// let wat = r#"(module (memory 1 4) (func (export "pages") (result i32) (memory.size)))"#;
    /// let dense = Options { memory: MemoryLayout::Dense, ..Options::default() };
    /// let artifact = compile(wat.as_bytes(), &dense, &())?;
    /// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
    ///
    /// // A slot is 256 KiB of memory, a guard and the stack; pages that nobody touches take no memory.
    /// let store = Limits { stack_bytes: 32 << 10, ..Limits::default() };
    /// let pool = Pool::new(PoolLimits { store, ..PoolLimits::fitting(100_000, &module) })?;
    /// assert!(pool.limits().memory_bytes_max < 300 << 10);
    /// let prepared = Linker::<()>::new().prepare(&module)?;
    /// let (mut store, instance) = pool.instantiate(&prepared, ())?;
    /// assert_eq!(instance.typed_func::<(), i32>(&store, "pages")?.call(&mut store, ())?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fitting(slots: u32, module: &Module) -> PoolLimits {
        let layout = &module.index().layout;
        PoolLimits {
            memory_bytes_max: layout.total_bytes(),
            context_bytes_max: layout.context_bytes(),
            ..PoolLimits::guarded(slots)
        }
    }
}

/// Slots for instances, shared by all threads. Cheap to clone; the slots live until the last clone and the last
/// store are gone.
///
/// ```
/// use selvedge_runtime::{InstantiateError, Limits, Linker, Module, NativeError, Pool, PoolLimits};
///
/// # let wat = r#"(module (memory 1) (global $n (mut i32) (i32.const 0)) (func (export "count") (result i32)
/// #     (global.set $n (i32.add (global.get $n) (i32.const 1))) (global.get $n)))"#;
/// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
/// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
/// // Once: imports are found, and two slots reserved.
/// let handler = Linker::<()>::new().prepare(&module)?;
/// let store = Limits { memory_bytes_max: 1 << 20, ..Limits::default() };
/// let pool = Pool::new(PoolLimits { store, ..PoolLimits::guarded(2) })?;
///
/// // For each request: an instance that nobody used before.
/// for _request in 0..3 {
///     let (mut store, instance) = pool.instantiate(&handler, ())?;
///     assert_eq!(instance.typed_func::<(), i32>(&store, "count")?.call(&mut store, ())?, 1);
/// }
///
/// // Two at once, and no more.
/// let held = [pool.instantiate(&handler, ())?, pool.instantiate(&handler, ())?];
/// let third = pool.instantiate(&handler, ());
/// assert!(matches!(third, Err(InstantiateError::Native(NativeError::PoolExhausted { slots: 2 }))));
/// drop(held);
/// assert_eq!(pool.idle(), 2);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pool(Arc<Handle>);

/// Dropped with the last [`Pool`]: idle instances go with it.
struct Handle(Arc<Shared>);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Handle").field(&self.0.limits).finish()
    }
}

struct Shared {
    slots: Arc<selvedge_native::Pool>,
    limits: PoolLimits,
    store_limits: Arc<Limits>,
    /// By thread, by turns: what a thread puts back it takes first.
    shards: Box<[Arc<Shard>]>,
    common: Arc<Common>,
}

/// What all shards share, looked at where no hot path is.
#[derive(Default)]
struct Common {
    /// The pages that instances of a module are known to touch, by [`InstancePre`].
    profiles: Mutex<HashMap<u64, Vec<u64>>>,
    /// How many wait for a slot.
    waiting: AtomicU32,
    freed: Condvar,
    /// How often a slot was freed while somebody waited.
    times_freed: Mutex<u64>,
}

/// Longest wait for a slot.
const PATIENCE_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Modules that are remembered even if few instances are idle.
const MODULES_MIN: usize = 64;
/// Modules whose pages are remembered.
const PROFILES_MAX: usize = 1024;

/// Idle instances. On cache lines of its own.
#[repr(align(128))]
struct Shard {
    idle: Mutex<Idle>,
    resident_pages_max: u64,
    resident_pages_per_slot_max: u64,
    common: Arc<Common>,
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Idle> {
        // Nothing below leaves it half changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn pop(&self, pre: u64) -> Option<Box<Core>> {
        self.lock().pop(pre)
    }

    /// Takes one of a module that nobody wants any more.
    fn pop_or_forget(&self, pre: u64) -> Option<Box<Core>> {
        self.lock().pop_or_forget(pre)
    }

    /// Takes any idle instance.
    fn pop_any(&self) -> Option<Box<Core>> {
        let mut idle = self.lock();
        let pre = *idle.by_module.iter().find(|(_, cores)| !cores.is_empty())?.0;
        idle.pop(pre)
    }
}

/// A pooled store's instance.
const FIRST: SlotId = SlotId(0);

/// Where a pooled store goes back to.
pub(crate) struct Home {
    shared: Arc<Shared>,
    wanted: Arc<Wanted>,
    /// Pages it kept when it was last put back.
    resident_pages: u64,
}

impl Pool {
    /// Reserves the slots.
    ///
    /// # Errors
    /// If a limit is out of range, or there is not so much address space.
    pub fn new(limits: PoolLimits) -> Result<Pool, NativeError> {
        let PoolLimits { slots, context_bytes_max, memory_bytes_max, .. } = limits;
        let stack_bytes = limits.store.stack_bytes;
        time::prepare(&limits.store.time)?;
        let resident_pages_max = limits.resident_bytes_per_slot_max / HOST_PAGE_BYTES;
        let slots = selvedge_native::Pool::new(SlotLimits {
            slots,
            stack_bytes,
            context_bytes_max,
            memory_bytes_max,
            recycling: limits.recycling,
            resident_pages_max,
        })?;
        let count = std::thread::available_parallelism().map_or(1, usize::from);
        let common = Arc::<Common>::default();
        let shard = |_| {
            Arc::new(Shard {
                idle: Mutex::default(),
                resident_pages_max: limits.resident_bytes_max / HOST_PAGE_BYTES / count as u64,
                resident_pages_per_slot_max: resident_pages_max,
                common: common.clone(),
            })
        };
        let shards = (0..count).map(shard).collect();
        let store_limits = Arc::new(limits.store);
        Ok(Pool(Arc::new(Handle(Arc::new(Shared { slots, limits, store_limits, shards, common })))))
    }

    /// Its limits.
    pub fn limits(&self) -> &PoolLimits {
        &self.0.0.limits
    }

    /// Instances that wait to be used again.
    pub fn idle(&self) -> usize {
        self.0.0.shards.iter().map(|shard| shard.lock().count).sum()
    }

    /// Memory that those keep, in bytes, their contexts and tables left out.
    pub fn resident_bytes(&self) -> u64 {
        let pages: u64 = self.0.0.shards.iter().map(|shard| shard.lock().resident_pages).sum();
        pages * HOST_PAGE_BYTES
    }

    /// A store with a fresh instance of a module. Dropping the store recycles the instance.
    ///
    /// # Errors
    /// [`NativeError::PoolExhausted`] if all slots are in use; and as [`InstancePre::instantiate`].
    pub fn instantiate<T: 'static>(
        &self,
        pre: &InstancePre<T>,
        data: T,
    ) -> Result<(Store<T>, Instance), InstantiateError> {
        let shared = &self.0.0;
        let core = match shared.own_shard().pop(pre.id()) {
            Some(core) => core,
            None => shared.find_or_set_up(pre).inspect_err(|error| shared.failed(error))?,
        };
        start(core, pre, data)
    }

    /// As [`Pool::instantiate`], but waits for a slot if all are in use, until `patience` is over.
    ///
    /// # Errors
    /// As [`Pool::instantiate`].
    pub fn instantiate_within<T: 'static>(
        &self,
        pre: &InstancePre<T>,
        data: T,
        patience: Duration,
    ) -> Result<(Store<T>, Instance), InstantiateError> {
        let shared = &self.0.0;
        // An instant so far away may not exist.
        let until = Instant::now() + patience.min(PATIENCE_MAX);
        shared.common.waiting.fetch_add(1, Ordering::SeqCst);
        let core = shared.wait(pre, until);
        shared.common.waiting.fetch_sub(1, Ordering::SeqCst);
        start(core.inspect_err(|error| shared.failed(error))?, pre, data)
    }
}

/// The rest of instantiation, which is new each time.
fn start<T: 'static>(core: Box<Core>, pre: &InstancePre<T>, data: T) -> Result<(Store<T>, Instance), InstantiateError> {
    // From here on whatever fails gives it back to the pool.
    let mut core = Lease::new(core);
    core.id = StoreId::next();
    let time = core.limits.time;
    core.time.renew(time);
    if std::mem::take(&mut core.tables_are_null) {
        init_tables(&mut core, FIRST, pre.module())?;
        core.arena.tables_are_initial();
    }
    let mut store = Store { inner: Inner { waiting: None, refill: None, task: None, core, data } };
    let instance = begin(&mut store.as_context_mut(), FIRST, pre.module())?;
    Ok((store, instance))
}

impl Shared {
    #[inline]
    fn own_shard(&self) -> &Arc<Shard> {
        &self.shards[thread_number() % self.shards.len()]
    }

    /// An instance that could not be set up may have held a slot meanwhile, and others seen none.
    fn failed(&self, error: &InstantiateError) {
        if !matches!(error, InstantiateError::Native(NativeError::PoolExhausted { .. })) {
            self.common.slot_freed();
        }
    }

    /// Finds an idle instance of the module in any shard, or sets up a slot.
    #[cold]
    fn find_or_set_up<T: 'static>(self: &Arc<Shared>, pre: &InstancePre<T>) -> Result<Box<Core>, InstantiateError> {
        match self.shards.iter().find_map(|shard| shard.pop(pre.id())) {
            Some(core) => Ok(core),
            None => self.set_up(pre),
        }
    }

    /// Sets up a slot; an idle instance of another module gives up its own if there is no other.
    fn set_up<T: 'static>(self: &Arc<Shared>, pre: &InstancePre<T>) -> Result<Box<Core>, InstantiateError> {
        let mut tries = 3;
        loop {
            match self.try_set_up(pre) {
                Err(InstantiateError::Native(NativeError::PoolExhausted { .. })) => {
                    match self.shards.iter().find_map(|shard| shard.pop_any()) {
                        Some(evicted) => drop(evicted),
                        // Others may have put back where it was looked already, and taken where it is looked now.
                        None if tries > 0 => tries -= 1,
                        None => return self.try_set_up(pre),
                    }
                }
                done => return done,
            }
        }
    }

    fn try_set_up<T: 'static>(self: &Arc<Shared>, pre: &InstancePre<T>) -> Result<Box<Core>, InstantiateError> {
        let profile = self.common.profiles().get(&pre.id()).cloned().unwrap_or_default();
        let arena = Arena::in_pool(&self.slots, profile)?;
        let mut core = Box::new(Core::new(arena, self.store_limits.clone()));
        // Items of instances belong to other stores: only host functions pass.
        pre.imports().check(pre.module(), &core)?;
        set_up(&mut core, pre.module(), pre.imports())?;
        core.arena.seal();
        let wanted = pre.wanted().clone();
        wanted.in_pool(self);
        core.home = Some(Home { shared: self.clone(), wanted, resident_pages: 0 });
        Ok(core)
    }

    /// Keeps nothing of a module any more.
    fn forget(&self, pre: u64) {
        for shard in &self.shards {
            // One at a time, and the lock is given back before it goes: the others can give way to another module meanwhile.
            while let Some(core) = shard.pop_or_forget(pre) {
                drop(core);
                self.common.slot_freed();
            }
        }
        self.common.profiles().remove(&pre);
    }

    /// Waits until there is an instance of the module.
    fn wait<T: 'static>(
        self: &Arc<Shared>,
        pre: &InstancePre<T>,
        until: Instant,
    ) -> Result<Box<Core>, InstantiateError> {
        loop {
            let seen = *self.common.times_freed();
            let left = until.saturating_duration_since(Instant::now());
            // Without the lock: with an instance that gives way may go what frees others, which takes it.
            match self.find_or_set_up(pre) {
                Err(InstantiateError::Native(NativeError::PoolExhausted { .. })) if !left.is_zero() => {}
                done => return done,
            }
            let times = self.common.times_freed();
            if *times == seen {
                drop(self.common.freed.wait_timeout(times, left));
            }
        }
    }
}

impl Common {
    fn profiles(&self) -> MutexGuard<'_, HashMap<u64, Vec<u64>>> {
        self.profiles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes what pages a module touches. It is but a hint: when there are too many, all are learned anew.
    fn remember(&self, pre: u64, profile: Vec<u64>) {
        let mut profiles = self.profiles();
        if profiles.len() >= PROFILES_MAX && !profiles.contains_key(&pre) {
            profiles.clear();
        }
        profiles.insert(pre, profile);
    }

    fn times_freed(&self) -> MutexGuard<'_, u64> {
        self.times_freed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever waits that a slot may be had.
    #[inline]
    fn slot_freed(&self) {
        if self.waiting.load(Ordering::SeqCst) > 0 {
            *self.times_freed() += 1;
            self.freed.notify_all();
        }
    }
}

impl Shard {
    /// Takes a recycled instance back.
    fn put_back(&self, mut core: Box<Core>) {
        let pages = core.arena.resident_pages();
        if core.home.as_ref().is_some_and(|home| home.resident_pages != pages) && !self.learn(&mut core, pages) {
            return;
        }
        if let Some(core) = self.keep(core) {
            drop(core);
        }
    }

    /// Keeps an idle instance, or returns it if there are enough.
    fn keep(&self, core: Box<Core>) -> Option<Box<Core>> {
        let Some(Home { resident_pages, wanted, .. }) = &core.home else { return Some(core) };
        let (pre, resident_pages) = (wanted.id, *resident_pages);
        let mut idle = self.lock();
        if idle.closed || wanted.is_over() || idle.resident_pages + resident_pages > self.resident_pages_max {
            return Some(core);
        }
        idle.push(pre, resident_pages, core);
        None
    }

    /// Notes that an instance touches other pages than it did; says whether it can be used again.
    #[cold]
    fn learn(&self, core: &mut Core, mut pages: u64) -> bool {
        if core.arena.is_tracked() && pages > self.resident_pages_per_slot_max {
            if core.arena.untrack().is_err() {
                return false;
            }
            pages = 0;
        }
        let profile = core.arena.is_tracked().then(|| core.arena.profile());
        if let Some(home) = &mut core.home {
            home.resident_pages = pages;
            if let Some(profile) = profile {
                self.common.remember(home.wanted.id, profile);
            }
        }
        true
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        for shard in &self.0.shards {
            // The lock is given back before the instances go.
            let idle = std::mem::replace(&mut *shard.lock(), Idle { closed: true, ..Idle::default() });
            drop(idle);
        }
    }
}

/// Number of this thread, counted from the first that asked.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    NUMBER.with(|number| {
        if number.get() == usize::MAX {
            number.set(NEXT.fetch_add(1, Ordering::Relaxed));
        }
        number.get()
    })
}

/// A store's core: its own, or a pool's, to which it goes back.
pub(crate) type Lease = HandedOn<Core>;

/// Says, at last, that a slot may be had.
struct Freed(Arc<Shard>);

impl Drop for Freed {
    fn drop(&mut self) {
        self.0.common.slot_freed();
    }
}

impl HandOn for Core {
    fn hand_on(this: Box<Core>) {
        let Some(home) = &this.home else { return };
        // The shard's own count of references: one for all would go from processor to processor.
        let freed = Freed(home.shared.own_shard().clone());
        // Dropped before it says so, also when an object of the guest's panics as it is dropped.
        let mut core = this;
        if core.recycle().is_ok() {
            freed.0.put_back(core);
        }
    }
}

/// Touches every page of memory that a system call is about to read: in a pooled instance it may be protected until it is
/// touched, and the kernel does not open it by itself. What a system call is about to write needs [`touch_mut`].
#[inline]
pub fn touch(memory: &[u8]) {
    let last = memory.last();
    for byte in memory.iter().step_by(HOST_PAGE_BYTES as usize).chain(last) {
        black_box(*byte);
    }
}

/// As [`touch`], of memory that a system call is about to write: some can be read, but not written until it is touched so.
/// Nothing changes.
#[inline]
pub fn touch_mut(memory: &mut [u8]) {
    let again = |byte: &mut u8| *byte = black_box(*byte);
    memory.last_mut().into_iter().for_each(again);
    memory.iter_mut().step_by(HOST_PAGE_BYTES as usize).for_each(again);
}

#[cfg(test)]
mod tests {
    use super::*;
    use selvedge_native::ArenaLimits;

    #[test]
    fn modules_that_are_gone_are_forgotten() {
        let (mut idle, common) = (Idle::default(), Common::default());
        for pre in 0..10_000 {
            let arena = Arena::new(ArenaLimits::default()).unwrap();
            idle.push(pre, 3, Box::new(Core::new(arena, Arc::default())));
            assert!(idle.pop(pre).is_some() && idle.pop(pre).is_none());
            common.remember(pre, vec![1]);
        }
        assert!(idle.by_module.len() <= MODULES_MIN + 2 && idle.count == 0);
        assert!(common.profiles().len() <= PROFILES_MAX);
    }
}
