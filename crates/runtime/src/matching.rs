//! Does what is offered fit what is imported? (core specification, section 4.5.4.5)

use std::error::Error;
use std::fmt;

use selvedge_contract::types::{ExternType, MemoryType, TableType};
use selvedge_contract::{Import, MemoryLayout};

use crate::core::Core;
use crate::instance::Item;
use crate::module::Module;

/// Imports of a module that are missing or do not fit, all of them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkError {
    /// Them, in the order of the module's imports; never empty.
    pub problems: Vec<ImportProblem>,
}

/// An import that is missing or does not fit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ImportProblem {
    /// First-level name.
    pub module: String,
    /// Second-level name.
    pub name: String,
    /// What the module needs.
    pub expected: ExternType,
    /// What there is.
    pub found: Found,
}

/// What there is instead of what a module needs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Found {
    /// Nothing of this name.
    Nothing,
    /// Something of another type.
    Type(ExternType),
    /// An item of an instance in another store.
    OtherStore,
    /// A memory in the dense layout, for code that relies on the guarded one.
    DenseMemory,
}

impl fmt::Display for ImportProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: needs {}, ", self.module, self.name, self.expected)?;
        match &self.found {
            Found::Nothing => write!(f, "nothing of this name is there"),
            Found::Type(ty) => write!(f, "there is {ty}"),
            Found::OtherStore => write!(f, "there is one of another store"),
            Found::DenseMemory => {
                write!(f, "there is one in the dense layout; compile both with the same --memory")
            }
        }
    }
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        write!(f, "{count} import{} missing or unfit:", if count == 1 { " is" } else { "s are" })?;
        self.problems.iter().try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

impl Error for LinkError {}

impl ImportProblem {
    pub(crate) fn new(import: &Import, found: Found) -> ImportProblem {
        let Import { module, name, ty } = import.clone();
        ImportProblem { module, name, expected: ty, found }
    }
}

/// Whether an item of a store fits an import; what is wrong with it if not.
pub(crate) fn check_item(core: &Core, module: &Module, expected: &ExternType, item: Item) -> Result<(), Found> {
    if item.store() != core.id {
        return Err(Found::OtherStore);
    }
    let offered = item.type_in(core);
    if !fits(expected, &offered) {
        return Err(Found::Type(offered));
    }
    let Item::Memory(memory) = item else { return Ok(()) };
    let needs_guard = module.contract().imported_memory_layout == MemoryLayout::Guarded;
    let plan = core.memory_plan(memory.place);
    if needs_guard && !plan.ty.memory64 && plan.layout != MemoryLayout::Guarded {
        return Err(Found::DenseMemory);
    }
    Ok(())
}

/// Whether something of type `offered` may stand for an import of type `expected`.
pub(crate) fn fits(expected: &ExternType, offered: &ExternType) -> bool {
    match (expected, offered) {
        (ExternType::Func(expected), ExternType::Func(offered)) => expected == offered,
        (ExternType::Global(expected), ExternType::Global(offered)) => expected == offered,
        (ExternType::Memory(expected), ExternType::Memory(offered)) => memory_fits(expected, offered),
        (ExternType::Table(expected), ExternType::Table(offered)) => table_fits(expected, offered),
        _ => false,
    }
}

fn memory_fits(expected: &MemoryType, offered: &MemoryType) -> bool {
    let MemoryType { min_pages, max_pages, memory64 } = *expected;
    memory64 == offered.memory64 && limits_fit((min_pages, max_pages), (offered.min_pages, offered.max_pages))
}

fn table_fits(expected: &TableType, offered: &TableType) -> bool {
    let TableType { element, min, max, table64 } = *expected;
    element == offered.element && table64 == offered.table64 && limits_fit((min, max), (offered.min, offered.max))
}

fn limits_fit(expected: (u64, Option<u64>), offered: (u64, Option<u64>)) -> bool {
    let max_fits = match (expected.1, offered.1) {
        (None, _) => true,
        (Some(expected), Some(offered)) => offered <= expected,
        (Some(_), None) => false,
    };
    offered.0 >= expected.0 && max_fits
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_subtypes_as_specified() {
        let cases = [
            ((1, None), (1, None), true),
            ((1, None), (2, Some(3)), true),
            ((2, None), (1, None), false),
            ((1, Some(3)), (1, None), false),
            ((1, Some(3)), (1, Some(4)), false),
            ((1, Some(3)), (2, Some(2)), true),
        ];
        for (expected, offered, fit) in cases {
            assert_eq!(limits_fit(expected, offered), fit, "{expected:?} {offered:?}");
        }
    }
}
