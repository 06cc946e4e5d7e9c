//! Making an instance, step by step (core specification, section 4.5.4).

use std::sync::Arc;

use selvedge_contract::artifact::TextFunction;
use selvedge_contract::{ElementSegment, Extern, SegmentMode};
use selvedge_native::{FunctionTarget, HostFunctions, RawValue, SlotId};

use crate::backtrace::Backtrace;
use crate::builtins::{Refusal, Span};
use crate::call;
use crate::context::{AsContextMut, ContextMut};
use crate::core::{Core, InstanceData, Linked, Place, initial};
use crate::error::{CallError, InstantiateError, Trap};
use crate::host::{InstanceHosts, StoreHost};
use crate::instance::{Instance, Item};
use crate::linker::{Definition, host_functions};
use crate::module::Module;

/// A module's imports, found and, as far as they do not depend on a store, checked.
pub(crate) struct Imports<T: 'static> {
    definitions: Vec<Definition<T>>,
    /// What instances get if all imports are host functions.
    hosts: InstanceHosts<T>,
    linked: Arc<Linked>,
    only_host_functions: bool,
}

impl<T: 'static> Imports<T> {
    pub(crate) fn new(module: &Module, definitions: Vec<Definition<T>>) -> Imports<T> {
        let hosts = host_functions(module, &definitions);
        let functions = hosts.0.iter().map(|_| None).collect();
        let [memories, tables, globals] = Default::default();
        let linked = Linked { functions, memories, tables, globals, initial: initial(module) };
        let only_host_functions = definitions.iter().all(|d| matches!(d, Definition::Host(_)));
        Imports { definitions, hosts, linked: Arc::new(linked), only_host_functions }
    }

    pub(crate) fn definitions(&self) -> &[Definition<T>] {
        &self.definitions
    }

    pub(crate) fn only_host_functions(&self) -> bool {
        self.only_host_functions
    }

    /// Who provides each import in this store: the host, or an instance.
    fn link(&self, core: &Core, module: &Module) -> (InstanceHosts<T>, Arc<Linked>) {
        if self.only_host_functions {
            return (self.hosts.clone(), self.linked.clone());
        }
        let imported = module.imported();
        let providers = imported.functions.iter().map(|at| provider(core, &self.definitions[*at as usize]));
        let (hosts, targets): (Vec<_>, Vec<_>) = providers.unzip();
        let linked = Linked {
            functions: targets.into(),
            memories: self.places(&imported.memories),
            tables: self.places(&imported.tables),
            globals: self.places(&imported.globals),
            initial: initial(module),
        };
        (Arc::new(HostFunctions(hosts.into())), Arc::new(linked))
    }

    /// Where the memories, tables or globals at these places among the imports are defined.
    fn places(&self, positions: &[u32]) -> Box<[Place]> {
        positions.iter().filter_map(|at| self.definitions[*at as usize].place()).collect()
    }
}

type Provider<T> = (Option<selvedge_native::HostFunction<StoreHost<T>>>, Option<FunctionTarget>);

fn provider<T: 'static>(core: &Core, definition: &Definition<T>) -> Provider<T> {
    let func = match definition {
        Definition::Host(function) => return (Some(function.native().clone()), None),
        Definition::Item(Item::Func(func)) => func,
        Definition::Item(_) => return (None, None),
    };
    match core.target(SlotId(func.instance), func.function) {
        // Another instance imported it from the host: this one calls the host itself, and is the caller.
        Some(FunctionTarget { slot, function: TextFunction::ImportThunk(import) }) => {
            (core.arena.hosts(slot).and_then(|hosts| hosts.0.get(import as usize)?.clone()), None)
        }
        target => (None, target),
    }
}

impl<T: 'static> Definition<T> {
    fn place(&self) -> Option<Place> {
        match self {
            Definition::Item(Item::Memory(memory)) => Some(memory.place),
            Definition::Item(Item::Table(table)) => Some(table.place),
            Definition::Item(Item::Global(global)) => Some(global.place),
            Definition::Item(Item::Func(_)) | Definition::Host(_) => None,
        }
    }
}

/// Makes an instance of a module whose imports were checked.
pub(crate) fn instantiate<T: 'static>(
    context: &mut ContextMut<'_, T>,
    module: &Module,
    imports: &Imports<T>,
) -> Result<Instance, InstantiateError> {
    let slot = set_up(&mut context.inner.core, module, imports)?;
    begin(context, slot, module)
}

/// Makes an instance as far as it is the same each time: everything but data that is no part of the image, and
/// the start function.
pub(crate) fn set_up<T: 'static>(
    core: &mut Core,
    module: &Module,
    imports: &Imports<T>,
) -> Result<SlotId, InstantiateError> {
    core.intern_signatures(module)?;
    let slot = add_slot(core, module)?;
    let (hosts, linked) = imports.link(core, module);
    core.arena.link_hosts(slot, &hosts);
    link_functions(core, slot, &linked.functions);
    link_places(core, slot, &linked);
    if core.instances.is_empty() {
        // Most stores have one instance only.
        core.instances.reserve_exact(1);
    }
    core.instances.push(InstanceData::new(module.clone(), linked));
    init_globals(core, slot, module)?;
    init_tables(core, slot, module)?;
    Ok(slot)
}

/// The rest of [`instantiate`].
pub(crate) fn begin<T: 'static>(
    context: &mut ContextMut<'_, T>,
    slot: SlotId,
    module: &Module,
) -> Result<Instance, InstantiateError> {
    context.inner.core.begin_meter(slot);
    init_memories(&mut context.inner.core, slot, module)?;
    run_start(context, slot, module)?;
    Ok(Instance { store: context.inner.core.id, slot })
}

fn add_slot(core: &mut Core, module: &Module) -> Result<SlotId, InstantiateError> {
    let before = (core.memory_bytes, core.table_elements);
    core.account(module)?;
    let slot = core.arena.add(module.code().clone()).inspect_err(|_| {
        (core.memory_bytes, core.table_elements) = before;
    })?;
    assert_eq!(slot.0 as usize, core.instances.len(), "slots and instances are counted together");
    Ok(slot)
}

fn link_functions(core: &mut Core, slot: SlotId, targets: &[Option<FunctionTarget>]) {
    for (import, target) in (0..).zip(targets) {
        if let Some(target) = target {
            core.arena.link_function(slot, import, *target);
        }
    }
}

fn link_places(core: &mut Core, slot: SlotId, Linked { memories, tables, globals, .. }: &Linked) {
    for (import, at) in (0..).zip(memories) {
        core.arena.link_memory(slot, import, at.slot, at.defined);
    }
    for (import, at) in (0..).zip(tables) {
        core.arena.link_table(slot, import, at.slot, at.defined);
    }
    for (import, at) in (0..).zip(globals) {
        core.arena.link_global(slot, import, at.slot, at.defined);
    }
}

fn init_globals(core: &mut Core, slot: SlotId, module: &Module) -> Result<(), InstantiateError> {
    for (defined, global) in (0..).zip(&module.contract().globals) {
        let value = core.evaluate(slot, &global.init);
        let value = value.ok_or(InstantiateError::Damaged("a global has no initial value"))?;
        // Cells start as zero, and most globals too.
        if value != 0 {
            core.arena.set_global(slot, defined, value);
        }
    }
    Ok(())
}

pub(crate) fn init_tables(core: &mut Core, slot: SlotId, module: &Module) -> Result<(), InstantiateError> {
    for (segment, ElementSegment { mode, items, .. }) in (0..).zip(&module.contract().elements) {
        if let SegmentMode::Active { target, offset } = mode {
            let wide = module.contract().table_type(*target).is_some_and(|ty| ty.table64);
            let to = active_offset(core.evaluate(slot, offset), wide)?;
            let all = Span { to, from: 0, len: items.len() as u64 };
            segment_result(core.table_init(slot, *target, segment, all))?;
        }
    }
    Ok(())
}

fn init_memories(core: &mut Core, slot: SlotId, module: &Module) -> Result<(), InstantiateError> {
    for (segment, data) in (0..).zip(&module.contract().data) {
        if let SegmentMode::Active { target, offset } = &data.mode {
            let wide = module.contract().memory_type(*target).is_some_and(|ty| ty.memory64);
            let to = active_offset(core.evaluate(slot, offset), wide)?;
            let all = Span { to, from: 0, len: data.len };
            segment_result(core.memory_init(slot, *target, segment, all))?;
        }
    }
    Ok(())
}

fn active_offset(value: Option<RawValue>, wide: bool) -> Result<u64, InstantiateError> {
    let value = value.ok_or(InstantiateError::Damaged("a segment has no offset"))?;
    // The upper bytes of a narrower value may be anything.
    Ok(if wide { value as u64 } else { u64::from(value as u32) })
}

fn segment_result(result: Result<(), Refusal>) -> Result<(), InstantiateError> {
    match result {
        Ok(()) => Ok(()),
        Err(Refusal::Trap(code)) => Err(CallError::Trap(Trap { code, backtrace: Backtrace::default() }).into()),
        Err(Refusal::Damaged) => Err(InstantiateError::Damaged("a segment does not fit its target's type")),
    }
}

fn run_start<T: 'static>(
    context: &mut ContextMut<'_, T>,
    slot: SlotId,
    module: &Module,
) -> Result<(), InstantiateError> {
    let Some(function) = module.contract().start else { return Ok(()) };
    let core = &context.inner.core;
    let Some(Item::Func(start)) = core.item(slot, Extern::Func(function)) else {
        return Err(InstantiateError::Damaged("the start function is missing"));
    };
    let no_values = start.type_in(core)?.params.is_empty() && start.type_in(core)?.results.is_empty();
    if !no_values {
        return Err(InstantiateError::Damaged("the start function takes or returns values"));
    }
    let callable = start.callable(core)?;
    call::run(context.as_context_mut(), &callable, &mut [])?;
    Ok(())
}
