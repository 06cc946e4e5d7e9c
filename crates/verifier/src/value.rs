//! The abstract values: what is known of a register or of eight bytes of the frame.
//!
//! A value says two things: between which bounds a number lies, or where a pointer may point; and how
//! many of its low bytes the guest may look at. What lies beyond those may be the host's, another
//! function's, or an address.

/// What is known of 64 bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Value {
    /// A number.
    Num(Num),
    /// A pointer.
    Ptr(Ptr),
    /// A number that is at most a bound which only the instance knows, shifted left.
    UpTo(Bound, u8),
    /// What a callee-saved register held when the function was entered.
    Saved(u8),
    /// The address to return to.
    Return,
    /// The stack limit and a constant.
    StackLimit(i64),
    /// The host-call stub.
    HostCall,
    /// The stub for the runtime's own functions.
    Builtin,
    /// The stub for explicit traps.
    Raise,
    /// Code of an import.
    ImportCode(u32),
    /// The context that goes with it.
    ImportContext(u32),
    /// The signature id in a table's entry.
    Signature(Key),
    /// The code in a table's entry.
    Code(Key),
    /// The context in a table's entry: 0 means the owner's.
    RawContext(Key),
    /// The context to pass to the code of a table's entry.
    Context(Key),
    /// The code of a table's entry if that is of this type, else a stub that traps.
    Callable(Key, u32),
    /// The context of the owner of an imported table.
    Owner(u32),
    /// The code an entry trampoline is to call.
    EntryCode,
    /// An entry of the jump table at this address with so many entries: a distance from it.
    Jump(u32, u32),
    /// That entry's target.
    Target(u32, u32),
}

/// A number: its bounds, how many of its low bits are zero, how many of its low bytes may be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Num {
    pub(crate) lo: u64,
    pub(crate) hi: u64,
    pub(crate) zeros: u8,
    pub(crate) bytes: u8,
}

/// A pointer: `lo` bytes from the start of what it points to, plus something between 0 and `hi - lo` that
/// is named `var` and has `zeros` low bits of zero. A `var` of 0 has no name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Ptr {
    pub(crate) to: Region,
    pub(crate) lo: i64,
    pub(crate) hi: i64,
    pub(crate) var: u32,
    pub(crate) zeros: u8,
}

/// What a pointer may point to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Region {
    /// The function's own context, or memory 0 behind it.
    Context,
    /// A memory, by index in the module.
    Memory(u32),
    /// The same, plus a number that is at most the memory's bound.
    MemoryUpTo(u32),
    /// An imported table's entries.
    Entries(u32),
    /// The same, plus 32 times a number that is at most the table's bound.
    EntriesUpTo(u32),
    /// An imported memory's definition.
    MemoryDef(u32),
    /// An imported table's definition.
    TableDef(u32),
    /// An imported global's cell.
    Global(u32),
    /// The frame: 0 is where the return address lay on entry.
    Frame,
    /// The area for results in a caller's frame.
    Area,
    /// The values of an entry trampoline.
    Values,
    /// Text: offsets are the text's.
    Text,
}

/// A bound that only the instance knows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bound {
    /// The reservation of an imported memory, in bytes.
    Memory(u32),
    /// The entries reserved for an imported table.
    Table(u32),
}

/// Which entry of which table, looked at between which calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Key {
    pub(crate) table: u32,
    /// The name of the index, or [`Key::EXACT`] and a number.
    pub(crate) index: u64,
    pub(crate) epoch: u32,
}

impl Key {
    pub(crate) const EXACT: u64 = 1 << 32;
}

/// A value, and a name for it if something may be said of it later. Two places with one name (not 0) hold the
/// same value. A name is an instruction's and says "what the register held when this was last executed"; see
/// [`crate::state`] for why it never names two values at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell {
    pub(crate) value: Value,
    pub(crate) id: u32,
}

/// Where bounds stop when they keep growing: few places, since at each everything in a loop is looked at once more. What
/// is to be bounded by less is bounded where it is used, whatever a loop has made of it.
const STEPS: [u64; 3] = [0xffff_ffff, 1 << 36, u64::MAX];
/// The furthest a pointer may be from where it started: beyond every memory and guard.
const REACH_MAX: i64 = 1 << 40;

impl Num {
    pub(crate) const SECRET: Num = Num { lo: 0, hi: u64::MAX, zeros: 0, bytes: 0 };
    pub(crate) const ANY: Num = Num { lo: 0, hi: u64::MAX, zeros: 0, bytes: 8 };

    pub(crate) fn exact(n: u64) -> Num {
        Num { lo: n, hi: n, zeros: n.trailing_zeros().min(63) as u8, bytes: 8 }
    }

    pub(crate) fn up_to(hi: u64) -> Num {
        Num { hi, ..Num::ANY }
    }

    /// Any number of which so many bytes may be looked at.
    pub(crate) fn partly(bytes: u8) -> Num {
        Num { bytes, ..Num::ANY }
    }

    pub(crate) fn is_exact(self) -> Option<u64> {
        (self.lo == self.hi && self.bytes == 8).then_some(self.lo)
    }

    /// Bytes above the highest bit are zero, which may be looked at.
    pub(crate) fn tidy(self) -> Num {
        let bits = 64 - self.hi.leading_zeros();
        if bits <= u32::from(self.bytes) * 8 { Num { bytes: 8, ..self } } else { self }
    }

    /// Its low `size` bytes, zero-extended.
    pub(crate) fn truncate(self, size: usize) -> Num {
        let mask = mask(size);
        if self.hi <= mask {
            return self.tidy();
        }
        Num { lo: 0, hi: mask, zeros: self.zeros, bytes: self.bytes }.tidy()
    }

    fn join(self, new: Num, growth: Growth) -> Num {
        let hi = if new.hi <= self.hi { self.hi } else { growth.to(new.hi) };
        let lo = if self.lo == new.lo { self.lo } else { 0 };
        Num { lo, hi, zeros: self.zeros.min(new.zeros), bytes: self.bytes.min(new.bytes) }
    }
}

/// All bits of `size` bytes.
pub(crate) fn mask(size: usize) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (8 * size)) - 1 }
}

/// How bounds grow where ways meet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Growth {
    /// To what holds of both.
    Exact,
    /// To the next of a few steps, so that they settle: on the way back in a loop.
    Stepwise,
}

impl Growth {
    fn to(self, hi: u64) -> u64 {
        match self {
            Growth::Exact => hi,
            Growth::Stepwise => STEPS.into_iter().find(|step| *step >= hi).unwrap_or(u64::MAX),
        }
    }
}

impl Ptr {
    pub(crate) fn exact(to: Region, at: i64) -> Ptr {
        Ptr { to, lo: at, hi: at, var: 0, zeros: 63 }
    }

    pub(crate) fn is_exact(self) -> Option<i64> {
        (self.lo == self.hi).then_some(self.lo)
    }

    /// Moved by a constant.
    pub(crate) fn moved(self, by: i64) -> Option<Ptr> {
        let (lo, hi) = (self.lo.checked_add(by)?, self.hi.checked_add(by)?);
        (lo > -REACH_MAX && hi < REACH_MAX).then_some(Ptr { lo, hi, ..self })
    }

    /// Moved by a number of that name.
    fn indexed(self, by: Num, name: u32) -> Option<Ptr> {
        if let Some(n) = by.is_exact() {
            return self.moved(n as i64);
        }
        if by.bytes < 8 || by.hi >= REACH_MAX as u64 {
            return None;
        }
        let first = self.is_exact().is_some();
        let ptr = Ptr {
            hi: self.hi + by.hi as i64,
            var: if first { name } else { 0 },
            zeros: self.zeros.min(by.zeros),
            ..self
        };
        (ptr.hi < REACH_MAX).then_some(ptr)
    }

    fn join(self, new: Ptr, growth: Growth) -> Value {
        if self.to != new.to {
            return Value::SECRET;
        }
        let lo = if self.lo == new.lo { self.lo } else { 0 };
        if self.lo.min(new.lo) < lo {
            return Value::SECRET;
        }
        let grown = || i64::try_from(growth.to(new.hi.max(0) as u64)).unwrap_or(REACH_MAX);
        let hi = if new.hi <= self.hi { self.hi } else { grown() };
        if !(lo..REACH_MAX).contains(&hi) {
            return Value::SECRET;
        }
        let same = self.lo == new.lo;
        let var = if self.var == new.var && same { self.var } else { 0 };
        let zeros = if same { self.zeros.min(new.zeros) } else { 0 };
        Value::Ptr(Ptr { to: self.to, lo, hi, var, zeros })
    }
}

impl Value {
    pub(crate) const SECRET: Value = Value::Num(Num::SECRET);
    pub(crate) const ANY: Value = Value::Num(Num::ANY);

    pub(crate) fn exact(n: u64) -> Value {
        Value::Num(Num::exact(n))
    }

    /// As a number; nothing is known of what is none.
    pub(crate) fn num(self) -> Num {
        match self {
            Value::Num(num) => num,
            Value::UpTo(bound, shift) => Num { zeros: shift, ..Num::up_to(bound.most() << shift) },
            _ => Num::SECRET,
        }
    }

    /// How many low bytes may be looked at.
    pub(crate) fn readable(self) -> u8 {
        self.num().bytes
    }

    /// Its low `size` bytes, zero-extended.
    pub(crate) fn truncate(self, size: usize) -> Value {
        if size >= 8 { self } else { Value::Num(self.num().truncate(size)) }
    }

    /// The sum of two values; `names` are theirs.
    pub(crate) fn plus(self, other: Value, names: (u32, u32)) -> Value {
        let sum = match (self, other) {
            (Value::Num(a), Value::Num(b)) => Some(Value::Num(a.plus(b))),
            (Value::Ptr(ptr), Value::Num(by)) => ptr.indexed(by, names.1).map(Value::Ptr),
            (Value::Num(by), Value::Ptr(ptr)) => ptr.indexed(by, names.0).map(Value::Ptr),
            (Value::Ptr(ptr), Value::UpTo(bound, shift)) => bounded(ptr, bound, shift, names.1),
            (Value::UpTo(bound, shift), Value::Ptr(ptr)) => bounded(ptr, bound, shift, names.0),
            (Value::UpTo(..), Value::Num(by)) => Some(Value::Num(self.num().plus(by))),
            (Value::Num(by), Value::UpTo(..)) => Some(Value::Num(other.num().plus(by))),
            (Value::StackLimit(x), Value::Num(by)) => limit(x, by),
            (Value::Ptr(ptr), Value::Jump(table, count)) | (Value::Jump(table, count), Value::Ptr(ptr)) => {
                (ptr == Ptr::exact(Region::Text, i64::from(table))).then_some(Value::Target(table, count))
            }
            _ => None,
        };
        sum.unwrap_or(Value::SECRET)
    }

    /// What holds of both.
    pub(crate) fn join(self, new: Value, growth: Growth) -> Value {
        match (self, new) {
            (Value::Num(a), Value::Num(b)) => Value::Num(a.join(b, growth)),
            (Value::Ptr(a), Value::Ptr(b)) => a.join(b, growth),
            _ if self == new => self,
            (Value::Num(_) | Value::UpTo(..), Value::Num(_) | Value::UpTo(..)) => {
                Value::Num(self.num().join(new.num(), growth))
            }
            _ => Value::SECRET,
        }
    }
}

impl Num {
    fn plus(self, other: Num) -> Num {
        let bytes = self.bytes.min(other.bytes);
        let zeros = self.zeros.min(other.zeros);
        match (self.lo.checked_add(other.lo), self.hi.checked_add(other.hi)) {
            (Some(lo), Some(hi)) => Num { lo, hi, zeros, bytes },
            _ if self.lo == self.hi && other.lo == other.hi => {
                Num { bytes, ..Num::exact(self.lo.wrapping_add(other.lo)) }
            }
            _ => Num { lo: 0, hi: u64::MAX, zeros, bytes },
        }
    }
}

fn limit(limit: i64, by: Num) -> Option<Value> {
    let by = i64::try_from(by.is_exact()?).ok()?;
    limit.checked_add(by).filter(|sum| *sum < 1 << 32).map(Value::StackLimit)
}

fn bounded(ptr: Ptr, bound: Bound, shift: u8, name: u32) -> Option<Value> {
    ptr.is_exact()?;
    let to = match (ptr.to, bound, shift) {
        (Region::Memory(m), Bound::Memory(n), 0) if m == n => Region::MemoryUpTo(m),
        (Region::Entries(t), Bound::Table(n), Bound::ENTRY_SHIFT) if t == n => Region::EntriesUpTo(t),
        _ => return None,
    };
    Some(Value::Ptr(Ptr { to, var: name, ..ptr }))
}

impl Bound {
    /// Binary logarithm of a table entry's bytes.
    pub(crate) const ENTRY_SHIFT: u8 = selvedge_contract::vmctx::table_entry::BYTES.trailing_zeros() as u8;

    /// The most it can be.
    fn most(self) -> u64 {
        match self {
            Bound::Memory(_) => selvedge_contract::limits::RESERVATION_BYTES_MAX,
            Bound::Table(_) => selvedge_contract::limits::TABLE_ENTRIES_MAX,
        }
    }
}

impl Cell {
    pub(crate) const SECRET: Cell = Cell { value: Value::SECRET, id: 0 };
    pub(crate) const ANY: Cell = Cell { value: Value::ANY, id: 0 };

    pub(crate) fn new(value: Value) -> Cell {
        Cell { value, id: 0 }
    }

    /// Becomes what holds of both; says whether anything changed.
    #[inline]
    pub(crate) fn widen(&mut self, new: &Cell, growth: Growth) -> bool {
        // That nothing is known is what most are, and the quickest to see.
        let nothing = matches!(self.value, Value::Num(Num { lo: 0, hi: u64::MAX, zeros: 0, bytes: 0 })) && self.id == 0;
        !nothing && self.widen_known(new, growth)
    }

    #[inline(never)]
    fn widen_known(&mut self, new: &Cell, growth: Growth) -> bool {
        if *self == *new {
            return false;
        }
        let joined = self.join(*new, growth);
        let changed = joined != *self;
        *self = joined;
        changed
    }

    fn join(self, new: Cell, growth: Growth) -> Cell {
        Cell { value: self.value.join(new.value, growth), id: if self.id == new.id { self.id } else { 0 } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_the_same_on_both_ways_stays_whatever_it_is() {
        let ptr = Value::Ptr(Ptr::exact(Region::Frame, -8));
        for value in [Value::Saved(3), ptr, Value::exact(7), Value::ANY, Value::SECRET] {
            assert_eq!(value.join(value, Growth::Exact), value);
        }
    }

    #[test]
    fn growing_bounds_settle() {
        let mut value = Value::exact(0);
        let mut changes = 0;
        for n in (0..).step_by(3).take(100_000) {
            let next = value.join(Value::exact(n), Growth::Stepwise);
            changes += usize::from(next != value);
            value = next;
        }
        assert_eq!(changes, 1);
    }

    #[test]
    fn a_join_covers_both() {
        let a = Num { lo: 4, hi: 9, zeros: 0, bytes: 8 };
        let b = Num { lo: 2, hi: 300, zeros: 1, bytes: 4 };
        let Value::Num(both) = Value::Num(a).join(Value::Num(b), Growth::Exact) else { panic!() };
        assert!(both.lo <= 2 && both.hi >= 300 && both.zeros == 0 && both.bytes == 4);
    }

    /// Numbers and pointers that differ in everything that there is to know of them.
    fn values() -> Vec<Value> {
        let bounds = [(0, 0), (0, 255), (4, 9), (8, 8), (3, u64::MAX), (0, 1 << 38)];
        let num = |(lo, hi), zeros, bytes| Value::Num(Num { lo, hi, zeros, bytes });
        let known = [(0, 8), (2, 8), (0, 4)];
        let numbers = known.iter().flat_map(|(zeros, bytes)| bounds.map(|bounds| num(bounds, *zeros, *bytes)));
        let regions = [Region::Context, Region::Frame, Region::Text, Region::Memory(1), Region::Memory(2)];
        let places = [(0, 0), (-8, -8), (-8, 24), (16, 16), (16, 48), (0, 1 << 38), (-16, -8), (5, 9)];
        let names = [(0, 63), (7, 5), (9, 3)];
        let ptr = |to, (lo, hi), (var, zeros)| Value::Ptr(Ptr { to, lo, hi, var, zeros });
        let pointers = regions.into_iter().flat_map(|to| places.map(|place| names.map(|name| ptr(to, place, name))));
        let others = [Value::UpTo(Bound::Table(1), 0), Value::Return, Value::Saved(3)];
        numbers.chain(pointers.flatten()).chain(others).collect()
    }

    /// Whether everything that may be so by one may be so by the other.
    fn covers(joined: Value, value: Value) -> bool {
        match (joined, value) {
            _ if joined == value || joined == Value::SECRET => true,
            (Value::Num(_), Value::Num(_) | Value::UpTo(..)) => {
                let (a, b) = (joined.num(), value.num());
                a.lo <= b.lo && a.hi >= b.hi && a.zeros <= b.zeros && a.bytes <= b.bytes
            }
            (Value::Ptr(a), Value::Ptr(b)) => {
                let moved = b.lo.abs_diff(a.lo);
                let named = a.var == 0 || a.var == b.var && moved == 0;
                let zeros = a.zeros <= b.zeros && u32::from(a.zeros) <= moved.trailing_zeros();
                a.to == b.to && a.lo <= b.lo && a.hi >= b.hi && named && zeros
            }
            _ => false,
        }
    }

    #[test]
    fn joins_cover_whatever_is_joined() {
        for (a, b) in values().into_iter().flat_map(|a| values().into_iter().map(move |b| (a, b))) {
            for growth in [Growth::Exact, Growth::Stepwise] {
                let joined = a.join(b, growth);
                assert!(covers(joined, a) && covers(joined, b), "{a:?} and {b:?}: {joined:?}");
            }
        }
    }

    #[test]
    fn joins_forget_no_more_than_they_must() {
        let num = |lo, hi| Num { lo, hi, zeros: 0, bytes: 8 };
        assert_eq!(num(4, 9).join(num(4, 9), Growth::Stepwise), num(4, 9));
        assert_eq!(num(4, 9).join(num(4, 7), Growth::Stepwise), num(4, 9));
        assert_eq!(num(4, 9).join(num(4, 12), Growth::Exact), num(4, 12));
        let ptr = |lo, hi, var, zeros| Ptr { to: Region::Context, lo, hi, var, zeros };
        let join = |a: Ptr, b: Ptr| a.join(b, Growth::Stepwise);
        assert_eq!(join(ptr(16, 48, 7, 5), ptr(16, 40, 7, 4)), Value::Ptr(ptr(16, 48, 7, 4)));
        assert_eq!(join(ptr(16, 48, 7, 5), ptr(16, 48, 7, 4)), Value::Ptr(ptr(16, 48, 7, 4)));
        assert_eq!(join(ptr(16, 48, 7, 5), ptr(16, 48, 8, 5)), Value::Ptr(ptr(16, 48, 0, 5)));
        assert_eq!(join(ptr(16, 48, 7, 5), ptr(0, 200, 7, 5)), Value::Ptr(ptr(0, 0xffff_ffff, 0, 0)));
        assert_eq!(join(ptr(0, 48, 7, 5), ptr(16, 40, 7, 5)), Value::Ptr(ptr(0, 48, 0, 0)));
        assert_eq!(join(ptr(-8, -8, 0, 5), ptr(-8, 24, 0, 5)), Value::Ptr(ptr(-8, 0xffff_ffff, 0, 5)));
        assert_eq!(join(ptr(-8, -4, 0, 2), ptr(-8, -2, 0, 2)), Value::Ptr(ptr(-8, 0xffff_ffff, 0, 2)));
        assert_eq!(join(ptr(-8, 24, 0, 5), ptr(0, 24, 0, 5)), Value::SECRET);
    }

    #[test]
    fn a_name_stays_if_it_is_the_same() {
        let cell = |id| Cell { value: Value::ANY, id };
        assert_eq!(cell(7).join(cell(7), Growth::Exact).id, 7);
        assert_eq!((cell(7).join(cell(8), Growth::Exact).id, cell(8).join(cell(7), Growth::Exact).id), (0, 0));
    }

    #[test]
    fn what_is_exact_can_be_read() {
        assert_eq!(Num::exact(7).is_exact(), Some(7));
        assert_eq!(Num { bytes: 4, ..Num::exact(7) }.is_exact(), None);
        assert_eq!(Num::exact(8u64.wrapping_neg()).plus(Num::exact(16)), Num::exact(8));
        assert_eq!(Num { lo: 5, ..Num::up_to(255) }.truncate(1), Num { lo: 5, ..Num::up_to(255) });
    }

    #[test]
    fn pointers_go_no_further_than_can_be_counted() {
        let at = |at| Value::Ptr(Ptr::exact(Region::Context, at));
        let by = |n: i64| Value::exact(n as u64);
        assert_eq!(at(REACH_MAX - 2).plus(by(1), (0, 0)), at(REACH_MAX - 1));
        assert_eq!(at(REACH_MAX - 2).plus(by(2), (0, 0)), Value::SECRET);
        assert_eq!(at(2 - REACH_MAX).plus(by(-1), (0, 0)), at(1 - REACH_MAX));
        assert_eq!(at(2 - REACH_MAX).plus(by(-2), (0, 0)), Value::SECRET);
        let up_to = |n: i64| Value::Num(Num::up_to(n as u64));
        assert!(matches!(at(-8).plus(up_to(REACH_MAX - 1), (0, 7)), Value::Ptr(_)));
        assert_eq!(at(-8).plus(up_to(REACH_MAX), (0, 7)), Value::SECRET);
        assert_eq!(at(1).plus(up_to(REACH_MAX - 1), (0, 7)), Value::SECRET);
    }

    #[test]
    fn pointers_stay_where_they_can_be_followed() {
        let base = Value::Ptr(Ptr::exact(Region::Context, 0));
        let index = Value::Num(Num::up_to(u64::from(u32::MAX)));
        let Value::Ptr(ptr) = base.plus(index, (0, 7)) else { panic!() };
        assert_eq!((ptr.lo, ptr.hi, ptr.var), (0, i64::from(u32::MAX), 7));
        assert_eq!(base.plus(Value::ANY, (0, 7)), Value::SECRET);
        assert_eq!(base.plus(Value::Num(Num { bytes: 4, ..Num::up_to(8) }), (0, 7)), Value::SECRET);
        assert_eq!(base.plus(base, (0, 0)), Value::SECRET);
    }
}
