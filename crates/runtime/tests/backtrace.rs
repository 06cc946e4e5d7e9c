//! Where a trap happened: names, offsets, source lines, and debug information made to hurt.

mod common;

use common::{instance, load_with, store};
use selvedge_compiler::{Options, to_binary};
use selvedge_runtime::{CallError, Linker, Module};

fn trap(module: &Module, name: &str) -> CallError {
    let mut store = store();
    let instance = Linker::new().instantiate(&mut store, module).unwrap();
    instance.typed_func::<(), ()>(&store, name).unwrap().call(&mut store, ()).unwrap_err()
}

const NESTED: &str = r#"(module
    (func $_ZN4core9panicking5panic17h0123456789abcdefE unreachable)
    (func $_ZN5space3fooEibc (call 0) (drop (i32.const 1)))
    (func (param i32) (call 1) (drop (i32.const 1)))
    (func (export "f") (call 2 (i32.const 0)) (drop (i32.const 1))))"#;

#[test]
fn frames_have_demangled_names_and_the_offset_of_the_call() {
    let binary = to_binary(NESTED.as_bytes()).unwrap();
    let error = trap(&load_with(NESTED, &Options::default()), "f");
    let frames = error.backtrace().unwrap().frames();
    let names: Vec<_> = frames.iter().map(|f| f.name.as_deref().unwrap_or("-")).collect();
    assert_eq!(names, ["core::panicking::panic", "space::foo(int, bool, char)", "-", "f"]);
    // `unreachable` is opcode 0, `call` 0x10.
    let opcodes: Vec<_> = frames.iter().map(|f| binary[f.wasm_offset.unwrap() as usize]).collect();
    assert_eq!(opcodes, [0, 0x10, 0x10, 0x10]);
    let lines: Vec<_> = error.to_string().lines().map(str::to_string).collect();
    assert_eq!(lines[0], "wasm trap: unreachable");
    assert!(lines[1].starts_with("    0: core::panicking::panic (wasm 0x") && lines.len() == 5, "{lines:?}");
    assert!(lines[3].starts_with("    2: function[2] (wasm 0x"), "{lines:?}");
}

/// In a log such names were lines of others'.
#[test]
fn names_are_shown_on_their_line_whatever_is_in_them() {
    let wat = r#"(module (func $"a\0aother/site ! forged\0d\1b[31m\e2\80\ae\e2\80\a8z" (export "f") unreachable))"#;
    let error = trap(&load_with(wat, &Options::default()), "f");
    assert!(error.backtrace().unwrap().frames()[0].name.as_deref().unwrap().starts_with("a\nother"));
    let text = error.to_string();
    let lines: Vec<&str> = text.lines().collect();
    let shown = r"    0: a\nother/site ! forged\r\u{1b}[31m\u{202e}\u{2028}z (wasm 0x";
    assert!(lines.len() == 2 && lines[1].starts_with(shown), "{text}");
}

#[test]
fn a_deep_backtrace_shows_both_ends() {
    let module = load_with(
        r#"(module (func $deep (param i32)
                (if (i32.eqz (local.get 0)) (then unreachable))
                (call $deep (i32.sub (local.get 0) (i32.const 1))) (drop (i32.const 0)))
            (func $start (export "f") (call $deep (i32.const 100)) (drop (i32.const 0))))"#,
        &Options::default(),
    );
    let error = trap(&module, "f");
    assert_eq!(error.backtrace().unwrap().frames().len(), 64);
    let text = error.to_string();
    let line = |start: &str| text.lines().any(|line| line.starts_with(start));
    assert!(line("    0: deep (") && line("   47: deep (") && line("      … 38 more …"), "{text}");
    assert!(line("   86: deep (") && line("  101: start ("), "{text}");
}

/// Calls that raise a trap stand close together behind the code, and after the last comes another function.
#[test]
fn each_trap_of_a_function_has_its_own_place() {
    let wat = r#"(module
        (func (export "f") (param i32)
            (if (i32.eq (local.get 0) (i32.const 1)) (then (unreachable)))
            (if (i32.eq (local.get 0) (i32.const 2)) (then (unreachable)))
            (if (i32.eq (local.get 0) (i32.const 3)) (then (unreachable)))
            (unreachable))
        (func (export "g") (unreachable)))"#;
    let (mut store, instance) = instance(wat);
    let f = instance.typed_func::<i32, ()>(&store, "f").unwrap();
    let places = [1, 2, 3, 4].map(|which| {
        let error = f.call(&mut store, which).unwrap_err();
        let frame = error.backtrace().unwrap().frames().remove(0);
        assert_eq!(frame.name.as_deref(), Some("f"));
        frame.wasm_offset.unwrap()
    });
    let binary = to_binary(wat.as_bytes()).unwrap();
    let unreachable: Vec<u32> = (0..).zip(&binary[..]).filter(|(_, byte)| **byte == 0).map(|(at, _)| at).collect();
    assert!(places.is_sorted_by(|a, b| a < b), "{places:?}");
    assert!(places.iter().all(|place| unreachable.contains(place)), "{places:?}");
}

/// Debug information for one unit whose line is the address plus 100, in column 3.
fn debug_sections() -> Vec<(&'static str, Vec<u8>)> {
    let abbrev = [1, 0x11, 0, 0x10, 0x17, 0x11, 0x01, 0x12, 0x06, 0x03, 0x08, 0, 0, 0];
    let mut unit = vec![4, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 16, 0, 0];
    unit.extend(b"a.c\0");
    let mut header = vec![1, 1, 1, (-5i8) as u8, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
    header.extend(b"src/a.c\0\0\0\0\0");
    let mut line = vec![4, 0];
    line.extend((header.len() as u32).to_le_bytes());
    line.extend(header);
    // Address 0, line 100, column 3; then one row a byte; then the end.
    line.extend([0, 5, 2, 0, 0, 0, 0, 3, 0xe3, 0, 5, 3, 1]);
    line.extend([33; 100]);
    line.extend([2, 0x10, 0, 1, 1]);
    let sized = |bytes: Vec<u8>| [(bytes.len() as u32).to_le_bytes().to_vec(), bytes].concat();
    vec![(".debug_abbrev", abbrev.to_vec()), (".debug_info", sized(unit)), (".debug_line", sized(line))]
}

/// A binary with custom sections after it.
fn with_sections(wat: &str, sections: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut binary = to_binary(wat.as_bytes()).unwrap().into_owned();
    for (name, bytes) in sections {
        let len = name.len() + 1 + bytes.len();
        binary.extend([0, len as u8 & 0x7f | 0x80, (len >> 7) as u8, name.len() as u8]);
        binary.extend(name.bytes().chain(bytes.iter().copied()));
    }
    binary
}

/// Where the contents of the code section start.
fn code_section(binary: &[u8]) -> u32 {
    let mut at = 8;
    while binary[at] != 10 {
        at += 2 + binary[at + 1] as usize;
    }
    at as u32 + 2
}

#[test]
fn debug_information_gives_file_and_line() {
    let binary = with_sections(NESTED, &debug_sections());
    let code = code_section(&binary);
    let error = trap(&load_with(&binary, &Options { debug: true, ..Options::default() }), "f");
    for frame in error.backtrace().unwrap().frames() {
        let source = frame.source.unwrap();
        assert_eq!((source.file.as_str(), source.column), ("src/a.c", Some(3)));
        assert_eq!(source.line, Some(100 + frame.wasm_offset.unwrap() - code));
    }
    assert!(error.to_string().contains("\n          at src/a.c:1"), "{error}");
    let without = trap(&load_with(&binary, &Options::default()), "f");
    assert!(without.backtrace().unwrap().frames().iter().all(|f| f.source.is_none()));
}

#[test]
fn damaged_debug_information_costs_lines_only() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    for _ in 0..300 {
        let mut sections = debug_sections();
        for _ in 0..=random(4) {
            let section = random(3);
            let bytes = &mut sections[section].1;
            let at = random(bytes.len());
            bytes[at] = if random(2) == 0 { random(256) as u8 } else { bytes[at] ^ 1 << random(8) };
        }
        let binary = with_sections(NESTED, &sections);
        let error = trap(&load_with(&binary, &Options { debug: true, ..Options::default() }), "f");
        assert!(error.to_string().contains("3: f (wasm"), "{error}");
    }
}
