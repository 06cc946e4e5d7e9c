//! What comes of a future that a [`crate::Scheduler`] runs.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use thiserror::Error;

use crate::suspend::block_on;

/// A job without a result.
#[derive(Debug, Error)]
pub enum JobError {
    /// There are as many jobs as there may be. The operator's to size, the embedder's to wait.
    #[error("the scheduler has {0} jobs, all it may have (jobs_max)")]
    Full(usize),
    /// It panicked, with this payload. The embedder's fault.
    #[error("a job panicked")]
    Panicked(Box<dyn Any + Send>),
    /// The scheduler is gone. The embedder's doing.
    #[error("the scheduler was dropped before the job's end")]
    Closed,
}

/// A future that a scheduler runs: awaited for what comes of it, or waited for. Dropped before, it gives the job up,
/// which ends with its slice.
pub struct Job<R> {
    result: Arc<Mutex<Slot<R>>>,
    give_up: Option<Box<dyn FnOnce() + Send + Sync>>,
}

impl<R> std::fmt::Debug for Job<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").finish_non_exhaustive()
    }
}

enum Slot<R> {
    Running(Option<Waker>),
    Ended(Result<R, JobError>),
    Taken,
}

fn lock<R>(slot: &Mutex<Slot<R>>) -> MutexGuard<'_, Slot<R>> {
    slot.lock().unwrap_or_else(PoisonError::into_inner)
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where the result will be.
pub(crate) struct Pending<R>(Arc<Mutex<Slot<R>>>);

/// A future that leaves its result elsewhere, whatever becomes of it.
pub(crate) fn wrap<F>(future: F) -> (Work, Pending<F::Output>)
where
    F: Future<Output: Send> + Send + 'static,
{
    let result = Arc::new(Mutex::new(Slot::Running(None)));
    let end = End(result.clone());
    let work = async move {
        // Dropped at last: if there is no result then, there will be none.
        let end = end;
        let ended = Caught(Box::pin(future)).await;
        end.set(ended.map_err(JobError::Panicked));
    };
    (Box::pin(work), Pending(result))
}

struct End<R>(Arc<Mutex<Slot<R>>>);

impl<R> End<R> {
    fn set(&self, ended: Result<R, JobError>) {
        let mut slot = lock(&self.0);
        if let Slot::Running(waker) = &mut *slot {
            let waker = waker.take();
            *slot = Slot::Ended(ended);
            // Wakers run code of others: under no lock.
            drop(slot);
            if let Some(waker) = waker {
                waker.wake();
            }
        }
    }
}

impl<R> Drop for End<R> {
    fn drop(&mut self) {
        self.set(Err(JobError::Closed));
    }
}

struct Caught<F>(Pin<Box<F>>);

impl<F: Future> Future for Caught<F> {
    type Output = Result<F::Output, Box<dyn Any + Send>>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match catch_unwind(AssertUnwindSafe(|| self.0.as_mut().poll(cx))) {
            Ok(polled) => polled.map(Ok),
            Err(payload) => Poll::Ready(Err(payload)),
        }
    }
}

impl<R> Job<R> {
    pub(crate) fn new(Pending(result): Pending<R>, give_up: impl FnOnce() + Send + Sync + 'static) -> Job<R> {
        Job { result, give_up: Some(Box::new(give_up)) }
    }

    /// Waits on this thread.
    ///
    /// # Errors
    /// If the job panicked, or the scheduler is dropped.
    pub fn wait(self) -> Result<R, JobError> {
        block_on(self)
    }

    /// Lets it run to its end, with nobody to know.
    pub fn detach(mut self) {
        self.give_up = None;
    }
}

impl<R> Future for Job<R> {
    type Output = Result<R, JobError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let new = cx.waker().clone();
        let mut slot = lock(&self.result);
        if let Slot::Running(waker) = &mut *slot {
            let old = waker.replace(new);
            drop(slot);
            drop(old);
            return Poll::Pending;
        }
        let Slot::Ended(ended) = std::mem::replace(&mut *slot, Slot::Taken) else {
            panic!("a job is not polled again after its end")
        };
        drop(slot);
        self.give_up = None;
        Poll::Ready(ended)
    }
}

impl<R> Drop for Job<R> {
    fn drop(&mut self) {
        if let Some(give_up) = self.give_up.take() {
            give_up();
        }
    }
}
