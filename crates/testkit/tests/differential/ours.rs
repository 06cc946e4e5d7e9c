//! A module on Selvedge.

use selvedge_runtime::{
    CallError, Func, Instance, InstancePre, InstantiateError, Item, Limits, Linker, Module, Pool, PoolLimits,
    Recycling, Store, TrapCode, Val, ValType,
};

use super::value::{Ending, TrapKind, Type, Value};

/// A module that is about to be instantiated several times: in stores of their own, or one after the other in the one
/// slot of a pool.
pub(crate) struct OurModule {
    pre: InstancePre<()>,
    pool: Option<Pool>,
}

impl OurModule {
    /// `recycling` is how the slot is used again.
    ///
    /// # Errors
    /// If the module imports anything, or there is no such pool.
    pub(crate) fn new(module: &Module, recycling: Option<Recycling>) -> Result<OurModule, String> {
        let pre = Linker::new().prepare(module).map_err(|e| e.to_string())?;
        let limits = |recycling| PoolLimits { recycling, store: limits(), ..PoolLimits::fitting(1, module) };
        let pool = recycling.map(|recycling| Pool::new(limits(recycling))).transpose().map_err(|e| e.to_string())?;
        Ok(OurModule { pre, pool })
    }

    fn instantiate(&self) -> Result<(Store<()>, Instance), InstantiateError> {
        if let Some(pool) = &self.pool {
            return pool.instantiate(&self.pre, ());
        }
        let mut store = Store::new((), limits())?;
        let instance = self.pre.instantiate(&mut store)?;
        Ok((store, instance))
    }
}

fn limits() -> Limits {
    Limits { stack_bytes: 4 << 20, ..Limits::default() }
}

/// An instance with the store it lives in.
pub(crate) struct Ours {
    store: Store<()>,
    instance: Instance,
    functions: Vec<(String, Func)>,
    objects: Vec<Val>,
}

impl Ours {
    /// Instantiates a module; how it ended if it did not succeed.
    pub(crate) fn new(module: &OurModule) -> Result<Ours, Ending> {
        let (store, instance) = module.instantiate().map_err(|e| match e {
            InstantiateError::Start(error) => ending(&error),
            other => Ending::Failed(other.to_string()),
        })?;
        let exports = instance.exports(&store);
        let functions = exports.filter_map(|(name, item)| match item {
            Item::Func(func) => Some((name.to_owned(), func)),
            _ => None,
        });
        let functions = functions.collect();
        Ok(Ours { store, instance, functions, objects: Vec::new() })
    }

    /// The exported functions with their parameters' types, in order.
    pub(crate) fn signatures(&self) -> Vec<(String, Vec<Type>)> {
        let params = |func: &Func| func.ty(&self.store).map(|ty| ty.params).unwrap_or_default();
        let all = self.functions.iter();
        all.map(|(name, func)| (name.clone(), params(func).into_iter().map(ty).collect())).collect()
    }

    /// Calls an export.
    pub(crate) fn call(&mut self, function: usize, args: &[Value]) -> Ending {
        let func = self.functions[function].1;
        let args: Vec<Val> = args.iter().map(|arg| self.val_of(arg)).collect();
        match func.call(&mut self.store, &args) {
            Ok(results) => Ending::Returned(results.iter().map(|v| self.to_value(v)).collect()),
            Err(error) => ending(&error),
        }
    }

    /// An exported memory's bytes.
    pub(crate) fn memory(&self, name: &str) -> Option<&[u8]> {
        Some(self.instance.get_memory(&self.store, name)?.data(&self.store))
    }

    /// An exported global.
    pub(crate) fn global(&self, name: &str) -> Option<Value> {
        Some(self.to_value(&self.instance.get_global(&self.store, name)?.get(&self.store)))
    }

    /// An exported table.
    pub(crate) fn table(&self, name: &str) -> Option<Vec<Value>> {
        let table = self.instance.get_table(&self.store, name)?;
        let elements = (0..table.size(&self.store)).map_while(|i| table.get(&self.store, i));
        Some(elements.map(|v| self.to_value(&v)).collect())
    }

    fn val_of(&mut self, value: &Value) -> Val {
        match value {
            Value::I32(v) => Val::I32(*v as i32),
            Value::I64(v) => Val::I64(*v as i64),
            Value::F32(bits) => Val::F32(*bits),
            Value::F64(bits) => Val::F64(*bits),
            Value::V128(bits) => Val::V128(*bits),
            Value::FuncRef(name) => Val::FuncRef(name.as_ref().and_then(|name| self.function(name))),
            Value::ExternRef(None) => Val::ExternRef(None),
            Value::ExternRef(Some(number)) => self.object(*number),
        }
    }

    fn function(&self, name: &str) -> Option<Func> {
        self.functions.iter().find(|(n, _)| n == name).map(|(_, func)| *func)
    }

    fn object(&mut self, number: u32) -> Val {
        while self.objects.len() <= number as usize {
            let object = self.store.insert_extern(self.objects.len() as u32).expect("far below the limit");
            self.objects.push(Val::ExternRef(Some(object)));
        }
        self.objects[number as usize]
    }

    fn to_value(&self, val: &Val) -> Value {
        match val {
            Val::I32(v) => Value::I32(*v as u32),
            Val::I64(v) => Value::I64(*v as u64),
            Val::F32(bits) => Value::F32(*bits),
            Val::F64(bits) => Value::F64(*bits),
            Val::V128(bits) => Value::V128(*bits),
            Val::FuncRef(None) => Value::FuncRef(None),
            Val::FuncRef(Some(func)) => {
                let known = self.functions.iter().find(|(_, f)| f == func);
                Value::FuncRef(Some(known.map_or("(unknown)".into(), |(name, _)| name.clone())))
            }
            Val::ExternRef(None) => Value::ExternRef(None),
            Val::ExternRef(Some(object)) => {
                let number = self.store.extern_object(*object).and_then(|o| o.downcast_ref::<u32>());
                Value::ExternRef(Some(number.copied().unwrap_or(u32::MAX)))
            }
        }
    }
}

fn ty(ty: ValType) -> Type {
    match ty {
        ValType::I32 => Type::I32,
        ValType::I64 => Type::I64,
        ValType::F32 => Type::F32,
        ValType::F64 => Type::F64,
        ValType::V128 => Type::V128,
        ValType::FuncRef => Type::FuncRef,
        ValType::ExternRef => Type::ExternRef,
    }
}

fn ending(error: &CallError) -> Ending {
    let Some(code) = error.trap_code() else { return Ending::Failed(error.to_string()) };
    Ending::Trapped(match code {
        TrapCode::StackOverflow => return Ending::StackExhausted,
        TrapCode::MemoryOutOfBounds => TrapKind::Memory,
        TrapCode::TableOutOfBounds | TrapCode::UndefinedElement => TrapKind::Table,
        TrapCode::UninitializedElement => TrapKind::NullCall,
        TrapCode::IndirectCallTypeMismatch => TrapKind::CallType,
        TrapCode::IntegerOverflow => TrapKind::Overflow,
        TrapCode::IntegerDivisionByZero => TrapKind::DivisionByZero,
        TrapCode::InvalidConversion => TrapKind::Conversion,
        TrapCode::Unreachable => TrapKind::Unreachable,
        TrapCode::MeterExhausted => return Ending::Failed("it was not metered".into()),
    })
}
