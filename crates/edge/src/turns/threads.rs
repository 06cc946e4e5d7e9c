//! On which threads turns are had: two kinds, as many of each.
//!
//! Those that go *last* have what nobody else wants of the processors (nice 15). A thread that answers clients never
//! waits for one: the kernel lets whoever wakes up go first only if it has had less than its share lately, and beside such
//! a thread everybody has. But on processors that are busy they get next to nothing. So there are *steady* ones, which
//! get a quarter beside one other; they have turns when those that go last do not come forward ([`Progress`]).

use std::time::{Duration, Instant};

/// A turn is a slice long: one that has lasted longer than this is on a thread that the kernel hardly lets run.
pub(super) const PATIENCE: Duration = Duration::from_millis(5);
/// For so many times as long the steady threads go on alone, before it is tried again.
const RELIEF: u32 = 200;
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
            // A thirtieth beside one other: a turn that is stuck ends within some thirty milliseconds.
            Kind::Last(_) => 15,
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

/// Whether those that go last come forward.
pub(super) struct Progress {
    patience: Duration,
    /// Since when each of them has its turn.
    turns: Vec<Option<Instant>>,
    /// Since when there is something to do and none has come.
    asked: Option<Instant>,
    last_asked: Option<Instant>,
    steady_until: Option<Instant>,
    /// Whether a steady thread looks by itself.
    is_watched: bool,
}

impl Progress {
    pub(super) fn new(threads: usize, patience: Duration) -> Progress {
        let turns = vec![None; threads];
        Progress { patience, turns, asked: None, last_asked: None, steady_until: None, is_watched: false }
    }

    /// Whether turns are to be had on the steady threads.
    fn is_stuck(&self, now: Instant) -> bool {
        let stuck = |since: &Instant| now.saturating_duration_since(*since) > self.patience;
        let is_relieved = self.steady_until.is_some_and(|until| now < until);
        is_relieved || self.asked.iter().chain(self.turns.iter().flatten()).any(stuck)
    }

    /// There is something to do: which threads are to be told, those that go last, the steady ones, or both.
    pub(super) fn ask(&mut self, now: Instant) -> Told {
        if self.is_stuck(now) {
            return Told { last: false, steady: true };
        }
        self.asked.get_or_insert(now);
        self.last_asked = Some(now);
        Told { last: true, steady: !self.is_watched }
    }

    /// What a thread may do that has nothing to do yet.
    pub(super) fn may(&mut self, kind: Kind, now: Instant) -> May {
        let is_stuck = self.is_stuck(now);
        if let Kind::Last(_) = kind {
            self.came_forward(self.asked, now);
            self.asked = None;
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
            self.turns[number] = Some(now);
        }
    }

    pub(super) fn ends(&mut self, kind: Kind, now: Instant) {
        if let Kind::Last(number) = kind {
            let began = self.turns[number].take();
            self.came_forward(began, now);
        }
    }

    /// One that goes last is here, after so long.
    fn came_forward(&mut self, since: Option<Instant>, now: Instant) {
        if since.is_some_and(|since| now.saturating_duration_since(since) > self.patience) {
            self.steady_until = Some(now + RELIEF * self.patience);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_MS: u64 = 10_000;

    /// Two threads of each kind.
    struct Bed {
        start: Instant,
        progress: Progress,
    }

    impl Bed {
        fn new() -> Bed {
            Bed { start: Instant::now(), progress: Progress::new(2, PATIENCE) }
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
        assert_eq!((bed.may(ONE, 60), bed.ask(60)), (wait(990), (false, true)));
        assert_eq!(bed.may(Kind::Steady, 1_049), May::HaveTurns);
        // Then it is tried again.
        assert_eq!(bed.may(Kind::Steady, 1_050), May::Wait(None));
        assert_eq!(bed.ask(1_050), (true, true));
        bed.begins(ONE, 1_050);
    }

    #[test]
    fn whoever_goes_last_and_does_not_come_at_all_is_relieved_too() {
        let mut bed = Bed::new();
        assert_eq!(bed.ask(0), (true, true));
        assert_eq!(bed.ask(5), (true, true));
        bed.begins(Kind::Steady, 6);
        // The other, who waits to be told, is told: whoever looked has a turn.
        assert_eq!(bed.ask(6), (false, true));
        assert_eq!(bed.may(ONE, 30), wait(1_000));
        assert_eq!(bed.may(ONE, 1_029), wait(5));
        bed.begins(ONE, 1_030);
    }
}
