//! Comparisons and what hangs on them: conditional moves, which bound indices and choose callees, and
//! branches, of which only the stack check proves anything.

use iced_x86::ConditionCode;

use super::Exec;
use crate::budget::FRAME_BYTES_MAX;
use crate::report::Checked;
use crate::state::Flags;
use crate::value::{Cell, Num, Ptr, Region, Value};

/// The relation of two numbers that a condition stands for, unsigned.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Relation {
    Below,
    AtMost,
    Equal,
    AtLeast,
    Above,
    Unequal,
    Unknown,
}

fn relation(condition: ConditionCode) -> Relation {
    match condition {
        ConditionCode::b => Relation::Below,
        ConditionCode::be => Relation::AtMost,
        ConditionCode::e => Relation::Equal,
        ConditionCode::ae => Relation::AtLeast,
        ConditionCode::a => Relation::Above,
        ConditionCode::ne => Relation::Unequal,
        _ => Relation::Unknown,
    }
}

impl Relation {
    fn negated(self) -> Relation {
        match self {
            Relation::Below => Relation::AtLeast,
            Relation::AtMost => Relation::Above,
            Relation::Equal => Relation::Unequal,
            Relation::AtLeast => Relation::Below,
            Relation::Above => Relation::AtMost,
            Relation::Unequal => Relation::Equal,
            Relation::Unknown => Relation::Unknown,
        }
    }

    /// Whether it holds between two numbers; not every condition's relation is known.
    fn of(self, a: u64, b: u64) -> Option<bool> {
        match self {
            Relation::Below => Some(a < b),
            Relation::AtMost => Some(a <= b),
            Relation::Equal => Some(a == b),
            Relation::AtLeast => Some(a >= b),
            Relation::Above => Some(a > b),
            Relation::Unequal => Some(a != b),
            Relation::Unknown => None,
        }
    }

    fn swapped(self) -> Relation {
        match self {
            Relation::Below => Relation::Above,
            Relation::AtMost => Relation::AtLeast,
            Relation::AtLeast => Relation::AtMost,
            Relation::Above => Relation::Below,
            same => same,
        }
    }
}

impl Exec<'_, '_> {
    /// `cmp`.
    pub(super) fn compare(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?;
        let b = self.read_as(1, size)?;
        let limit = matches!(
            (a.value, b.value),
            (Value::StackLimit(_), Value::Ptr(Ptr { to: Region::Frame, .. }))
                | (Value::Ptr(Ptr { to: Region::Frame, .. }), Value::StackLimit(_))
        );
        let signature = matches!(a.value, Value::Signature(_)) && b.value.num().is_exact().is_some()
            || matches!(b.value, Value::Signature(_)) && a.value.num().is_exact().is_some();
        let numbers = usize::from(a.value.readable().min(b.value.readable())) >= size;
        self.state.flags = if limit || signature || numbers { Flags::Cmp(size, a, b) } else { Flags::Secret };
        Ok(())
    }

    /// `test`.
    pub(super) fn test(&mut self) -> Checked {
        let size = self.size(0)?;
        let a = self.read_as(0, size)?;
        let b = self.read_as(1, size)?;
        let same = self.register(0).is_some() && self.insn.op0_register() == self.insn.op1_register();
        self.state.flags = match a.value {
            // All of it: fewer bytes are a number.
            Value::RawContext(_) if same => Flags::Test(a),
            _ if usize::from(a.value.readable().min(b.value.readable())) >= size => Flags::Plain,
            _ => Flags::Secret,
        };
        Ok(())
    }

    /// `setcc`.
    pub(super) fn set(&mut self) -> Checked {
        self.read_flags()?;
        self.write(0, Cell::new(Value::Num(Num::up_to(1))))
    }

    /// `cmovcc`.
    pub(super) fn conditional_move(&mut self) -> Checked {
        self.read_flags()?;
        let size = self.size(0)?;
        let kept = self.read_as(0, size)?;
        let then = self.read_as(1, size)?;
        let condition = self.insn.condition_code();
        let chosen = self.callee(condition, then.value, kept.value);
        let chosen = chosen.or_else(|| self.callee_context(condition, then.value, kept.value));
        let relation = relation(condition);
        let value = match (chosen, self.decided(relation)) {
            (Some(value), _) => value,
            (None, Some(true)) => then.value,
            (None, Some(false)) => kept.value,
            (None, None) => {
                let then = self.scanned(1, relation).unwrap_or_else(|| self.refined(then, relation));
                let otherwise = relation.negated();
                let otherwise = self.scanned(0, otherwise).unwrap_or_else(|| self.refined(kept, otherwise));
                union(then, otherwise)
            }
        };
        let Some(register) = self.register(0) else { return self.denied() };
        self.write_register(register, Cell::new(value))
    }

    /// Whether this relation holds between what was compared, if both are constants: an address and the bound it is
    /// clamped to. Indices of jump tables have four bytes; all their entries must keep the rules, taken or not.
    fn decided(&self, relation: Relation) -> Option<bool> {
        let Flags::Cmp(8, a, b) = self.state.flags else { return None };
        relation.of(a.value.num().is_exact()?, b.value.num().is_exact()?)
    }

    /// What a scan for bits has found, if the operand is the register where it put that and there was one.
    fn scanned(&self, operand: u32, relation: Relation) -> Option<Value> {
        let Flags::Scan(id, found) = self.state.flags else { return None };
        let (register, _) = self.register(operand)?;
        (relation == Relation::Unequal && self.state.regs[register].id == id).then_some(found.value)
    }

    /// What a value is where this relation holds between what was compared.
    fn refined(&self, cell: Cell, relation: Relation) -> Value {
        // Constants are the same wherever they are.
        let exact = cell.value.num().is_exact().is_some();
        let is = |other: Cell| cell.id != 0 && cell.id == other.id || exact && cell.value == other.value;
        let Flags::Cmp(_, a, b) = self.state.flags else { return cell.value };
        // A constant that others are compared with is no better known afterwards; the entry of a jump table
        // that it stands for must keep the rules even if it is never taken.
        if is(a) {
            at_most(cell.value, relation, b.value)
        } else if is(b) && (!exact || matches!(a.value, Value::UpTo(..))) {
            at_most(cell.value, relation.swapped(), a.value)
        } else {
            cell.value
        }
    }

    /// The code of an entry if its signature matches, else the stub for bad calls.
    fn callee(&self, condition: ConditionCode, then: Value, otherwise: Value) -> Option<Value> {
        let Flags::Cmp(8, a, b) = self.state.flags else { return None };
        let (key, id) = match (a.value, b.value) {
            (Value::Signature(key), id) | (id, Value::Signature(key)) => (key, id.num().is_exact()?),
            _ => return None,
        };
        let (matching, mismatch) = match condition {
            ConditionCode::e => (then, otherwise),
            ConditionCode::ne => (otherwise, then),
            _ => return None,
        };
        let stub = mismatch == Value::Ptr(Ptr::exact(Region::Text, self.walk.facts.bad_call()));
        let ty = self.walk.facts.signatures.get(&id)?;
        (stub && matching == Value::Code(key)).then_some(Value::Callable(key, *ty))
    }

    /// The context of an entry, or that of the table's owner if it has none.
    fn callee_context(&self, condition: ConditionCode, then: Value, otherwise: Value) -> Option<Value> {
        let Flags::Test(Cell { value: raw @ Value::RawContext(key), .. }) = self.state.flags else { return None };
        let (zero, other) = match condition {
            ConditionCode::e => (then, otherwise),
            ConditionCode::ne => (otherwise, then),
            _ => return None,
        };
        let imported = self.walk.facts.imported_tables.len() as u32;
        let owner = match key.table < imported {
            true => Value::Owner(key.table),
            false => Value::Ptr(Ptr::exact(Region::Context, 0)),
        };
        (zero == owner && other == raw).then_some(Value::Context(key))
    }

    /// A conditional branch. Where it is the stack check, one side of it has compared.
    pub(super) fn branch(&mut self) -> Checked {
        self.read_flags()?;
        let target = self.insn.near_branch_target() as i64 - i64::from(self.walk.start);
        let condition = self.insn.condition_code();
        let relation = relation(condition);
        let before = self.state.compared;
        self.compared_stack(relation);
        self.walk.reach(self.at.into(), target, self.state)?;
        self.state.compared = before;
        self.compared_stack(relation.negated());
        Ok(())
    }

    /// The stack may be used as deep as it was compared with the limit, on the side where it was enough.
    fn compared_stack(&mut self, relation: Relation) {
        let Flags::Cmp(8, a, b) = self.state.flags else { return };
        let (limit, place, relation) = match (a.value, b.value) {
            (Value::StackLimit(limit), Value::Ptr(place)) => (limit, place, relation),
            (Value::Ptr(place), Value::StackLimit(limit)) => (limit, place, relation.swapped()),
            _ => return,
        };
        let enough = matches!(relation, Relation::Below | Relation::AtMost | Relation::Equal);
        // Further below, the place's address may have passed zero, and lie above the limit.
        let near = |at: &i64| *at >= -FRAME_BYTES_MAX;
        if let Some(at) = place.is_exact().filter(near).filter(|_| enough && place.to == Region::Frame) {
            self.state.compared = self.state.compared.min(at - limit);
        }
    }
}

/// Both values are possible; nothing is widened, for nothing repeats here.
fn union(a: Value, b: Value) -> Value {
    match (a, b) {
        _ if a == b => a,
        (Value::UpTo(bound, shift), other) | (other, Value::UpTo(bound, shift)) if other.num().hi == 0 => {
            Value::UpTo(bound, shift)
        }
        (Value::Num(_) | Value::UpTo(..), Value::Num(_) | Value::UpTo(..)) => {
            let (a, b) = (a.num(), b.num());
            Value::Num(Num {
                lo: a.lo.min(b.lo),
                hi: a.hi.max(b.hi),
                zeros: a.zeros.min(b.zeros),
                bytes: a.bytes.min(b.bytes),
            })
        }
        _ => Value::SECRET,
    }
}

/// A value that stands in this relation to another. They were compared as a whole: both can be read. A bound is of eight
/// bytes: what a comparison of fewer reads was cut to a number.
fn at_most(value: Value, relation: Relation, other: Value) -> Value {
    let Value::Num(num) = value else { return value };
    let less = match relation {
        Relation::Below => 1,
        Relation::AtMost | Relation::Equal => 0,
        Relation::AtLeast | Relation::Above | Relation::Unequal | Relation::Unknown => return value,
    };
    if let Value::UpTo(_, shift) = other {
        // It says of the low bits, too, that they are zero.
        return if num.zeros >= shift { other } else { value };
    }
    let hi = num.hi.min(other.num().hi.saturating_sub(less));
    Value::Num(Num { lo: num.lo.min(hi), hi, ..num })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_decide_about_constants() {
        for (a, b) in [(1, 2), (2, 2), (3, 2)] {
            let holds = |condition| relation(condition).of(a, b);
            assert_eq!(holds(ConditionCode::b), Some(a < b));
            assert_eq!(holds(ConditionCode::be), Some(a <= b));
            assert_eq!(holds(ConditionCode::e), Some(a == b));
            assert_eq!(holds(ConditionCode::ne), Some(a != b));
            assert_eq!(holds(ConditionCode::ae), Some(a >= b));
            assert_eq!(holds(ConditionCode::a), Some(a > b));
            assert_eq!(holds(ConditionCode::g), None);
        }
    }
}
