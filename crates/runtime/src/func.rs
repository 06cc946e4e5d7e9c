//! Functions, called dynamically or by Rust types.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use selvedge_contract::Extern;
use selvedge_contract::types::{FuncType, ValType};
use selvedge_native::{Callable, CodeFunction, RawValue, Shape, SlotId, ValueTypes};

use crate::call;
use crate::context::{AsContext, AsContextMut};
use crate::core::{Core, StoreId};
use crate::error::{BadCall, CallError};
use crate::instance::Instance;
use crate::module::Module;
use crate::store::Store;
use crate::suspend::Running;
use crate::typed::{TYPED_VALUES_MAX, WasmParams, WasmResults, func_type};
use crate::value::{Val, fit, used_as};

/// Values that a typed call keeps in one cache line of its frame.
const FEW_VALUES: usize = 4;

/// A function of an instance, exported or met as a `funcref`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Func {
    pub(crate) store: StoreId,
    /// The instance's slot.
    pub(crate) instance: u32,
    /// Its index in the module, imports first.
    pub(crate) function: u32,
}

impl Func {
    /// Its type.
    ///
    /// # Errors
    /// For a handle of another store, or a reference no one made.
    pub fn ty(&self, store: &impl AsContext) -> Result<FuncType, CallError> {
        self.type_in(store.as_context().core()).cloned()
    }

    pub(crate) fn type_in<'a>(&self, core: &'a Core) -> Result<&'a FuncType, CallError> {
        core.check(self.store)?;
        let instance = core.instance(SlotId(self.instance));
        let ty = instance.and_then(|instance| instance.module.function_type(self.function));
        ty.ok_or(CallError::BadCall(BadCall::Damaged(self.function)))
    }

    pub(crate) fn callable(&self, core: &Core) -> Result<Callable, CallError> {
        core.check(self.store)?;
        let slot = SlotId(self.instance);
        let found = core.text_function(slot, self.function).and_then(|text| core.arena.callable(slot, text));
        found.ok_or(CallError::BadCall(BadCall::Damaged(self.function)))
    }

    /// Calls it.
    ///
    /// # Errors
    /// [`BadCall`] if the parameters do not fit; otherwise as the call ends.
    pub fn call(&self, store: &mut impl AsContextMut, params: &[Val]) -> Result<Vec<Val>, CallError> {
        let context = store.as_context_mut();
        let (callable, results, mut values) = self.prepare(&context.inner.core, params)?;
        call::run(context, &callable, &mut values)?;
        Ok(self.values(&results, &values))
    }

    /// Calls it as [`TypedFunc::call_async`] does.
    ///
    /// # Errors
    /// As [`Func::call`].
    pub async fn call_async<T: 'static>(&self, store: &mut Store<T>, params: &[Val]) -> Result<Vec<Val>, CallError> {
        let (callable, results, values) = self.prepare(&store.inner.core, params)?;
        let mut running = Running::new(store, &callable, &values)?;
        (&mut running).await.map_err(|error| *error)?;
        Ok(self.values(&results, running.results().0))
    }

    /// Checks parameters and puts them into slots; with the callable and the results' types.
    fn prepare(&self, core: &Core, params: &[Val]) -> Result<(Callable, Vec<ValType>, Vec<RawValue>), CallError> {
        let ty = self.type_in(core)?;
        if !fit(params, &ty.params) {
            return Err(type_mismatch(ty, used_as(params, ty)));
        }
        let mut values: Vec<RawValue> = vec![0; params.len().max(ty.results.len())];
        for (slot, param) in values.iter_mut().zip(params) {
            *slot = param.to_raw(self.store).ok_or(BadCall::WrongStore)?;
        }
        Ok((self.callable(core)?, ty.results.clone(), values))
    }

    fn values(&self, results: &[ValType], values: &[RawValue]) -> Vec<Val> {
        results.iter().zip(values).map(|(ty, raw)| Val::from_raw(*ty, *raw, self.store)).collect()
    }

    /// The function as one of these Rust types, to be called without further checks.
    ///
    /// # Errors
    /// [`BadCall::Type`] if they are not its types.
    pub fn typed<P: WasmParams, R: WasmResults>(&self, store: &impl AsContext) -> Result<TypedFunc<P, R>, CallError> {
        let context = store.as_context();
        check_types::<P, R>(self.type_in(context.core())?)?;
        let callable = self.callable(context.core())?;
        Ok(TypedFunc { func: *self, callable, marker: PhantomData })
    }
}

fn check_types<P: WasmParams, R: WasmResults>(expected: &FuncType) -> Result<(), CallError> {
    let fits = expected.params[..] == *P::TYPES && expected.results[..] == *R::TYPES;
    if fits { Ok(()) } else { Err(type_mismatch(expected, func_type::<P, R>())) }
}

#[cold]
fn type_mismatch(expected: &FuncType, found: FuncType) -> CallError {
    BadCall::Type { expected: Box::new(expected.clone()), found: Box::new(found) }.into()
}

/// A function whose type was checked once.
pub struct TypedFunc<P, R> {
    func: Func,
    callable: Callable,
    marker: PhantomData<fn(P) -> R>,
}

/// An exported function of a module as Rust types, found and checked once for all its instances.
///
/// ```
/// use selvedge_runtime::{Linker, Module, Pool, PoolLimits};
///
/// # let wat = r#"(module (func (export "double") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))"#;
/// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
/// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
/// let handler = Linker::<()>::new().prepare(&module)?;
/// let double = module.typed_export::<i32, i32>("double")?;
/// let pool = Pool::new(PoolLimits::guarded(1))?;
///
/// // For each request:
/// let (mut store, instance) = pool.instantiate(&handler, ())?;
/// assert_eq!(double.of(&store, instance)?.call(&mut store, 21)?, 42);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct TypedExport<P, R> {
    function: u32,
    code: CodeFunction,
    marker: PhantomData<fn(P) -> R>,
}

impl Module {
    /// An exported function as one of these Rust types, of every instance.
    ///
    /// # Errors
    /// [`CallError::BadCall`] if there is none of this name and type.
    pub fn typed_export<P: WasmParams, R: WasmResults>(&self, name: &str) -> Result<TypedExport<P, R>, CallError> {
        let Some(Extern::Func(function)) = self.export(name) else {
            return Err(BadCall::NoFunction(name.to_string()).into());
        };
        let damaged = || CallError::BadCall(BadCall::Damaged(function));
        check_types::<P, R>(self.function_type(function).ok_or_else(damaged)?)?;
        let code = self.text_function(function).and_then(|text| CodeFunction::find(self.code(), text));
        Ok(TypedExport { function, code: code.ok_or_else(damaged)?, marker: PhantomData })
    }
}

impl<P, R> TypedExport<P, R> {
    /// The function of an instance.
    ///
    /// # Errors
    /// [`CallError::BadCall`] for a handle of another store, or an instance of another module.
    #[inline]
    pub fn of(&self, store: &impl AsContext, instance: Instance) -> Result<TypedFunc<P, R>, CallError> {
        let (core, Instance { store, slot }) = (store.as_context().core(), instance);
        core.check(store)?;
        let callable = core.arena.callable_of(slot, &self.code).ok_or(CallError::BadCall(BadCall::WrongModule))?;
        Ok(TypedFunc { func: Func { store, instance: slot.0, function: self.function }, callable, marker: PhantomData })
    }
}

impl<P, R> std::fmt::Debug for TypedExport<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedExport").field(&self.function).finish()
    }
}

/// What a [`TypedFunc`] is called with and returns.
struct Types<P, R>(PhantomData<fn(P) -> R>);

impl<P: WasmParams, R: WasmResults> ValueTypes for Types<P, R> {
    const PARAMS: &'static [ValType] = P::TYPES;
    const RESULTS: &'static [ValType] = R::TYPES;
}

impl<P: WasmParams, R: WasmResults> TypedFunc<P, R> {
    /// Calls it.
    ///
    /// # Errors
    /// As the call ends.
    #[inline]
    pub fn call(&self, store: &mut impl AsContextMut, params: P) -> Result<R, CallError> {
        if const { P::COUNT <= FEW_VALUES && R::COUNT <= FEW_VALUES } {
            self.call_with([0; FEW_VALUES], store, params)
        } else {
            self.call_with([0; TYPED_VALUES_MAX], store, params)
        }
    }

    #[inline]
    fn call_with<const N: usize>(
        &self,
        mut values: [RawValue; N],
        store: &mut impl AsContextMut,
        params: P,
    ) -> Result<R, CallError> {
        let context = store.as_context_mut();
        context.inner.core.check(self.func.store)?;
        params.store(&mut values, self.func.store).ok_or_else(|| CallError::BadCall(BadCall::WrongStore))?;
        if const { Shape::of(P::TYPES, R::TYPES).is_direct() } {
            let value = call::run_direct::<_, Types<P, R>, N>(context, &self.callable, values)?;
            return Ok(R::load(&[value.into()], self.func.store));
        }
        call::run(context, &self.callable, &mut values)?;
        Ok(R::load(&values, self.func.store))
    }

    /// Calls it, so that host functions may suspend it ([`crate::Linker::func_wrap_async`]): while one waits, the
    /// future is pending and the store parked, which may go on on another thread. A future that is dropped gives
    /// the call up; the store can be called again.
    ///
    /// # Errors
    /// As the call ends.
    pub fn call_async<'a, T: 'static>(
        &'a self,
        store: &'a mut Store<T>,
        params: P,
    ) -> impl Future<Output = Result<R, CallError>> + use<'a, T, P, R> {
        Call::New(self, store, params)
    }

    /// Begins a call that may be suspended.
    fn begin<'a, T: 'static>(&self, store: &'a mut Store<T>, params: P) -> Result<Running<'a, T>, CallError> {
        store.inner.core.check(self.func.store)?;
        let mut values = [0; TYPED_VALUES_MAX];
        params.store(&mut values, self.func.store).ok_or(BadCall::WrongStore)?;
        Running::new(store, &self.callable, &values[..P::COUNT.max(R::COUNT)])
    }

    /// The function itself.
    pub fn func(&self) -> Func {
        self.func
    }
}

/// What [`TypedFunc::call_async`] returns. By hand: there may be a million, and an `async` function would keep what it
/// was given.
enum Call<'a, T: 'static, P, R> {
    New(&'a TypedFunc<P, R>, &'a mut Store<T>, P),
    Running(Running<'a, T>),
    Over,
}

// Nothing in it is pinned.
impl<T: 'static, P, R> Unpin for Call<'_, T, P, R> {}

impl<T: 'static, P: WasmParams, R: WasmResults> Future for Call<'_, T, P, R> {
    type Output = Result<R, CallError>;

    #[inline]
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Call::Running(running) = &mut *self {
            return match Pin::new(running).poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(ended) => Poll::Ready(self.end(ended)),
            };
        }
        let Call::New(func, store, params) = std::mem::replace(&mut *self, Call::Over) else {
            panic!("a call that is over was polled")
        };
        *self = Call::Running(func.begin(store, params)?);
        self.poll(cx)
    }
}

impl<T: 'static, P: WasmParams, R: WasmResults> Call<'_, T, P, R> {
    fn end(&mut self, ended: Result<(), Box<CallError>>) -> Result<R, CallError> {
        let Call::Running(mut running) = std::mem::replace(self, Call::Over) else { unreachable!("it was polled") };
        ended.map_err(|error| *error)?;
        let (values, store) = running.results();
        Ok(R::load(values, store))
    }
}

impl<P, R> Clone for TypedFunc<P, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<P, R> Copy for TypedFunc<P, R> {}

impl<P, R> std::fmt::Debug for TypedFunc<P, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TypedFunc").field(&self.func).finish()
    }
}
