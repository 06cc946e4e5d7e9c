//! Tenants' shares of workers, and what becomes of jobs.

mod common;

use std::future::Future;
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use common::load;
use selvedge_runtime::{
    CallError, Caller, InstancePre, Job, JobError, Limits, Linker, Outcome, Scheduler, SchedulerLimits, Store, Tenant,
    TimeLimits, Wait,
};

const GUEST: &str = r#"(module
    (import "host" "wait" (func $wait (param i32) (result i32)))
    (func (export "loop") (loop (br 0)))
    (func (export "count") (param i32) (result i32) (local $n i32)
        (loop
            (local.set $n (i32.add (local.get $n) (i32.const 3)))
            (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
        (call $wait (local.get $n))))"#;

/// Pending once.
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        cx.waker().wake_by_ref();
        if std::mem::replace(&mut self.0, true) { Poll::Ready(()) } else { Poll::Pending }
    }
}

fn prepared() -> InstancePre<()> {
    let mut linker = Linker::<()>::new();
    linker.func_wrap_async("host", "wait", |_: Caller<'_, ()>, (n,): (i32,)| {
        Ok(Outcome::Wait(Wait::new(Once(false), move |_, ()| Ok(Outcome::Ready(n)))))
    });
    linker.prepare(&load(GUEST)).unwrap()
}

fn scheduler(workers: usize) -> Scheduler {
    Scheduler::new(SchedulerLimits { workers, slice: Duration::from_millis(1), jobs_max: 200 }).unwrap()
}

fn weight(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

/// Calls "count" with this number, in an instance of its own.
async fn count(pre: InstancePre<()>, n: i32) -> Result<i32, CallError> {
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = pre.instantiate(&mut store).unwrap();
    instance.typed_func::<i32, i32>(&store, "count")?.call_async(&mut store, n).await
}

async fn spin(pre: InstancePre<()>) -> Result<(), CallError> {
    let mut store = Store::new((), Limits::default()).unwrap();
    let instance = pre.instantiate(&mut store).unwrap();
    instance.typed_func::<(), ()>(&store, "loop")?.call_async(&mut store, ()).await
}

/// A tenant with so many jobs that work without end, a bit at a time; what is done is counted.
fn busy(scheduler: &Scheduler, tenant: &Tenant, jobs: u32, done: &Arc<AtomicU64>) -> Vec<Job<()>> {
    let pre = prepared();
    let job = || {
        let (pre, done) = (pre.clone(), done.clone());
        async move {
            while count(pre.clone(), 100_000).await.is_ok() {
                done.fetch_add(1, Ordering::Relaxed);
            }
        }
    };
    (0..jobs).map(|_| scheduler.spawn(tenant, job()).unwrap()).collect()
}

/// What two tenants with so many jobs and such weights do while both use so much CPU time together.
fn shares([first, second]: [(u32, u32); 2], workers: usize) -> (f64, f64) {
    let scheduler = scheduler(workers);
    let tenants = [first, second].map(|(_, w)| scheduler.tenant(weight(w)));
    let done = [Arc::<AtomicU64>::default(), Arc::default()];
    let jobs: Vec<_> = [first, second]
        .iter()
        .zip(&tenants)
        .zip(&done)
        .map(|(((jobs, _), tenant), done)| busy(&scheduler, tenant, *jobs, done))
        .collect();
    while tenants.iter().map(Tenant::cpu_time).sum::<Duration>() < Duration::from_millis(600) {
        std::thread::sleep(Duration::from_millis(1));
    }
    let times = tenants.each_ref().map(|tenant| tenant.cpu_time().as_secs_f64());
    let works = done.each_ref().map(|done| done.load(Ordering::Relaxed) as f64);
    drop(jobs);
    (times[0] / times[1], works[0] / works[1])
}

#[test]
fn tenants_have_shares_of_cpu_time_by_their_weights_however_many_jobs_they_have() {
    for (tenants, workers, expected) in
        [([(8, 1), (1, 1)], 1, 1.0), ([(1, 3), (9, 1)], 1, 3.0), ([(16, 1), (4, 2)], 2, 0.5)]
    {
        let (times, works) = shares(tenants, workers);
        println!("{tenants:?}: CPU time {times:.2}, work {works:.2}");
        assert!((0.85..1.18).contains(&(times / expected)), "{tenants:?}: CPU time as {times} to 1");
        assert!((0.7..1.43).contains(&(works / expected)), "{tenants:?}: work as {works} to 1");
    }
}

#[test]
fn a_spinning_tenant_leaves_the_others_theirs() {
    let (scheduler, pre) = (scheduler(2), prepared());
    let (spinner, worker) = (scheduler.tenant(weight(1)), scheduler.tenant(weight(1)));
    let spinning: Vec<_> = (0..20).map(|_| scheduler.spawn(&spinner, spin(pre.clone())).unwrap()).collect();
    let jobs: Vec<_> = (1..100).map(|n| scheduler.spawn(&worker, count(pre.clone(), n * 1_000)).unwrap()).collect();
    for (job, n) in jobs.into_iter().zip(1..) {
        assert_eq!(job.wait().unwrap().unwrap(), n * 3_000);
    }
    assert!(spinner.cpu_time() > Duration::ZERO && worker.cpu_time() > Duration::ZERO);
    drop(spinning);
}

#[test]
fn a_job_that_is_dropped_is_given_up_though_nobody_waits() {
    let (scheduler, pre) = (scheduler(1), prepared());
    let tenant = scheduler.tenant(weight(1));
    for _ in 0..10 {
        let spinning = scheduler.spawn(&tenant, spin(pre.clone())).unwrap();
        while tenant.cpu_time() == Duration::ZERO {
            // It is stopped once, for this one.
            scheduler.spawn(&tenant, async {}).unwrap().wait().unwrap();
        }
        drop(spinning);
        assert_eq!(scheduler.spawn(&tenant, count(pre.clone(), 7)).unwrap().wait().unwrap().unwrap(), 21);
    }
}

/// Counts the polls of a future.
struct Polls<F>(Pin<Box<F>>, Arc<AtomicU64>);

impl<F: Future> Future for Polls<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.1.fetch_add(1, Ordering::SeqCst);
        self.0.as_mut().poll(cx)
    }
}

#[test]
fn who_is_alone_is_not_stopped_and_a_slice_of_its_own_is_kept() {
    let (scheduler, pre) = (scheduler(1), prepared());
    let tenant = scheduler.tenant(weight(1));
    let polls = Arc::<AtomicU64>::default();
    let alone = Polls(Box::pin(count(pre.clone(), 200_000_000)), polls.clone());
    assert_eq!(scheduler.spawn(&tenant, alone).unwrap().wait().unwrap().unwrap(), 600_000_000);
    // It waits once.
    assert_eq!(polls.swap(0, Ordering::SeqCst), 2);
    // Others wait, but a slice of an hour is not used up.
    let own = async move {
        let time = TimeLimits { slice: Some(Duration::from_secs(3_600)), ..TimeLimits::NONE };
        let mut store = Store::new((), Limits { time, ..Limits::default() }).unwrap();
        let instance = pre.instantiate(&mut store).unwrap();
        instance.typed_func::<i32, i32>(&store, "count").unwrap().call_async(&mut store, 100_000_000).await
    };
    let own = scheduler.spawn(&tenant, Polls(Box::pin(own), polls.clone())).unwrap();
    let other = scheduler.spawn(&tenant, async {}).unwrap();
    assert_eq!(own.wait().unwrap().unwrap(), 300_000_000);
    other.wait().unwrap();
    assert_eq!(polls.load(Ordering::SeqCst), 2);
}

#[test]
fn jobs_end_with_what_became_of_them() {
    let (scheduler, pre) = (scheduler(1), prepared());
    let tenant = scheduler.tenant(weight(5));
    let panics = scheduler.spawn(&tenant, async { panic!("oh no") }).unwrap();
    assert!(matches!(panics.wait(), Err(JobError::Panicked(_))));
    // The one before may not have gone yet.
    let pending = || scheduler.spawn(&tenant, std::future::pending::<()>());
    let waits: Vec<_> = std::iter::repeat_with(pending).map_while(Result::ok).take(300).collect();
    assert!((199..=200).contains(&waits.len()));
    assert!(matches!(scheduler.spawn(&tenant, async {}), Err(JobError::Full(200))) || waits.len() < 200);
    drop(waits);
    let detached = Arc::<AtomicU64>::default();
    let say = detached.clone();
    // What was given up is dropped when its turn comes.
    let job = loop {
        let say = say.clone();
        match scheduler.spawn(&tenant, async move { say.store(1, Ordering::SeqCst) }) {
            Ok(job) => break job,
            Err(_) => std::thread::yield_now(),
        }
    };
    job.detach();
    while detached.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
    let endless = [scheduler.spawn(&tenant, spin(pre.clone())), scheduler.spawn(&tenant, spin(pre))];
    let waiting = scheduler.spawn(&tenant, std::future::pending::<()>()).unwrap();
    drop(scheduler);
    assert!(endless.into_iter().all(|job| matches!(job.unwrap().wait(), Err(JobError::Closed))));
    assert!(matches!(waiting.wait(), Err(JobError::Closed)));
}
