//! A module on wasmi.

use wasmi::errors::{ErrorKind, InstantiationError};
use wasmi::{
    Config, Engine, Error, Extern, ExternRef, Func, Instance, Linker, Module, Nullable, Ref, Store, TrapCode, Val,
};

use super::value::{Ending, TrapKind, Value};

/// Calls within calls, for which both engines have room.
const RECURSION_DEPTH_MAX: usize = 10_000;

/// A module that wasmi accepts.
pub(crate) struct PeerModule(Module);

impl PeerModule {
    /// Validates and translates a module.
    pub(crate) fn new(wasm: &[u8]) -> Result<PeerModule, String> {
        let mut config = Config::default();
        config.set_max_stack_height(16 << 20).set_max_recursion_depth(RECURSION_DEPTH_MAX);
        let engine = Engine::new(&config);
        Module::new(&engine, wasm).map(PeerModule).map_err(|e| e.to_string())
    }
}

/// An instance with the store it lives in.
pub(crate) struct Peer {
    store: Store<()>,
    /// Every export, by name.
    exports: Vec<(String, Extern)>,
    functions: Vec<(String, Func)>,
    objects: Vec<ExternRef>,
}

impl Peer {
    /// Instantiates a module; how it ended if it did not succeed.
    pub(crate) fn new(module: &PeerModule) -> Result<Peer, Ending> {
        let engine = module.0.engine();
        let mut store = Store::new(engine, ());
        let linker = Linker::new(engine);
        let instance = linker.instantiate_and_start(&mut store, &module.0).map_err(|e| ending(&e))?;
        let exports = exports(&store, &instance);
        let functions = exports.iter().filter_map(|(name, item)| Some((name.clone(), item.into_func()?)));
        let functions = functions.collect();
        Ok(Peer { store, exports, functions, objects: Vec::new() })
    }

    /// Calls an export.
    pub(crate) fn call(&mut self, name: &str, args: &[Value]) -> Ending {
        let Some(func) = self.function(name) else { return Ending::Failed(format!("no function {name:?}")) };
        let args: Vec<Val> = args.iter().map(|arg| self.val_of(arg)).collect();
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        match func.call(&mut self.store, &args, &mut results) {
            Ok(()) => Ending::Returned(results.iter().map(|v| self.to_value(v)).collect()),
            Err(error) => ending(&error),
        }
    }

    /// The names of all exports.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.exports.iter().map(|(name, _)| name.as_str())
    }

    /// An exported memory's bytes.
    pub(crate) fn memory(&self, name: &str) -> Option<&[u8]> {
        Some(self.export(name)?.into_memory()?.data(&self.store))
    }

    /// An exported global.
    pub(crate) fn global(&self, name: &str) -> Option<Value> {
        Some(self.to_value(&self.export(name)?.into_global()?.get(&self.store)))
    }

    /// An exported table.
    pub(crate) fn table(&self, name: &str) -> Option<Vec<Value>> {
        let table = self.export(name)?.into_table()?;
        let elements = (0..table.size(&self.store)).map_while(|i| table.get(&self.store, i));
        Some(elements.map(|v| self.reference(&v)).collect())
    }

    fn export(&self, name: &str) -> Option<Extern> {
        self.exports.iter().find(|(n, _)| n == name).map(|(_, item)| *item)
    }

    fn function(&self, name: &str) -> Option<Func> {
        self.functions.iter().find(|(n, _)| n == name).map(|(_, func)| *func)
    }

    fn val_of(&mut self, value: &Value) -> Val {
        match value {
            Value::I32(v) => Val::I32(*v as i32),
            Value::I64(v) => Val::I64(*v as i64),
            Value::F32(bits) => Val::F32(wasmi::F32::from_bits(*bits)),
            Value::F64(bits) => Val::F64(wasmi::F64::from_bits(*bits)),
            Value::V128(bits) => Val::V128((*bits).into()),
            Value::FuncRef(name) => {
                let func = name.as_ref().and_then(|name| self.function(name));
                Val::FuncRef(func.map_or(Nullable::Null, Nullable::Val))
            }
            Value::ExternRef(None) => Val::ExternRef(Nullable::Null),
            Value::ExternRef(Some(number)) => Val::ExternRef(Nullable::Val(self.object(*number))),
        }
    }

    fn object(&mut self, number: u32) -> ExternRef {
        while self.objects.len() <= number as usize {
            let object = ExternRef::new(&mut self.store, self.objects.len() as u32);
            self.objects.push(object);
        }
        self.objects[number as usize]
    }

    fn to_value(&self, val: &Val) -> Value {
        match val {
            Val::I32(v) => Value::I32(*v as u32),
            Val::I64(v) => Value::I64(*v as u64),
            Val::F32(v) => Value::F32(v.to_bits()),
            Val::F64(v) => Value::F64(v.to_bits()),
            Val::V128(v) => Value::V128(v.as_u128()),
            Val::FuncRef(func) => self.reference(&Ref::Func(*func)),
            Val::ExternRef(object) => self.reference(&Ref::Extern(*object)),
        }
    }

    fn reference(&self, of: &Ref) -> Value {
        match of {
            Ref::Func(Nullable::Null) => Value::FuncRef(None),
            Ref::Func(Nullable::Val(func)) => {
                // Handles cannot be compared; what they print as tells them apart.
                let wanted = format!("{func:?}");
                let known = self.functions.iter().find(|(_, f)| format!("{f:?}") == wanted);
                Value::FuncRef(Some(known.map_or("(unknown)".into(), |(name, _)| name.clone())))
            }
            Ref::Extern(Nullable::Null) => Value::ExternRef(None),
            Ref::Extern(Nullable::Val(object)) => {
                let number = object.data(&self.store).downcast_ref::<u32>();
                Value::ExternRef(Some(number.copied().unwrap_or(u32::MAX)))
            }
        }
    }
}

fn exports(store: &Store<()>, instance: &Instance) -> Vec<(String, Extern)> {
    instance.exports(store).map(|export| (export.name().to_owned(), export.into_extern())).collect()
}

fn ending(error: &Error) -> Ending {
    let code = match error.kind() {
        ErrorKind::Instantiation(InstantiationError::ElementSegmentDoesNotFit { .. }) => {
            return Ending::Trapped(TrapKind::Table);
        }
        kind => kind.as_trap_code(),
    };
    Ending::Trapped(match code {
        Some(TrapCode::StackOverflow) => return Ending::StackExhausted,
        Some(TrapCode::MemoryOutOfBounds) => TrapKind::Memory,
        Some(TrapCode::TableOutOfBounds) => TrapKind::Table,
        Some(TrapCode::IndirectCallToNull) => TrapKind::NullCall,
        Some(TrapCode::BadSignature) => TrapKind::CallType,
        Some(TrapCode::IntegerOverflow) => TrapKind::Overflow,
        Some(TrapCode::IntegerDivisionByZero) => TrapKind::DivisionByZero,
        Some(TrapCode::BadConversionToInteger) => TrapKind::Conversion,
        Some(TrapCode::UnreachableCodeReached) => TrapKind::Unreachable,
        _ => return Ending::Failed(error.to_string()),
    })
}
