//! Calls into guests: types, values, what goes wrong before a call begins.

mod common;

use common::{instance, load, store, trap_code};
use selvedge_runtime::{
    BadCall, CallError, ExternRef, Func, GuestPtr, Limits, Linker, Store, TrapCode, V128, Val, ValType,
};

#[test]
fn every_type_goes_in_and_out() {
    let (mut store, instance) = instance(
        r#"(module
            (func (export "i32") (param i32) (result i32) (local.get 0))
            (func (export "i64") (param i64) (result i64) (local.get 0))
            (func (export "f32") (param f32) (result f32) (local.get 0))
            (func (export "f64") (param f64) (result f64) (local.get 0))
            (func (export "v128") (param v128) (result v128) (local.get 0))
            (func (export "funcref") (param funcref) (result funcref) (local.get 0))
            (func (export "externref") (param externref) (result externref) (local.get 0)))"#,
    );
    let object = store.insert_extern("object").unwrap();
    let func = instance.get_func(&store, "i32").unwrap();
    let cases = [
        Val::I32(-7),
        Val::I64(i64::MIN),
        Val::F32(0x7fa0_0001),
        Val::F64(0x7ff4_0000_0000_0001),
        Val::V128(u128::MAX / 3),
        Val::FuncRef(Some(func)),
        Val::FuncRef(None),
        Val::ExternRef(Some(object)),
        Val::ExternRef(None),
    ];
    for value in cases {
        let same = instance.get_func(&store, &value.ty().to_string()).unwrap();
        assert_eq!(same.call(&mut store, &[value]).unwrap(), [value]);
    }
    assert_eq!(store.extern_object(object).unwrap().downcast_ref(), Some(&"object"));
}

#[test]
fn typed_functions_take_and_return_tuples() {
    let (mut store, instance) = instance(
        r#"(module
            (func (export "swap") (param i32 i64) (result i64 i32) (local.get 1) (local.get 0))
            (func (export "none"))
            (func (export "many")
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result f64 f32 v128 i32 i32)
                (f64.const 1.5) (f32.const 2.5) (v128.const i64x2 1 2) (local.get 15) (local.get 0)))"#,
    );
    let swap = instance.typed_func::<(i32, i64), (i64, i32)>(&store, "swap").unwrap();
    assert_eq!(swap.call(&mut store, (1, -2)).unwrap(), (-2, 1));
    instance.typed_func::<(), ()>(&store, "none").unwrap().call(&mut store, ()).unwrap();
    type Sixteen = (u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32, u32);
    let many = instance.typed_func::<Sixteen, (f64, f32, V128, u32, u32)>(&store, "many").unwrap();
    let results = many.call(&mut store, (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)).unwrap();
    assert_eq!(results, (1.5, 2.5, V128(2 << 64 | 1), 15, 0));
}

#[test]
fn wrong_types_and_names_are_refused_with_both_types() {
    let (mut store, instance) = instance(r#"(module (func (export "f") (param i32) (result i64) (i64.const 0)))"#);
    let error = instance.typed_func::<(i32, i32), i64>(&store, "f").unwrap_err();
    assert_eq!(error.to_string(), "the function has type (i32) -> (i64), it was used as (i32, i32) -> (i64)");
    let error = instance.typed_func::<(), ()>(&store, "g").unwrap_err();
    assert_eq!(error.to_string(), "the instance exports no function \"g\"");
    let f = instance.get_func(&store, "f").unwrap();
    assert!(matches!(f.call(&mut store, &[]), Err(CallError::BadCall(BadCall::Type { .. }))));
    assert!(matches!(f.call(&mut store, &[Val::I64(1)]), Err(CallError::BadCall(BadCall::Type { .. }))));
}

#[test]
fn handles_of_another_store_are_refused() {
    let wat = r#"(module (memory (export "memory") 1)
        (func (export "f") (param funcref externref)))"#;
    let ((mut a, instance_a), (mut b, instance_b)) = (instance(wat), instance(wat));
    let f = instance_a.typed_func::<(Option<Func>, Option<ExternRef>), ()>(&a, "f").unwrap();
    let wrong = |result| assert!(matches!(result, Err(CallError::BadCall(BadCall::WrongStore))), "{result:?}");
    wrong(f.call(&mut b, (None, None)));
    wrong(f.func().call(&mut b, &[Val::FuncRef(None), Val::ExternRef(None)]).map(drop));
    let object = b.insert_extern(1).unwrap();
    wrong(f.call(&mut a, (None, Some(object))));
    wrong(f.call(&mut a, (instance_b.get_func(&b, "f"), None)));
    assert!(a.extern_object(object).is_none());
    let memory = instance_a.get_memory(&a, "memory").unwrap();
    let read = std::panic::AssertUnwindSafe(|| memory.data(&b).len());
    assert!(std::panic::catch_unwind(read).is_err(), "plain data has no error to return");
}

#[test]
fn an_export_found_once_is_that_of_every_instance_of_its_module_and_no_other() {
    let wat = |result: u32| {
        format!(r#"(module (memory (export "m") 1) (func (export "f") (result i32) (i32.const {result})))"#)
    };
    let (first, second) = (load(wat(1)), load(wat(2)));
    let f = first.typed_export::<(), u32>("f").unwrap();
    let mut stores: Vec<_> = (0..3).map(|_| store()).collect();
    let instances: Vec<_> = stores.iter_mut().map(|store| Linker::new().instantiate(store, &first).unwrap()).collect();
    for (store, instance) in stores.iter_mut().zip(&instances) {
        assert_eq!(f.of(store, *instance).unwrap().call(store, ()).unwrap(), 1);
    }
    let wrong = |found: Result<_, CallError>| found.map(drop).unwrap_err().to_string();
    assert_eq!(wrong(f.of(&stores[0], instances[1])), "a handle of another store was used");
    let other = Linker::new().instantiate(&mut stores[0], &second).unwrap();
    assert_eq!(wrong(f.of(&stores[0], other)), "a function of a module was looked for in an instance of another");
    for (name, message) in [("g", "exports no function \"g\""), ("m", "exports no function \"m\"")] {
        let error = first.typed_export::<(), u32>(name).unwrap_err().to_string();
        assert!(error.ends_with(message), "{error}");
    }
    let error = first.typed_export::<u32, u32>("f").unwrap_err().to_string();
    assert_eq!(error, "the function has type () -> (i32), it was used as (i32) -> (i32)");
}

#[test]
fn a_made_up_funcref_traps_or_errs_but_harms_nobody() {
    let (mut store, instance) = instance(
        r#"(module (table (export "table") 2 funcref)
            (func (export "get") (param i32) (result funcref) (table.get (local.get 0))))"#,
    );
    let get = instance.typed_func::<i32, Option<Func>>(&store, "get").unwrap();
    assert_eq!(get.call(&mut store, 0).unwrap(), None);
    assert_eq!(trap_code(get.call(&mut store, 2)), TrapCode::TableOutOfBounds);
    let table = instance.get_table(&store, "table").unwrap();
    table.set(&mut store, 1, Val::FuncRef(Some(get.func()))).unwrap();
    assert_eq!(get.call(&mut store, 1).unwrap(), Some(get.func()));
}

#[test]
fn traps_have_their_codes() {
    let cases = [
        ("unreachable", TrapCode::Unreachable),
        ("(drop (i32.div_s (i32.const 1) (i32.const 0)))", TrapCode::IntegerDivisionByZero),
        ("(drop (i64.rem_u (i64.const 1) (i64.const 0)))", TrapCode::IntegerDivisionByZero),
        ("(drop (i32.div_s (i32.const 0x80000000) (i32.const -1)))", TrapCode::IntegerOverflow),
        ("(drop (i32.trunc_f32_s (f32.const nan)))", TrapCode::InvalidConversion),
        ("(drop (i32.trunc_f64_s (f64.const 1e10)))", TrapCode::IntegerOverflow),
        ("(drop (i32.load (i32.const 65533)))", TrapCode::MemoryOutOfBounds),
        ("(drop (i32.load8_u offset=0xffffffff (i32.const -1)))", TrapCode::MemoryOutOfBounds),
        ("(i64.store (i32.const -8) (i64.const 0))", TrapCode::MemoryOutOfBounds),
        ("(memory.fill (i32.const 65535) (i32.const 0) (i32.const 2))", TrapCode::MemoryOutOfBounds),
        ("(memory.copy (i32.const 0) (i32.const 65535) (i32.const 2))", TrapCode::MemoryOutOfBounds),
        ("(memory.init $data (i32.const 0) (i32.const 1) (i32.const 3))", TrapCode::MemoryOutOfBounds),
        (
            "(data.drop $data) (memory.init $data (i32.const 0) (i32.const 0) (i32.const 1))",
            TrapCode::MemoryOutOfBounds,
        ),
        ("(memory.init $placed (i32.const 0) (i32.const 0) (i32.const 1))", TrapCode::MemoryOutOfBounds),
        ("(table.init $here (i32.const 0) (i32.const 0) (i32.const 1))", TrapCode::TableOutOfBounds),
        ("(table.set (i32.const 4) (ref.null func))", TrapCode::TableOutOfBounds),
        ("(table.fill (i32.const 3) (ref.null func) (i32.const 2))", TrapCode::TableOutOfBounds),
        ("(table.copy (i32.const 0) (i32.const -1) (i32.const 1))", TrapCode::TableOutOfBounds),
        ("(table.init $elem (i32.const 0) (i32.const 0) (i32.const 2))", TrapCode::TableOutOfBounds),
        ("(elem.drop $elem) (table.init $elem (i32.const 0) (i32.const 0) (i32.const 1))", TrapCode::TableOutOfBounds),
        ("(call_indirect (i32.const 4))", TrapCode::UndefinedElement),
        ("(call_indirect (i32.const -1))", TrapCode::UndefinedElement),
        ("(call_indirect (i32.const 0))", TrapCode::UninitializedElement),
        ("(call_indirect (param i32) (i32.const 7) (i32.const 1))", TrapCode::IndirectCallTypeMismatch),
        ("(call $forever)", TrapCode::StackOverflow),
    ];
    for (body, code) in cases {
        let (mut store, instance) = instance(&format!(
            r#"(module (memory 1) (data $data "abc") (data $placed (i32.const 0) "abc")
                (table 4 funcref) (elem $here (i32.const 1) $forever) (elem $elem func $forever)
                (func $forever (call $forever) (call $forever))
                (func (export "f") {body}))"#
        ));
        let f = instance.typed_func::<(), ()>(&store, "f").unwrap();
        for _ in 0..2 {
            assert_eq!(trap_code(f.call(&mut store, ())), code, "{body}");
        }
    }
}

#[test]
fn zero_length_operations_at_the_end_are_fine() {
    let (mut store, instance) = instance(
        r#"(module (memory 1) (data $data "abc") (table 4 funcref) (elem $elem funcref (ref.null func))
            (func (export "f")
                (memory.fill (i32.const 65536) (i32.const 0) (i32.const 0))
                (memory.copy (i32.const 65536) (i32.const 65536) (i32.const 0))
                (memory.init $data (i32.const 65536) (i32.const 3) (i32.const 0))
                (data.drop $data) (memory.init $data (i32.const 65536) (i32.const 0) (i32.const 0))
                (table.fill (i32.const 4) (ref.null func) (i32.const 0))
                (table.copy (i32.const 4) (i32.const 4) (i32.const 0))
                (elem.drop $elem) (table.init $elem (i32.const 4) (i32.const 0) (i32.const 0))))"#,
    );
    instance.typed_func::<(), ()>(&store, "f").unwrap().call(&mut store, ()).unwrap();
}

#[test]
fn bulk_operations_move_what_they_should() {
    let (mut store, instance) = instance(
        r#"(module
            (memory $a (export "a") 1) (memory $b (export "b") 1) (data $data "abcdef")
            (table $t (export "t") 6 externref) (table $u 3 externref)
            (func (export "memory")
                (memory.init $a $data (i32.const 10) (i32.const 1) (i32.const 4))
                (memory.copy $a $a (i32.const 11) (i32.const 10) (i32.const 4))
                (memory.copy $b $a (i32.const 0) (i32.const 10) (i32.const 5))
                (memory.fill $b (i32.const 5) (i32.const 0x1ff) (i32.const 2)))
            (func (export "table") (param externref externref)
                (table.fill $t (i32.const 0) (local.get 0) (i32.const 2))
                (table.set $u (i32.const 1) (local.get 1))
                (table.copy $t $u (i32.const 2) (i32.const 0) (i32.const 2))
                (table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 4))))"#,
    );
    instance.typed_func::<(), ()>(&store, "memory").unwrap().call(&mut store, ()).unwrap();
    let bytes = |store: &Store<()>, name, at: usize, len| {
        instance.get_memory(store, name).unwrap().data(store)[at..at + len].to_vec()
    };
    assert_eq!(bytes(&store, "a", 9, 7), b"\0bbcde\0");
    assert_eq!(bytes(&store, "b", 0, 8), b"bbcde\xff\xff\0");
    let (x, y) = (Some(store.insert_extern('x').unwrap()), Some(store.insert_extern('y').unwrap()));
    let f = instance.typed_func::<(Option<ExternRef>, Option<ExternRef>), ()>(&store, "table").unwrap();
    f.call(&mut store, (x, y)).unwrap();
    let table = instance.get_table(&store, "t").unwrap();
    let found: Vec<_> = (0..6).map(|i| table.get(&store, i).unwrap()).collect();
    assert_eq!(found, [x, x, x, None, y, None].map(Val::ExternRef));
}

#[test]
fn globals_tables_and_memories_are_seen_from_the_host() {
    let (mut store, instance) = instance(
        r#"(module
            (global (export "constant") i32 (i32.add (i32.const 40) (i32.const 2)))
            (global (export "variable") (mut f64) (f64.const 0.5))
            (table (export "table") 2 4 funcref) (elem (i32.const 1) $get)
            (memory (export "memory") 1 3) (data (i32.const 8) "\01\02\03\04")
            (func $get (export "get") (result f64) (global.get 1)))"#,
    );
    let constant = instance.get_global(&store, "constant").unwrap();
    assert_eq!(constant.get(&store), Val::I32(42));
    assert_eq!(constant.set(&mut store, Val::I32(1)).unwrap_err().to_string(), "the global is immutable");
    let variable = instance.get_global(&store, "variable").unwrap();
    assert!(variable.set(&mut store, Val::I32(1)).is_err());
    variable.set(&mut store, Val::from(2.5)).unwrap();
    assert_eq!(instance.typed_func::<(), f64>(&store, "get").unwrap().call(&mut store, ()).unwrap(), 2.5);

    let table = instance.get_table(&store, "table").unwrap();
    let get = instance.get_func(&store, "get").unwrap();
    assert_eq!(table.get(&store, 1), Some(Val::FuncRef(Some(get))));
    assert_eq!(table.get(&store, 2), None);
    assert_eq!(table.grow(&mut store, 2, Val::FuncRef(Some(get))).unwrap(), 2);
    assert_eq!(table.get(&store, 3), Some(Val::FuncRef(Some(get))));
    assert!(table.grow(&mut store, 1, Val::FuncRef(None)).is_err());
    assert!(table.set(&mut store, 4, Val::FuncRef(None)).is_err() && table.set(&mut store, 0, Val::I32(0)).is_err());

    let memory = instance.get_memory(&store, "memory").unwrap();
    assert_eq!(memory.get(&store, GuestPtr::<u32>::new(8)), Ok(0x0403_0201));
    memory.set(&mut store, GuestPtr::new(65528), &7u64).unwrap();
    assert!(memory.set(&mut store, GuestPtr::new(65529), &7u64).is_err());
    assert!(memory.write(&mut store, 65536, &[1]).is_err() && memory.read(&store, 65530, &mut [0; 7]).is_err());
    assert_eq!(memory.grow(&mut store, 2), Some(1));
    assert_eq!((memory.grow(&mut store, 1), memory.size(&store)), (None, 3));
    assert_eq!(memory.ty(&store).to_string(), "memory 3 3");
    let names: Vec<_> = instance.exports(&store).map(|(name, _)| name).collect();
    assert_eq!(names, ["constant", "variable", "table", "memory", "get"]);
}

#[test]
fn many_exports_are_found_by_name() {
    let exports: String = (0..100).map(|i| format!(r#"(func (export "f{i}") (result i32) (i32.const {i}))"#)).collect();
    let (mut store, instance) = instance(&format!("(module {exports})"));
    for i in 0..100 {
        let f = instance.typed_func::<(), i32>(&store, &format!("f{i}")).unwrap();
        assert_eq!(f.call(&mut store, ()).unwrap(), i);
    }
    assert!(instance.get_func(&store, "f100").is_none());
}

#[test]
fn a_module_says_what_it_is() {
    let module = load(
        r#"(module (import "env" "log" (func $log (param i32)))
            (func $helper (export "run") (result i64) (i64.const 0)) (memory (export "memory") 2 5))"#,
    );
    let exports: Vec<_> = module.exports().map(|(name, ty)| format!("{name}: {ty}")).collect();
    assert_eq!(exports, ["run: func () -> (i64)", "memory: memory 2 5"]);
    assert_eq!(module.imports()[0].ty.to_string(), "func (i32) -> ()");
    assert_eq!((module.function_name(0), module.function_name(1)), (Some("log"), Some("helper")));
    assert_eq!(module.function_type(1).unwrap().results, [ValType::I64]);
    assert!(module.function_type(2).is_none() && module.function_name(2).is_none());
}

#[test]
fn stores_move_between_threads() {
    let module = load(r#"(module (func (export "f") (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3))))"#);
    let linker = Linker::new();
    let pre = linker.prepare(&module).unwrap();
    let mut first = Store::new(1, Limits::default()).unwrap();
    let instance = pre.instantiate(&mut first).unwrap();
    let threads: Vec<_> = (0..4)
        .map(|n| {
            let pre = pre.clone();
            std::thread::spawn(move || {
                let mut store = Store::new(n, Limits::default()).unwrap();
                let instance = pre.instantiate(&mut store).unwrap();
                instance.typed_func::<i32, i32>(&store, "f").unwrap().call(&mut store, n).unwrap()
            })
        })
        .collect();
    let results: Vec<_> = threads.into_iter().map(|t| t.join().unwrap()).collect();
    assert_eq!(results, [0, 3, 6, 9]);
    let moved = std::thread::spawn(move || {
        instance.typed_func::<i32, i32>(&first, "f").unwrap().call(&mut first, 5).unwrap() + first.into_data()
    });
    assert_eq!(moved.join().unwrap(), 16);
    drop(store());
}
