//! Counts worked out by hand, and what limits do to them.

use selvedge_runtime::{Caller, Limits, Linker, Store, TrapCode, Val};
use selvedge_testkit::module_with;

use crate::{End, Runner, ways};

/// Body of a function with an `i32` parameter in a module with two pages of memory, two tables and a helper;
/// argument; how it ends; how much it counts.
const CASES: &[(&str, i32, End, u64)] = &[
    ("", 0, End::Returned, 0),
    ("nop nop", 0, End::Returned, 2),
    ("i32.const 1 i32.const 2 i32.add drop", 0, End::Returned, 4),
    // Structure counts nothing, wherever it stands.
    ("block loop end nop end", 0, End::Returned, 1),
    // `local.get` and `if`, then one arm.
    ("local.get 0 if nop else nop nop end", 1, End::Returned, 3),
    ("local.get 0 if nop else nop nop end", 0, End::Returned, 4),
    ("local.get 0 if nop end nop", 0, End::Returned, 3),
    ("local.get 0 if return end nop nop", 1, End::Returned, 3),
    // A round: get, const, sub, tee, br_if.
    ("loop local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end", 10, End::Returned, 50),
    ("block local.get 0 br_if 0 nop end nop", 1, End::Returned, 3),
    ("block local.get 0 br_if 0 nop end nop", 0, End::Returned, 4),
    ("block block block local.get 0 br_table 0 1 2 end nop end nop end nop", 0, End::Returned, 5),
    ("block block block local.get 0 br_table 0 1 2 end nop end nop end nop", 1, End::Returned, 4),
    ("block block block local.get 0 br_table 0 1 2 end nop end nop end nop", 9, End::Returned, 3),
    // A call and the three operators of what it calls.
    ("call $helper drop nop", 0, End::Returned, 1 + 3 + 2),
    ("i32.const 0 call_indirect (result i32) drop", 0, End::Returned, 2 + 3 + 1),
    // What never runs counts nothing.
    ("return nop nop", 0, End::Returned, 1),
    ("nop unreachable nop", 0, End::Trapped(TrapCode::Unreachable), 2),
    // The operator that traps counts, those after it do not, though they stand in one piece.
    ("nop local.get 0 i32.load drop nop nop", 131_072, End::Trapped(TrapCode::MemoryOutOfBounds), 3),
    ("nop local.get 0 i32.load drop nop nop", 131_068, End::Returned, 6),
    ("local.get 0 i32.load local.get 0 i32.load i32.add drop", 131_072, End::Trapped(TrapCode::MemoryOutOfBounds), 2),
    ("i32.const 1 local.get 0 i32.load i32.add drop", -1, End::Trapped(TrapCode::MemoryOutOfBounds), 3),
    ("local.get 0 i32.const 7 i32.store nop", -1, End::Trapped(TrapCode::MemoryOutOfBounds), 3),
    ("local.get 0 i64.load32_u offset=0xfffffff0 drop", 0, End::Trapped(TrapCode::MemoryOutOfBounds), 2),
    ("local.get 0 v128.load64_splat drop", -1, End::Trapped(TrapCode::MemoryOutOfBounds), 2),
    ("i32.const 1 local.get 0 i32.div_s drop nop", 0, End::Trapped(TrapCode::IntegerDivisionByZero), 3),
    ("i32.const 1 local.get 0 i32.rem_u drop nop", 0, End::Trapped(TrapCode::IntegerDivisionByZero), 3),
    (
        "i32.const 1 local.get 0 i32.div_s drop i32.const -1 i32.load drop",
        1,
        End::Trapped(TrapCode::MemoryOutOfBounds),
        6,
    ),
    ("f32.const nan i32.trunc_f32_s drop nop", 0, End::Trapped(TrapCode::InvalidConversion), 2),
    ("f64.const 1e30 i64.trunc_f64_u drop nop", 0, End::Trapped(TrapCode::IntegerOverflow), 2),
    ("local.get 0 call_indirect (result i32) drop", 1, End::Trapped(TrapCode::UninitializedElement), 2),
    ("local.get 0 call_indirect (result i32) drop", 99, End::Trapped(TrapCode::UndefinedElement), 2),
    ("i32.const 0 call_indirect nop", 0, End::Trapped(TrapCode::IndirectCallTypeMismatch), 2),
    ("local.get 0 table.get 0 drop nop", 99, End::Trapped(TrapCode::TableOutOfBounds), 2),
    ("nop call $traps nop", 0, End::Trapped(TrapCode::Unreachable), 2 + 2),
    // One more for each whole 64 bytes, for each element, 1,024 for each page.
    ("i32.const 0 i32.const 7 i32.const 63 memory.fill", 0, End::Returned, 4),
    ("i32.const 0 i32.const 7 i32.const 640 memory.fill nop", 0, End::Returned, 4 + 10 + 1),
    ("i32.const 0 i32.const 64 i32.const 128 memory.copy", 0, End::Returned, 4 + 2),
    ("i32.const 0 i32.const 0 i32.const 4 memory.init $bytes", 0, End::Returned, 4),
    ("i32.const 1 memory.grow drop", 0, End::Returned, 3 + 1024),
    ("i32.const 100 memory.grow drop", 0, End::Returned, 3 + 102_400),
    ("i32.const 0 i32.const 0 i32.const 2 table.copy", 0, End::Returned, 4 + 2),
    ("ref.null func i32.const 3 table.grow 0 drop", 0, End::Returned, 4 + 3),
    ("i32.const 0 ref.null func i32.const 2 table.fill 0", 0, End::Returned, 4 + 2),
    // The extra counts whatever comes of it, even a trap.
    ("local.get 0 i32.const 7 i32.const 640 memory.fill nop", -1, End::Trapped(TrapCode::MemoryOutOfBounds), 4 + 10),
    ("i32.const 9 i32.const 0 i32.const 2 table.copy nop", 0, End::Trapped(TrapCode::TableOutOfBounds), 4 + 2),
];

fn wat(body: &str) -> String {
    format!(
        r#"(module
            (memory 2 4) (table 2 20 funcref) (data $bytes "four")
            (elem (i32.const 0) $helper)
            (func $helper (result i32) (i32.add (i32.const 1) (i32.const 2)))
            (func $traps nop unreachable)
            (func (export "run") (param i32) {body}))"#
    )
}

#[test]
fn counts_are_those_worked_out_by_hand() {
    for (body, arg, end, count) in CASES {
        for options in ways() {
            let module = module_with(wat(body), &options).unwrap_or_else(|e| panic!("{body}: {e:#}"));
            let mut runner = Runner::new(&module, u64::MAX).unwrap();
            let found = (runner.call("run", &[Val::I32(*arg)]), runner.used());
            assert_eq!(found, (*end, *count), "{body} with {arg}, {}", options.as_flags());
        }
    }
}

#[test]
fn an_access_is_exact_after_more_operators_than_a_trap_site_can_say() {
    for before in [0, 1, 233, 234, 235, 236, 237, 470, 471, 1000] {
        let body = format!("{} local.get 0 i32.load drop nop", "nop ".repeat(before));
        for options in ways() {
            let mut runner = Runner::new(&module_with(wat(&body), &options).unwrap(), u64::MAX).unwrap();
            assert_eq!(runner.call("run", &[Val::I32(-1)]), End::Trapped(TrapCode::MemoryOutOfBounds));
            assert_eq!(runner.used(), before as u64 + 2, "{}", options.as_flags());
        }
    }
}

#[test]
fn every_limit_ends_the_code_at_one_place_and_is_kept() {
    let body = "loop call $helper drop i32.const 0 i32.const 1 i32.const 200 memory.fill \
        local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end nop";
    let modules = ways().map(|options| module_with(wat(body), &options).unwrap());
    let run = |module, limit| {
        let mut runner = Runner::new(module, limit).unwrap();
        (runner.call("run", &[Val::I32(3)]), runner.used())
    };
    let (_, total) = run(&modules[0], u64::MAX);
    assert_eq!(total, 3 * (1 + 3 + 1 + 3 + 4 + 5) + 1, "by hand: a call, its operators, the fill, the branch");
    for limit in 0..=total + 1 {
        let outcomes = modules.each_ref().map(|module| run(module, limit));
        assert_eq!(outcomes, [outcomes[0]; 3], "limit {limit}");
        let (end, used) = outcomes[0];
        assert_eq!(end == End::Exhausted, limit < total, "limit {limit}");
        // No piece has more than seven operators, no fill counts more than that.
        assert!(used <= limit && used + 7 > limit.min(total), "limit {limit}, used {used}");
    }
}

#[test]
fn what_is_stopped_at_any_limit_and_refilled_goes_on_as_if_it_had_not_been() {
    let body = "(local i32 v128 f64) loop call $helper local.get 1 i32.add local.set 1
        local.get 0 local.get 0 i32x4.splat local.get 2 i32x4.add local.tee 2 v128.store
        i32.const 0 i32.const 1 i32.const 200 memory.fill
        local.get 3 f64.const 1.5 f64.add local.set 3
        local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end
        i32.const 64 local.get 3 f64.store i32.const 72 local.get 1 i32.store";
    for (layout, options) in ways().iter().enumerate() {
        let module = module_with(wat(body).replace("(memory", "(memory (export \"m\")"), options).unwrap();
        let run = |limit, sizes: Option<(u64, u64)>, times: &mut u64| {
            let mut runner = Runner::new(&module, limit).unwrap();
            let ended = match sizes {
                None => runner.call_for("run", &[Val::I32(4)]),
                Some(sizes) => runner.call_refilled("run", &[Val::I32(4)], sizes, times),
            };
            let memory = runner.instance.get_memory(&runner.store, "m").unwrap();
            (ended, runner.used(), memory.data(&runner.store).to_vec())
        };
        let (mut times, free) = (0, run(u64::MAX, None, &mut 0));
        let total = free.1;
        for limit in 0..=total {
            for most in [1, 3, 7, 100] {
                let before = times;
                assert!(
                    run(limit, Some((limit ^ most, most)), &mut times) == free,
                    "way {layout}, limit {limit}, {most}"
                );
                assert_eq!(times > before, limit < total, "way {layout}, limit {limit}");
            }
        }
        assert!(times > 4 * total);
    }
}

#[test]
fn hosts_see_exact_counts_and_can_raise_the_limit() {
    const GUEST: &str = r#"(module
        (import "host" "look" (func $look))
        (func (export "run") nop nop (call $look) nop (call $look) nop))"#;
    let mut linker = Linker::<Vec<u64>>::new();
    linker.func_wrap("host", "look", |mut caller: Caller<'_, Vec<u64>>| {
        let used = caller.instance().meter_used(&caller).unwrap();
        caller.data_mut().push(used);
        let instance = caller.instance();
        instance.set_meter_limit(&mut caller, 100);
    });
    for options in ways() {
        let module = module_with(GUEST, &options).unwrap();
        let mut store = Store::new(vec![], Limits { meter_max: 3, ..Limits::default() }).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        instance.typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
        assert_eq!(store.data(), &[3, 5]);
        assert_eq!(instance.meter_used(&store), Some(6));
        // Below what was executed: nothing more is.
        assert!(instance.set_meter_limit(&mut store, 2));
        let again = instance.typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ());
        assert!(matches!(again, Err(selvedge_runtime::CallError::MeterExhausted(_))), "{again:?}");
        assert_eq!(store.meter_used(), 6);
    }
}

#[test]
fn code_that_is_not_metered_has_no_count_and_no_limit() {
    let module = selvedge_testkit::module(wat("nop"), selvedge_contract::MemoryLayout::Guarded).unwrap();
    let mut runner = Runner::new(&module, 0).unwrap();
    assert_eq!(runner.call("run", &[Val::I32(0)]), End::Returned);
    assert_eq!(runner.instance.meter_used(&runner.store), None);
    assert!(!runner.instance.set_meter_limit(&mut runner.store, 0));
    assert_eq!(runner.used(), 0);
}

#[test]
fn linked_instances_have_a_meter_each() {
    let [options, ..] = ways();
    let library = r#"(module (memory (export "m") 1) (func (export "work") nop nop nop))"#;
    let user = r#"(module (import "lib" "work" (func $work)) (import "lib" "m" (memory 1))
        (func (export "run") call $work nop)
        (func (export "fail") nop i32.const -1 i32.load drop nop))"#;
    let (library, user) = (module_with(library, &options).unwrap(), module_with(user, &options).unwrap());
    let mut store = Store::new((), Limits::default()).unwrap();
    let mut linker = Linker::new();
    let library = linker.instantiate(&mut store, &library).unwrap();
    linker.instance(&store, "lib", library);
    let user = linker.instantiate(&mut store, &user).unwrap();
    user.typed_func::<(), ()>(&store, "run").unwrap().call(&mut store, ()).unwrap();
    assert_eq!((library.meter_used(&store), user.meter_used(&store), store.meter_used()), (Some(3), Some(2), 5));
    // The memory is the library's, the code that traps the user's.
    user.typed_func::<(), ()>(&store, "fail").unwrap().call(&mut store, ()).unwrap_err();
    assert_eq!((library.meter_used(&store), user.meter_used(&store)), (Some(3), Some(5)));
}
