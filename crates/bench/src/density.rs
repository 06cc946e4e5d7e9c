//! `bench density`: as many instances as there can be, all alive in this process and waiting in a host call.
//!
//! Each has written two pages of its memory. What they cost is what the kernel says the process has, pages and page
//! tables, before and after; what the guest touched (two pages of memory, one for stack and context) is taken off to
//! say what is left. The host function is an attempt, so that waiting takes no memory of its own; the host's futures are
//! counted, and the list they are in. What the kernel has beside page tables is a figure of its own. When no more fit, what limited them is printed, and what the operator can raise.

use std::pin::Pin;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Task, Poll, Waker};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::Args;
use selvedge_compiler::Options;
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{
    CallError, Caller, InstancePre, InstantiateError, Limits, Linker, Module, NativeError, Pool, PoolLimits,
};

use crate::ours::load_fresh;
use crate::report::{Figure, Report};

/// Writes what it is given to two pages, waits, and returns the sum of what is there then.
const GUEST: &str = r#"(module (import "host" "wait" (func $wait)) (memory 1 1)
    (func (export "run") (param i32) (result i32)
        (i32.store (i32.const 4) (local.get 0)) (i32.store (i32.const 40000) (local.get 0))
        (call $wait)
        (i32.add (i32.load (i32.const 4)) (i32.load (i32.const 40000)))))"#;

/// Two pages of memory; one for stack and context.
const TOUCHED_BYTES: f64 = 3.0 * 4096.0;
/// Stack of each, the least there is.
const STACK_BYTES: usize = 16 << 10;
/// The bottom of what this measures: fewer are no pool worth its reservation.
const SLOTS_MIN: u32 = 16;

#[derive(Args)]
pub(crate) struct Density {
    /// Print one JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// How many instances with dense memories; 0 to leave them out.
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    dense: u32,
    /// How many instances with guarded memories, at most; they end with the address space. 0 to leave
    /// them out.
    #[arg(long, value_name = "N", default_value_t = 40_000)]
    guarded: u32,
}

/// A call that is under way, with its store: what an executor would have for each, in a list of 16 bytes each.
type Parked = Pin<Box<dyn Future<Output = Result<i32, CallError>> + Send>>;

/// Whether those that wait may go on.
static GO: AtomicBool = AtomicBool::new(false);

/// Runs the verb.
pub(crate) fn run(options: &Density) -> Result<()> {
    // What the allocator keeps of one crowd would be the other's for nothing: each has a process of its own.
    if options.guarded > 0 && options.dense > 0 {
        again(options, options.guarded, 0)?;
        return again(options, 0, options.dense);
    }
    let mut report = Report::new("Instances alive at once, each waiting in a host call", options.json);
    if options.guarded > 0 {
        measure(&mut report, "guarded", MemoryLayout::Guarded, options.guarded)?;
    } else {
        measure(&mut report, "dense", MemoryLayout::Dense, options.dense)?;
    }
    report.finish();
    Ok(())
}

/// Runs this program for one layout.
fn again(options: &Density, guarded: u32, dense: u32) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["density", &format!("--guarded={guarded}"), &format!("--dense={dense}")]);
    command.args(options.json.then_some("--json"));
    let status = command.status().context("cannot start this program again")?;
    ensure!(status.success(), "measuring one layout ended with {status}");
    Ok(())
}

/// One layout: parks and weighs them, resumes them to their ends; each is recycled there.
fn measure(report: &mut Report, name: &str, memory: MemoryLayout, wanted: u32) -> Result<()> {
    let module = load_fresh(&Options { memory, ..Options::default() }, &wat::parse_str(GUEST)?)?;
    let mut linker = Linker::<()>::new();
    linker.func_wrap_poll(
        "host",
        "wait",
        |_: Caller<'_, ()>, _: &mut Task<'_>, ()| {
            if GO.load(Ordering::Relaxed) { Poll::Ready(Ok(())) } else { Poll::Pending }
        },
    );
    let pre = linker.prepare(&module)?;
    GO.store(false, Ordering::Relaxed);
    let before = Usage::now()?;
    let start = Instant::now();
    let mut crowd = Crowd { parked: Vec::with_capacity(wanted as usize), pools: Vec::new() };
    let limited = crowd.grow(&module, &pre, wanted)?;
    let took = start.elapsed();
    let count = crowd.parked.len();
    ensure!(count > 0, "not one instance fits: {}", limited.unwrap_or_default());
    let after = Usage::now()?;
    let each = (after.total() - before.total()) / count as f64;
    let mut add = |what: &str, value: f64, unit| {
        report.add(Figure::new(format!("density/{name}/{what}"), Some(value), None, unit, count));
    };
    add("alive", count as f64, "");
    add("memory", (after.total() - before.total()) / f64::from(1 << 30), "GiB");
    add("each", each, "bytes");
    add("each_page_tables", (after.page_tables - before.page_tables) / count as f64, "bytes");
    add("each_beyond_touched", each - TOUCHED_BYTES, "bytes");
    add("each_of_kernel", (after.kernel - before.kernel) / count as f64, "bytes");
    add("park", nanoseconds(took, count), "ns");
    add("resume", nanoseconds(crowd.end()?, count), "ns");
    if let Some(limited) = limited {
        report.note(&format!("{name}: no more than {count} because {limited}"));
    }
    Ok(())
}

fn nanoseconds(time: Duration, count: usize) -> f64 {
    time.as_nanos() as f64 / count as f64
}

/// The parked, and where they live.
struct Crowd {
    parked: Vec<Parked>,
    pools: Vec<Pool>,
}

impl Crowd {
    /// Parks so many, or as many as there can be; says what there was too little of.
    fn grow(&mut self, module: &Module, pre: &InstancePre<()>, wanted: u32) -> Result<Option<String>> {
        // Address space is in pieces: a pool in each, the largest first.
        let mut slots = wanted;
        while (self.parked.len() as u32) < wanted && slots >= SLOTS_MIN {
            let store = Limits { stack_bytes: STACK_BYTES, ..Limits::default() };
            let pool = Pool::new(PoolLimits { store, ..PoolLimits::fitting(slots, module) });
            let Ok(pool) = pool else {
                slots -= slots.div_ceil(8);
                continue;
            };
            self.pools.push(pool);
            if let Some(refused) = self.fill(pre, slots.min(wanted - self.parked.len() as u32))? {
                return Ok(Some(refused));
            }
            slots = slots.min(wanted - self.parked.len() as u32);
        }
        Ok(((self.parked.len() as u32) < wanted).then(no_more_space))
    }

    /// Parks so many in the last pool; says what the kernel refused.
    fn fill(&mut self, pre: &InstancePre<()>, count: u32) -> Result<Option<String>> {
        let pool = self.pools.last().context("a pool")?;
        let waker = Waker::noop();
        // What the first touches, the others have from the start.
        GO.store(true, Ordering::Relaxed);
        if let Ok((mut store, instance)) = pool.instantiate(pre, ()) {
            let run = instance.typed_func::<i32, i32>(&store, "run")?;
            run.call(&mut store, 1)?;
        }
        GO.store(false, Ordering::Relaxed);
        for number in 0..count {
            let (mut store, instance) = match pool.instantiate(pre, ()) {
                Ok(made) => made,
                Err(InstantiateError::Native(error)) => return Ok(Some(refusal(&error))),
                Err(error) => return Err(error.into()),
            };
            let run = instance.typed_func::<i32, i32>(&store, "run")?;
            let mut parked: Parked =
                Box::pin(async move { run.call_async(&mut store, number as i32 & 0xff_ffff).await });
            if let Poll::Ready(result) = parked.as_mut().poll(&mut Task::from_waker(waker)) {
                bail!("an instance did not wait: {result:?}");
            }
            self.parked.push(parked);
            if number % 4096 == 0
                && let Some(short) = Usage::now()?.short()
            {
                return Ok(Some(short));
            }
        }
        Ok(None)
    }

    /// Resumes all: they return, and are recycled. How long that took.
    fn end(mut self) -> Result<Duration> {
        GO.store(true, Ordering::Relaxed);
        let start = Instant::now();
        for parked in &mut self.parked {
            match parked.as_mut().poll(&mut Task::from_waker(Waker::noop())) {
                Poll::Ready(result) => drop(result?),
                Poll::Pending => bail!("an instance still waits"),
            }
        }
        Ok(start.elapsed())
    }
}

/// Why there is no more address space.
fn no_more_space() -> String {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let own = limits.lines().find_map(|line| line.strip_prefix("Max address space")?.split_whitespace().next());
    match own {
        Some(bytes) if bytes != "unlimited" => {
            format!("the process may have {bytes} bytes of address space: the operator can raise its limit (ulimit -v)")
        }
        _ => "47 bits of address space are used up: nothing can be raised; dense memories need less of it".to_owned(),
    }
}

fn refusal(error: &NativeError) -> String {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default().lines().count();
    let max = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let max = max.trim();
    format!("{error}; the process has {maps} mappings of {max}: the operator can raise vm.max_map_count")
}

/// What the process has, in bytes.
struct Usage {
    resident: f64,
    page_tables: f64,
    /// What the kernel has for itself, on the whole machine: mappings are in it.
    kernel: f64,
    available: f64,
}

impl Usage {
    fn now() -> Result<Usage> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let machine = std::fs::read_to_string("/proc/meminfo")?;
        let field = |text: &str, name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<f64>().ok());
            kib.map(|kib| kib * 1024.0).with_context(|| format!("the kernel does not say {name}"))
        };
        Ok(Usage {
            resident: field(&status, "VmRSS:")?,
            page_tables: field(&status, "VmPTE:")?,
            kernel: field(&machine, "SUnreclaim:")?,
            available: field(&machine, "MemAvailable:")?,
        })
    }

    fn total(&self) -> f64 {
        self.resident + self.page_tables
    }

    /// Whether the machine has too little memory to go on, and why that is.
    fn short(&self) -> Option<String> {
        let left = f64::from(1 << 29);
        (self.available < left).then(|| "the machine has no more memory: the operator can add some".to_owned())
    }
}
