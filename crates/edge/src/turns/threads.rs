//! On which threads turns are had: two kinds, as many of each.
//!
//! Those that go *last* have what nobody else wants of the processors (nice 19). A thread that answers clients hardly
//! ever waits for one. The kernel lets whoever wakes up go first, and go on, only if it has had less than its share; one
//! that has had more waits, up to a millisecond, until the other has made up for it. Beside a thread that goes last that
//! is seldom: it makes up for a millisecond of somebody else's in 15 microseconds of its own. But on processors that are
//! busy they get next to nothing. So there are *steady* ones, which get a quarter beside one other; they have turns when
//! those that go last do not come forward ([`Progress`]). That these are long in their turns alone does not mean
//! that: to recycle much memory takes long, and to wait for a processor is what they are for.

use std::time::{Duration, Instant};

/// A turn is a slice long: one that has lasted longer than this may be on a thread that the kernel hardly lets run.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);
/// Then it is, if it had less than this part of a processor.
const PART_MIN: u32 = 8;
/// For so many times as long the steady threads go on alone, before it is tried again, and for twice as long each time that was
/// in vain. Most of what keeps a processor busy is over soon.
const RELIEF_MIN: u32 = 10;
const RELIEF_MAX: u32 = 320;
/// For so long after there was something to do the steady threads look by themselves; then they wait to be told.
const WATCH: Duration = Duration::from_secs(1);

/// Who has a turn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Whoever goes last, by its number.
    Last(usize),
    Steady,
}

impl Kind {
    /// What is added to the nice value.
    pub(super) fn nicer(self) -> u8 {
        match self {
            // A seventieth beside one other: a turn that is stuck ends within some seventy milliseconds.
            Kind::Last(_) => 19,
            // Who is answered slowly asks more seldom.
            Kind::Steady => 5,
        }
    }
}

/// What a thread may do now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum May {
    HaveTurns,
    /// Wait to be told, but no longer than this.
    Wait(Option<Duration>),
}

/// One of each kind that is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Told {
    pub(super) last: bool,
    pub(super) steady: bool,
}

/// What each of the threads that go last has used of the processors so far, by its number.
pub(super) type Used = Box<dyn Fn(usize) -> Duration + Send>;

/// Whether those that go last come forward.
pub(super) struct Progress {
    patience: Duration,
    used: Used,
    /// Which of them have a turn.
    turns: Vec<Option<Turn>>,
    /// Since when one of them could have a turn and has not come.
    asked: Option<Instant>,
    last_asked: Option<Instant>,
    steady_until: Option<Instant>,
    /// How long that was, last time; 0 if those that go last have come forward since.
    relief: u32,
    /// Whether a steady thread looks by itself.
    is_watched: bool,
}

/// One that is under way.
#[derive(Clone, Copy)]
struct Turn {
    since: Instant,
    /// What its thread had used at its beginning.
    used: Duration,
}

impl Progress {
    pub(super) fn new(threads: usize, patience: Duration, used: Used) -> Progress {
        let turns = vec![None; threads];
        let (asked, last_asked, steady_until) = (None, None, None);
        Progress { patience, used, turns, asked, last_asked, steady_until, relief: 0, is_watched: false }
    }

    /// Whether turns are to be had on the steady threads.
    fn is_stuck(&self, now: Instant) -> bool {
        let is_relieved = self.steady_until.is_some_and(|until| now < until);
        is_relieved || self.asked.is_some_and(|since| self.is_long(since, now)) || self.is_any_starved(now)
    }

    fn is_long(&self, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) > self.patience
    }

    fn is_any_starved(&self, now: Instant) -> bool {
        self.turns.iter().enumerate().any(|(number, turn)| turn.is_some_and(|turn| self.is_starved(number, turn, now)))
    }

    /// Whether a turn has lasted for long, and its thread had next to nothing of a processor.
    fn is_starved(&self, number: usize, turn: Turn, now: Instant) -> bool {
        let had = || (self.used)(number).saturating_sub(turn.used);
        self.is_long(turn.since, now) && had() < now.saturating_duration_since(turn.since) / PART_MIN
    }

    /// There is something to do: which threads are to be told, those that go last, the steady ones, or both.
    pub(super) fn ask(&mut self, now: Instant) -> Told {
        if self.is_stuck(now) {
            return Told { last: false, steady: true };
        }
        if self.turns.iter().any(Option::is_none) {
            self.asked.get_or_insert(now);
        }
        self.last_asked = Some(now);
        Told { last: true, steady: !self.is_watched }
    }

    /// What a thread may do that has nothing to do yet.
    pub(super) fn may(&mut self, kind: Kind, now: Instant) -> May {
        let is_stuck = self.is_stuck(now);
        if let Kind::Last(_) = kind {
            if self.asked.take().is_some_and(|since| self.is_long(since, now)) {
                self.relieve(now);
            }
            let relief = self.steady_until.map_or(Duration::ZERO, |until| until.saturating_duration_since(now));
            return if is_stuck { May::Wait(Some(relief.max(self.patience))) } else { May::HaveTurns };
        }
        if is_stuck {
            self.is_watched = false;
            return May::HaveTurns;
        }
        self.is_watched = self.last_asked.is_some_and(|asked| now.saturating_duration_since(asked) < WATCH);
        May::Wait(self.is_watched.then_some(self.patience))
    }

    pub(super) fn begins(&mut self, kind: Kind, now: Instant) {
        if let Kind::Last(number) = kind {
            self.turns[number] = Some(Turn { since: now, used: (self.used)(number) });
        }
    }

    pub(super) fn ends(&mut self, kind: Kind, now: Instant) {
        if let Kind::Last(number) = kind {
            let turn = self.turns[number].take();
            if turn.is_some_and(|turn| self.is_starved(number, turn, now)) {
                self.relieve(now);
            } else {
                self.relief = 0;
            }
        }
    }

    /// One that goes last is here, and only now.
    fn relieve(&mut self, now: Instant) {
        self.relief = (2 * self.relief).clamp(RELIEF_MIN, RELIEF_MAX);
        self.steady_until = Some(now + self.relief * self.patience);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    const START_MS: u64 = 10_000;

    /// Two threads of each kind.
    struct Bed {
        start: Instant,
        progress: Progress,
        /// What each that goes last has used, in milliseconds.
        used_ms: Arc<AtomicU64>,
    }

    impl Bed {
        fn new() -> Bed {
            let used_ms = Arc::<AtomicU64>::default();
            let used = used_ms.clone();
            let used = Box::new(move |_| Duration::from_millis(used.load(Ordering::Relaxed)));
            Bed { start: Instant::now(), progress: Progress::new(2, PATIENCE, used), used_ms }
        }

        fn at(&self, milliseconds: u64) -> Instant {
            self.start + Duration::from_millis(milliseconds)
        }

        fn may(&mut self, kind: Kind, milliseconds: u64) -> May {
            self.progress.may(kind, self.at(milliseconds))
        }

        fn ask(&mut self, milliseconds: u64) -> (bool, bool) {
            let Told { last, steady } = self.progress.ask(self.at(milliseconds));
            (last, steady)
        }

        fn begins(&mut self, kind: Kind, milliseconds: u64) {
            assert_eq!(self.may(kind, milliseconds), May::HaveTurns);
            self.progress.begins(kind, self.at(milliseconds));
        }

        fn ends(&mut self, kind: Kind, milliseconds: u64) {
            self.progress.ends(kind, self.at(milliseconds));
        }
    }

    const ONE: Kind = Kind::Last(0);
    const OTHER: Kind = Kind::Last(1);

    fn wait(milliseconds: u64) -> May {
        May::Wait(Some(Duration::from_millis(milliseconds)))
    }

    #[test]
    fn steady_threads_look_by_themselves_while_there_is_something_to_do() {
        let mut bed = Bed::new();
        assert_eq!(bed.may(Kind::Steady, 0), May::Wait(None));
        assert_eq!(bed.ask(START_MS), (true, true));
        assert_eq!(bed.may(Kind::Steady, START_MS), wait(5));
        assert_eq!(bed.ask(START_MS + 1), (true, false));
        bed.begins(ONE, START_MS + 2);
        bed.ends(ONE, START_MS + 3);
        assert_eq!(bed.may(Kind::Steady, START_MS + 1_000), wait(5));
        assert_eq!(bed.may(Kind::Steady, START_MS + 1_001), May::Wait(None));
        assert_eq!(bed.ask(START_MS + 2_000), (true, true));
    }

    #[test]
    fn whoever_goes_last_and_is_stuck_in_a_turn_is_relieved_for_a_while() {
        let mut bed = Bed::new();
        bed.ask(0);
        bed.begins(ONE, 0);
        assert_ne!(bed.may(Kind::Steady, 5), May::HaveTurns);
        // One is enough for all.
        assert_eq!((bed.may(OTHER, 6), bed.ask(6)), (wait(5), (false, true)));
        bed.begins(Kind::Steady, 6);
        bed.ends(Kind::Steady, 40);
        bed.ends(ONE, 50);
        assert_eq!((bed.may(ONE, 60), bed.ask(60)), (wait(40), (false, true)));
        assert_eq!(bed.may(Kind::Steady, 99), May::HaveTurns);
        // Then it is tried again.
        assert_eq!(bed.may(Kind::Steady, 100), wait(5));
        assert_eq!(bed.ask(100), (true, false));
        bed.begins(ONE, 100);
    }

    #[test]
    fn relief_is_longer_each_time_that_it_was_in_vain() {
        let mut bed = Bed::new();
        let mut starved = |at: u64, lasts: u64| {
            bed.begins(ONE, at);
            bed.ends(ONE, at + lasts);
            bed.progress.steady_until.map(|until| (until - bed.start).as_millis() as u64)
        };
        let mut at = 0;
        for relief in [50, 100, 200, 400, 800, 1_600, 1_600] {
            assert_eq!(starved(at, 10), Some(at + 10 + relief));
            at += 10 + relief;
        }
        assert_eq!(starved(at, 5), Some(at));
        assert_eq!(starved(at + 5, 10), Some(at + 65));
    }

    #[test]
    fn whoever_is_long_in_a_turn_and_computes_needs_no_relief() {
        let mut bed = Bed::new();
        bed.ask(0);
        // With both at work nobody is waited for.
        [ONE, OTHER].into_iter().for_each(|kind| bed.begins(kind, 0));
        bed.ask(1);
        for at in 1..=100 {
            bed.used_ms.store(at, Ordering::Relaxed);
            assert_ne!(bed.may(Kind::Steady, 8 * at), May::HaveTurns, "after {at} of {} ms", 8 * at);
        }
        // From here on it gets nothing.
        assert_eq!(bed.may(Kind::Steady, 801), May::HaveTurns);
        bed.ends(ONE, 801);
        assert_eq!(bed.ask(801), (false, true));
    }

    #[test]
    fn whoever_goes_last_and_does_not_come_at_all_is_relieved_too() {
        let mut bed = Bed::new();
        assert_eq!(bed.ask(0), (true, true));
        assert_eq!(bed.ask(5), (true, true));
        bed.begins(Kind::Steady, 6);
        // The other, who waits to be told, is told: whoever looked has a turn.
        assert_eq!(bed.ask(6), (false, true));
        assert_eq!(bed.may(ONE, 30), wait(50));
        assert_eq!(bed.may(ONE, 79), wait(5));
        bed.begins(ONE, 80);
    }
}
