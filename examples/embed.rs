//! A host with one function of its own, and a guest that uses it. Run with
//! `cargo run -p selvedge-runtime --example embed`.
#![allow(unsafe_code, reason = "loading an artifact on trust is the one unsafe step")]

use selvedge_compiler::{Options, compile};
use selvedge_runtime::{Caller, GuestPtr, HostError, Limits, Linker, Module, Source, Store};

const GUEST: &str = r#"(module
    (import "host" "log" (func $log (param i32 i32)))
    (memory (export "memory") 1)
    (data (i32.const 16) "hello from the guest")
    (func (export "greet") (call $log (i32.const 16) (i32.const 20)))
    (func (export "divide") (param i32 i32) (result i32)
        (i32.div_s (local.get 0) (local.get 1))))"#;

/// What the host keeps for each guest.
#[derive(Default)]
struct Request {
    log: Vec<String>,
}

/// A host function: the pointer is only a claim until it is checked against the guest's memory.
fn log(mut caller: Caller<'_, Request>, text: GuestPtr<u8>, len: u32) -> Result<(), HostError> {
    let (memory, request) = caller.memory_and_data()?;
    let text = text.slice(len).text(memory)??;
    request.log.push(text.to_string());
    Ok(())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Usually done elsewhere, once: `selvedge compile guest.wasm`.
    let artifact = compile(GUEST.as_bytes(), &Options::default(), &())?;
    // SAFETY: the artifact comes straight from the compiler.
    let module = unsafe { Module::load_trusted(Source::Bytes(&artifact))? };

    let mut linker = Linker::new();
    linker.func_wrap("host", "log", log);

    // One store per request: the host's data, limits, and what the guest is made of.
    let limits = Limits { memory_bytes_max: 16 << 20, ..Limits::default() };
    let mut store = Store::new(Request::default(), limits)?;
    let instance = linker.instantiate(&mut store, &module)?;

    instance.typed_func::<(), ()>(&store, "greet")?.call(&mut store, ())?;
    println!("the guest said: {:?}", store.data().log);

    let memory = instance.get_memory(&store, "memory").ok_or("no memory")?;
    println!("its memory says: {}", GuestPtr::<u8>::new(16).slice(5).text(memory.data(&store))??);

    let divide = instance.typed_func::<(i32, i32), i32>(&store, "divide")?;
    println!("7 / 2 = {}", divide.call(&mut store, (7, 2))?);
    match divide.call(&mut store, (1, 0)) {
        Ok(quotient) => println!("1 / 0 = {quotient}"),
        Err(error) => println!("1 / 0 is an error, and the host goes on:\n{error}"),
    }
    Ok(())
}
