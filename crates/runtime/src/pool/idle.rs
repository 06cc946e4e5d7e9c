//! Instances that wait to be used again, and for how long that is worth it.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{MODULES_MIN, Shared};
use crate::core::Core;

/// Idle instances, by [`InstancePre`](crate::InstancePre); last in, first out.
#[expect(clippy::vec_box, reason = "a core is large and is never moved: leases hold the box")]
#[derive(Default)]
pub(super) struct Idle {
    pub(super) by_module: HashMap<u64, Vec<Box<Core>>, BuildHasherDefault<IdHasher>>,
    pub(super) count: usize,
    pub(super) resident_pages: u64,
    /// The pool is gone: nothing is kept.
    pub(super) closed: bool,
}

/// Numbers given out one by one need no hashing.
#[derive(Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, id: u64) {
        // The upper bits choose the place in a group.
        self.0 = id.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

impl Idle {
    pub(super) fn pop(&mut self, pre: u64) -> Option<Box<Core>> {
        let core = self.by_module.get_mut(&pre)?.pop()?;
        self.count -= 1;
        self.resident_pages -= core.home.as_ref().map_or(0, |home| home.resident_pages);
        Some(core)
    }

    pub(super) fn push(&mut self, pre: u64, resident_pages: u64, core: Box<Core>) {
        self.by_module.entry(pre).or_default().push(core);
        self.count += 1;
        self.resident_pages += resident_pages;
        // Modules come and go: whose instances are gone is forgotten.
        if self.by_module.len() > 2 * self.count + MODULES_MIN {
            self.by_module.retain(|_, cores| !cores.is_empty());
        }
    }

    /// One of a module that nobody wants any more; with the last the module is forgotten.
    pub(super) fn pop_or_forget(&mut self, pre: u64) -> Option<Box<Core>> {
        let core = self.pop(pre);
        if core.is_none() {
            self.by_module.remove(&pre);
        }
        core
    }
}

/// How long a prepared module is wanted: pools keep no idle instances of one that nobody can instantiate again, because
/// they would keep its code, and with it a file, until their slots are wanted.
pub(crate) struct Wanted {
    /// The module's number: there may be a million who refer to it, with one word each.
    pub(crate) id: u64,
    over: AtomicBool,
    /// Where there may be instances of it.
    pools: Mutex<Vec<Weak<Shared>>>,
}

impl Wanted {
    /// Of a module that has just been prepared.
    pub(crate) fn new() -> Wanted {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Wanted { id, over: AtomicBool::new(false), pools: Mutex::default() }
    }

    /// Whether instances are worth keeping. Asked with a shard's lock held, it is settled: [`Wanted::end`] takes each lock
    /// after it has said so.
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Weak<Shared>>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A pool makes an instance.
    pub(super) fn in_pool(&self, pool: &Arc<Shared>) {
        let mut pools = self.pools();
        if !pools.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(pool))) {
            pools.retain(|known| known.strong_count() > 0);
            pools.push(Arc::downgrade(pool));
        }
    }

    /// The prepared module is gone.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
        let pools = std::mem::take(&mut *self.pools());
        pools.iter().filter_map(Weak::upgrade).for_each(|pool| pool.forget(self.id));
    }
}
