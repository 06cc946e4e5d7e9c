//! Calls, tail calls and returns.

use iced_x86::OpKind;
use selvedge_contract::abi::{Builtin, VALUE_BYTES};
use selvedge_contract::trap::TrapCode;
use selvedge_contract::types::ValType;

use super::Exec;
use crate::convention::{Convention, Passed, Place, bytes};
use crate::report::{Checked, Rule, Violation, ensure};
use crate::state::reg::{self, RDI, RDX, RSI, RSP};
use crate::state::{Flags, Vector};
use crate::value::{Cell, Num, Ptr, Region, Value};
use crate::walk::Role;

const OWN_CONTEXT: Value = Value::Ptr(Ptr { to: Region::Context, lo: 0, hi: 0, var: 0, zeros: 63 });

/// Bytes that a call leaves on the stack for the callee to find: the return address.
const RETURN_BYTES: i64 = 8;

/// Whether a place in the frame is a multiple of 16 in memory, as the host needs its values to be. Every call keeps
/// that: a function is entered with its return address just below such a place.
fn is_aligned(at: i64) -> bool {
    at.rem_euclid(16) == 8
}

impl<'a> Exec<'_, 'a> {
    /// Bytes of the function's own parameters on the stack.
    pub(super) fn own_stack_bytes(&self) -> i64 {
        self.own().map_or(0, |own| own.stack_bytes.into())
    }

    /// Bytes of the area for its results.
    pub(super) fn own_area_bytes(&self) -> i64 {
        self.own().map_or(0, |own| own.area_bytes.into())
    }

    /// Bytes of the values that an entry trampoline passes.
    pub(super) fn values_bytes(&self) -> i64 {
        match self.walk.role {
            Role::Entry(_, values) => (values * VALUE_BYTES) as i64,
            Role::Guest(..) | Role::BadCall => 0,
        }
    }

    fn own(&self) -> Option<&'a Convention> {
        match self.walk.role {
            Role::Guest(convention, _) => Some(convention),
            Role::Entry(..) | Role::BadCall => None,
        }
    }

    /// `call`.
    pub(super) fn call(&mut self) -> Checked {
        ensure(
            self.state.rsp() >= self.state.compared,
            Rule::Stack,
            "a call must come after the stack was compared with its limit",
        )?;
        if self.insn.op0_kind() == OpKind::NearBranch64 {
            let convention = self.direct()?;
            return self.guest_call(convention);
        }
        let value = self.read(0)?.value;
        match value {
            Value::HostCall => self.host_call(),
            Value::Builtin => self.builtin(),
            Value::Raise => self.raise(),
            value => {
                let convention = self.indirect(value)?;
                self.guest_call(convention)
            }
        }
    }

    /// The guest function that a direct call or jump leads to, which needs our own context.
    fn direct(&mut self) -> Checked<&'a Convention> {
        let facts = self.walk.facts;
        let target = u32::try_from(self.insn.near_branch_target()).ok();
        let number = target.and_then(|target| facts.function_at(target));
        let Some(convention) = number.and_then(|number| facts.direct_convention(number)) else {
            return Err(Violation::new(Rule::Call, "this leads to no start of a function that guests may call"));
        };
        let context = self.state.regs[convention.context].value;
        ensure(context == OWN_CONTEXT, Rule::Call, "the callee is not given the function's own context")?;
        Ok(convention)
    }

    /// The guest function that a value is the code of, with the context that belongs to it.
    fn indirect(&mut self, code: Value) -> Checked<&'a Convention> {
        let facts = self.walk.facts;
        let (convention, wanted, rule) = match code {
            Value::ImportCode(import) => (facts.import_convention(import), Value::ImportContext(import), Rule::Call),
            Value::Callable(key, ty) => {
                self.walk.counts.indirect_calls += 1;
                (facts.conventions.get(ty as usize), Value::Context(key), Rule::IndirectCall)
            }
            Value::EntryCode => match self.walk.role {
                Role::Entry(convention, _) => (Some(convention), OWN_CONTEXT, Rule::Call),
                Role::Guest(..) | Role::BadCall => (None, OWN_CONTEXT, Rule::Call),
            },
            Value::Code(_) => {
                let problem = "the entry's signature was not compared, or nothing was chosen by the comparison";
                return Err(Violation::new(Rule::IndirectCall, problem));
            }
            _ => (None, OWN_CONTEXT, Rule::Call),
        };
        let Some(convention) = convention else {
            return Err(Violation::new(Rule::Call, "what is called is no code that the function may call"));
        };
        let context = self.state.regs[convention.context].value;
        ensure(context == wanted, rule, "the context does not belong to the code that is called")?;
        Ok(convention)
    }

    fn guest_call(&mut self, callee: &Convention) -> Checked {
        let rsp = self.state.rsp();
        ensure(is_aligned(rsp), Rule::Call, "the stack pointer is not aligned at this call")?;
        let arguments_end = rsp + i64::from(callee.stack_bytes);
        ensure(arguments_end <= self.frame_end(), Rule::Frame, "the parameters reach into the caller's frame")?;
        self.arguments(callee, rsp)?;
        let area = match callee.area_bytes {
            0 => 0,
            bytes => self.area_in_frame(arguments_end, bytes.into())?,
        };
        self.state.frame.forget_below(arguments_end);
        self.state.frame.fill(area, callee.area_bytes as usize, 0);
        self.after_call();
        self.state.regs[RSP].value = Value::Ptr(Ptr::exact(Region::Frame, arguments_end));
        for (place, bytes) in &callee.results {
            match *place {
                Place::General(reg) => self.state.regs[reg] = Cell::new(Value::Num(Num::partly(*bytes))),
                Place::Vector(reg) => self.state.vectors[reg] = Vector::passed(*bytes),
                // What lies between results the callee need not have written.
                Place::Memory(at) => self.state.frame.fill(area + i64::from(at), (*bytes).into(), (*bytes).into()),
            }
        }
        Ok(())
    }

    /// Where in the frame a callee will put results: above its parameters.
    fn area_in_frame(&self, lowest: i64, bytes: i64) -> Checked<i64> {
        let found = self.frame_pointer(Convention::AREA).filter(|at| at.rem_euclid(8) == 0 && *at >= lowest);
        let Some(at) = found.filter(|at| at + bytes <= self.frame_end()) else {
            return Err(Violation::new(
                Rule::Arguments,
                "the area for results is not in the frame above the parameters",
            ));
        };
        Ok(at)
    }

    /// Parameters have their places, those on the stack from this offset on.
    fn arguments(&mut self, callee: &Convention, stack: i64) -> Checked {
        self.walk.budget.scan(callee.params.len() + 2 * callee.results.len() + callee.area_bytes as usize / 8)?;
        self.passed(&callee.params, |at, bytes| self.state.frame.readable(stack + i64::from(at), bytes) >= bytes)
            .map_err(|problem| Violation::new(Rule::Arguments, problem))
    }

    fn passed(&self, list: &[Passed], in_memory: impl Fn(u32, usize) -> bool) -> Result<(), String> {
        for (place, bytes) in list {
            let good = match *place {
                Place::General(reg) => self.state.regs[reg].value.readable() >= *bytes,
                Place::Vector(reg) => self.state.vectors[reg].shows(*bytes),
                Place::Memory(at) => in_memory(at, (*bytes).into()),
            };
            if !good {
                return Err(format!("{place:?} holds no {bytes} bytes that may be passed"));
            }
        }
        Ok(())
    }

    /// What every callee may have changed.
    fn after_call(&mut self) {
        for (number, cell) in self.state.regs.iter_mut().enumerate() {
            if !reg::SAVED.contains(&number) && number != RSP {
                *cell = Cell::SECRET;
            }
        }
        self.state.vectors = [Vector::SECRET; 16];
        self.state.flags = Flags::Secret;
        self.state.epoch = (self.at + 1) << 1;
    }

    fn host_context(&self) -> Checked {
        let context = self.state.regs[RDI].value == OWN_CONTEXT;
        ensure(context, Rule::HostCall, "the host is not given the function's own context")
    }

    fn host_arguments(&mut self) -> Checked<u32> {
        self.host_context()?;
        let number = self.state.regs[RSI].value.truncate(4).num().is_exact();
        number.map(|n| n as u32).ok_or_else(|| Violation::new(Rule::HostCall, "the number in esi is not known"))
    }

    /// A host thunk's call of its import.
    fn host_call(&mut self) -> Checked {
        self.host_context()?;
        let facts = self.walk.facts;
        let Role::Guest(_, Some(import)) = self.walk.role else {
            return Err(Violation::new(Rule::HostCall, "only host thunks may call the host's functions"));
        };
        let slot = Value::exact(i64::from(facts.layout.import_function(import)) as u64);
        let own = self.state.regs[RSI].value == slot;
        let ty = facts.imports.get(import as usize).and_then(|ty| facts.contract.types.get(*ty as usize));
        let Some(ty) = ty.filter(|_| own) else {
            return Err(Violation::new(Rule::HostCall, "this leads to another slot than that of the thunk's import"));
        };
        let sizes = |list: &[ValType]| list.iter().map(|ty| bytes(*ty)).collect::<Vec<_>>();
        self.pass_values(&sizes(&ty.params), &sizes(&ty.results))
    }

    /// A call of one of the runtime's own functions.
    fn builtin(&mut self) -> Checked {
        let index = self.host_arguments()?;
        let Some(builtin) = Builtin::from_index(index) else {
            return Err(Violation::new(Rule::HostCall, format!("there is no builtin {index:#x}")));
        };
        self.pass_values(&vec![8; builtin.values()], &vec![8; builtin.results()])
    }

    /// A call that passes parameters, and gets results, of so many bytes each in an array in the frame.
    fn pass_values(&mut self, params: &[u8], results: &[u8]) -> Checked {
        let rsp = self.state.rsp();
        let count = params.len().max(results.len());
        self.walk.budget.scan(4 * count)?;
        let bytes = (count * VALUE_BYTES) as i64;
        let found = self.frame_pointer(RDX).filter(|at| is_aligned(*at) && *at >= rsp);
        let Some(values) = found.filter(|at| at + bytes <= self.frame_end()) else {
            return Err(Violation::new(Rule::HostCall, "the values are not in the frame, aligned"));
        };
        for (nth, bytes) in params.iter().enumerate() {
            let at = values + (nth * VALUE_BYTES) as i64;
            let good = self.state.frame.readable(at, (*bytes).into()) >= usize::from(*bytes);
            ensure(good, Rule::HostCall, "a value was not written, or may not be passed")?;
        }
        for nth in 0..count {
            let at = values + (nth * VALUE_BYTES) as i64;
            for at in [at, at + 8] {
                let kept = self.state.frame.readable(at, 8);
                let shown = if nth < results.len() { 8 } else { kept };
                self.state.frame.fill(at, 8, 0);
                self.state.frame.fill(at, shown, shown);
            }
        }
        self.after_call();
        Ok(())
    }

    fn raise(&mut self) -> Checked {
        let code = self.host_arguments()?;
        let known = u8::try_from(code).ok().and_then(TrapCode::from_byte).is_some();
        ensure(known, Rule::HostCall, "this is no trap's number")?;
        self.after_call();
        Ok(())
    }

    /// `jmp`: within the function, by a jump table, or a tail call.
    pub(super) fn jump(&mut self) -> Checked {
        if self.insn.op0_kind() == OpKind::NearBranch64 {
            let target = self.insn.near_branch_target() as i64 - i64::from(self.walk.start);
            if target > 0 && target < self.walk.len().into() {
                return self.walk.reach(self.at.into(), target, self.state);
            }
            let convention = self.direct()?;
            return self.tail_call(convention);
        }
        let value = self.read(0)?.value;
        if let Value::Target(table, count) = value {
            return self.jump_table(table.into(), count.into());
        }
        let convention = self.indirect(value)?;
        self.tail_call(convention)
    }

    fn jump_table(&mut self, table: i64, count: i64) -> Checked {
        let entries = self.walk.table(table..table + 4 * count)?;
        let start = i64::from(self.walk.start);
        for entry in entries.as_chunks::<4>().0 {
            let target = table + i64::from(i32::from_le_bytes(*entry)) - start;
            self.walk.reach(self.at.into(), target, self.state)?;
        }
        Ok(())
    }

    /// A jump to another function, which returns in our place.
    fn tail_call(&mut self, callee: &Convention) -> Checked {
        let Some(own) = self.own() else {
            return Err(Violation::new(Rule::Return, "only guest functions may make tail calls"));
        };
        let rsp = self.state.rsp();
        let enough = rsp >= 0 || rsp >= self.state.compared;
        ensure(enough, Rule::Stack, "the callee would start deeper than the stack was compared with its limit")?;
        let end = rsp + RETURN_BYTES + i64::from(callee.stack_bytes);
        ensure(end == self.frame_end(), Rule::Return, "the callee would not remove what our caller passed")?;
        self.arguments(callee, rsp + RETURN_BYTES)?;
        let same = callee.results == own.results && callee.area_bytes == own.area_bytes;
        ensure(same, Rule::Return, "the callee's results are not where our caller looks for them")?;
        if own.area_bytes > 0 {
            let area = self.state.regs[Convention::AREA].value == Value::Ptr(Ptr::exact(Region::Area, 0));
            ensure(area, Rule::Arguments, "the callee is not given our caller's area for results")?;
        }
        self.restored(rsp)
    }

    /// `ret`.
    pub(super) fn ret(&mut self) -> Checked {
        let removed = if self.insn.op_count() == 0 { 0 } else { i64::from(self.insn.immediate16()) };
        let rsp = self.state.rsp();
        ensure(!matches!(self.walk.role, Role::BadCall), Rule::Return, "the stub for bad calls may not return")?;
        let end = rsp + RETURN_BYTES + removed;
        ensure(end == self.frame_end(), Rule::Return, "the stack pointer would not be where the caller expects it")?;
        if let Some(own) = self.own() {
            self.walk.budget.scan(own.results.len())?;
            let in_area = |at: u32, bytes| self.state.area.readable(at.into(), bytes) >= bytes;
            self.passed(&own.results, in_area).map_err(|problem| Violation::new(Rule::Return, problem))?;
        }
        self.restored(rsp)
    }

    /// The return address is on top of the stack, callee-saved registers are as they were.
    fn restored(&self, rsp: i64) -> Checked {
        let address = self.state.frame.read(rsp, 8).value == Value::Return;
        ensure(address, Rule::Return, "what lies on top of the stack is not the return address")?;
        for saved in reg::SAVED {
            if self.state.regs[saved].value != Value::Saved(saved as u8) {
                let name = reg::NAMES[saved];
                return Err(Violation::new(Rule::Return, format!("{name} is not what it was on entry")));
            }
        }
        Ok(())
    }
}
