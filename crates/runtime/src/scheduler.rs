//! More calls than threads, in fair shares.
//!
//! ```text
//!   spawn(tenant, future) ─► tenant's queue ─┐                        ┌─ Pending: its slice is used up, or it waits
//!                                            ├─► worker: one poll ────┤
//!   spawn(tenant, future) ─► tenant's queue ─┘   of who has had least └─ Ready ─► Job
//! ```
//!
//! What is scheduled are futures, as any executor's: what makes them fair is that [`crate::TypedFunc::call_async`]
//! gives way when its slice is used up, and that the CPU time of each poll is charged to a tenant. The tenant that
//! has had least, by its weight, is served first; its own jobs take turns. A tenant that comes back from idleness
//! begins where the others are: it saves nothing up.
//!
//! A [`Job`] is a future of its own, so an executor for I/O awaits it while the guest runs here.
//!
//! Futures are polled and dropped under no lock.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::future::Future;
use std::num::NonZeroU32;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Wake, Waker};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use selvedge_native::{CpuClock, NativeError};

use crate::job::{self, Job, JobError};
use crate::ticker;

/// What a scheduler has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SchedulerLimits {
    /// Threads.
    pub workers: usize,
    /// How long a call runs at once while others wait; a store's own [`crate::TimeLimits::slice`] comes first.
    pub slice: Duration,
    /// Jobs at once, running, queued and waiting.
    pub jobs_max: usize,
}

impl Default for SchedulerLimits {
    /// A worker for each processor, slices of two milliseconds.
    fn default() -> SchedulerLimits {
        let workers = std::thread::available_parallelism().map_or(1, usize::from);
        SchedulerLimits { workers, slice: Duration::from_millis(2), jobs_max: 100_000 }
    }
}

/// Threads that run jobs. Dropping it ends the jobs: they are dropped at the end of their slices.
///
/// ```
/// use std::num::NonZeroU32;
/// use selvedge_runtime::{Limits, Linker, Module, Scheduler, SchedulerLimits, Store};
///
/// # let wat = r#"(module (func (export "spin") (loop (br 0))) (func (export "answer") (result i32) (i32.const 42)))"#;
/// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
/// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
/// let instantiate = || {
///     let mut store = Store::new((), Limits::default()).unwrap();
///     let instance = Linker::new().instantiate(&mut store, &module).unwrap();
///     (store, instance)
/// };
/// let scheduler = Scheduler::new(SchedulerLimits { workers: 1, ..SchedulerLimits::default() })?;
/// let (busy, other) = (scheduler.tenant(NonZeroU32::MIN), scheduler.tenant(NonZeroU32::MIN));
///
/// // One tenant's guest spins, on the only worker.
/// let (mut store, instance) = instantiate();
/// let spin = instance.typed_func::<(), ()>(&store, "spin")?;
/// let spinning = scheduler.spawn(&busy, async move { spin.call_async(&mut store, ()).await })?;
///
/// // The other has its share all the same. An executor would await the job.
/// let (mut store, instance) = instantiate();
/// let answer = instance.typed_func::<(), i32>(&store, "answer")?;
/// let job = scheduler.spawn(&other, async move { answer.call_async(&mut store, ()).await })?;
/// assert_eq!(job.wait()??, 42);
///
/// // Dropped, a job is given up.
/// drop(spinning);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Scheduler {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

/// Whoever jobs are run for. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Tenant(Arc<TenantState>);

#[derive(Debug)]
struct TenantState {
    number: u64,
    weight: NonZeroU32,
    used_ns: AtomicU64,
}

impl Tenant {
    /// CPU time of its jobs so far, those that run now not yet counted.
    pub fn cpu_time(&self) -> Duration {
        Duration::from_nanos(self.0.used_ns.load(Ordering::Relaxed))
    }

    /// Its share, beside the weights of the others.
    pub fn weight(&self) -> NonZeroU32 {
        self.0.weight
    }
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
    limits: SchedulerLimits,
    /// Jobs that want a worker: the ticker ends slices only then.
    crowd: Arc<AtomicUsize>,
    next_number: AtomicU64,
}

/// CPU time by weight, scaled.
type Share = u128;
const SHARE_SCALE: u128 = 1 << 20;
/// What a poll costs at least.
const CHARGE_NS_MIN: u64 = 1_000;

#[derive(Default, Debug)]
struct Queue {
    /// Tenants with jobs in their queues, by what they have had.
    order: BTreeSet<(Share, u64)>,
    tenants: HashMap<u64, Account>,
    /// What the tenant that was served last had had: nobody who comes has had less.
    floor: Share,
    /// All jobs, to be ended with the scheduler.
    jobs: HashMap<u64, Weak<Task>>,
    closed: bool,
}

/// A tenant while it has jobs that run or wait for a worker, and what it has had.
#[derive(Default, Debug)]
struct Account {
    had: Share,
    queue: VecDeque<Arc<Task>>,
    /// Jobs of its that are polled now.
    running: usize,
}

type Work = Pin<Box<dyn Future<Output = ()> + Send>>;

struct Task {
    number: u64,
    shared: Arc<Shared>,
    tenant: Arc<TenantState>,
    state: AtomicU8,
    given_up: AtomicBool,
    /// Taken when it is over.
    work: Mutex<Option<Work>>,
}

impl std::fmt::Debug for Task {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Task").field("number", &self.number).field("tenant", &self.tenant).finish_non_exhaustive()
    }
}

/// Where a task is.
mod state {
    /// It waits for a waker.
    pub(super) const IDLE: u8 = 0;
    /// It waits for a worker.
    pub(super) const QUEUED: u8 = 1;
    pub(super) const RUNNING: u8 = 2;
    /// It runs, and wants to again.
    pub(super) const WOKEN: u8 = 3;
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Scheduler {
    /// Starts the workers.
    ///
    /// # Errors
    /// If the operating system gives no threads.
    pub fn new(limits: SchedulerLimits) -> Result<Scheduler, NativeError> {
        ticker::ensure().map_err(NativeError::Thread)?;
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            ready: Condvar::new(),
            limits,
            crowd: Arc::default(),
            next_number: AtomicU64::new(0),
        });
        let mut scheduler = Scheduler { shared, workers: Vec::new() };
        for number in 0..limits.workers.max(1) {
            let shared = scheduler.shared.clone();
            let thread = Builder::new().name(format!("selvedge-{number}"));
            scheduler.workers.push(thread.spawn(move || shared.work()).map_err(NativeError::Thread)?);
        }
        Ok(scheduler)
    }

    /// A new tenant. Shares of CPU time are as the weights of those who have work.
    pub fn tenant(&self, weight: NonZeroU32) -> Tenant {
        Tenant(Arc::new(TenantState { number: self.shared.number(), weight, used_ns: AtomicU64::new(0) }))
    }

    /// Runs a future for a tenant; what comes of it is the job's.
    ///
    /// # Errors
    /// [`JobError::Full`] with [`SchedulerLimits::jobs_max`] jobs.
    pub fn spawn<F>(&self, tenant: &Tenant, future: F) -> Result<Job<F::Output>, JobError>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let (work, result) = job::wrap(future);
        let task = Arc::new(Task {
            number: self.shared.number(),
            shared: self.shared.clone(),
            tenant: tenant.0.clone(),
            state: AtomicU8::new(state::IDLE),
            given_up: AtomicBool::new(false),
            work: Mutex::new(Some(work)),
        });
        {
            let mut queue = lock(&self.shared.queue);
            if queue.jobs.len() >= self.shared.limits.jobs_max {
                drop(queue);
                return Err(JobError::Full(self.shared.limits.jobs_max));
            }
            queue.jobs.insert(task.number, Arc::downgrade(&task));
        }
        task.clone().wake();
        Ok(Job::new(result, move || task.give_up()))
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        lock(&self.shared.queue).closed = true;
        // Whatever runs gives way.
        self.shared.crowd.fetch_add(1, Ordering::SeqCst);
        self.shared.ready.notify_all();
        for worker in self.workers.drain(..) {
            // What panics in a job is caught there.
            let _ = worker.join();
        }
        let (left, queued) = {
            let mut queue = lock(&self.shared.queue);
            let left: Vec<_> = queue.jobs.values().filter_map(Weak::upgrade).collect();
            (left, std::mem::take(&mut queue.tenants))
        };
        left.iter().for_each(|task| task.end());
        drop(queued);
    }
}

impl Shared {
    fn number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// What each worker does.
    fn work(&self) {
        ticker::share_thread(self.limits.slice, self.crowd.clone());
        while let Some(task) = self.next() {
            let begin = CpuClock::this_thread();
            let again = task.run();
            let used = CpuClock::this_thread().saturating_sub(begin);
            self.finish(task, used, again);
        }
    }

    /// The next task of the tenant that has had least; `None` when the scheduler is closed.
    fn next(&self) -> Option<Arc<Task>> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.closed {
                return None;
            }
            if let Some(task) = queue.pop() {
                self.crowd.fetch_sub(1, Ordering::SeqCst);
                task.state.store(state::RUNNING, Ordering::SeqCst);
                return Some(task);
            }
            queue = self.ready.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Queues a task that wants a worker; it is counted in the crowd already.
    fn push(&self, task: Arc<Task>) {
        let mut queue = lock(&self.queue);
        if queue.closed {
            drop(queue);
            return task.end();
        }
        queue.push(task);
        drop(queue);
        self.ready.notify_one();
    }

    /// Charges a poll, and queues the task again if it wants to.
    fn finish(&self, task: Arc<Task>, used: Duration, again: bool) {
        let ns = (used.as_nanos() as u64).max(CHARGE_NS_MIN);
        task.tenant.used_ns.fetch_add(ns, Ordering::Relaxed);
        let mut queue = lock(&self.queue);
        let over = again && queue.closed;
        if again && !over {
            queue.push(task.clone());
        }
        queue.charge(&task.tenant, ns);
        drop(queue);
        if over {
            task.end();
        }
    }
}

impl Queue {
    fn pop(&mut self) -> Option<Arc<Task>> {
        let (had, tenant) = self.order.pop_first()?;
        self.floor = self.floor.max(had);
        let account = self.tenants.get_mut(&tenant)?;
        let task = account.queue.pop_front()?;
        account.running += 1;
        if !account.queue.is_empty() {
            self.order.insert((had, tenant));
        }
        Some(task)
    }

    fn push(&mut self, task: Arc<Task>) {
        let tenant = task.tenant.number;
        let account = self.tenants.entry(tenant).or_default();
        if account.queue.is_empty() && account.running == 0 {
            account.had = account.had.max(self.floor);
        }
        account.queue.push_back(task);
        self.order.insert((account.had, tenant));
    }

    fn charge(&mut self, tenant: &TenantState, ns: u64) {
        let Some(account) = self.tenants.get_mut(&tenant.number) else { return };
        let queued = self.order.remove(&(account.had, tenant.number));
        account.had += u128::from(ns) * SHARE_SCALE / u128::from(tenant.weight.get());
        account.running -= 1;
        if queued {
            self.order.insert((account.had, tenant.number));
        }
        // Who is idle and has had no more than others is as new.
        if self.tenants.len() > 2 * self.jobs.len() + 64 {
            let floor = self.floor;
            self.tenants.retain(|_, a| a.running > 0 || !a.queue.is_empty() || a.had > floor);
        }
    }
}

impl Task {
    /// Polls it once; whether it wants to run again.
    fn run(self: &Arc<Self>) -> bool {
        let waker = Waker::from(self.clone());
        let done = self.given_up.load(Ordering::SeqCst) || self.poll(&mut Context::from_waker(&waker));
        if done {
            self.end();
            return false;
        }
        let idle = self.state.compare_exchange(state::RUNNING, state::IDLE, Ordering::SeqCst, Ordering::SeqCst);
        if idle.is_err() {
            self.state.store(state::QUEUED, Ordering::SeqCst);
        }
        idle.is_err()
    }

    fn poll(&self, cx: &mut Context<'_>) -> bool {
        // Only the worker that runs it has it locked, and whoever ends what no worker runs.
        let mut work = lock(&self.work);
        let mut polled = |work: &mut Work| catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx).is_ready()));
        // What panics in the job is its result; this is what panics as it is dropped.
        work.as_mut().is_none_or(|work| polled(work).unwrap_or(true))
    }

    /// It is over, or given up: what it holds goes.
    fn end(&self) {
        let work = lock(&self.work).take();
        // A panic of the embedder's must not cost the worker.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(work)));
        lock(&self.shared.queue).jobs.remove(&self.number);
        if self.state.swap(state::QUEUED, Ordering::SeqCst) == state::WOKEN {
            self.shared.crowd.fetch_sub(1, Ordering::SeqCst);
        }
    }

    fn give_up(self: Arc<Self>) {
        self.given_up.store(true, Ordering::SeqCst);
        self.wake();
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        lock(&self.shared.queue).jobs.remove(&self.number);
    }
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        let to = |now| match now {
            state::IDLE => Some(state::QUEUED),
            state::RUNNING => Some(state::WOKEN),
            _ => None,
        };
        let Ok(was) = self.state.fetch_update(Ordering::SeqCst, Ordering::SeqCst, to) else { return };
        self.shared.crowd.fetch_add(1, Ordering::SeqCst);
        if was == state::IDLE {
            let shared = self.shared.clone();
            shared.push(self);
        }
    }
}
