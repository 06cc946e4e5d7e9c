//! Meters: what metered code has executed, and how much it may. [`selvedge_contract::meter`] says what counts.
//!
//! Each instance has a meter of its own, which calls between instances do not mix.

use selvedge_native::SlotId;

use crate::context::{AsContext, AsContextMut};
use crate::core::Core;
use crate::instance::Instance;
use crate::store::Store;

impl Core {
    fn is_metered(&self, slot: SlotId) -> bool {
        self.instance(slot).is_some_and(|instance| instance.module.contract().metered)
    }

    /// Gives a new instance what the store's limits allow.
    pub(crate) fn begin_meter(&mut self, slot: SlotId) {
        if self.is_metered(slot) {
            self.arena.set_meter_limit(slot, self.limits.meter_max);
        }
    }

    fn meter_used(&self, slot: SlotId) -> Option<u64> {
        self.is_metered(slot).then(|| self.arena.meter(slot))
    }

    /// Counts what was executed since the meter was last stored, after a trap at this address. Of several
    /// instances of one module in a store, the first is taken to have trapped: their sum is right.
    pub(crate) fn settle_meter(&mut self, pc: u64) {
        let site = |(slot, instance): (u32, &crate::core::InstanceData)| {
            let module = &instance.module;
            let offset = module.code().text_offset_of(pc)?;
            Some((SlotId(slot), module.index().traps(module.bytes()).find_site(offset)?.uncounted))
        };
        let Some((slot, uncounted)) = (0..).zip(&self.instances).find_map(site) else { return };
        if uncounted > 0 {
            self.arena.add_to_meter(slot, uncounted.into());
        }
    }
}

impl Instance {
    /// How many instructions it has executed, if its code is metered.
    pub fn meter_used(&self, store: &impl AsContext) -> Option<u64> {
        let core = store.as_context().core();
        core.assert_own(self.store);
        core.meter_used(self.slot)
    }

    /// Sets how many instructions it may execute in all, those it has executed included; the start is
    /// [`crate::Limits::meter_max`]. Where more would be executed, the call ends with
    /// [`crate::CallError::MeterExhausted`]. Says whether its code is metered; if not, there is no limit.
    ///
    /// A host function may set it, too: it holds when the guest goes on.
    pub fn set_meter_limit(&self, store: &mut impl AsContextMut, limit: u64) -> bool {
        let (core, _) = store.as_context_mut().into_parts();
        core.assert_own(self.store);
        let metered = core.is_metered(self.slot);
        if metered {
            core.arena.set_meter_limit(self.slot, limit);
        }
        metered
    }
}

impl<T: 'static> Store<T> {
    /// How many instructions all its metered instances have executed. It is exact after a call has returned or
    /// trapped, and in a host function.
    pub fn meter_used(&self) -> u64 {
        let core = &self.inner.core;
        let used = (0..core.instances.len() as u32).filter_map(|slot| core.meter_used(SlotId(slot)));
        used.fold(0, u64::saturating_add)
    }
}
