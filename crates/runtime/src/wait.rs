//! What a host function waits for, and how it goes on then.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use selvedge_native::{RawValue, SlotId};

use crate::context::ContextMut;
use crate::core::StoreId;
use crate::error::HostError;
use crate::host::{Caller, foreign_handle, too_few_values};
use crate::typed::WasmResults;

/// What a host function that may wait comes to; see [`crate::Linker::func_wrap_async`].
pub enum Outcome<T: 'static, R> {
    /// These results, at once.
    Ready(R),
    /// It must wait.
    Wait(Wait<T, R>),
}

/// What a host function waits for, and how it goes on.
pub struct Wait<T: 'static, R> {
    pause: Pin<Box<dyn Pause<T>>>,
    marker: PhantomData<fn() -> R>,
}

impl<T: 'static, R: WasmResults + 'static> Wait<T, R> {
    /// Waits for `future`; then `finish` turns its output into results, with the store at hand, or waits again.
    /// If the call ends before, the future is dropped.
    pub fn new<F>(
        future: F,
        finish: impl FnOnce(Caller<'_, T>, F::Output) -> Result<Outcome<T, R>, HostError> + Send + 'static,
    ) -> Wait<T, R>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let paused = Paused {
            future: Some(future),
            output: None,
            finish: Some(finish),
            caller: SlotId(0),
            results: PhantomData::<fn() -> R>,
        };
        Wait { pause: Box::pin(paused), marker: PhantomData }
    }
}

impl<T: 'static, R: WasmResults + 'static> Outcome<T, R> {
    /// Stores the results, or returns what is waited for, its results' types forgotten.
    pub(crate) fn settle(self, slot: SlotId, values: &mut [RawValue], store: StoreId) -> Settled<T> {
        match self {
            Outcome::Ready(results) if values.len() < R::COUNT => {
                drop(results);
                Err(too_few_values())
            }
            Outcome::Ready(results) => results.store(values, store).map(|()| None).ok_or_else(foreign_handle),
            Outcome::Wait(Wait { mut pause, .. }) => {
                pause.as_mut().called_by(slot);
                Ok(Some(Waiting(pause)))
            }
        }
    }
}

/// `None` once there are results.
pub(crate) type Settled<T> = Result<Option<Waiting<T>>, HostError>;

/// What a call waits for in a host function. A store has room for one, and there may be a million stores.
pub(crate) struct Waiting<T: 'static>(Pin<Box<dyn Pause<T>>>);

impl<T: 'static> Waiting<T> {
    /// Ready when the function can go on: not to be polled after that.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx)
    }

    /// Lets the function go on, once it is ready: results go to `values`.
    pub(crate) fn finish(mut self, context: &mut ContextMut<'_, T>, values: &mut [RawValue]) -> Settled<T> {
        self.0.as_mut().finish(context, values)
    }
}

/// A [`Paused`], its types forgotten.
trait Pause<T: 'static>: Send {
    /// Notes the instance that has called.
    fn called_by(self: Pin<&mut Self>, slot: SlotId);

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()>;

    fn finish(self: Pin<&mut Self>, context: &mut ContextMut<'_, T>, values: &mut [RawValue]) -> Settled<T>;
}

pin_project! {
    /// In one piece, so that waiting allocates once.
    struct Paused<F: Future, G, R> {
        // Until it is ready.
        #[pin]
        future: Option<F>,
        output: Option<F::Output>,
        finish: Option<G>,
        // The instance that has called.
        caller: SlotId,
        results: PhantomData<fn() -> R>,
    }
}

impl<T, R, F, G> Pause<T> for Paused<F, G, R>
where
    T: 'static,
    R: WasmResults + 'static,
    F: Future<Output: Send> + Send,
    G: FnOnce(Caller<'_, T>, F::Output) -> Result<Outcome<T, R>, HostError> + Send,
{
    fn called_by(self: Pin<&mut Self>, slot: SlotId) {
        *self.project().caller = slot;
    }

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(future) = this.future.as_mut().as_pin_mut() else { return Poll::Ready(()) };
        let Poll::Ready(output) = future.poll(cx) else { return Poll::Pending };
        *this.output = Some(output);
        this.future.set(None);
        Poll::Ready(())
    }

    fn finish(self: Pin<&mut Self>, context: &mut ContextMut<'_, T>, values: &mut [RawValue]) -> Settled<T> {
        let this = self.project();
        let slot = *this.caller;
        let (output, finish) = this.output.take().zip(this.finish.take()).expect("it is ready, and finished once");
        let store = context.inner.core.id;
        finish(Caller::new(context, slot), output)?.settle(slot, values, store)
    }
}
