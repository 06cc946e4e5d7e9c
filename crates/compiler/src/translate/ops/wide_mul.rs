//! The product of two 64-bit integers in 128 bits, which WebAssembly has no operator for.
//!
//! Compilers and libraries multiply by halves, in one of two forms, where M = 2³² - 1, p = a₀·b₀:
//!
//! ```text
//!   C's `__multi3`, Go's `bits.Mul64`, Zig, AssemblyScript:
//!     t = (p >> 32) + a₁·b₀      u = (t & M) + a₀·b₁
//!     high = a₁·b₁ + (t >> 32) + (u >> 32)                       low = (u << 32) | (p & M)
//!   Rust's `__multi3`:
//!     s = a₁·b₀ + a₀·b₁, which may overflow
//!     high = a₁·b₁ + ((s < a₁·b₀) << 32 | s >> 32) + (low < p)    low = p + (s << 32)
//! ```
//!
//! For all `a` and `b` `high` is the product's upper half and `low` its lower half. Where an addition or an
//! `or` completes one of the two, the processor's instruction for it takes its place; what it makes
//! superfluous, the code generator drops. The sum may hold further terms, and factors and terms may come
//! in any order.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{InstBuilder, InstructionData, Opcode, Value};

use super::Translator;

const HALF: i64 = 32;
const LOW_HALF: i64 = 0xffff_ffff;
/// Terms of a sum that are looked at.
const TERMS_MAX: usize = 8;

impl Translator<'_, '_> {
    pub(crate) fn visit_i64_add(&mut self) {
        let (x, y) = self.pop2();
        let low = self.factors_of_low_sum(x, y).or_else(|| self.factors_of_low_sum(y, x));
        let sum = match low {
            Some((a, b)) => Some(self.ins().imul(a, b)),
            None => self.high_half_of_product(x, y),
        };
        let sum = sum.unwrap_or_else(|| self.ins().iadd(x, y));
        self.push(sum);
    }

    pub(crate) fn visit_i64_or(&mut self) {
        let (x, y) = self.pop2();
        let low = self.factors_of_low_half(x, y).or_else(|| self.factors_of_low_half(y, x));
        let result = match low {
            Some((a, b)) => self.ins().imul(a, b),
            None => self.ins().bor(x, y),
        };
        self.push(result);
    }

    /// The sum of two values that complete `high`, and perhaps other terms.
    fn high_half_of_product(&mut self, x: Value, y: Value) -> Option<Value> {
        let may_complete = |term: Value| {
            self.upper(term).is_some() || self.operands(term, Opcode::Imul).is_some() || self.carry(term).is_some()
        };
        if !may_complete(x) && !may_complete(y) {
            return None;
        }
        let mut terms = self.terms(x, y)?;
        let (a, b) = self.take_high_terms(&mut terms)?;
        let high = self.ins().umulhi(a, b);
        Some(terms.into_iter().fold(high, |sum, term| self.ins().iadd(sum, term)))
    }

    /// The leaves of a tree of additions, unless there are too many.
    fn terms(&self, x: Value, y: Value) -> Option<Vec<Value>> {
        let (mut open, mut terms) = (vec![y, x], Vec::new());
        while let Some(value) = open.pop() {
            match self.operands(value, Opcode::Iadd) {
                Some([x, y]) => open.extend([y, x]),
                None => terms.push(value),
            }
            if open.len() + terms.len() > TERMS_MAX {
                return None;
            }
        }
        Some(terms)
    }

    /// Removes the three terms of `high`, if they are there; gives the factors.
    fn take_high_terms(&self, terms: &mut Vec<Value>) -> Option<(Value, Value)> {
        let (found, a, b) = (0..terms.len()).find_map(|i| {
            let (other, a, b) = self.beside_upper(i, terms).or_else(|| self.beside_middle(i, terms))?;
            let is_product = |term: &Value| self.is_product(*term, |x| self.upper(x), a, b);
            let product = terms.iter().position(is_product)?;
            Some(([i, other, product], a, b))
        })?;
        let mut index = 0..;
        terms.retain(|_| index.next().is_some_and(|index| !found.contains(&index)));
        Some((a, b))
    }

    /// If a term is `u >> 32`: where `t >> 32` is, and the factors.
    fn beside_upper(&self, term: usize, terms: &[Value]) -> Option<(usize, Value, Value)> {
        let (t, a, b) = self.factors_of_middle(self.upper(terms[term])?)?;
        let other = terms.iter().position(|term| self.upper(*term).is_some_and(|x| self.same(x, t)))?;
        Some((other, a, b))
    }

    /// If a term is `(s < a₁·b₀) << 32 | s >> 32`: where `low < p` is, and the factors.
    fn beside_middle(&self, term: usize, terms: &[Value]) -> Option<(usize, Value, Value)> {
        let (a, b) = swaps(self.operands(terms[term], Opcode::Bor)?).into_iter().find_map(|[overflow, upper]| {
            let (s, addend) = self.carry(self.shifted_up(overflow)?)?;
            let part = self.operands(s, Opcode::Iadd)?.into_iter().any(|part| self.same(part, addend));
            let fits = part && self.same(s, self.upper(upper)?);
            fits.then(|| self.factors_of_cross_sum(s))?
        })?;
        let is_carry = |term: &Value| {
            self.carry(*term)
                .is_some_and(|(low, p)| self.is_product(low, Some, a, b) && self.is_product(p, |x| self.lower(x), a, b))
        };
        Some((terms.iter().position(is_carry)?, a, b))
    }

    /// For `x` = `p` and `y` = `s << 32`: the factors.
    fn factors_of_low_sum(&self, x: Value, y: Value) -> Option<(Value, Value)> {
        let (a, b) = self.factors_of_cross_sum(self.shifted_up(y)?)?;
        self.is_product(x, |x| self.lower(x), a, b).then_some((a, b))
    }

    /// For `s`: the factors.
    fn factors_of_cross_sum(&self, s: Value) -> Option<(Value, Value)> {
        let [first, second] = self.operands(s, Opcode::Iadd)?;
        let factors = swaps(self.operands(first, Opcode::Imul)?);
        factors.into_iter().find_map(|[upper, lower]| {
            let (a, b) = (self.upper(upper)?, self.lower(lower)?);
            self.is_cross(second, a, b).then_some((a, b))
        })
    }

    /// For `x` = `u << 32` and `y` = `p & M`: the factors.
    fn factors_of_low_half(&self, x: Value, y: Value) -> Option<(Value, Value)> {
        let (u, product) = (self.shifted_up(x)?, self.lower(y)?);
        let (_, a, b) = self.factors_of_middle(u)?;
        self.is_product(product, |x| self.lower(x), a, b).then_some((a, b))
    }

    /// For `u`: its `t`, and the factors.
    fn factors_of_middle(&self, u: Value) -> Option<(Value, Value, Value)> {
        let sum = self.operands(u, Opcode::Iadd)?;
        swaps(sum).into_iter().find_map(|[masked, second]| {
            let t = self.lower(masked)?;
            let sum = self.operands(t, Opcode::Iadd)?;
            swaps(sum).into_iter().find_map(|[shifted, first]| {
                let product = self.upper(shifted)?;
                // `first` is a₁·b₀: which of its factors is which decides what the others must be.
                let factors = swaps(self.operands(first, Opcode::Imul)?);
                factors.into_iter().find_map(|[upper, lower]| {
                    let (a, b) = (self.upper(upper)?, self.lower(lower)?);
                    let fits = self.is_product(product, |x| self.lower(x), a, b) && self.is_cross(second, a, b);
                    fits.then_some((t, a, b))
                })
            })
        })
    }

    /// Whether a value is the product of the same half of `a` and `b`.
    fn is_product(&self, value: Value, half: impl Fn(Value) -> Option<Value>, a: Value, b: Value) -> bool {
        let is_half_of = |x: Value, whole: Value| half(x).is_some_and(|x| self.same(x, whole));
        let factors = self.operands(value, Opcode::Imul).map(swaps);
        factors.is_some_and(|factors| factors.into_iter().any(|[x, y]| is_half_of(x, a) && is_half_of(y, b)))
    }

    /// Whether a value is a₀·b₁.
    fn is_cross(&self, value: Value, a: Value, b: Value) -> bool {
        let factors = self.operands(value, Opcode::Imul).map(swaps);
        let fits = |[x, y]: [Value; 2]| {
            self.lower(x).is_some_and(|x| self.same(x, a)) && self.upper(y).is_some_and(|y| self.same(y, b))
        };
        factors.is_some_and(|factors| factors.into_iter().any(fits))
    }

    /// `x`, for `x >> 32`.
    fn upper(&self, value: Value) -> Option<Value> {
        let [x, by] = self.operands(value, Opcode::Ushr)?;
        (self.integer(by) == Some(HALF)).then_some(x)
    }

    /// `x`, for `x << 32`.
    fn shifted_up(&self, value: Value) -> Option<Value> {
        let [x, by] = self.operands(value, Opcode::Ishl)?;
        (self.integer(by) == Some(HALF)).then_some(x)
    }

    /// `x` and `y`, for `x < y` as a number.
    fn carry(&self, mut value: Value) -> Option<(Value, Value)> {
        loop {
            match self.defined_by(value)? {
                InstructionData::Unary { opcode: Opcode::Uextend, arg } => value = arg,
                InstructionData::IntCompare { cond: IntCC::UnsignedLessThan, args: [x, y], .. } => return Some((x, y)),
                _ => return None,
            }
        }
    }

    /// `x`, for `x & M`.
    fn lower(&self, value: Value) -> Option<Value> {
        let masked = swaps(self.operands(value, Opcode::Band)?);
        masked.into_iter().find_map(|[x, mask]| (self.integer(mask) == Some(LOW_HALF)).then_some(x))
    }

    fn same(&self, x: Value, y: Value) -> bool {
        let dfg = &self.builder.func.dfg;
        dfg.resolve_aliases(x) == dfg.resolve_aliases(y)
    }
}

/// A pair in both orders.
fn swaps([x, y]: [Value; 2]) -> [[Value; 2]; 2] {
    [[x, y], [y, x]]
}
