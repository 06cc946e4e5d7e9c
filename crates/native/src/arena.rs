//! The slots of one store: instances linked to each other, one stack, one fate.

use std::any::TypeId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use selvedge_contract::abi::FuncRefBits;
use selvedge_contract::artifact::TextFunction;
use selvedge_contract::limits::{
    HOST_PAGE_BYTES, STACK_BYTES_DEFAULT, STACK_BYTES_MAX, STACK_BYTES_MIN, STACK_RESERVE_BYTES,
};
use selvedge_contract::meter::UNLIMITED;
use selvedge_contract::trap::TrapCode;
use selvedge_contract::types::RefType;
use selvedge_contract::vmctx::{entry_bytes, header, import_function, table_def, table_entry};

use crate::RawValue;
use crate::code::Code;
use crate::control::{Control, State};
use crate::error::NativeError;
use crate::host::{Host, HostFunction};
use crate::interrupt::InterruptHandle;
use crate::pages::Pages;
use crate::pool::Pool;
use crate::slot::Slot;
use crate::switch;

/// An instance in an arena: its number, in the order of [`Arena::add`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SlotId(pub u32);

/// What an arena may use.
#[derive(Clone, Copy, Debug)]
pub struct ArenaLimits {
    /// Bytes of stack for guest code, within the limits of [`selvedge_contract::limits`].
    pub stack_bytes: usize,
}

impl Default for ArenaLimits {
    fn default() -> ArenaLimits {
        ArenaLimits { stack_bytes: STACK_BYTES_DEFAULT }
    }
}

/// A function of an instance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FunctionTarget {
    /// The instance.
    pub slot: SlotId,
    /// The function in its text.
    pub function: TextFunction,
}

/// What [`Arena::recycle`] did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Recycled {
    /// All tables are null and have their initial sizes: whoever filled them fills them again.
    pub tables_are_null: bool,
}

/// What an entry of a table of functions is set to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TableFunction {
    /// What a call reaches.
    pub target: FunctionTarget,
    /// What reading the entry gives.
    pub funcref: FuncRefBits,
}

/// The host functions among a module's imported functions, in order; `None` where another instance provides it.
pub struct HostFunctions<H: Host>(pub Box<[Option<HostFunction<H>>]>);

/// All instances of one store.
///
/// Slots refer to each other by address, so all live until the arena is dropped. An instance's number
/// ([`SlotId`]) is also its number in function references.
#[derive(Debug)]
pub struct Arena {
    id: u64,
    /// Their addresses are read by the signal handler, through [`Control`].
    slots: Vec<Slot>,
    /// The kind of host that their host functions are for; [`Nobody`] before there are some.
    host_kind: TypeId,
    control: Arc<Control>,
    /// Where the first slot is to come from.
    origin: Option<Box<Origin>>,
    stack_bytes: u32,
    /// Whether a table's entry or size was set.
    tables_changed: bool,
}

/// Host functions are not for this kind of host: there are none yet.
struct Nobody;

/// Where a slot comes from: a pool, and the pages it is known to touch.
#[derive(Debug)]
struct Origin {
    pool: Arc<Pool>,
    profile: Vec<u64>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);

impl Arena {
    /// An arena without instances.
    ///
    /// # Errors
    /// If the stack's size is outside its limits.
    pub fn new(limits: ArenaLimits) -> Result<Arena, NativeError> {
        let (min, max) = (STACK_BYTES_MIN as u64, STACK_BYTES_MAX as u64);
        let stack_bytes = limits.stack_bytes as u64;
        if !(min..=max).contains(&stack_bytes) {
            return Err(NativeError::Limit { what: "a stack", bytes: stack_bytes, min, max });
        }
        Ok(Arena {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            slots: Vec::new(),
            host_kind: TypeId::of::<Nobody>(),
            control: Arc::new(Control::new()),
            origin: None,
            stack_bytes: stack_bytes.next_multiple_of(HOST_PAGE_BYTES) as u32,
            tables_changed: false,
        })
    }

    /// An arena whose first instance is put into a slot of a pool, and which can be recycled. `profile` is what
    /// [`Arena::profile`] said of an earlier one of the same module.
    ///
    /// # Errors
    /// As [`Arena::new`].
    pub fn in_pool(pool: &Arc<Pool>, profile: Vec<u64>) -> Result<Arena, NativeError> {
        let mut arena = Arena::new(ArenaLimits { stack_bytes: pool.limits().stack_bytes })?;
        arena.origin = Some(Box::new(Origin { pool: pool.clone(), profile }));
        Ok(arena)
    }

    /// Remembers the first instance as it is: what [`Arena::recycle`] goes back to.
    pub fn seal(&mut self) {
        if let Some(slot) = self.slots.first_mut() {
            slot.seal();
        }
        self.tables_changed = false;
        self.state_mut().used = false;
    }

    /// The tables are as they were when the arena was sealed: whoever emptied them has filled them again.
    pub fn tables_are_initial(&mut self) {
        self.tables_changed = false;
    }

    /// Ends whatever runs or waits in a pooled arena, and makes its instance what it was when it was sealed: memory,
    /// globals, stack; tables are null again if one was changed, and the answer says so. Handles to interrupt it
    /// lead nowhere from now on.
    ///
    /// # Errors
    /// If it has more than one instance, is in no pool, or the kernel refuses: then it can only be dropped.
    pub fn recycle(&mut self) -> Result<Recycled, NativeError> {
        let [slot] = self.slots.as_mut_slice() else { return Err(NativeError::NotPooled) };
        self.control.renew();
        // SAFETY: the arena is borrowed mutably, so the state is ours.
        let state = unsafe { &mut *self.control.state() };
        state.parks_at_meter = false;
        if !std::mem::take(&mut state.used) && !self.tables_changed {
            return Ok(Recycled { tables_are_null: false });
        }
        (state.parked, state.may_park, state.panic) = (None, false, None);
        slot.recycle()?;
        let tables_are_null = std::mem::take(&mut self.tables_changed);
        if tables_are_null {
            slot.clear_tables();
        }
        self.write_header(SlotId(0));
        Ok(Recycled { tables_are_null })
    }

    /// The pages that the first instance touches, for [`Arena::in_pool`].
    pub fn profile(&self) -> Vec<u64> {
        self.pages().map(Pages::profile).unwrap_or_default()
    }

    /// How many pages of the first instance stay resident when it is recycled.
    pub fn resident_pages(&self) -> u64 {
        self.pages().map_or(0, Pages::resident)
    }

    /// Whether recycling knows which pages are touched, and [`Arena::profile`] says which.
    pub fn is_tracked(&self) -> bool {
        self.pages().is_some_and(Pages::tracked)
    }

    /// Stops tracking pages: recycling does the next best from now on, as [`Recycling`] says. For an arena that was
    /// just recycled.
    ///
    /// # Errors
    /// If the kernel refuses to take the pages back that it has now: then the arena can only be dropped.
    pub fn untrack(&mut self) -> Result<(), NativeError> {
        self.slots.first().map_or(Err(NativeError::NotPooled), Slot::untrack)
    }

    fn pages(&self) -> Option<&Pages> {
        self.slots.first()?.pages()
    }

    /// Adds an instance: memories at their initial sizes with their images, tables null, globals zero, imports
    /// unlinked. Every import must be linked before the instance runs.
    ///
    /// # Errors
    /// If address space or memory is short.
    pub fn add(&mut self, code: Arc<Code>) -> Result<SlotId, NativeError> {
        let first = self.slots.is_empty();
        if first {
            // Most arenas have one instance only, and there may be a million.
            self.slots.reserve_exact(1);
        }
        let slot = match self.origin.as_deref() {
            Some(Origin { pool, profile }) => {
                let space = pool.take().ok_or(NativeError::PoolExhausted { slots: pool.limits().slots })?;
                Slot::pooled(code, space, self.stack_bytes.into(), profile)?
            }
            None => Slot::new(code, if first { self.stack_bytes.into() } else { 0 })?,
        };
        self.origin = None;
        let id = SlotId(self.slots.len() as u32);
        self.slots.push(slot);
        // SAFETY: the arena is borrowed mutably, so the state is ours.
        let state = unsafe { &mut *self.control.state() };
        if first {
            state.set_stack(self.slots[0].stack());
        }
        state.set_slots(&self.slots);
        self.write_header(id);
        self.unlink_functions(id);
        Ok(id)
    }

    /// Writes the header of an instance's context: nothing has run, nothing is metered yet.
    fn write_header(&self, id: SlotId) {
        let slot = self.slot(id);
        slot.write(header::STACK_LIMIT, self.state().stack().start + STACK_RESERVE_BYTES as u64);
        slot.write(header::HOST_CALL, switch::host_call_address());
        slot.write(header::BUILTIN, switch::builtin_address());
        slot.write(header::RAISE, switch::raise_address());
        slot.write(header::ACTIVATION, Arc::as_ptr(&self.control) as u64);
        slot.write(header::FUNCREF_BASE, FuncRefBits::base(id.0));
        slot.write(header::INSTANCE, u64::from(id.0));
        slot.write(header::METER, 0);
        if slot.code().index().contract.metered {
            slot.write(header::METER_LIMIT, 0);
            slot.write(header::METER_WANTED, 0);
        }
    }

    /// Until it is linked, an imported function is the stub that traps.
    fn unlink_functions(&mut self, slot: SlotId) {
        for import in 0..self.code(slot).import_count() {
            self.write_function(slot, import, FunctionTarget { slot, function: TextFunction::BadCall });
        }
    }

    /// Number of instances.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// An instance's code.
    #[inline]
    pub fn code(&self, slot: SlotId) -> &Arc<Code> {
        self.slot(slot).code()
    }

    /// A handle that ends whatever runs in this arena.
    pub fn interrupt_handle(&self) -> InterruptHandle {
        InterruptHandle::new(&self.control)
    }

    /// Why the instruction at an address may trap, if the trap table of the code it lies in says so.
    pub(crate) fn trap_at(&self, pc: u64) -> Option<TrapCode> {
        self.slots.iter().find_map(|slot| {
            let code = slot.code();
            code.index().traps(code.bytes()).find(code.text_offset_of(pc)?)
        })
    }

    #[inline]
    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    #[inline]
    pub(crate) fn slot(&self, slot: SlotId) -> &Slot {
        &self.slots[slot.0 as usize]
    }

    #[inline]
    pub(crate) fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// What guest code and host share, read by its owner.
    #[inline]
    pub(crate) fn state(&self) -> &State {
        // SAFETY: the state is the arena's own; whoever changes it has the arena mutably, or is the guest code that
        // was entered with it.
        unsafe { &*self.control.state() }
    }

    #[inline]
    pub(crate) fn state_mut(&mut self) -> &mut State {
        // SAFETY: as for `state`; the arena is borrowed mutably.
        unsafe { &mut *self.control.state() }
    }

    /// Whether the host functions in the slots are for this kind of host.
    #[inline]
    pub(crate) fn host_is<H: Host>(&self) -> bool {
        self.host_kind == TypeId::of::<H>() || self.host_kind == TypeId::of::<Nobody>()
    }

    fn code_address(&self, target: FunctionTarget) -> u64 {
        let address = self.slot(target.slot).code().address(target.function);
        address.expect("targets name functions that exist")
    }

    /// Lets an imported function be a function of its type.
    pub fn link_function(&mut self, slot: SlotId, import: u32, target: FunctionTarget) {
        let offered = self.slot(target.slot).code().function_type(target.function);
        assert_eq!(offered, Some(self.slot(slot).code().import_type(import)), "a function is linked under its type");
        let of_guest = !matches!(target.function, TextFunction::HostThunk(_));
        assert!(of_guest, "host functions are linked by `link_hosts`");
        self.write_function(slot, import, target);
    }

    /// Lets every imported function that is `Some` here be that host function. The rest is linked one by one.
    ///
    /// # Panics
    /// If there are more or fewer than the module imports, one is for another number of values, or the arena has
    /// host functions for another kind of host.
    pub fn link_hosts<H: Host>(&mut self, slot: SlotId, hosts: &Arc<HostFunctions<H>>) {
        assert!(self.host_is::<H>(), "an arena has one kind of host");
        // A guest that waits keeps the address of the host function that is asked again.
        assert!(self.slot(slot).hosts().is_none() || !self.is_parked(), "an instance is linked before it runs");
        assert_eq!(hosts.0.len(), self.code(slot).import_count() as usize, "every import is looked at");
        for (import, host) in (0..).zip(&hosts.0) {
            let Some(host) = host else {
                self.write_function(slot, import, FunctionTarget { slot, function: TextFunction::BadCall });
                continue;
            };
            assert!(host.fits(self.code(slot).import_type(import)), "a host function is linked under its type");
            self.write_function(slot, import, FunctionTarget { slot, function: TextFunction::HostThunk(import) });
            let slot = self.slot(slot);
            let at = slot.layout().import_function(import);
            slot.write(at + import_function::HOST, host.address());
            slot.write(at + import_function::OWNER, slot.context());
            if host.is_direct() {
                slot.write(at + import_function::CODE, switch::direct_call_address());
                slot.write(at + import_function::CTX, slot.context().wrapping_add_signed(at.into()));
            }
        }
        self.host_kind = TypeId::of::<H>();
        self.slots[slot.0 as usize].set_hosts(hosts.clone());
    }

    /// Address of the host thunk that stands for the import whose slot is at an address; 0 if none is there.
    pub(crate) fn host_thunk_at(&self, address: u64) -> u64 {
        let thunk = |slot: &Slot| {
            let first = slot.context().wrapping_add_signed(slot.layout().import_function(0).into());
            let import = address.checked_sub(first)? / u64::from(import_function::BYTES);
            let import = u32::try_from(import).ok().filter(|import| *import < slot.code().import_count())?;
            slot.code().address(TextFunction::HostThunk(import))
        };
        self.slots.iter().find_map(thunk).unwrap_or(0)
    }

    /// The host functions that an instance was linked with.
    pub fn hosts<H: Host>(&self, slot: SlotId) -> Option<&HostFunctions<H>> {
        self.slot(slot).hosts()?.downcast_ref()
    }

    fn write_function(&mut self, slot: SlotId, import: u32, target: FunctionTarget) {
        let (code, context) = (self.code_address(target), self.slot(target.slot).context());
        let slot = self.slot(slot);
        let at = slot.layout().import_function(import);
        slot.write(at + import_function::CODE, code);
        slot.write(at + import_function::CTX, context);
    }

    /// Lets an imported memory be one that `owner` defines.
    pub fn link_memory(&mut self, slot: SlotId, import: u32, owner: SlotId, defined: u32) {
        let owner = self.slot(owner);
        assert!((defined as usize) < owner.plans().len(), "the memory exists");
        let definition = owner.context().wrapping_add_signed(owner.layout().memory_def(defined).into());
        let slot = self.slot(slot);
        slot.write(slot.layout().import_memory(import), definition);
    }

    /// Lets an imported table be one that `owner` defines.
    pub fn link_table(&mut self, slot: SlotId, import: u32, owner: SlotId, defined: u32) {
        let owner = self.slot(owner);
        assert!((defined as usize) < owner.code().index().contract.tables.len(), "the table exists");
        let definition = owner.context().wrapping_add_signed(owner.layout().table_def(defined).into());
        let slot = self.slot(slot);
        slot.write(slot.layout().import_table(import), definition);
    }

    /// Lets an imported global be one that `owner` defines.
    pub fn link_global(&mut self, slot: SlotId, import: u32, owner: SlotId, defined: u32) {
        let owner = self.slot(owner);
        let cell = owner.context().wrapping_add_signed(owner.global_offset(defined).into());
        let slot = self.slot(slot);
        slot.write(slot.layout().import_global(import), cell);
    }

    /// What metered code of an instance has executed.
    pub fn meter(&self, slot: SlotId) -> u64 {
        self.slot(slot).read(header::METER)
    }

    /// Counts so much more.
    pub fn add_to_meter(&mut self, slot: SlotId, executed: u64) {
        let total = self.meter(slot).saturating_add(executed);
        self.slot(slot).write(header::METER, total);
    }

    /// What metered code of an instance may execute in all.
    pub fn meter_limit(&self, slot: SlotId) -> u64 {
        self.slot(slot).read(header::METER_LIMIT)
    }

    /// Sets it.
    ///
    /// # Panics
    /// If the code is not metered.
    pub fn set_meter_limit(&mut self, slot: SlotId, limit: u64) {
        assert!(self.code(slot).index().contract.metered, "only metered code has a limit");
        self.slot(slot).write(header::METER_LIMIT, limit.min(UNLIMITED));
    }

    /// The instance whose meter has stopped it, and what it wants the limit to be at least; forgotten then.
    pub(crate) fn take_wanted(&self) -> Option<(SlotId, u64)> {
        let metered = (0..).zip(&self.slots).filter(|(_, slot)| slot.code().index().contract.metered);
        let mut wanted = metered.map(|(number, slot)| (SlotId(number), slot, slot.read(header::METER_WANTED)));
        let (number, slot, wanted) = wanted.find(|(.., wanted)| *wanted > 0)?;
        slot.write(header::METER_WANTED, 0);
        Some((number, wanted))
    }

    /// A global's bits.
    pub fn global(&self, slot: SlotId, defined: u32) -> RawValue {
        let slot = self.slot(slot);
        slot.read_wide(slot.global_offset(defined))
    }

    /// Sets a global's bits.
    pub fn set_global(&mut self, slot: SlotId, defined: u32, value: RawValue) {
        self.state_mut().used = true;
        let slot = self.slot(slot);
        slot.write_wide(slot.global_offset(defined), value);
    }

    /// A memory's contents at its current size.
    pub fn memory(&self, slot: SlotId, defined: u32) -> &[u8] {
        let (base, len) = self.slot(slot).memory_parts(defined);
        // SAFETY: base..base + len is mapped readable while the slot lives, which outlives the borrow of the
        // arena; only guest code and `memory_mut` write there, and both need the arena mutably.
        unsafe { std::slice::from_raw_parts(base, len) }
    }

    /// A memory's contents at its current size, writable.
    pub fn memory_mut(&mut self, slot: SlotId, defined: u32) -> &mut [u8] {
        self.state_mut().used = true;
        let (base, len) = self.slot(slot).memory_parts(defined);
        // SAFETY: as for `memory`; the mutable borrow of the arena makes this the only access.
        unsafe { std::slice::from_raw_parts_mut(base, len) }
    }

    /// Copies between two memories, or within one; `None` if either range is out of bounds.
    pub fn memory_copy(&mut self, to: (SlotId, u32, u64), from: (SlotId, u32, u64), len: u64) -> Option<()> {
        self.state_mut().used = true;
        let (to_base, to_len) = self.slot(to.0).memory_parts(to.1);
        let (from_base, from_len) = self.slot(from.0).memory_parts(from.1);
        let within = |at: u64, size: usize| at.checked_add(len).is_some_and(|end| end <= size as u64);
        if !within(to.2, to_len) || !within(from.2, from_len) {
            return None;
        }
        // SAFETY: both ranges were just found to lie within mapped memories of this arena, which is borrowed
        // mutably; `copy` allows overlap.
        unsafe { std::ptr::copy(from_base.add(from.2 as usize), to_base.add(to.2 as usize), len as usize) };
        Some(())
    }

    /// Grows a memory.
    ///
    /// # Errors
    /// If `bytes` is not a multiple of the page, shrinks it or exceeds its plan, or memory is short.
    pub fn memory_grow(&mut self, slot: SlotId, defined: u32, bytes: u64) -> Result<(), NativeError> {
        self.state_mut().used = true;
        self.slot(slot).memory_grow(defined, bytes)
    }

    /// A table's size, in entries.
    pub fn table_size(&self, slot: SlotId, defined: u32) -> u64 {
        let slot = self.slot(slot);
        slot.read(slot.layout().table_def(defined) + table_def::SIZE)
    }

    /// Sets a table's size; at most what its plan reserves.
    pub fn table_set_size(&mut self, slot: SlotId, defined: u32, entries: u64) {
        self.tables_changed = true;
        let slot = self.slot(slot);
        let max = slot.code().index().contract.tables[defined as usize].entries_max;
        assert!(entries <= max, "a table stays within its plan");
        slot.write(slot.layout().table_def(defined) + table_def::SIZE, entries);
    }

    /// The reference in a table's entry: [`FuncRefBits`] or a host handle.
    pub fn table_entry(&self, slot: SlotId, defined: u32, index: u64) -> u64 {
        let slot = self.slot(slot);
        let (at, element) = slot.entry_offset(defined, index);
        slot.read(if element == RefType::Func { at + table_entry::FUNCREF } else { at })
    }

    /// The signature id in an entry of a table of functions; 0 for null.
    pub fn table_signature(&self, slot: SlotId, defined: u32, index: u64) -> u64 {
        let slot = self.slot(slot);
        let (at, element) = slot.entry_offset(defined, index);
        assert_eq!(element, RefType::Func, "only functions have signatures");
        slot.read(at + table_entry::SIGNATURE)
    }

    /// Sets an entry of a table of functions.
    pub fn set_table_func(&mut self, slot: SlotId, defined: u32, index: u64, value: Option<TableFunction>) {
        self.tables_changed = true;
        let fields = value.map_or([0; 4], |function| {
            let target = self.slot(function.target.slot);
            let ty = target.code().function_type(function.target.function).expect("targets name functions that exist");
            [self.code_address(function.target), ty.signature_id(), target.context(), function.funcref.0]
        });
        let slot = self.slot(slot);
        let (at, element) = slot.entry_offset(defined, index);
        assert_eq!(element, RefType::Func, "the table holds functions");
        let offsets = [table_entry::CODE, table_entry::SIGNATURE, table_entry::CTX, table_entry::FUNCREF];
        offsets.iter().zip(fields).for_each(|(offset, field)| slot.write(at + offset, field));
    }

    /// Sets an entry of a table of host references.
    pub fn set_table_extern(&mut self, slot: SlotId, defined: u32, index: u64, handle: u64) {
        self.tables_changed = true;
        let slot = self.slot(slot);
        let (at, element) = slot.entry_offset(defined, index);
        assert_eq!(element, RefType::Extern, "the table holds host references");
        slot.write(at, handle);
    }
}

impl Drop for Arena {
    /// Whoever still has a handle learns that nobody is there.
    fn drop(&mut self) {
        self.control.renew();
    }
}

impl Slot {
    /// Makes every entry of every table null.
    fn clear_tables(&mut self) {
        for (defined, plan) in (0..).zip(&self.code().index().contract.tables) {
            let low = self.layout().table_entries(defined);
            let bytes = plan.entries_max * u64::from(entry_bytes(plan.ty.element));
            (0..bytes / 8).for_each(|word| self.write(low + (word * 8) as i32, 0));
        }
    }

    fn global_offset(&self, defined: u32) -> i32 {
        assert!((defined as usize) < self.code().index().contract.globals.len(), "the global exists");
        self.layout().global(defined)
    }

    /// Where a table's entry lies in the context.
    fn entry_offset(&self, defined: u32, index: u64) -> (i32, RefType) {
        let plan = &self.code().index().contract.tables[defined as usize];
        assert!(index < plan.entries_max, "the entry is reserved");
        let element = plan.ty.element;
        (self.layout().table_entries(defined) + index as i32 * entry_bytes(element) as i32, element)
    }
}
