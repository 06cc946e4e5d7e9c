//! The compiler replaces multiplication by halves with the processor's own: the numbers must not change,
//! and what only looks like it must stay what it is.

mod common;

use common::instance;

const INTERESTING: [u64; 10] =
    [0, 1, 2, 0xffff_ffff, 0x1_0000_0000, 0x1_0000_0001, 0xffff_ffff_0000_0000, 1 << 63, u64::MAX - 1, u64::MAX];

/// How the operands of commutative operators stand, a bit each.
struct Order(u32);

impl Order {
    fn pair(&mut self, operator: &str, x: &str, y: &str) -> String {
        let swapped = self.0 & 1 == 1;
        self.0 = self.0.rotate_right(1);
        if swapped { format!("(i64.{operator} {y} {x})") } else { format!("(i64.{operator} {x} {y})") }
    }
}

fn upper(x: &str) -> String {
    format!("(i64.shr_u {x} (i64.const 32))")
}

fn lower(order: &mut Order, x: &str) -> String {
    order.pair("and", x, "(i64.const 0xffffffff)")
}

/// `high` and `low` of the product of `a` and `b`; `c` is the factor that the second cross product takes
/// in place of `b`, `mask` what is kept of `t`.
fn module(order: u32, c: &str, mask: u64) -> String {
    let o = &mut Order(order);
    let (a, b) = ("(local.get $a)", "(local.get $b)");
    let (a0, b0) = (lower(o, a), lower(o, b));
    let p = o.pair("mul", &a0, &b0);
    let cross = o.pair("mul", &upper(a), &b0);
    let t = o.pair("add", &upper("(local.get $p)"), &cross);
    let kept = o.pair("and", "(local.get $t)", &format!("(i64.const {mask})"));
    let cross = o.pair("mul", &a0, &upper(c));
    let u = o.pair("add", &kept, &cross);
    let product = o.pair("mul", &upper(a), &upper(b));
    let sum = o.pair("add", &product, &upper("(local.get $t)"));
    // A term that has nothing to do with it, as in the sum of a wider product.
    let sum = o.pair("add", &sum, "(local.get $more)");
    let high = o.pair("add", &sum, &upper("(local.get $u)"));
    let shifted = "(i64.shl (local.get $u) (i64.const 32))";
    let p0 = lower(o, "(local.get $p)");
    let low = o.pair("or", shifted, &p0);
    format!(
        "(module (func (export \"f\") (param $a i64) (param $b i64) (param $c i64) (param $more i64) (result i64 i64)
            (local $p i64) (local $t i64) (local $u i64)
            (local.set $p {p}) (local.set $t {t}) (local.set $u {u}) {high} {low}))"
    )
}

/// The same in the other form, where what overflows is found by comparing.
fn module_with_carries(order: u32, c: &str) -> String {
    let o = &mut Order(order);
    let (a, b) = ("(local.get $a)", "(local.get $b)");
    let (a0, b0) = (lower(o, a), lower(o, b));
    let p = o.pair("mul", &a0, &b0);
    let x = o.pair("mul", &upper(a), &b0);
    let cross = o.pair("mul", &a0, &upper(c));
    let s = o.pair("add", "(local.get $x)", &cross);
    let low = o.pair("add", "(local.get $p)", "(i64.shl (local.get $s) (i64.const 32))");
    let overflow = "(i64.shl (i64.extend_i32_u (i64.lt_u (local.get $s) (local.get $x))) (i64.const 32))";
    let middle = o.pair("or", overflow, &upper("(local.get $s)"));
    let product = o.pair("mul", &upper(a), &upper(b));
    let sum = o.pair("add", &product, &middle);
    let sum = o.pair("add", &sum, "(i64.extend_i32_u (i64.lt_u (local.get $low) (local.get $p)))");
    let high = o.pair("add", &sum, "(local.get $more)");
    format!(
        "(module (func (export \"f\") (param $a i64) (param $b i64) (param $c i64) (param $more i64) (result i64 i64)
            (local $p i64) (local $x i64) (local $s i64) (local $low i64)
            (local.set $p {p}) (local.set $x {x}) (local.set $s {s}) (local.set $low {low}) {high} (local.get $low)))"
    )
}

type Factors = (u64, u64, u64, u64);

fn by_halves((a, b, c, more): Factors, mask: u64) -> (u64, u64) {
    let m = 0xffff_ffff;
    let p = (a & m) * (b & m);
    let t = (p >> 32).wrapping_add((a >> 32) * (b & m));
    let u = (t & mask).wrapping_add((a & m) * (c >> 32));
    let high = (a >> 32).wrapping_mul(b >> 32).wrapping_add(t >> 32).wrapping_add(u >> 32).wrapping_add(more);
    (high, u << 32 | p & m)
}

fn with_carries((a, b, c, more): Factors) -> (u64, u64) {
    let m = 0xffff_ffff;
    let (s, overflow) = ((a >> 32) * (b & m)).overflowing_add((a & m) * (c >> 32));
    let (low, carry) = ((a & m) * (b & m)).overflowing_add(s << 32);
    let middle = u64::from(overflow) << 32 | s >> 32;
    let high = (a >> 32) * (b >> 32);
    (high.wrapping_add(middle).wrapping_add(u64::from(carry)).wrapping_add(more), low)
}

#[track_caller]
fn check(wat: &str, expected: impl Fn(Factors) -> (u64, u64)) {
    let (mut store, instance) = instance(wat);
    let f = instance.typed_func::<(i64, i64, i64, i64), (i64, i64)>(&store, "f").unwrap();
    for (i, a) in INTERESTING.iter().enumerate() {
        for b in INTERESTING {
            let factors = (*a, b, INTERESTING[(i + 3) % INTERESTING.len()], b ^ 5);
            let (a, b, c, more) = factors;
            let found = f.call(&mut store, (a as i64, b as i64, c as i64, more as i64)).unwrap();
            assert_eq!((found.0 as u64, found.1 as u64), expected(factors), "{factors:x?} in {wat}");
        }
    }
}

#[test]
fn a_product_by_halves_is_the_whole_product() {
    for order in 0..64u32 {
        let order = order.wrapping_mul(0x9e37_79b9);
        let whole = |(a, b, _, more)| {
            let product = u128::from(a) * u128::from(b);
            (((product >> 64) as u64).wrapping_add(more), product as u64)
        };
        check(&module(order, "(local.get $b)", 0xffff_ffff), whole);
        check(&module_with_carries(order, "(local.get $b)"), whole);
    }
}

#[test]
fn what_only_looks_like_a_product_is_computed_as_written() {
    check(&module(0, "(local.get $c)", 0xffff_ffff), |factors| by_halves(factors, 0xffff_ffff));
    let of_the_same = |(a, b, _, more): Factors, mask| by_halves((a, b, b, more), mask);
    check(&module(0, "(local.get $b)", 0xffff_fffe), |factors| of_the_same(factors, 0xffff_fffe));
    check(&module(0, "(local.get $a)", 0xffff_ffff), |(a, b, _, more)| by_halves((a, b, a, more), 0xffff_ffff));
    check(&module_with_carries(0, "(local.get $c)"), with_carries);
}
