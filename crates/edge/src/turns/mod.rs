//! Whose turn it is to compute, when programs of several tenants want to for long.
//!
//! A program's first slice costs nothing but the accounts: most end within it, and whoever is answered so never comes
//! here. One that has used up a slice takes turns from then on, and so does from its beginning one of a version whose
//! programs usually compute for long: as many programs as there are processors have a turn at a time, and the next is
//! that of the tenant who has had least by its weight. So a tenant with a hundred programs that spin has a hundred
//! waiting in line.
//!
//! ```text
//!   slice ─► ended, or waits for its client: nothing more                              fair.rs
//!         ├► failed ──► as below: its backtrace is looked up in its turn
//!         └► used up ─► line of its tenant (lines.rs) ─► slice ─► ended, or waits: back to fair.rs
//!                                └──────────────────────── used up ◄─┘
//! ```
//!
//! Turns are had here, on threads of their own (threads.rs). Those on which clients are answered wake up to much shorter
//! work, ask for short stretches of computing ([`crate::urgency`]), and so go first. A program in line needs nobody: that it
//! computes does not depend on its client, and what it writes is bounded by its exchange.
//!
//! For how long a version's programs usually compute is known in usual.rs.
//!
//! Not here: how long a slice is (the runtime's), and how much a tenant may use altogether (its limits).

mod fair;
mod lines;
mod threads;
mod usual;

pub(crate) use self::fair::Fair;
pub(crate) use self::lines::Share;

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use selvedge_native::{CpuClock, set_urgency};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::fair::{Called, LONG};
use self::lines::Lines;
use self::threads::{Kind, May, PATIENCE, Progress};
use self::usual::Usual;
use crate::guest::{Ending, Guest};
use crate::site::Tenant;
use crate::urgency::LATER_STRETCH;

/// Whose programs compute: what all guests of one version have in common here.
pub(crate) struct Whose {
    turns: Arc<Turns>,
    tenant: Arc<Tenant>,
    usual: Usual,
}

impl Whose {
    /// Those of a version that is new.
    pub(crate) fn new(turns: &Arc<Turns>, tenant: &Arc<Tenant>) -> Arc<Whose> {
        Arc::new(Whose { turns: turns.clone(), tenant: tenant.clone(), usual: Usual::default() })
    }

    /// Lets a guest stand in line; it comes `back` when it needs no turn. The number is by which it can leave.
    fn queue(self: &Arc<Whose>, guest: Guest, called: Arc<Called>, back: oneshot::Sender<Back>) -> u64 {
        let shared = &self.turns.0;
        let mut state = shared.lock();
        let number = state.lines.number();
        state.lines.queue(&self.tenant, number, Job { guest, whose: self.clone(), called, back });
        shared.tell(&mut state, Instant::now());
        number
    }

    /// Whoever stands in line goes away; `None` if it has its turn just now, or is back.
    fn leave(&self, number: u64) -> Option<Job> {
        self.turns.0.lock().lines.leave(&self.tenant, number)
    }

    /// Drops a guest that may have much memory.
    fn discard(&self, guest: Guest) {
        let shared = &self.turns.0;
        let mut state = shared.lock();
        state.gone.push((guest, self.tenant.clone()));
        shared.tell(&mut state, Instant::now());
    }
}

/// The turns of all tenants. Its threads end when it is dropped.
pub(crate) struct Turns(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Told to those threads that go last, and to the steady ones.
    last: Condvar,
    steady: Condvar,
}

struct State {
    lines: Lines<Job>,
    /// Guests that nobody waits for any more, and whose they are: to recycle much memory takes longer than to answer.
    gone: Vec<(Guest, Arc<Tenant>)>,
    progress: Progress,
    is_over: bool,
}

/// What there is to do next.
enum Next {
    Run(u64, Job),
    Drop(Guest, Arc<Tenant>),
}

/// A guest in line, or in its turn.
struct Job {
    guest: Guest,
    whose: Arc<Whose>,
    called: Arc<Called>,
    back: oneshot::Sender<Back>,
}

/// A guest that needs no turn any more, or not now.
struct Back {
    guest: Guest,
    /// How it ended; a panic is not the guest's doing.
    poll: Poll<Result<Ending, Box<dyn Any + Send>>>,
}

impl Turns {
    /// So many turns at once. Programs that wait for time or their clients are woken by the executor.
    ///
    /// # Errors
    /// If the operating system refuses threads.
    pub(crate) fn start(turns: usize, executor: &Handle) -> io::Result<Turns> {
        Turns::start_with(turns, PATIENCE, executor)
    }

    /// The same; steady threads have turns after so long.
    fn start_with(turns: usize, patience: Duration, executor: &Handle) -> io::Result<Turns> {
        let clocks: Arc<[OnceLock<CpuClock>]> = (0..turns).map(|_| OnceLock::new()).collect();
        let read = clocks.clone();
        // Of one whose clock is not known it counts only for how long it has its turn.
        let used = move |number: usize| read[number].get().and_then(|clock| clock.now()).unwrap_or_default();
        let progress = Progress::new(turns, patience, Box::new(used));
        let state = Mutex::new(State { lines: Lines::new(), gone: Vec::new(), progress, is_over: false });
        let this = Turns(Arc::new(Shared { state, last: Condvar::new(), steady: Condvar::new() }));
        for kind in (0..turns).flat_map(|number| [Kind::Last(number), Kind::Steady]) {
            let (shared, executor, clocks) = (this.0.clone(), executor.clone(), clocks.clone());
            let run = move || {
                if let (Kind::Last(number), Some(clock)) = (kind, CpuClock::of_this_thread()) {
                    let _ = clocks[number].set(clock);
                }
                // Where it is refused clients wait longer.
                let _ = set_urgency(LATER_STRETCH, kind.nicer());
                let _entered = executor.enter();
                while let Some(next) = shared.next(kind) {
                    // What panics as it is dropped must not take everybody's turns with it.
                    let _ = catch_unwind(AssertUnwindSafe(|| match next {
                        Next::Run(number, job) => job.run(number, &shared),
                        Next::Drop(guest, tenant) => recycle(guest, &tenant),
                    }));
                    shared.lock().progress.ends(kind, Instant::now());
                }
            };
            std::thread::Builder::new().name("turns".into()).spawn(run)?;
        }
        Ok(this)
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.last.notify_all();
        self.0.steady.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing here leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whoever is to see to it that there is something to do.
    fn tell(&self, state: &mut State, now: Instant) {
        let told = state.progress.ask(now);
        if told.last {
            self.last.notify_one();
        }
        if told.steady {
            self.steady.notify_one();
        }
    }

    /// Waits for the next who has a turn on a thread of this kind; none if there will be no more.
    fn next(&self, kind: Kind) -> Option<Next> {
        let told = if kind == Kind::Steady { &self.steady } else { &self.last };
        let mut state = self.lock();
        while !state.is_over {
            let now = Instant::now();
            let patience = match state.progress.may(kind, now) {
                May::Wait(patience) => {
                    // Whoever has had a turn here goes on elsewhere.
                    if state.has_more() {
                        self.tell(&mut state, now);
                    }
                    patience
                }
                May::HaveTurns => {
                    if let Some(next) = state.take() {
                        state.progress.begins(kind, now);
                        if state.has_more() {
                            self.tell(&mut state, now);
                        }
                        return Some(next);
                    }
                    None
                }
            };
            state = match patience {
                Some(patience) => told.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0,
                None => told.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
        None
    }
}

impl State {
    /// What there is to do next.
    fn take(&mut self) -> Option<Next> {
        let gone = self.gone.pop().map(|(guest, tenant)| Next::Drop(guest, tenant));
        gone.or_else(|| self.lines.next().map(|(number, job)| Next::Run(number, job)))
    }

    fn has_more(&self) -> bool {
        !self.gone.is_empty() || self.lines.has_more()
    }
}

/// Drops a guest on its tenant's account.
fn recycle(guest: Guest, tenant: &Tenant) {
    let began = CpuClock::this_thread();
    drop(guest);
    tenant.share.add_unpaid(CpuClock::this_thread().saturating_sub(began));
}

impl Job {
    /// Has a turn, and stands in line again or goes back.
    fn run(mut self, number: u64, shared: &Shared) {
        let began = CpuClock::this_thread();
        let waker = Waker::from(self.called.clone());
        self.called.forget();
        // A panic is the server's mistake: it is its owner's to go on with, who has a task to lose.
        let mut poll = || self.guest.as_mut().poll(&mut Context::from_waker(&waker)).map(Ending::explained);
        let polled = catch_unwind(AssertUnwindSafe(&mut poll));
        let took = CpuClock::this_thread().saturating_sub(began);
        self.called.add(took);
        if took >= LONG {
            self.whose.usual.suspect(Instant::now());
        }
        let poll = match polled {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        };
        let whose = self.whose.clone();
        // Whoever waits for its client after so long has a turn too many.
        if poll.is_pending() && took >= LONG && !self.back.is_closed() {
            let called = self.called.clone();
            shared.lock().lines.end(&whose.tenant, took, Some((number, self)));
            // What it has written can be sent.
            return called.show();
        }
        shared.lock().lines.end(&whose.tenant, took, None);
        let Job { guest, back, .. } = self;
        // Nobody may be left to have it: then it ends here.
        let _ = back.send(Back { guest, poll });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    pub(super) fn tenant(name: &str, weight: u32) -> Tenant {
        let text = format!("[tenants.{name}]\nweight = {weight}\n");
        Tenant::new(&Config::parse(&text, "edge.toml").unwrap().tenant_list()[0])
    }

    #[test]
    fn the_threads_end_with_the_server() {
        let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let turns = Turns::start(3, executor.handle()).unwrap();
        let shared = Arc::downgrade(&turns.0);
        drop(turns);
        while shared.strong_count() > 0 {
            std::thread::yield_now();
        }
    }
}
