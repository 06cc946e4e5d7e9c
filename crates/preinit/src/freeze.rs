//! Writing down what an instance has become.

use selvedge_contract::artifact::{ArtifactIndex, rewrite};
use selvedge_contract::types::{ExternType, RefType};
use selvedge_contract::{ConstExpr, ConstOp, Contract, DataSegment, ElementItems, Extern, SegmentMode};
use selvedge_runtime::{Instance, InstanceState, Store, Val};

use crate::error::PreinitError;
use crate::image;
use crate::references::{self, Reference};

/// Writes an artifact whose instances begin as this one is now.
///
/// Its start function has run and is left out, as are the exports of the `spent` functions, under every name.
/// `note` is added to the options in the artifact's provenance. For embedders who initialise a module with
/// host functions of their own: the instance must be the only one in its store, and at rest.
///
/// # Errors
/// If the module imports more than functions, or something holds what cannot be written down.
pub fn freeze<T>(store: &Store<T>, instance: Instance, spent: &[Extern], note: &str) -> Result<Vec<u8>, PreinitError> {
    let state = instance.state(store);
    let bytes = state.module().bytes();
    let index = ArtifactIndex::read(bytes)?;
    let mut contract = index.contract.clone();
    functions_only(&contract)?;
    globals(&mut contract, &state)?;
    references::tables(&mut contract, &state)?;
    let image = image::memories(&mut contract, &state)?;
    let data = segments(&mut contract, &state, index.data(bytes));
    contract.start = None;
    contract.exports.retain(|export| !spent.contains(&export.item));
    contract.provenance.options += note;
    Ok(rewrite(bytes, &index, &contract, &image, &data)?)
}

/// Refuses imports whose contents are another's.
pub(crate) fn functions_only(contract: &Contract) -> Result<(), PreinitError> {
    match contract.imports.iter().find(|import| !matches!(import.ty, ExternType::Func(_))) {
        None => Ok(()),
        Some(import) => Err(PreinitError::Import {
            module: import.module.clone(),
            name: import.name.clone(),
            ty: Box::new(import.ty.clone()),
        }),
    }
}

/// An item for people: its number, and its name if it is exported.
pub(crate) fn describe(contract: &Contract, item: Extern) -> String {
    let (kind, index) = match item {
        Extern::Func(index) => ("function", index),
        Extern::Table(index) => ("table", index),
        Extern::Memory(index) => ("memory", index),
        Extern::Global(index) => ("global", index),
    };
    let name = contract.exports.iter().find(|export| export.item == item);
    name.map_or(format!("{kind} {index}"), |export| format!("{kind} {index} ({:?})", export.name))
}

/// What globals hold. Code may have the values of immutable ones built in: those stay as they are.
fn globals(contract: &mut Contract, state: &InstanceState<'_>) -> Result<(), PreinitError> {
    for defined in 0..contract.globals.len() {
        let Some(value) = state.global(defined as u32).filter(|_| contract.globals[defined].ty.mutable) else {
            continue;
        };
        let op = constant(value, state);
        let place = || describe(contract, Extern::Global(defined as u32));
        let op = op.map_err(|what| PreinitError::NotStorable { place: place(), what })?;
        contract.globals[defined].init = ConstExpr(vec![op]);
    }
    Ok(())
}

/// The constant that gives a value, or what the value is that has none.
fn constant(value: Val, state: &InstanceState<'_>) -> Result<ConstOp, &'static str> {
    Ok(match value {
        Val::I32(value) => ConstOp::I32Const(value),
        Val::I64(value) => ConstOp::I64Const(value),
        Val::F32(bits) => ConstOp::F32Const(bits),
        Val::F64(bits) => ConstOp::F64Const(bits),
        Val::V128(bits) => ConstOp::V128Const(bits),
        Val::FuncRef(_) | Val::ExternRef(_) => match references::own(value, state)? {
            Reference::Function(function) => ConstOp::RefFunc(function),
            Reference::Null if matches!(value, Val::FuncRef(_)) => ConstOp::RefNull(RefType::Func),
            Reference::Null => ConstOp::RefNull(RefType::Extern),
        },
    })
}

/// Keeps the segments that the guest can still use, and their bytes; the others keep their numbers alone.
fn segments(contract: &mut Contract, state: &InstanceState<'_>, bytes: &[u8]) -> Vec<u8> {
    for (number, segment) in (0..).zip(&mut contract.elements) {
        // Elements that tables were given lately stand behind those the instance was made with.
        let made_with = (number as usize) < state.module().contract().elements.len();
        let live = segment.mode == SegmentMode::Passive && !state.element_is_dropped(number);
        if made_with && !live {
            (segment.mode, segment.items) = (SegmentMode::Dropped, ElementItems::Functions(Vec::new()));
        }
    }
    let mut kept = Vec::new();
    for (number, segment) in (0..).zip(&mut contract.data) {
        let live = segment.mode == SegmentMode::Passive && !state.data_is_dropped(number);
        let range = segment.offset as usize..(segment.offset + segment.len) as usize;
        let held = bytes.get(range).filter(|_| live).unwrap_or_default();
        let mode = if live { SegmentMode::Passive } else { SegmentMode::Dropped };
        let offset = if live { kept.len() as u64 } else { 0 };
        *segment = DataSegment { mode, offset, len: held.len() as u64 };
        kept.extend_from_slice(held);
    }
    kept
}
