//! Host objects that guests hold references to.

use std::any::Any;

use crate::core::StoreId;
use crate::limits::{LimitError, LimitKind};

/// A reference to a host object in a store: what a guest sees as `externref`.
///
/// Index and generation: once the object is removed ([`crate::Store::remove_extern`]), or for bits a guest
/// made up, it leads nowhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExternRef {
    pub(crate) store: StoreId,
    pub(crate) bits: u64,
}

/// The objects of one store; most have none.
#[derive(Default)]
pub(crate) struct ExternTable(Option<Box<Objects>>);

#[derive(Default)]
struct Objects {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    object: Option<Box<dyn Any + Send>>,
}

impl ExternTable {
    /// Adds an object; its bits are `generation << 32 | (index + 1)`.
    pub(crate) fn insert(&mut self, object: Box<dyn Any + Send>, max: u32) -> Result<u64, LimitError> {
        let Objects { slots, free } = &mut **self.0.get_or_insert_default();
        let index = match free.pop() {
            Some(index) => index,
            None if slots.len() as u64 >= u64::from(max) => {
                return Err(LimitError::new(LimitKind::ExternRefs, max));
            }
            None => {
                slots.push(Slot { generation: 0, object: None });
                slots.len() as u32 - 1
            }
        };
        let slot = &mut slots[index as usize];
        slot.object = Some(object);
        Ok(u64::from(slot.generation) << 32 | (u64::from(index) + 1))
    }

    /// Drops all objects; references to them lead nowhere, nor to later ones.
    pub(crate) fn clear(&mut self) {
        self.0 = None;
    }

    pub(crate) fn get(&self, bits: u64) -> Option<&(dyn Any + Send)> {
        let objects = self.0.as_ref()?;
        objects.slots[objects.index(bits)?].object.as_deref()
    }

    pub(crate) fn get_mut(&mut self, bits: u64) -> Option<&mut (dyn Any + Send)> {
        let objects = self.0.as_mut()?;
        let index = objects.index(bits)?;
        objects.slots[index].object.as_deref_mut()
    }

    pub(crate) fn remove(&mut self, bits: u64) -> Option<Box<dyn Any + Send>> {
        let objects = self.0.as_mut()?;
        let index = objects.index(bits)?;
        let slot = &mut objects.slots[index];
        let object = slot.object.take()?;
        // A slot whose generations are used up is not used again.
        if let Some(next) = slot.generation.checked_add(1) {
            slot.generation = next;
            objects.free.push(index as u32);
        }
        Some(object)
    }
}

impl Objects {
    fn index(&self, bits: u64) -> Option<usize> {
        let index = (bits as u32).checked_sub(1)? as usize;
        let slot = self.slots.get(index)?;
        (u64::from(slot.generation) == bits >> 32).then_some(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_reference_leads_nowhere() {
        let mut table = ExternTable::default();
        let first = table.insert(Box::new(1), 2).unwrap();
        assert_eq!(table.get(first).and_then(|o| o.downcast_ref::<i32>()), Some(&1));
        assert!(table.remove(first).is_some());
        let second = table.insert(Box::new(2), 2).unwrap();
        assert!(table.get(first).is_none() && table.get_mut(first).is_none() && table.remove(first).is_none());
        assert!(table.get(second).is_some());
        assert!(table.get(0).is_none() && table.get(u64::MAX).is_none());
    }

    #[test]
    fn slots_are_bounded() {
        let mut table = ExternTable::default();
        table.insert(Box::new(1), 1).unwrap();
        assert_eq!(table.insert(Box::new(2), 1).unwrap_err().kind, LimitKind::ExternRefs);
    }
}
