//! A guest that takes turns when it computes for long.

use std::future::{Future, ready};
use std::ops::Range;
use std::panic::resume_unwind;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant};

use selvedge_runtime::Stretch;
use tokio::sync::oneshot;
use tokio::time::{Sleep, sleep_until};

use super::{Back, Whose};
use crate::guest::{Ending, Guest};
use crate::limits::SLICE;

/// What is no slice used up, but an answer or a little more. A program that has computed for longer takes turns, however
/// often it has waited meanwhile.
pub(super) const LONG: Duration = Duration::from_nanos(SLICE.as_nanos() as u64 / 2);

/// Who seems to have computed longer, by as much as a stretch may be charged too much, has.
const SURELY_LONG: Duration = Duration::from_nanos(LONG.as_nanos() as u64 + SLICE.as_nanos() as u64);

/// A guest that takes turns when it computes for long.
pub(crate) struct Fair {
    place: Place,
    /// Whether it needs a turn to go on.
    needs_turn: bool,
    /// Whom it calls when it waited in a turn for something, and can go on.
    called: Option<Arc<Called>>,
    whose: Arc<Whose>,
    /// When its time is over: to be told so it needs no turn. None when it has failed and that is to be explained.
    ends: Option<Instant>,
    /// Wakes its task then, once it has stood in line: nobody else might.
    alarm: Option<Pin<Box<Sleep>>>,
    /// When it was made, until it is polled: clocks are looked at seldom.
    began: Option<Instant>,
    /// What it has computed so far.
    computed: Duration,
}

/// Where a guest is.
enum Place {
    Here(Guest),
    /// In line or in its turn, by its number; here it comes back.
    Away(u64, oneshot::Receiver<Back>),
    Ended,
}

/// What a guest has from its owner in a turn: its waker. Whether it was called cannot be told from its task being polled.
pub(super) struct Called {
    is_called: AtomicBool,
    /// Whether a turn is over and it wants another.
    has_shown: AtomicBool,
    /// What it has computed in turns that are over, in nanoseconds.
    took_ns: AtomicU64,
    task: Waker,
}

impl Wake for Called {
    fn wake(self: Arc<Called>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Called>) {
        self.is_called.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

impl Called {
    /// It is about to be polled: what it was called for before is then seen.
    pub(super) fn forget(&self) {
        self.is_called.store(false, Ordering::Release);
    }

    /// A turn is over, its owner may look what came of it.
    pub(super) fn show(&self) {
        self.has_shown.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }

    /// A turn is over, in which it has computed for so long.
    pub(super) fn add(&self, took: Duration) {
        self.took_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    fn took(&self) -> Duration {
        Duration::from_nanos(self.took_ns.load(Ordering::Relaxed))
    }

    /// Whether it was called, or would call somebody who does not listen any more.
    fn is_for(&self, waker: &Waker) -> bool {
        self.is_called.load(Ordering::Acquire) || !self.task.will_wake(waker)
    }
}

impl Fair {
    /// A program that is about to run, and may for a time.
    pub(crate) fn new(guest: Guest, whose: &Arc<Whose>, time: Range<Instant>) -> Fair {
        Fair {
            place: Place::Here(guest),
            needs_turn: whose.usual.is_long(time.start),
            called: None,
            whose: whose.clone(),
            ends: Some(time.end),
            alarm: None,
            began: Some(time.start),
            computed: Duration::ZERO,
        }
    }

    /// Whether it has its first turn, or waits for it: what it answers then may be all.
    pub(crate) fn may_be_short(&self) -> bool {
        let shown = |called: &Arc<Called>| called.has_shown.load(Ordering::Acquire);
        matches!(self.place, Place::Away(..)) && !self.called.as_ref().is_some_and(shown)
    }

    fn is_over(&self) -> bool {
        self.ends.is_some_and(|ends| Instant::now() >= ends)
    }

    /// Goes on without a turn.
    fn poll_here(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        self.called = None;
        let Place::Here(guest) = &mut self.place else { return Poll::Pending };
        let first = self.began.take();
        let stretch = Stretch::begin(first.unwrap_or_else(Instant::now));
        let poll = guest.as_mut().poll(context);
        let took = match &poll {
            // What more there is to do when it fails takes longer than most programs.
            Poll::Ready(ending) if first.is_some() && ending.result.is_ok() => ending.used.cpu,
            _ => stretch.end(),
        };
        self.computed += took;
        self.whose.tenant.share.add_unpaid(took);
        // Of something that cannot be stopped, as a host function, there is a slice and more.
        if took >= SURELY_LONG {
            self.whose.usual.suspect(Instant::now());
        }
        match poll {
            // To explain it takes longer than most programs do, and may take very long.
            Poll::Ready(ending) if ending.is_unexplained() => {
                (self.place, self.ends) = (Place::Here(Box::pin(ready(ending))), None);
            }
            // Its slice may have been over because the kernel let others go first: its turns will tell.
            Poll::Pending if took >= LONG && !self.is_over() => self.whose.usual.doubt(Instant::now()),
            // It waits. When it can go on it takes turns, if it has had its time here.
            Poll::Pending => {
                self.needs_turn = self.is_long();
                return Poll::Pending;
            }
            ended => return ended,
        }
        self.stand_in_line(context.waker());
        self.poll_away(context)
    }

    /// Whether it has had what it may compute without a turn.
    fn is_long(&self) -> bool {
        self.computed >= LONG
    }

    /// Goes on in turns; whoever was not called has nothing to do there.
    fn stand_in_line(&mut self, waker: &Waker) {
        let Place::Here(guest) = std::mem::replace(&mut self.place, Place::Ended) else { return };
        let is_called = AtomicBool::new(false);
        let (has_shown, took_ns, task) = (AtomicBool::new(false), AtomicU64::new(0), waker.clone());
        let called = Arc::new(Called { is_called, has_shown, took_ns, task });
        let (back, away) = oneshot::channel();
        let number = self.whose.queue(guest, called.clone(), back);
        (self.place, self.called, self.began) = (Place::Away(number, away), Some(called), None);
    }

    /// What it has computed in the turns that are over, since it stands in line.
    fn in_turns(&self) -> Duration {
        self.called.as_ref().map_or(Duration::ZERO, |called| called.took())
    }

    /// Whether its time is over; if not, its task is woken then.
    fn is_told_over(&mut self, context: &mut Context<'_>) -> bool {
        let Some(ends) = self.ends else { return false };
        let alarm = self.alarm.get_or_insert_with(|| Box::pin(sleep_until(ends.into())));
        alarm.as_mut().poll(context).is_ready() || self.is_over()
    }

    /// Waits until it needs no turn any more.
    fn poll_away(&mut self, context: &mut Context<'_>) -> Poll<Ending> {
        let Place::Away(number, away) = &mut self.place else { return Poll::Pending };
        let Poll::Ready(back) = Pin::new(away).poll(context) else {
            let number = *number;
            let Some(job) = self.is_told_over(context).then(|| self.whose.leave(number)).flatten() else {
                return Poll::Pending;
            };
            (self.place, self.computed) = (Place::Here(job.guest), self.computed + self.in_turns());
            return self.poll_here(context);
        };
        self.place = Place::Ended;
        // Whoever has it gives it back; if not, that is the server's mistake, as a panic is.
        let Back { guest, poll } = back.unwrap_or_else(|gone| resume_unwind(Box::new(gone)));
        self.computed += self.in_turns();
        if let Poll::Ready(ended) = poll {
            return Poll::Ready(ended.unwrap_or_else(|panic| resume_unwind(panic)));
        }
        self.place = Place::Here(guest);
        self.needs_turn = self.is_long() || self.whose.usual.is_long(Instant::now());
        // Who called it while it was away called this task, which could do nothing then.
        if self.called.as_ref().is_some_and(|called| called.is_for(context.waker())) {
            context.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

impl Future for Fair {
    type Output = Ending;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Ending> {
        let this = self.get_mut();
        if matches!(this.place, Place::Here(_)) {
            if !this.needs_turn || this.is_over() {
                return this.poll_here(context);
            }
            if this.called.as_ref().is_some_and(|called| !called.is_for(context.waker())) {
                return Poll::Pending;
            }
            this.stand_in_line(context.waker());
        }
        this.poll_away(context)
    }
}

impl Fair {
    /// Ends it, wherever it is: what it has computed, but for the turn that it has just now.
    pub(crate) fn give_up(&mut self) -> Duration {
        match std::mem::replace(&mut self.place, Place::Ended) {
            Place::Here(guest) if self.needs_turn => self.whose.discard(guest),
            Place::Away(number, mut away) => {
                self.computed += self.in_turns();
                // If it has a turn just now it ends there; it may be back, too, and nobody has seen it.
                away.close();
                let job = self.whose.leave(number).map(|job| job.guest);
                let guest = job.or_else(|| away.try_recv().ok().map(|back| back.guest));
                guest.into_iter().for_each(|guest| self.whose.discard(guest));
            }
            Place::Here(_) | Place::Ended => {}
        }
        self.computed
    }
}

impl Drop for Fair {
    fn drop(&mut self) {
        self.give_up();
        if !self.computed.is_zero() {
            self.whose.usual.note(self.computed);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Mutex;
    use std::sync::atomic::AtomicU32;

    use selvedge_native::CpuClock;
    use selvedge_runtime::{Backtrace, CallError, Trap, TrapCode};
    use tokio::runtime::Handle;

    use super::super::Turns;
    use super::super::tests::tenant;
    use super::super::usual::SUSPECT;
    use super::*;
    use crate::guest::Used;

    fn ended() -> Ending {
        let used = Used { cpu: Duration::from_nanos(1), memory_bytes: 0 };
        Ending { result: Ok(()), memory_refused: false, used, explanation: None }
    }

    fn compute(time: Duration) {
        let began = CpuClock::this_thread();
        while CpuClock::this_thread() - began < time {}
    }

    /// Whether this is a thread for turns.
    fn in_turn() -> bool {
        std::thread::current().name() == Some("turns")
    }

    struct Bed {
        whose: Arc<Whose>,
    }

    impl Bed {
        /// One turn at a time, however long that takes.
        fn new() -> Bed {
            Bed::with_patience(Duration::from_secs(3_600))
        }

        fn with_patience(patience: Duration) -> Bed {
            let turns = Arc::new(Turns::start_with(1, patience, &Handle::current()).unwrap());
            Bed { whose: Whose::new(&turns, &Arc::new(tenant("a", 1))) }
        }

        /// One of whose programs it is known that they compute for long.
        fn of_long() -> Bed {
            Bed::new().and_long()
        }

        fn and_long(self) -> Bed {
            let bed = self;
            (0..10).for_each(|_| bed.whose.usual.note(SLICE));
            assert!(bed.whose.usual.is_long(Instant::now()));
            bed
        }

        fn guest(&self, guest: impl Future<Output = Ending> + Send + 'static) -> Fair {
            let now = Instant::now();
            let time = now..now + Duration::from_secs(3_600);
            Fair::new(Box::pin(guest), &self.whose, time)
        }

        /// One that computes for so many slices, and notes for each whether it had a turn.
        fn toiling(&self, slices: usize) -> (Fair, Arc<Mutex<Vec<bool>>>) {
            let seen = Arc::<Mutex<Vec<bool>>>::default();
            let noted = seen.clone();
            let toil = poll_fn(move |context| {
                compute(SLICE);
                let mut noted = noted.lock().unwrap();
                noted.push(in_turn());
                if noted.len() == slices {
                    return Poll::Ready(ended());
                }
                context.waker().wake_by_ref();
                Poll::Pending
            });
            (self.guest(toil), seen)
        }

        fn is_idle(&self) -> bool {
            self.whose.turns.0.lock().lines.is_idle()
        }
    }

    #[tokio::test]
    async fn a_program_has_its_first_slice_at_once_and_the_others_where_nobody_is_answered() {
        let bed = Bed::new();
        let (one, seen_one) = bed.toiling(5);
        let (other, seen_other) = bed.toiling(3);
        let others = tokio::spawn(other);
        assert!(one.await.result.is_ok() && others.await.unwrap().result.is_ok());
        assert_eq!(*seen_one.lock().unwrap(), [false, true, true, true, true]);
        assert_eq!(*seen_other.lock().unwrap(), [false, true, true]);
        assert!(bed.is_idle());
    }

    #[tokio::test]
    async fn a_program_that_waits_now_and_then_has_no_more_without_a_turn() {
        let bed = Bed::new();
        let seen = Arc::<Mutex<Vec<bool>>>::default();
        let noted = seen.clone();
        let naps = poll_fn(move |context| {
            compute(LONG / 4);
            let mut noted = noted.lock().unwrap();
            noted.push(in_turn());
            if noted.len() == 20 {
                return Poll::Ready(ended());
            }
            // It waits for what comes soon.
            context.waker().wake_by_ref();
            Poll::Pending
        });
        assert!(bed.guest(naps).await.result.is_ok());
        let seen = seen.lock().unwrap();
        let first = seen.iter().position(|in_turn| *in_turn).unwrap();
        assert!((1..=4).contains(&first) && seen[first..].iter().all(|in_turn| *in_turn), "{seen:?}");
        assert!(bed.is_idle());
    }

    #[tokio::test]
    async fn what_cannot_be_stopped_is_charged_in_full_and_known_from_then_on() {
        let bed = Bed::new();
        let unpaid = bed.whose.tenant.share.unpaid();
        let long = bed.guest(poll_fn(|_| {
            compute(5 * SLICE);
            Poll::Ready(Ending { used: Used { cpu: 5 * SLICE, memory_bytes: 0 }, ..ended() })
        }));
        assert!(long.await.result.is_ok());
        assert!(
            bed.whose.tenant.share.unpaid() - unpaid >= 5 * SLICE
                && bed.whose.usual.is_long(Instant::now() + SUSPECT / 2)
        );
    }

    #[tokio::test]
    async fn a_program_in_line_that_nobody_calls_is_told_when_its_time_is_over() {
        let bed = Bed::of_long();
        let gate = Arc::new(AtomicBool::new(false));
        let open = gate.clone();
        // Somebody else has the only turn, and does not give it back.
        let mut holds = bed.guest(poll_fn(move |_| {
            while !open.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Poll::Ready(ended())
        }));
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut holds).poll(context).is_pending())).await);
        let now = Instant::now();
        let late = Box::pin(async { if in_turn() { std::future::pending().await } else { ended() } });
        let late = Fair::new(late, &bed.whose, now..now + Duration::from_millis(20));
        assert!(late.await.result.is_ok());
        gate.store(true, Ordering::Release);
        assert!(holds.await.result.is_ok());
    }

    #[tokio::test]
    async fn what_one_has_computed_is_known_when_it_is_given_up_and_to_recycle_it_is_on_its_tenants_account() {
        struct Large(std::sync::mpsc::Sender<bool>);
        impl Drop for Large {
            fn drop(&mut self) {
                compute(SLICE);
                self.0.send(in_turn()).unwrap();
            }
        }
        let bed = Bed::new();
        let (gone, seen) = std::sync::mpsc::channel();
        let large = Large(gone);
        let mut polls = 0;
        let mut waits = bed.guest(poll_fn(move |_| {
            let _instance = &large;
            polls += 1;
            compute(if polls <= 2 { LONG * 3 / 4 } else { Duration::ZERO });
            Poll::Pending
        }));
        while !(matches!(waits.place, Place::Here(_)) && waits.is_long()) {
            poll_fn(|context| Poll::Ready(Pin::new(&mut waits).poll(context).is_pending())).await;
            tokio::task::yield_now().await;
        }
        let before = bed.whose.tenant.share.unpaid();
        assert!(waits.give_up() >= LONG && waits.give_up() == waits.computed);
        assert!(seen.recv().unwrap(), "it is recycled where nobody is answered");
        while bed.whose.tenant.share.unpaid() < before + LONG / 4 {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn programs_that_usually_compute_for_long_take_turns_from_the_beginning() {
        let bed = Bed::new();
        for expected in [[false, true], [true, true]] {
            let (guest, seen) = bed.toiling(2);
            guest.await;
            assert_eq!(*seen.lock().unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn one_that_seems_long_is_doubted_before_its_turn_tells() {
        let bed = Bed::new();
        let (before, gate) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        assert!(!bed.whose.usual.is_long(before));
        let open = gate.clone();
        let mut guest = bed.guest(poll_fn(move |context| {
            compute(SLICE);
            if !in_turn() {
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            while !open.load(Ordering::Acquire) {
                std::thread::yield_now();
            }
            Poll::Ready(ended())
        }));
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut guest).poll(context).is_pending())).await);
        assert!(bed.whose.usual.is_long(before));
        gate.store(true, Ordering::Release);
        assert!(guest.await.result.is_ok());
    }

    #[tokio::test]
    async fn what_more_there_is_to_say_of_a_failure_is_looked_up_in_a_turn() {
        for time in [Duration::from_secs(3_600), Duration::ZERO] {
            let bed = Bed::new();
            let gate = Arc::new(AtomicBool::new(false));
            let open = gate.clone();
            // Somebody else has the only turn.
            let mut other =
                Bed { whose: Whose::new(&bed.whose.turns, &bed.whose.tenant) }.and_long().guest(poll_fn(move |_| {
                    while !open.load(Ordering::Acquire) {
                        std::thread::yield_now();
                    }
                    Poll::Ready(ended())
                }));
            let trap = CallError::Trap(Trap { code: TrapCode::Unreachable, backtrace: Backtrace::default() });
            let now = Instant::now();
            let fails = Box::pin(ready(Ending { result: Err(trap), ..ended() }));
            let mut fails = Fair::new(fails, &bed.whose, now..now + time);
            for guest in [&mut other, &mut fails] {
                assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut *guest).poll(context).is_pending())).await);
            }
            gate.store(true, Ordering::Release);
            let ending = fails.await;
            assert!(matches!(ending.result, Err(CallError::Trap(_))) && ending.explanation.is_some());
            assert!(other.await.result.is_ok() && bed.is_idle());
        }
    }

    #[tokio::test]
    async fn a_program_that_waits_in_its_turn_is_asked_again_when_it_is_called_and_not_before() {
        let bed = Bed::of_long();
        let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel::<()>();
        let (polls, tried) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let (counted, mut left) = (polls.clone(), 100);
        let mut guest = bed.guest(poll_fn(move |context| {
            counted.fetch_add(1, Ordering::Relaxed);
            while receiver.poll_recv(context).is_ready() {
                left -= 1;
                if left == 0 {
                    return Poll::Ready(ended());
                }
            }
            Poll::Pending
        }));
        let polled = tried.clone();
        let answered = tokio::spawn(poll_fn(move |context| {
            polled.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut guest).poll(context)
        }));
        for _ in 0..100 {
            // From another task, while it may be anywhere.
            sender.send(()).unwrap();
            tokio::task::yield_now().await;
        }
        answered.await.unwrap();
        let (polls, tried) = (polls.load(Ordering::Relaxed), tried.load(Ordering::Relaxed));
        // Each call asks it once, but for those that come together.
        assert!(polls <= 101 && tried <= 400, "{polls} {tried}");
        assert!(bed.is_idle());
    }

    #[tokio::test]
    async fn others_have_their_turns_while_one_is_stuck_in_its_own() {
        let bed = Bed::with_patience(Duration::from_millis(1)).and_long();
        let (go_on, told) = std::sync::mpsc::channel();
        let stuck = tokio::spawn(bed.guest(poll_fn(move |_| {
            told.recv().unwrap();
            Poll::Ready(ended())
        })));
        while bed.is_idle() {
            tokio::task::yield_now().await;
        }
        let (other, seen) = bed.toiling(3);
        assert!(other.await.result.is_ok());
        assert_eq!(*seen.lock().unwrap(), [true; 3]);
        go_on.send(()).unwrap();
        assert!(stuck.await.unwrap().result.is_ok());
        // And it goes on.
        let (other, seen) = bed.toiling(100);
        assert!(other.await.result.is_ok());
        assert_eq!(*seen.lock().unwrap(), [true; 100]);
        assert!(bed.is_idle());
    }

    #[tokio::test]
    async fn a_program_whose_client_goes_away_in_its_turn_gives_it_back() {
        let bed = Bed::of_long();
        let (held, gone) = (Arc::new(()), Arc::new(AtomicBool::new(false)));
        let (kept, seen) = (held.clone(), gone.clone());
        let mut guest = bed.guest(poll_fn(move |_| {
            let _instance = &kept;
            while !seen.load(Ordering::Relaxed) {}
            compute(SLICE);
            Poll::Pending
        }));
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut guest).poll(context))).await.is_pending());
        assert!(matches!(guest.place, Place::Away(..)));
        drop(guest);
        gone.store(true, Ordering::Relaxed);
        while Arc::strong_count(&held) > 1 || !bed.is_idle() {
            tokio::task::yield_now().await;
        }
    }

    /// Tells where it is dropped.
    struct Instance(std::sync::mpsc::Sender<bool>);

    impl Drop for Instance {
        fn drop(&mut self) {
            self.0.send(in_turn()).unwrap();
        }
    }

    #[tokio::test]
    async fn a_program_that_is_given_up_in_line_or_back_from_it_ends_where_nobody_is_answered() {
        let bed = Bed::new();
        let (ended, end) = std::sync::mpsc::channel();
        for is_back in [false, true] {
            for _ in 0..100 {
                bed.whose.usual.suspect(Instant::now());
                let instance = Instance(ended.clone());
                let mut waits = bed.guest(poll_fn(move |_| {
                    let _instance = &instance;
                    Poll::Pending
                }));
                assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut waits).poll(context))).await.is_pending());
                while is_back && !bed.is_idle() {
                    std::thread::yield_now();
                }
                drop(waits);
                assert!(end.recv().unwrap(), "{is_back}");
            }
        }
        while !bed.is_idle() {
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn a_panic_in_a_turn_is_its_owners_and_the_turn_goes_on() {
        struct Bad;
        impl Drop for Bad {
            fn drop(&mut self) {
                panic!("another");
            }
        }
        let bed = Bed::of_long();
        let bad = Bad;
        drop(bed.guest(poll_fn(move |_| {
            let _bad = &bad;
            Poll::Pending
        })));
        let panics = bed.guest(poll_fn(|_| panic!("a mistake of the server's")));
        assert!(tokio::spawn(panics).await.is_err_and(|error| error.is_panic()));
        assert!(bed.is_idle());
        let (guest, seen) = bed.toiling(2);
        guest.await;
        assert_eq!(*seen.lock().unwrap(), [true, true]);
    }

    #[tokio::test]
    async fn to_be_told_that_its_time_is_over_a_program_needs_no_turn() {
        let bed = Bed::of_long();
        let (mut spins, _) = bed.toiling(usize::MAX);
        assert!(poll_fn(|context| Poll::Ready(Pin::new(&mut spins).poll(context))).await.is_pending());
        let now = Instant::now();
        let late = Box::pin(async { if in_turn() { std::future::pending().await } else { ended() } });
        let late = Fair::new(late, &bed.whose, now..now);
        assert!(late.await.result.is_ok());
    }
}
