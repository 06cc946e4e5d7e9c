//! What tables hold, as element segments that put it there again.

use selvedge_contract::limits::PREINIT_TABLE_RUNS_MAX;
use selvedge_contract::types::RefType;
use selvedge_contract::{ConstExpr, ConstOp, Contract, ElementItems, ElementSegment, Extern, SegmentMode};
use selvedge_runtime::{InstanceState, Val};

use crate::error::PreinitError;
use crate::freeze::describe;

/// A reference that can be written down.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reference {
    Null,
    /// A function of the module, imports first.
    Function(u32),
}

/// What a reference is to the module itself, or what it is that the module cannot name.
pub(crate) fn own(value: Val, state: &InstanceState<'_>) -> Result<Reference, &'static str> {
    match value {
        Val::FuncRef(Some(func)) => {
            state.own_function(func).map(Reference::Function).ok_or("a function of another instance")
        }
        Val::ExternRef(Some(_)) => Err("a host object"),
        _ => Ok(Reference::Null),
    }
}

/// Sets the tables' sizes, and adds element segments with what they hold.
pub(crate) fn tables(contract: &mut Contract, state: &InstanceState<'_>) -> Result<(), PreinitError> {
    for table in 0..contract.tables.len() as u32 {
        let size = state.table_size(table).unwrap_or_default();
        let runs = runs(contract, state, table, size)?;
        let ty = &mut contract.tables[table as usize].ty;
        ty.min = size;
        let (wide, element) = (ty.table64, ty.element);
        let segments = if runs.len() > PREINIT_TABLE_RUNS_MAX { vec![joined(&runs, element)] } else { each(runs) };
        for (at, items) in segments {
            let offset = if wide { ConstOp::I64Const(at as i64) } else { ConstOp::I32Const(at as u32 as i32) };
            let mode = SegmentMode::Active { target: table, offset: ConstExpr(vec![offset]) };
            contract.elements.push(ElementSegment { mode, ty: element, items });
        }
    }
    Ok(())
}

/// Neighbours that are not null, and where they start.
type Run = (u64, Vec<u32>);

fn runs(contract: &Contract, state: &InstanceState<'_>, table: u32, size: u64) -> Result<Vec<Run>, PreinitError> {
    let mut runs: Vec<Run> = Vec::new();
    for (index, value) in (0..size).filter_map(|index| Some((index, state.table_element(table, index)?))) {
        let reference = own(value, state).map_err(|what| PreinitError::NotStorable {
            place: format!("{}, element {index},", describe(contract, Extern::Table(table))),
            what,
        })?;
        let Reference::Function(function) = reference else { continue };
        match runs.last_mut() {
            Some((start, run)) if *start + run.len() as u64 == index => run.push(function),
            _ => runs.push((index, vec![function])),
        }
    }
    Ok(runs)
}

fn each(runs: Vec<Run>) -> Vec<(u64, ElementItems)> {
    runs.into_iter().map(|(at, run)| (at, ElementItems::Functions(run))).collect()
}

/// All runs as one, with nulls between them.
fn joined(runs: &[Run], element: RefType) -> (u64, ElementItems) {
    let first = runs.first().map_or(0, |(start, _)| *start);
    let mut items = Vec::new();
    for (start, run) in runs {
        items.resize((start - first) as usize, ConstExpr(vec![ConstOp::RefNull(element)]));
        items.extend(run.iter().map(|function| ConstExpr(vec![ConstOp::RefFunc(*function)])));
    }
    (first, ElementItems::Expressions(items))
}
