//! Calls that wait for more when their meter is used up.
//!
//! Such a call is parked at the check that stopped it, as one that has used up its slice is parked, until the embedder
//! has more for it. It goes on behind the check: nothing is executed twice or left out, and nothing is counted but what
//! is executed.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use selvedge_contract::meter::UNLIMITED;
use selvedge_native::Exhausted;

use crate::core::Core;
use crate::store::Store;

/// A meter that is used up, to whoever may refill it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct UsedUp {
    /// How many instructions the instance has executed.
    pub used: u64,
    /// How many more it needs at least before it goes on, beyond the limit it has: those of the next straight piece of
    /// code, or what an operator that works on much counts. It is what the code says, so no more than a hint.
    pub missing: u64,
}

type Future64 = Pin<Box<dyn Future<Output = u64> + Send>>;
type Source<T> = Box<dyn FnMut(&mut T, UsedUp) -> Future64 + Send>;

/// Who refills a store's meters.
pub(crate) struct Refill<T> {
    source: Source<T>,
    /// Whose meter is used up now.
    at: Option<Exhausted>,
    asked: Option<Future64>,
}

/// What comes of asking.
pub(crate) enum Refilled {
    /// The guest goes on.
    Enough,
    /// Nothing yet.
    Pending,
    /// There is no more: the call ends, where it was stopped.
    Refused(Exhausted),
    /// Who was asked has panicked.
    Panicked(Box<dyn Any + Send>),
}

impl<T> Refill<T> {
    /// A meter is used up.
    pub(crate) fn begin(&mut self, at: Exhausted) {
        self.at = Some(at);
    }

    /// Whether a call waits for more.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.at.is_some()
    }

    /// The call that has waited is over.
    pub(crate) fn give_up(&mut self) {
        (self.at, self.asked) = (None, None);
    }

    /// Asks for more.
    pub(crate) fn poll(&mut self, core: &mut Core, data: &mut T, cx: &mut Context<'_>) -> Refilled {
        let Some(at) = self.at else { return Refilled::Enough };
        let limit = core.arena.meter_limit(at.slot);
        if at.wanted <= limit {
            self.give_up();
            return Refilled::Enough;
        }
        if limit == UNLIMITED {
            return Refilled::Refused(at);
        }
        let used_up = UsedUp { used: core.arena.meter(at.slot), missing: at.wanted - limit };
        let polled = catch_unwind(AssertUnwindSafe(|| {
            let asked = self.asked.get_or_insert_with(|| (self.source)(data, used_up));
            asked.as_mut().poll(cx)
        }));
        match polled {
            Ok(Poll::Pending) => return Refilled::Pending,
            Ok(Poll::Ready(0)) => return Refilled::Refused(at),
            Ok(Poll::Ready(more)) => core.arena.set_meter_limit(at.slot, limit.saturating_add(more)),
            Err(payload) => return Refilled::Panicked(payload),
        }
        self.asked = None;
        if at.wanted <= core.arena.meter_limit(at.slot) {
            self.give_up();
            return Refilled::Enough;
        }
        // Others may have their turn before it is asked for again: what code says it needs may be any number.
        cx.waker().wake_by_ref();
        Refilled::Pending
    }
}

impl<T: 'static> Store<T> {
    /// Lets calls wait for more when a meter of this store is used up, where they would end: those made by
    /// [`crate::TypedFunc::call_async`] or [`crate::Func::call_async`], while the guest is not in a host function. `refill`
    /// is asked, with the store's data, what to add to the limit of the instance; the call goes on when its future says
    /// how much, and ends with [`crate::CallError::MeterExhausted`] if that is 0.
    ///
    /// Where a call is stopped, and what was executed then, depends on the module, its input, the host's answers and
    /// limit alone. What comes of a call, and what it counts, does not depend on where it was stopped.
    ///
    /// ```
    /// use selvedge_runtime::{Limits, Linker, Module, Store};
    ///
    /// # fn wait_for<F: Future>(future: F) -> F::Output {
    /// #     let mut future = std::pin::pin!(future);
    /// #     let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    /// #     loop {
    /// #         if let std::task::Poll::Ready(output) = future.as_mut().poll(&mut cx) {
    /// #             return output;
    /// #         }
    /// #     }
    /// # }
    /// # let wat = r#"(module (func (export "count") (param i32) (result i32) (local i32)
    /// #     (loop (local.set 1 (i32.add (local.get 1) (i32.const 2)))
    /// #         (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 1)))"#;
    /// # let metered = selvedge_compiler::Options { meter: true, ..selvedge_compiler::Options::default() };
    /// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &metered, &())?;
    /// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
    /// // The store's data: how often a tenant may be given another 100 instructions.
    /// let mut store = Store::new(50, Limits { meter_max: 100, ..Limits::default() })?;
    /// store.on_meter_used_up(|rounds, _| {
    ///     *rounds -= 1;
    ///     // Wait here for the tenant's next turn, or for its budget.
    ///     std::future::ready(if *rounds > 0 { 100 } else { 0 })
    /// });
    /// let count = Linker::new().instantiate(&mut store, &module)?.typed_func::<i32, i32>(&store, "count")?;
    /// let sum = wait_for(count.call_async(&mut store, 300))?;
    /// assert_eq!(sum, 600);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn on_meter_used_up<F>(&mut self, mut refill: impl FnMut(&mut T, UsedUp) -> F + Send + 'static)
    where
        F: Future<Output = u64> + Send + 'static,
    {
        let source = Box::new(move |data: &mut T, used_up| Box::pin(refill(data, used_up)) as Future64);
        self.inner.refill = Some(Box::new(Refill { source, at: None, asked: None }));
        self.inner.core.arena.park_at_meter(true);
    }
}
