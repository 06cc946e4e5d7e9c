//! A long run in which all goes wrong that can, and what is left of it: nothing, if the server is sound.
//!
//! ```text
//!   life of a server:  phase ─► accounts ─► phase ─► accounts ─► … ─► killed in the middle of requests ─► next life
//! ```
//!
//! In a phase clients ask, well and badly, while versions are deployed and taken back. Then everything must be as
//! before: no instance at work, no more descriptors and tasks than after the first phase, hardly more threads and memory.
//! Every request was answered once, with an id of its own, which both sides have counted; requests whose clients went
//! away, in every other phase, at most once. The next life must answer with the last version that was acknowledged in
//! the one before.

mod clients;
mod versions;

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::process::{Cores, Held, Server};
use super::{Bed, Edge};
use crate::report::{Figure, Report};
use clients::{Client, Manners, Tally};
use versions::Versions;

/// The sites, each at the host of its name.
const SITES: [&str; 2] = ["one", "two"];
const CLIENTS: u64 = 6;
const LIVES: u64 = 2;
const PHASES: u64 = 4;
const SLOTS: u64 = 16;
/// Limits that are reached often, and never by what is answered well.
const LIMITS: &str = r#"
[limits]
memory = "4MiB"
wall = "3s"
cpu = "200ms"
instances = 12
queue = 12
request_body = "64KiB"
log = "1KiB"
"#;
/// What a server may hold more of than after its first phase: its allocator keeps what it was given in pieces.
const MEMORY_GROWTH_BYTES_MAX: u64 = 24 << 20;
/// Threads that the runtime keeps for a while for blocking work.
const THREADS_MORE_MAX: u64 = 8;
/// Time in which what is over is gone.
const SETTLED_WITHIN: Duration = Duration::from_secs(30);

pub(super) fn measure(report: &mut Report, options: &Edge, cores: &Cores, bed: &Bed) -> Result<()> {
    let operations = options.operations.unwrap_or(options.pick(100_000, 2_000));
    let versions = Versions::new(&bed.soak)?;
    let limits = format!("slots = {SLOTS}\n{LIMITS}");
    let mut total = Tally::default();
    let mut growth = 0;
    for life in 0..LIVES {
        let server = bed.ours(cores, false, "soak", &limits)?;
        let soak = Soak { server: &server, versions: &versions };
        soak.begin(life)?;
        let mut first = None;
        for phase in 0..PHASES {
            let manners = if phase % 2 == 0 { Manners::Good } else { Manners::Bad };
            let seed = life * PHASES + phase + 1;
            let tally = soak.phase(seed, operations / (LIVES * PHASES), manners)?;
            let held = soak.settled(first)?;
            let first = *first.get_or_insert(held);
            growth = growth.max(held.memory_bytes.saturating_sub(first.memory_bytes));
            total.add(tally)?;
        }
        soak.answer_the_last()?;
        soak.leave_in_the_middle(life)?;
    }
    ensure!(2 * total.fine() > total.answered(), "of {} answers only {} are fine", total.answered(), total.fine());
    let mut add = |name: &str, value: u64, unit| {
        report.add(Figure::new(format!("edge/soak/{name}"), Some(value as f64), None, unit, 1));
    };
    add("answered", total.answered(), "");
    add("of_these_failures", total.answered() - total.fine(), "");
    add("clients_gone", total.abandoned, "");
    add("switches", versions.switches(), "");
    add("memory_growth", growth >> 20, "MiB");
    Ok(())
}

/// One life of a server.
struct Soak<'s> {
    server: &'s Server,
    versions: &'s Versions,
}

impl Soak<'_> {
    /// A first version of each site, or what the last life has left.
    fn begin(&self, life: u64) -> Result<()> {
        match life {
            0 => SITES.iter().try_for_each(|site| self.versions.deploy(self.server, site)),
            _ => self.answer_the_last(),
        }?;
        // The first program that waits starts the thread that waits for all: what that holds is there from now on.
        Client::new(self.server.address, 0).wait()
    }

    /// Clients ask, and versions are switched, until so many operations are done; then both sides' accounts are
    /// compared.
    fn phase(&self, seed: u64, operations: u64, manners: Manners) -> Result<Tally> {
        let before = self.counted()?;
        let (left, over) = (AtomicU64::new(operations), AtomicBool::new(false));
        let total = Mutex::new(Tally::default());
        let ask = |number: u64| -> Result<()> {
            let mut client = Client::new(self.server.address, seed * CLIENTS + number);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_ok() {
                client.operate(manners)?;
            }
            total.lock().expect("no client panics holding it").add(client.tally)
        };
        std::thread::scope(|scope| {
            let asking: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || ask(number))).collect();
            let switching = scope.spawn(|| self.versions.switch_until(self.server, seed, &over));
            let asked = asking.into_iter().try_for_each(|client| client.join().expect("it returns its errors"));
            over.store(true, Ordering::Relaxed);
            let switched = switching.join().expect("it returns its errors");
            asked.and(switched)
        })?;
        let tally = total.into_inner().expect("no client panics holding it");
        self.wait_until_idle()?;
        compare(&tally, &difference(&before, &self.counted()?))?;
        Ok(tally)
    }

    /// What each site has answered, by the first digit of the status.
    fn counted(&self) -> Result<[[u64; 6]; 2]> {
        let metrics = self.server.metrics()?;
        let mut counted = [[0; 6]; 2];
        for (site, counted) in SITES.iter().zip(&mut counted) {
            for (class, count) in counted.iter_mut().enumerate().skip(1) {
                let labels = format!("tenant=\"default\",site=\"{site}\",status=\"{class}xx\"");
                *count = sample(&metrics, &format!("selvedge_requests_total{{{labels}}}"))?;
            }
        }
        Ok(counted)
    }

    fn wait_until_idle(&self) -> Result<()> {
        until(|| {
            let metrics = self.server.metrics()?;
            let of = |name: &str| sample(&metrics, &format!("{name}{{tenant=\"default\"}}"));
            let (live, waiting) = (of("selvedge_tenant_instances_live")?, of("selvedge_tenant_requests_waiting")?);
            Ok(if live + waiting == 0 {
                None
            } else {
                Some(format!("{live} instances are live, {waiting} requests wait"))
            })
        })
    }

    /// What the server holds when all is over: no more than after the first phase.
    fn settled(&self, first: Option<Held>) -> Result<Held> {
        let mut held = self.server.held()?;
        let Some(first) = first else {
            // Connections that are being closed are gone soon.
            std::thread::sleep(Duration::from_millis(500));
            return self.server.held();
        };
        until(|| {
            held = self.server.held()?;
            let more = held.descriptors > first.descriptors
                || held.tasks > first.tasks
                || held.threads > first.threads + THREADS_MORE_MAX
                || held.memory_bytes > first.memory_bytes + MEMORY_GROWTH_BYTES_MAX;
            Ok(more.then(|| format!("it holds {held:?}, and after the first phase {first:?}")))
        })?;
        Ok(held)
    }

    /// Each site answers with the version that was acknowledged last.
    fn answer_the_last(&self) -> Result<()> {
        SITES.iter().try_for_each(|site| {
            let answer = Client::new(self.server.address, 1).version(site)?;
            let expected = self.versions.last(site);
            ensure!(
                Some(answer) == expected,
                "{site} answers with version {answer}, and {expected:?} was acknowledged"
            );
            Ok(())
        })
    }

    /// Clients are being answered when the server is killed: what they see is not looked at.
    fn leave_in_the_middle(&self, seed: u64) -> Result<()> {
        let killed = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for number in 0..CLIENTS {
                let killed = &killed;
                scope.spawn(move || {
                    let mut client = Client::new(self.server.address, 1_000 + seed * CLIENTS + number);
                    while !killed.load(Ordering::Relaxed) && client.operate(Manners::Bad).is_ok() {}
                });
            }
            std::thread::sleep(Duration::from_millis(100));
            let done = self.server.kill();
            killed.store(true, Ordering::Relaxed);
            done
        })
    }
}

/// Waits until nothing is wrong any more.
fn until(mut wrong: impl FnMut() -> Result<Option<String>>) -> Result<()> {
    let end = Instant::now() + SETTLED_WITHIN;
    loop {
        match wrong()? {
            None => return Ok(()),
            Some(what) if Instant::now() > end => bail!("{} s after all was over {what}", SETTLED_WITHIN.as_secs()),
            Some(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
}

fn sample(metrics: &str, name: &str) -> Result<u64> {
    let line = metrics.lines().find_map(|line| line.strip_prefix(name));
    line.with_context(|| format!("there is no {name}"))?.trim().parse().with_context(|| format!("{name} is a number"))
}

fn difference(before: &[[u64; 6]; 2], after: &[[u64; 6]; 2]) -> [[u64; 6]; 2] {
    std::array::from_fn(|site| std::array::from_fn(|class| after[site][class] - before[site][class]))
}

/// Whether the server counted each answer that clients got, and no others but for clients that were gone.
fn compare(clients: &Tally, server: &[[u64; 6]; 2]) -> Result<()> {
    let mut unheard = 0;
    for ((name, counted), heard) in SITES.iter().zip(server).zip(&clients.by_class) {
        for (class, (counted, heard)) in counted.iter().zip(heard).enumerate() {
            let of = || format!("{name} has counted {counted} answers {class}xx, its clients {heard}");
            unheard += counted.checked_sub(*heard).with_context(of)?;
        }
    }
    let gone = clients.abandoned;
    ensure!(
        unheard <= gone,
        "the server has counted {unheard} answers that no client got, and {gone} clients went away"
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_that_differ_are_told() {
        let mut clients = Tally::default();
        clients.by_class[0][2] = 10;
        let server = |answers| [[0, 0, answers, 0, 0, 0], [0; 6]];
        assert!(compare(&clients, &server(10)).is_ok());
        assert!(compare(&clients, &server(9)).is_err() && compare(&clients, &server(11)).is_err());
        clients.abandoned = 1;
        assert!(compare(&clients, &server(11)).is_ok() && compare(&clients, &server(12)).is_err());
    }
}
