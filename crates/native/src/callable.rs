//! Functions that are found once and entered often.

use std::sync::Arc;

use selvedge_contract::artifact::TextFunction;

use crate::arena::{Arena, SlotId};
use crate::code::{Code, value_count};
use crate::direct::Shape;

/// A function ready to be entered: found once, called often.
#[derive(Clone, Copy, Debug)]
pub struct Callable {
    pub(crate) arena: u64,
    pub(crate) entry: u64,
    pub(crate) code: u64,
    pub(crate) context: u64,
    pub(crate) values: u32,
    pub(crate) shape: Shape,
}

/// A function of published code, which every instance of it has.
#[derive(Clone, Debug)]
pub struct CodeFunction {
    of: Arc<Code>,
    entry: u64,
    code: u64,
    values: u32,
    shape: Shape,
}

impl CodeFunction {
    /// Finds a function. `None` if there is no such function or it cannot be called.
    pub fn find(of: &Arc<Code>, function: TextFunction) -> Option<CodeFunction> {
        if !matches!(function, TextFunction::Defined(_) | TextFunction::ImportThunk(_)) {
            return None;
        }
        let record = of.record(function)?;
        let ty = of.index().contract.types.get(record.ty as usize)?;
        let (values, shape) = (value_count(ty) as u32, Shape::of(&ty.params, &ty.results));
        let (entry, code) = (of.address(TextFunction::Entry(record.ty))?, of.address(function)?);
        Some(CodeFunction { of: of.clone(), entry, code, values, shape })
    }
}

impl Arena {
    /// Finds a function of an instance. `None` if it has no such function or it cannot be called.
    pub fn callable(&self, slot: SlotId, function: TextFunction) -> Option<Callable> {
        self.callable_of(slot, &CodeFunction::find(self.slot(slot).code(), function)?)
    }

    /// A function that was found before, of an instance. `None` if that is one of other code.
    #[inline]
    pub fn callable_of(&self, slot: SlotId, function: &CodeFunction) -> Option<Callable> {
        let slot = self.slot(slot);
        let CodeFunction { of, entry, code, values, shape } = function;
        let (arena, context) = (self.id(), slot.context());
        let callable = Callable { arena, entry: *entry, code: *code, context, values: *values, shape: *shape };
        Arc::ptr_eq(of, slot.code()).then_some(callable)
    }
}
