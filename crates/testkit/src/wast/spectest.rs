//! The module that scripts expect the host to provide.

use anyhow::Result;
use selvedge_runtime::Caller;

use super::script::Script;

const STATE: &str = r#"(module
    (memory (export "memory") 1 2)
    (table (export "table") 10 20 funcref)
    (global (export "global_i32") i32 (i32.const 666))
    (global (export "global_i64") i64 (i64.const 666))
    (global (export "global_f32") f32 (f32.const 666.6))
    (global (export "global_f64") f64 (f64.const 666.6)))"#;

const STATE_64: &str = r#"(module (table (export "table64") i64 10 20 funcref))"#;

/// Defines it. What it prints goes nowhere: no script looks.
pub(super) fn define(script: &mut Script) -> Result<()> {
    provide(script, STATE)?;
    if script.options.proposals.memory64 {
        provide(script, STATE_64)?;
    }
    let linker = &mut script.linker;
    linker.func_wrap("spectest", "print", |_: Caller<'_, ()>| ());
    linker.func_wrap("spectest", "print_i32", |_: Caller<'_, ()>, _: i32| ());
    linker.func_wrap("spectest", "print_i64", |_: Caller<'_, ()>, _: i64| ());
    linker.func_wrap("spectest", "print_f32", |_: Caller<'_, ()>, _: f32| ());
    linker.func_wrap("spectest", "print_f64", |_: Caller<'_, ()>, _: f64| ());
    linker.func_wrap("spectest", "print_i32_f32", |_: Caller<'_, ()>, _: i32, _: f32| ());
    linker.func_wrap("spectest", "print_f64_f64", |_: Caller<'_, ()>, _: f64, _: f64| ());
    Ok(())
}

fn provide(script: &mut Script, text: &str) -> Result<()> {
    let module = script.compile(text.as_bytes())?;
    let instance = script.instantiate(&module)?;
    script.linker.instance(&script.store, "spectest", instance);
    Ok(())
}
