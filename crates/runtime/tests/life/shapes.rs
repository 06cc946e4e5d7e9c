//! Modules of different shapes, each with as many things to be left behind as it can have.

/// What every module has: globals, tables, segments, ways to end.
const COMMON: &str = r#"
    (import "host" "fail" (func $fail))
    (import "host" "panic" (func $panic))
    (import "host" "exit" (func $exit))
    (import "host" "wait" (func $wait))
    (table $funcs (export "t0") 4 64 funcref)
    (table $objects (export "t1") 2 40 externref)
    (elem (table $funcs) (i32.const 1) func $one $two)
    (elem $passive func $two $one $two)
    (global (export "g0") (mut i32) (i32.const 3))
    (global $wide (export "g1") (mut v128) (v128.const i64x2 5 6))
    (global $f (export "g2") (mut funcref) (ref.null func))
    (global $o (export "g3") (mut externref) (ref.null extern))
    (global $n (export "g4") (mut f64) (f64.const 1.5))
    (func $one (export "one") (result i32) (i32.const 1))
    (func $two (export "two") (result i32) (i32.const 2))
    (func (export "set") (param i32 i32)
        (global.set 0 (local.get 0))
        (global.set $wide (i32x4.splat (local.get 1)))
        (global.set $n (f64.convert_i32_u (local.get 1)))
        (global.set $f (ref.func $two)))
    (func (export "set_table") (param i32 i32) (table.set $funcs (local.get 0) (ref.func $two)))
    (func (export "clear_table") (param i32 i32) (table.set $funcs (local.get 0) (ref.null func)))
    (func (export "grow_table") (param i32 i32) (drop (table.grow $funcs (ref.func $one) (local.get 0))))
    (func (export "fill_table") (param i32 i32) (table.fill $funcs (local.get 0) (ref.func $one) (local.get 1)))
    (func (export "copy_table") (param i32 i32) (table.copy $funcs $funcs (local.get 0) (local.get 1) (i32.const 2)))
    (func (export "init_table") (param i32 i32) (table.init $funcs $passive (local.get 0) (i32.const 0) (i32.const 3)))
    (func (export "drop_elem") (param i32 i32) (elem.drop $passive))
    (func (export "grow_objects") (param i32 i32) (drop (table.grow $objects (global.get $o) (local.get 0))))
    (func (export "indirect") (param i32 i32) (global.set 0 (call_indirect $funcs (result i32) (local.get 0))))
    (func $deep (param i32 i32)
        (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))))
    (func (export "deep") (param i32 i32) (call $deep (i32.mul (local.get 0) (local.get 0)) (local.get 1)))
    (func (export "overflow") (param i32 i32) (call $deep (i32.const -1) (local.get 1)))
    (func (export "fail") (param i32 i32) (call $fail))
    (func (export "panic") (param i32 i32) (call $panic))
    (func (export "exit") (param i32 i32) (call $exit))
    (func (export "wait") (param i32 i32) (call $wait))
    (func (export "spin") (param i32 i32) (loop (call $deep (i32.const 40) (local.get 1)) (br 0)))
    (func (export "unreachable") (param i32 i32) (unreachable))
    (func (export "divide") (param i32 i32) (global.set 0 (i32.div_s (local.get 0) (i32.const 0))))"#;

/// What a module has for a memory, in text with its name, its number, the type of its addresses and how to get one.
fn memory_functions(number: usize, wide: bool) -> String {
    let address = |local: &str| if wide { format!("(i64.extend_i32_u {local})") } else { local.to_string() };
    let (a, n) = (address("(local.get 0)"), number);
    let (size, zero) = (address("(i32.and (local.get 1) (i32.const 65535))"), address("(i32.const 0)"));
    let delta = address("(i32.and (local.get 1) (i32.const 3))");
    format!(
        r#"
    (func (export "store{n}") (param i32 i32) (i32.store {n} {a} (local.get 1)))
    (func (export "load{n}") (param i32 i32) (global.set 0 (i32.load8_u {n} {a})))
    (func (export "fill{n}") (param i32 i32) (memory.fill {n} {a} (local.get 1) {size}))
    (func (export "copy{n}") (param i32 i32) (memory.copy {n} {n} {zero} {a} {size}))
    (func (export "init{n}") (param i32 i32) (memory.init {n} $bytes {a} (i32.const 0) (i32.const 5)))
    (func (export "grow{n}") (param i32 i32) (drop (memory.grow {n} {delta})))"#
    )
}

/// Modules of different shapes: the text of each, with its memories.
pub(crate) fn shapes() -> Vec<String> {
    let bytes = "(data $bytes \"bytes\") (func (export \"drop_data\") (param i32 i32) (data.drop $bytes))";
    let image = "(data (memory 0) (i32.const 65534) \"an image on two pages\")";
    let plain = format!("(memory (export \"m0\") 2 6) {image} {bytes} {}", memory_functions(0, false));
    let small = format!(
        "(memory (export \"m0\") 1 1) (data (i32.const 65530) \"edge\") {bytes} {}",
        memory_functions(0, false)
    );
    let empty = format!("(memory (export \"m0\") 0 5) {bytes} {}", memory_functions(0, false));
    let wide = format!(
        "(memory (export \"m0\") i64 1 5) (data (i64.const 100) \"wide\") {bytes} {}",
        memory_functions(0, true)
    );
    let several = format!(
        "(memory (export \"m0\") 1 4) (memory (export \"m1\") 2 5) (memory (export \"m2\") i64 0 3)
        {} (data (memory 1) (i32.const 4000) \"other image on two pages\" ) {bytes} {}",
        "(data (memory 0) (i32.const 1) \"x\")",
        (0..3).map(|n| memory_functions(n, n == 2)).collect::<String>()
    );
    let start = format!(
        "{plain} (func $start (i32.store (i32.const 9000) (i32.const 9)) (call $deep (i32.const 300) (i32.const 1))) (start $start)"
    );
    let late = format!("{plain} (data (i32.add (i32.const 70000) (i32.const 7777)) \"late\")");
    // More runs of an image than are copied into a small slot.
    let runs: String = (0..7).map(|n| format!("(data (memory 0) (i32.const {}) \"run {n}\")", n * 20_000)).collect();
    let scattered = format!("{plain} {runs}");
    let mut shapes = vec![String::new(), plain, small, empty, wide, several, start, late, scattered];
    shapes.iter_mut().for_each(|shape| *shape = format!("(module {COMMON} {shape})"));
    shapes
}
