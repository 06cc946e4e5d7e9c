//! Whose turn it is to compute, when programs of several tenants want to for long.
//!
//! A program's first slice costs nothing but the accounts: most end within it, and whoever is answered so never comes
//! here. One that has used up a slice takes turns from then on: as many programs as there are processors have one at a
//! time, and the next turn is that of the tenant who has had least by its weight. So a tenant with a hundred programs
//! that spin has a hundred waiting in line, and not on the threads on which others are answered.
//!
//! ```text
//!   slice ─► ended, or waits for its client: nothing more
//!         └► used up ─► line of its tenant ─► turn ─► slice ─► …
//! ```
//!
//! Before each turn the executor looks at the sockets.
//!
//! Time is virtual: what a tenant does not use is not saved up. Not here: how long a slice is (the runtime's), and
//! how much a tenant may use altogether (its limits).

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use crate::guest::{Ending, Guest};
use crate::limits::SLICE;
use crate::name::Name;
use crate::site::Tenant;

/// What a tenant may have of the processors, beside others.
pub(crate) struct Share {
    pub(crate) weight: AtomicU32,
    /// What its programs have computed without a turn, and no turn was charged with yet.
    unpaid_ns: AtomicU64,
}

impl Share {
    pub(crate) fn new(weight: u32) -> Share {
        Share { weight: AtomicU32::new(weight), unpaid_ns: AtomicU64::new(0) }
    }
}

/// The turns of all tenants.
pub(crate) struct Turns(Mutex<State>);

struct State {
    /// Turns that nobody has.
    free: usize,
    next: u64,
    /// The virtual time of the last turn.
    clock: u64,
    /// Who has been given a turn and does not know yet.
    given: BTreeSet<u64>,
    lines: BTreeMap<Name, Line>,
}

/// Those of one tenant who wait.
#[derive(Default)]
struct Line {
    /// What the tenant has had, by its weight.
    had: u64,
    /// Turns that it has now.
    turns: usize,
    waiting: VecDeque<(u64, Waker)>,
}

impl Turns {
    /// So many turns at once.
    pub(crate) fn new(turns: usize) -> Turns {
        Turns(Mutex::new(State { free: turns, next: 0, clock: 0, given: BTreeSet::new(), lines: BTreeMap::new() }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place in a tenant's line.
    fn queue(&self, tenant: &Tenant, waker: &Waker) -> u64 {
        let mut state = self.lock();
        let number = state.queue(tenant, waker);
        state.give();
        number
    }

    /// Whether whoever has this place has a turn now; if not, it is woken when it has.
    fn poll(&self, tenant: &Tenant, number: u64, waker: &Waker) -> Poll<()> {
        let mut state = self.lock();
        if state.given.remove(&number) {
            return Poll::Ready(());
        }
        let waiting = state.lines.get_mut(&tenant.name).map(|line| &mut line.waiting);
        if let Some((_, kept)) = waiting.into_iter().flatten().find(|(waiting, _)| *waiting == number) {
            kept.clone_from(waker);
        }
        Poll::Pending
    }

    /// A turn is over, after so long. Whoever wants another stands in line again before it is given to others: else
    /// one who is alone in its line would be passed over each time.
    fn end(&self, tenant: &Tenant, took: Duration, again: Option<&Waker>) -> Option<u64> {
        let unpaid = tenant.share.unpaid_ns.swap(0, Ordering::Relaxed);
        let weight = u64::from(tenant.share.weight.load(Ordering::Relaxed).max(1));
        let mut state = self.lock();
        let line = state.lines.entry(tenant.name.clone()).or_default();
        line.had += (took.as_nanos() as u64).saturating_add(unpaid) / weight;
        let number = again.map(|waker| state.queue(tenant, waker));
        state.turn_is_over(tenant);
        number
    }

    /// Whoever stands in line goes away.
    fn leave(&self, tenant: &Tenant, number: u64) {
        let mut state = self.lock();
        if state.given.remove(&number) {
            state.turn_is_over(tenant);
        } else if let Some(line) = state.lines.get_mut(&tenant.name) {
            line.waiting.retain(|(waiting, _)| *waiting != number);
        }
    }
}

impl State {
    /// A tenant of whom nobody computes or waits begins where the others are.
    fn queue(&mut self, tenant: &Tenant, waker: &Waker) -> u64 {
        self.next += 1;
        let line = self.lines.entry(tenant.name.clone()).or_default();
        if line.turns == 0 && line.waiting.is_empty() {
            line.had = line.had.max(self.clock);
        }
        line.waiting.push_back((self.next, waker.clone()));
        self.next
    }

    fn turn_is_over(&mut self, tenant: &Tenant) {
        if let Some(line) = self.lines.get_mut(&tenant.name) {
            line.turns = line.turns.saturating_sub(1);
        }
        self.free += 1;
        self.give();
    }

    /// Gives free turns to those who have had least.
    fn give(&mut self) {
        while self.free > 0 {
            let waiting = self.lines.values_mut().filter(|line| !line.waiting.is_empty());
            let Some(line) = waiting.min_by_key(|line| line.had) else { return };
            let Some((number, waker)) = line.waiting.pop_front() else { return };
            line.turns += 1;
            self.clock = self.clock.max(line.had);
            self.free -= 1;
            self.given.insert(number);
            waker.wake();
        }
    }
}

/// A guest that takes turns once it has computed for long.
pub(crate) struct Fair {
    guest: Guest,
    turns: Arc<Turns>,
    tenant: Arc<Tenant>,
    /// When its time is over: to be told so it needs no turn.
    ends: Instant,
    /// When it was made, until it is polled: clocks are looked at seldom.
    began: Option<Instant>,
    /// Whether it needs a turn to go on.
    needs_turn: bool,
    /// How often the executor is to look at the sockets before it goes on.
    looks: u8,
    /// Where it stands in line for one.
    place: Option<u64>,
    /// Whether it has one now.
    has_turn: bool,
}

/// An executor looks for what has become ready elsewhere when it has no task to run, or after some dozens of them: for as
/// many slices others would wait. Who yields is woken after it has looked, but may be run before what it found: so twice.
const LOOKS: u8 = 2;

/// What is no slice used up, but an answer or a little more.
const LONG: Duration = Duration::from_nanos(SLICE.as_nanos() as u64 / 2);

impl Fair {
    /// A guest that is about to run, and may until `ends`.
    pub(crate) fn new(guest: Guest, turns: Arc<Turns>, tenant: Arc<Tenant>, now: Instant, ends: Instant) -> Fair {
        Fair { guest, turns, tenant, ends, began: Some(now), needs_turn: false, looks: 0, place: None, has_turn: false }
    }

    /// Leaves the line until it is polled again. Whoever does not poll it when it is woken must call this: a turn that
    /// nobody takes is lost to all.
    pub(crate) fn step_aside(&mut self) {
        if let Some(number) = self.place.take() {
            self.turns.leave(&self.tenant, number);
        }
        if std::mem::take(&mut self.has_turn) {
            self.turns.end(&self.tenant, Duration::ZERO, None);
        }
    }

    fn poll_turn(&mut self, waker: &Waker) -> Poll<()> {
        let Fair { turns, tenant, place, has_turn, .. } = self;
        if *has_turn {
            return Poll::Ready(());
        }
        let number = *place.get_or_insert_with(|| turns.queue(tenant, waker));
        ready!(turns.poll(tenant, number, waker));
        (*place, *has_turn) = (None, true);
        Poll::Ready(())
    }
}

impl Future for Fair {
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ending> {
        let this = self.get_mut();
        let takes_turn = this.needs_turn && Instant::now() < this.ends;
        if takes_turn {
            ready!(this.poll_turn(context.waker()));
            if this.looks > 0 {
                this.looks -= 1;
                ready!(pin!(tokio::task::yield_now()).poll(context));
            }
        } else {
            this.step_aside();
        }
        let first = this.began.take();
        let began = first.unwrap_or_else(Instant::now);
        let poll = this.guest.as_mut().poll(context);
        let took = match &poll {
            Poll::Ready(ending) if first.is_some() => ending.used.cpu,
            _ => began.elapsed(),
        };
        // Whoever waits for its client after so long asks for a turn too early, and gives it back at once.
        this.needs_turn = poll.is_pending() && took >= LONG;
        this.looks = LOOKS;
        let again = Some(context.waker()).filter(|_| this.needs_turn);
        this.has_turn = false;
        if takes_turn {
            this.place = this.turns.end(&this.tenant, took, again);
        } else {
            this.tenant.share.unpaid_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
            this.place = again.map(|waker| this.turns.queue(&this.tenant, waker));
        }
        poll
    }
}

impl Drop for Fair {
    fn drop(&mut self) {
        // It may have been computing: a panic is the server's mistake, and no reason to stop all.
        self.step_aside();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::guest::Used;

    fn tenant(name: &str, weight: u32) -> Tenant {
        let text = format!("[tenants.{name}]\nweight = {weight}\n");
        Tenant::new(&Config::parse(&text, "edge.toml").unwrap().tenant_list()[0])
    }

    /// Programs that never end, each where it stands in line.
    struct Programs<'t> {
        turns: Turns,
        all: Vec<(&'t Tenant, u64)>,
    }

    impl<'t> Programs<'t> {
        fn new(turns: usize, programs: &[(&'t Tenant, usize)]) -> Programs<'t> {
            let turns = Turns::new(turns);
            let all = programs.iter().flat_map(|(tenant, count)| vec![*tenant; *count]);
            let all = all.map(|tenant| (tenant, turns.queue(tenant, Waker::noop()))).collect();
            Programs { turns, all }
        }

        /// Lets them have so many turns of the same length; how many each tenant had.
        fn run(&mut self, count: usize) -> BTreeMap<&'t str, usize> {
            let mut had = BTreeMap::new();
            while had.values().sum::<usize>() < count {
                // Whoever has a turn computes at the same time, and ends at the same time.
                let has =
                    |(tenant, place): &&mut (&Tenant, u64)| self.turns.poll(tenant, *place, Waker::noop()).is_ready();
                let computing: Vec<_> = self.all.iter_mut().filter(has).collect();
                for (tenant, place) in computing {
                    *had.entry(tenant.name.as_str()).or_default() += 1;
                    *place = self.turns.end(tenant, SLICE, Some(Waker::noop())).unwrap();
                }
            }
            had
        }
    }

    #[test]
    fn turns_are_shared_among_tenants_by_weight_and_not_by_how_many_programs_they_run() {
        let (a, b, heavy) = (tenant("a", 1), tenant("b", 1), tenant("heavy", 3));
        for (programs, expected) in [
            (&[(&a, 1), (&b, 1)][..], [500, 500]),
            (&[(&a, 90), (&b, 1)], [500, 500]),
            (&[(&a, 90), (&heavy, 1)], [250, 750]),
            (&[(&a, 5), (&heavy, 90)], [250, 750]),
        ] {
            let had = Programs::new(1, programs).run(1_000);
            let had: Vec<usize> = programs.iter().map(|(tenant, _)| had[tenant.name.as_str()]).collect();
            assert!(
                had.iter().zip(expected).all(|(had, expected)| had.abs_diff(expected) <= 5),
                "{had:?} {expected:?}"
            );
        }
        // Nobody has two turns at once, so one program beside many is at most one of two.
        let had = Programs::new(2, &[(&a, 90), (&b, 1)]).run(1_000);
        assert!(had["b"].abs_diff(500) <= 5, "{had:?}");
    }

    #[test]
    fn what_is_not_used_is_not_saved_up_and_what_was_free_is_paid() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut programs = Programs::new(1, &[(&a, 2)]);
        programs.run(1_000);
        // A tenant that was not there has no thousand turns before the other.
        let place = programs.turns.queue(&b, Waker::noop());
        programs.all.push((&b, place));
        let had = programs.run(200);
        assert!(had["a"].abs_diff(had["b"]) <= 5, "{had:?}");
        b.share.unpaid_ns.store(50 * SLICE.as_nanos() as u64, Ordering::Relaxed);
        let had = programs.run(200);
        assert!(had["a"].abs_diff(had["b"] + 50) <= 5, "{had:?}");
    }

    #[test]
    fn whoever_goes_away_leaves_its_turn_to_others() {
        let a = tenant("a", 1);
        let turns = Turns::new(1);
        let [held, waits, last] = [(); 3].map(|()| turns.queue(&a, Waker::noop()));
        let has = |number| turns.poll(&a, number, Waker::noop()).is_ready();
        assert!(has(held) && !has(waits) && !has(last));
        turns.end(&a, SLICE, None);
        // The next has been given the turn, and goes before it knows.
        turns.leave(&a, waits);
        assert!(has(last));
        let late = turns.queue(&a, Waker::noop());
        turns.leave(&a, late);
        turns.end(&a, SLICE, None);
        let state = turns.lock();
        let line = &state.lines[&a.name];
        assert_eq!((state.free, state.given.len(), line.turns, line.waiting.len()), (1, 0, 0, 0));
    }

    /// Computes for a slice at each poll, so many times; at the fifth it writes to a socket.
    struct Toils {
        slices: Arc<AtomicU32>,
        until: u32,
        socket: std::os::unix::net::UnixStream,
    }

    impl Future for Toils {
        type Output = Ending;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ending> {
            let began = Instant::now();
            while began.elapsed() < SLICE {}
            let slices = self.slices.fetch_add(1, Ordering::Relaxed) + 1;
            if slices == 5 {
                std::io::Write::write_all(&mut self.socket, b"x").unwrap();
            }
            if slices < self.until {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Ready(Ending { result: Ok(()), memory_refused: false, used: Used::default() })
        }
    }

    /// After how many slices of all programs one is seen to have written to a socket in the fifth.
    async fn seen_after(programs: u32) -> u32 {
        let slices = Arc::<AtomicU32>::default();
        let (turns, tenant, now) = (Arc::new(Turns::new(1)), Arc::new(tenant("a", 1)), Instant::now());
        let (mine, other) = std::os::unix::net::UnixStream::pair().unwrap();
        other.set_nonblocking(true).unwrap();
        let (socket, count) = (tokio::net::UnixStream::from_std(other).unwrap(), slices.clone());
        let reader = tokio::spawn(async move {
            socket.readable().await.unwrap();
            count.load(Ordering::Relaxed)
        });
        let toil = |_| {
            let socket = mine.try_clone().unwrap();
            let guest: Guest = Box::pin(Toils { slices: slices.clone(), until: 50, socket });
            tokio::spawn(Fair::new(guest, turns.clone(), tenant.clone(), now, now + Duration::from_secs(3_600)))
        };
        for program in (0..programs).map(toil).collect::<Vec<_>>() {
            drop(program.await.unwrap());
        }
        reader.await.unwrap()
    }

    #[test]
    fn sockets_are_looked_at_between_slices() {
        use tokio::runtime::Builder;
        for (mut builder, programs) in [
            (Builder::new_current_thread(), 1),
            (Builder::new_current_thread(), 3),
            (Builder::new_multi_thread(), 1),
            (Builder::new_multi_thread(), 3),
        ] {
            // An executor that looks by itself only when it has nothing to do.
            let runtime = builder.worker_threads(1).enable_io().event_interval(1_000_000).build().unwrap();
            // Not on this thread, which has no tasks.
            let seen = runtime.block_on(async { tokio::spawn(seen_after(programs)).await.unwrap() });
            // The first slice of each needs no turn.
            assert!((5..=7).contains(&seen), "what came in slice 5 of {programs} was seen after {seen}");
        }
    }
}
