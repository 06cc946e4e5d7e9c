//! Who computes next: a line for each tenant, and accounts of what each has had.
//!
//! Time is virtual: what a tenant does not use is not saved up.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crate::name::Name;
use crate::site::Tenant;

/// What a tenant pays at most with one turn of what it has had without. One that has answered for days without a turn would
/// wait for hours else, as soon as one of its programs takes turns.
const UNPAID_MAX: Duration = Duration::from_millis(100);

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

    /// A program of the tenant's, or the server for it, has computed for so long without a turn.
    pub(crate) fn add_unpaid(&self, took: Duration) {
        self.unpaid_ns.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
    }

    #[cfg(test)]
    pub(crate) fn unpaid(&self) -> Duration {
        Duration::from_nanos(self.unpaid_ns.load(Ordering::Relaxed))
    }
}

/// The lines of all tenants. `J` is what waits in them.
pub(super) struct Lines<J> {
    next: u64,
    /// The virtual time of the last turn.
    clock: u64,
    lines: BTreeMap<Name, Line<J>>,
}

/// Those of one tenant.
struct Line<J> {
    /// What the tenant has had, by its weight.
    had: u64,
    /// Turns that it has now.
    turns: usize,
    waiting: VecDeque<(u64, J)>,
}

impl<J> Lines<J> {
    pub(super) fn new() -> Lines<J> {
        Lines { next: 0, clock: 0, lines: BTreeMap::new() }
    }

    /// A number for one who is about to stand in line, by which it can leave.
    pub(super) fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// At the end of a tenant's line. A tenant of whom nobody computes or waits begins where the others are.
    pub(super) fn queue(&mut self, tenant: &Tenant, number: u64, job: J) {
        let empty = || Line { had: 0, turns: 0, waiting: VecDeque::new() };
        let line = self.lines.entry(tenant.name.clone()).or_insert_with(empty);
        if line.turns == 0 && line.waiting.is_empty() {
            line.had = line.had.max(self.clock);
        }
        line.waiting.push_back((number, job));
    }

    /// Who has the next turn: the first in the line of the tenant who has had least.
    pub(super) fn next(&mut self) -> Option<(u64, J)> {
        // Whoever is not ahead of the others begins where they are, and need not be known.
        self.lines.retain(|_, line| line.turns > 0 || !line.waiting.is_empty() || line.had > self.clock);
        let waiting = self.lines.values_mut().filter(|line| !line.waiting.is_empty());
        let line = waiting.min_by_key(|line| line.had)?;
        line.turns += 1;
        self.clock = self.clock.max(line.had);
        line.waiting.pop_front()
    }

    /// Whether anybody waits.
    pub(super) fn has_more(&self) -> bool {
        self.lines.values().any(|line| !line.waiting.is_empty())
    }

    /// A turn of a tenant's is over, after so long. Whoever needs another at once stands in line again before it is given
    /// to others: else one who is alone in its line would be passed over each time.
    pub(super) fn end(&mut self, tenant: &Tenant, took: Duration, again: Option<(u64, J)>) {
        let unpaid = tenant.share.unpaid_ns.swap(0, Ordering::Relaxed).min(UNPAID_MAX.as_nanos() as u64);
        let weight = u64::from(tenant.share.weight.load(Ordering::Relaxed).max(1));
        let Some(line) = self.lines.get_mut(&tenant.name) else { return };
        line.had += (took.as_nanos() as u64).saturating_add(unpaid) / weight;
        line.waiting.extend(again);
        line.turns -= 1;
    }

    /// Whoever stands in line goes away, if it is still there.
    pub(super) fn leave(&mut self, tenant: &Tenant, number: u64) -> Option<J> {
        let waiting = &mut self.lines.get_mut(&tenant.name)?.waiting;
        let at = waiting.iter().position(|(waiting, _)| *waiting == number)?;
        waiting.remove(at).map(|(_, job)| job)
    }

    /// Whether nobody waits, and nobody has a turn.
    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.lines.values().all(|line| line.turns == 0 && line.waiting.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::SLICE;
    use crate::turns::tests::tenant;

    /// Programs that never end, in line.
    struct Programs<'t>(Lines<&'t Tenant>);

    impl<'t> Programs<'t> {
        fn new(programs: &[(&'t Tenant, usize)]) -> Programs<'t> {
            let mut all = Programs(Lines::new());
            for (tenant, count) in programs {
                (0..*count).for_each(|_| all.add(tenant));
            }
            all
        }

        fn add(&mut self, tenant: &'t Tenant) {
            let number = self.0.number();
            self.0.queue(tenant, number, tenant);
        }

        /// Lets them have so many turns of the same length, so many at a time; how many each tenant had.
        fn run(&mut self, count: usize, at_a_time: usize) -> BTreeMap<&'t str, usize> {
            let mut had = BTreeMap::new();
            for _ in 0..count / at_a_time {
                let computing: Vec<_> = (0..at_a_time).map_while(|_| self.0.next()).collect();
                for (number, tenant) in computing {
                    *had.entry(tenant.name.as_str()).or_default() += 1;
                    self.0.end(tenant, SLICE, Some((number, tenant)));
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
            let had = Programs::new(programs).run(1_000, 1);
            let had: Vec<usize> = programs.iter().map(|(tenant, _)| had[tenant.name.as_str()]).collect();
            assert!(
                had.iter().zip(expected).all(|(had, expected)| had.abs_diff(expected) <= 5),
                "{had:?} {expected:?}"
            );
        }
        // Nobody has two turns at once, so one program beside many is at most one of two.
        let had = Programs::new(&[(&a, 90), (&b, 1)]).run(1_000, 2);
        assert!(had["b"].abs_diff(500) <= 5, "{had:?}");
    }

    #[test]
    fn what_is_not_used_is_not_saved_up_and_what_was_free_is_paid() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut programs = Programs::new(&[(&a, 2)]);
        programs.run(1_000, 1);
        // A tenant that was not there has no thousand turns before the other.
        programs.add(&b);
        let had = programs.run(200, 1);
        assert!(had["a"].abs_diff(had["b"]) <= 5, "{had:?}");
        b.share.add_unpaid(50 * SLICE);
        let had = programs.run(200, 1);
        assert!(had["a"].abs_diff(had["b"] + 50) <= 5, "{had:?}");
    }

    #[test]
    fn whoever_has_long_been_answered_without_turns_waits_for_a_while_and_no_longer() {
        let (a, b) = (tenant("a", 1), tenant("b", 1));
        let mut programs = Programs::new(&[(&a, 1), (&b, 1)]);
        b.share.add_unpaid(Duration::from_secs(3_600));
        let had = programs.run(1_000, 1);
        assert!(had["a"].abs_diff(had["b"] + 100) <= 5, "{had:?}");
    }

    #[test]
    fn whoever_goes_away_leaves_its_place_to_others() {
        let a = tenant("a", 1);
        let mut lines = Lines::new();
        let numbers: Vec<u64> = (0..3).map(|_| lines.number()).collect();
        numbers.iter().for_each(|number| lines.queue(&a, *number, *number));
        assert_eq!(lines.next(), Some((1, 1)));
        // Who computes is not in line any more.
        assert_eq!((lines.leave(&a, 1), lines.leave(&a, 2), lines.leave(&a, 2)), (None, Some(2), None));
        assert_eq!((lines.next(), lines.next()), (Some((3, 3)), None));
        assert!(!lines.is_idle());
        lines.end(&a, SLICE, None);
        lines.end(&a, SLICE, Some((3, 3)));
        assert_eq!((lines.is_idle(), lines.leave(&a, 3), lines.is_idle()), (false, Some(3), true));
    }
}
