//! A box that does not end when its owner does: it is handed on.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

/// What becomes of a [`HandedOn`].
pub trait HandOn: Sized {
    /// Takes it over from an owner that is dropped.
    fn hand_on(this: Box<Self>);
}

/// A box that goes to [`HandOn::hand_on`] when it is dropped. Unlike an `Option` that is emptied then, using it asks
/// nothing.
#[derive(Debug)]
pub struct HandedOn<T: HandOn>(ManuallyDrop<Box<T>>);

impl<T: HandOn> HandedOn<T> {
    /// Owns a box until dropped.
    pub fn new(content: Box<T>) -> HandedOn<T> {
        HandedOn(ManuallyDrop::new(content))
    }
}

impl<T: HandOn> Deref for HandedOn<T> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: HandOn> DerefMut for HandedOn<T> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}

impl<T: HandOn> Drop for HandedOn<T> {
    fn drop(&mut self) {
        // SAFETY: taken once, here; nobody can reach `self` after its drop.
        T::hand_on(unsafe { ManuallyDrop::take(&mut self.0) });
    }
}
