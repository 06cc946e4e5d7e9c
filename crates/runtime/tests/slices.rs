//! Guests that are stopped at random instructions, moved between threads, killed and dropped at random: those that
//! come to an end have the right result. `SELVEDGE_SLICES` says how many runs; without it, 2,000 or what five seconds
//! are enough for.

mod common;

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use common::{Random, load_with};
use selvedge_compiler::{Cpu, Options};
use selvedge_contract::MemoryLayout;
use selvedge_native::{LesserMachine, pretend};
use selvedge_runtime::{
    CallError, Caller, InstancePre, InterruptHandle, Limits, Linker, Outcome, Pool, PoolLimits, Wait,
};

/// Programs that take long enough to be stopped, each `i32 -> i64`.
const GUEST: &str = r#"(module
    (import "host" "mix" (func $mix (param i64 i64) (result i64)))
    (import "host" "wait" (func $wait (param i64) (result i64)))
    (memory 4 8)
    ;; Vectors: sixteen lanes in flight, whole and floating.
    (func (export "vectors") (param $n i32) (result i64)
        (local $a v128) (local $b v128) (local $c v128) (local $d v128) (local $f v128)
        (local.set $a (v128.const i32x4 1 2 3 4))
        (local.set $b (v128.const i32x4 5 6 7 8))
        (local.set $c (v128.const i32x4 9 10 11 12))
        (local.set $f (v128.const f64x2 1.0 2.0))
        (loop
            (local.set $d (i32x4.add (i32x4.mul (local.get $a) (local.get $b)) (local.get $c)))
            (local.set $a (i8x16.shuffle 3 1 2 0 7 5 6 4 11 9 10 8 15 13 14 12 (local.get $d) (local.get $a)))
            (local.set $b (v128.xor (local.get $b) (i32x4.shl (local.get $d) (i32.const 3))))
            (local.set $c (i64x2.add (local.get $c) (v128.not (local.get $a))))
            (local.set $f (f64x2.sqrt (f64x2.add (local.get $f) (f64x2.splat (f64.convert_i32_u (local.get $n))))))
            (local.set $c (v128.xor (local.get $c) (local.get $f)))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i64.xor (i64x2.extract_lane 0 (local.get $c))
            (i64.add (i64x2.extract_lane 1 (local.get $a)) (i64x2.extract_lane 0 (local.get $b)))))
    ;; Recursion, to the stack's limit and back.
    (func $deep (param $n i32) (param $x i64) (result i64)
        (if (result i64) (i32.eqz (local.get $n))
            (then (local.get $x))
            (else (i64.add
                (call $deep (i32.sub (local.get $n) (i32.const 1))
                    (i64.rotl (i64.xor (local.get $x) (i64.extend_i32_u (local.get $n))) (i64.const 7)))
                (i64.mul (local.get $x) (i64.const 31))))))
    (func (export "deep") (param $n i32) (result i64) (local $s i64)
        (local.set $n (i32.shr_u (local.get $n) (i32.const 8)))
        (loop
            (local.set $s (i64.xor (local.get $s) (call $deep (i32.const 500) (i64.extend_i32_u (local.get $n)))))
            (br_if 0 (i32.gt_s (local.tee $n (i32.sub (local.get $n) (i32.const 1))) (i32.const 0))))
        (local.get $s))
    ;; Bulk operations, whose work the host does.
    (func (export "bulk") (param $n i32) (result i64) (local $s i64)
        (local.set $n (i32.shr_u (local.get $n) (i32.const 6)))
        (loop
            (memory.fill (i32.and (i32.mul (local.get $n) (i32.const 977)) (i32.const 65535)) (local.get $n) (i32.const 777))
            (memory.copy (i32.const 65536) (i32.const 0) (i32.const 4096))
            (local.set $s (i64.add (i64.mul (local.get $s) (i64.const 33))
                (i64.load (i32.add (i32.const 65536) (i32.and (local.get $n) (i32.const 4088))))))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $s))
    ;; Calls of the host.
    (func (export "calls") (param $n i32) (result i64) (local $s i64)
        (loop
            (local.set $s (call $mix (local.get $s) (i64.extend_i32_u (local.get $n))))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $s))
    ;; Calls of the host that suspend.
    (func (export "waits") (param $n i32) (result i64) (local $s i64)
        (local.set $n (i32.shr_u (local.get $n) (i32.const 7)))
        (loop
            (local.set $s (i64.add (i64.rotl (local.get $s) (i64.const 5)) (call $wait (i64.extend_i32_u (local.get $n)))))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $s))
    ;; Flags, division and carries.
    (func (export "numbers") (param $n i32) (result i64) (local $s i64) (local $f f32)
        (local.set $f (f32.const 1.5))
        (loop
            (local.set $s (i64.add (i64.rem_u (i64.mul (local.get $s) (i64.const 6364136223846793005)) (i64.const 1000000007))
                (select (i64.const 3) (i64.const 5) (i64.lt_u (local.get $s) (i64.extend_i32_u (local.get $n))))))
            (local.set $f (f32.div (f32.add (local.get $f) (f32.const 3)) (f32.const 1.25)))
            (i64.store (i32.and (local.get $n) (i32.const 0xfff8)) (local.get $s))
            (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i64.xor (local.get $s) (i64.extend_i32_u (i32.reinterpret_f32 (local.get $f))))))"#;

const PROGRAMS: [&str; 6] = ["vectors", "deep", "bulk", "calls", "waits", "numbers"];
/// Iterations of a program: some hundred microseconds.
const SIZES: [i32; 3] = [2_000, 20_000, 40_000];

fn runs() -> (u64, Duration) {
    match std::env::var("SELVEDGE_SLICES") {
        Ok(runs) => (runs.parse().expect("SELVEDGE_SLICES is a number"), Duration::MAX),
        Err(_) => (2_000, Duration::from_secs(5)),
    }
}

/// Pending once.
#[derive(Default)]
struct Once(bool);

impl Future for Once {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if std::mem::replace(&mut self.0, true) {
            return Poll::Ready(());
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

fn prepared(options: &Options) -> InstancePre<u64> {
    let mut linker = Linker::<u64>::new();
    linker.func_wrap("host", "mix", |mut caller: Caller<'_, u64>, a: i64, b: i64| {
        *caller.data_mut() += 1;
        a.rotate_left(3) ^ b.wrapping_mul(0x9e37_79b9)
    });
    linker.func_wrap_async("host", "wait", |mut caller: Caller<'_, u64>, (a,): (i64,)| {
        *caller.data_mut() += 1;
        Ok(Outcome::Wait(Wait::new(Once::default(), move |_, ()| Ok(Outcome::Ready(a * 3)))))
    });
    linker.prepare(&load_with(GUEST, options)).unwrap()
}

/// The smallest stack that "deep" has room on, so that it is stopped near its limit, too.
fn pool() -> Pool {
    let store = Limits { stack_bytes: 64 << 10, ..Limits::default() };
    Pool::new(PoolLimits { store, ..PoolLimits::guarded(32) }).unwrap()
}

type Ended = Result<i64, CallError>;
type Run = Pin<Box<dyn Future<Output = Ended> + Send>>;

struct Task {
    handle: InterruptHandle,
    expected: i64,
    killed: Arc<AtomicBool>,
    run: Run,
}

/// What the threads share.
struct Shared {
    pool: Pool,
    pre: InstancePre<u64>,
    expected: Vec<i64>,
    queue: Mutex<Vec<Task>>,
    /// Whom the preemptor stops and the killer kills.
    live: Mutex<Vec<(InterruptHandle, Arc<AtomicBool>)>>,
    over: AtomicBool,
    pending: AtomicU64,
    right: AtomicU64,
    killed: AtomicU64,
    dropped: AtomicU64,
}

fn expected(pool: &Pool, pre: &InstancePre<u64>) -> Vec<i64> {
    let cases = PROGRAMS.iter().flat_map(|program| SIZES.map(|size| (program, size)));
    let run = |(program, size): (&&str, i32)| {
        let (mut store, instance) = pool.instantiate(pre, 0).unwrap();
        instance.typed_func::<i32, i64>(&store, program).unwrap().call(&mut store, size).unwrap()
    };
    cases.map(run).collect()
}

impl Shared {
    fn new(options: &Options) -> Shared {
        let (pool, pre) = (pool(), prepared(options));
        Shared {
            expected: expected(&pool, &pre),
            pool,
            pre,
            queue: Mutex::default(),
            live: Mutex::default(),
            over: AtomicBool::new(false),
            pending: AtomicU64::new(0),
            right: AtomicU64::new(0),
            killed: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
        }
    }

    fn task(&self, random: &mut Random) -> Task {
        let case = random.below(self.expected.len() as u64) as usize;
        let (mut store, instance) = self.pool.instantiate(&self.pre, 0).unwrap();
        let (handle, killed) = (store.interrupt_handle(), Arc::<AtomicBool>::default());
        let call = instance.typed_func::<i32, i64>(&store, PROGRAMS[case / SIZES.len()]).unwrap();
        let run = async move { call.call_async(&mut store, SIZES[case % SIZES.len()]).await };
        self.live.lock().unwrap().push((handle.clone(), killed.clone()));
        Task { handle, expected: self.expected[case], killed, run: Box::pin(run) }
    }

    /// Polls a task once; whether it is over.
    fn step(&self, task: &mut Task) -> bool {
        match task.run.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Pending => {
                self.pending.fetch_add(1, Ordering::Relaxed);
                return false;
            }
            Poll::Ready(Ok(result)) => {
                assert_eq!(result, task.expected);
                self.right.fetch_add(1, Ordering::Relaxed);
            }
            Poll::Ready(Err(CallError::Interrupted(_))) => {
                assert!(task.killed.load(Ordering::SeqCst), "nobody asked for it");
                self.killed.fetch_add(1, Ordering::Relaxed);
            }
            Poll::Ready(Err(other)) => panic!("{other}"),
        }
        assert!(!task.handle.is_pending() || task.killed.load(Ordering::SeqCst));
        true
    }

    /// Polls whatever is there, on a stack of tasks that other threads take from.
    fn work(&self, mut random: Random) {
        while let Some(mut task) = self.take(&mut random) {
            if self.step(&mut task) || random.below(400) == 0 {
                self.dropped.fetch_add(1, Ordering::Relaxed);
                self.live.lock().unwrap().retain(|(_, killed)| !Arc::ptr_eq(killed, &task.killed));
                continue;
            }
            self.queue.lock().unwrap().push(task);
        }
    }

    fn take(&self, random: &mut Random) -> Option<Task> {
        let mut queue = self.queue.lock().unwrap();
        if queue.len() < 6 && !self.over.load(Ordering::Relaxed) {
            drop(queue);
            return Some(self.task(random));
        }
        let at = random.below(queue.len().max(1) as u64) as usize;
        (!queue.is_empty()).then(|| queue.swap_remove(at))
    }

    /// Stops whoever is there, at random times, and now and then kills one.
    fn disturb(&self, mut random: Random) {
        while !self.over.load(Ordering::Relaxed) {
            (0..random.below(3_000)).for_each(|_| std::hint::spin_loop());
            let live = self.live.lock().unwrap();
            let Some((handle, killed)) = live.get(random.below(live.len().max(1) as u64) as usize) else { continue };
            if random.below(200) == 0 {
                killed.store(true, Ordering::SeqCst);
                handle.interrupt();
            } else {
                handle.preempt();
            }
        }
    }
}

fn stress(options: &Options, seed: u64) {
    let (shared, (runs, patience), begin) = (Shared::new(options), runs(), Instant::now());
    let done = || shared.dropped.load(Ordering::Relaxed);
    std::thread::scope(|scope| {
        let workers = [1, 2].map(|n| {
            scope.spawn({
                let shared = &shared;
                move || shared.work(Random(seed ^ n))
            })
        });
        let disturbers = [3, 4].map(|n| {
            scope.spawn({
                let shared = &shared;
                move || shared.disturb(Random(seed ^ n))
            })
        });
        while done() < runs && begin.elapsed() < patience && !workers.iter().any(|worker| worker.is_finished()) {
            std::thread::sleep(Duration::from_millis(1));
        }
        shared.over.store(true, Ordering::Relaxed);
        workers.into_iter().chain(disturbers).for_each(|thread| thread.join().unwrap());
    });
    let of = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let (right, killed, pending) = (of(&shared.right), of(&shared.killed), of(&shared.pending));
    println!("{right} right, {killed} killed, {} in all, {pending} times pending", done());
    assert!(right > 0 && pending > right / 2, "it is not vain");
}

/// Tells a child which machine to be, and which processor its guests are for.
const CHILD: &str = "SELVEDGE_TEST_MACHINE";

#[test]
fn programs_that_are_stopped_anywhere_and_moved_have_the_right_results() {
    let cpu = match std::env::var(CHILD).as_deref() {
        Err(_) => Cpu::Baseline,
        Ok(name) => {
            let (_, machine, cpu) = LESSER.into_iter().find(|(lesser, ..)| *lesser == name).expect("a lesser machine");
            assert!(pretend(machine), "nothing has run yet");
            println!("on a machine {name}");
            cpu
        }
    };
    stress(&Options { cpu, ..Options::default() }, 0xfeed);
}

/// Machines that have less than this one may have.
const LESSER: [(&str, LesserMachine, Cpu); 3] = [
    ("without xsave", LesserMachine::WithoutXsave, Cpu::Baseline),
    ("without AVX", LesserMachine::WithoutAvx, Cpu::Baseline),
    ("without AVX-512", LesserMachine::WithoutAvx512, Cpu::Native),
];

/// What the processor has is asked once in a process: each lesser machine is one of its own. Guests for AVX-512 use its
/// instructions, and none of its registers.
#[test]
fn so_do_they_on_machines_with_fewer_registers() {
    for (name, ..) in LESSER {
        let output = Command::new(std::env::current_exe().unwrap())
            .args(["programs_that_are_stopped_anywhere_and_moved_have_the_right_results", "--exact", "--nocapture"])
            .env("SELVEDGE_SLICES", "300")
            .env(CHILD, name)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said} {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("on a machine {name}")), "{said}");
    }
}

#[test]
fn so_do_they_in_dense_memory_with_all_the_machine_has() {
    stress(&Options { memory: MemoryLayout::Dense, cpu: Cpu::Native, ..Options::default() }, 0xcafe);
}
