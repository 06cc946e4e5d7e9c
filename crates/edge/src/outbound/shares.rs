//! Places that all tenants share: whatever some take, there is something for one that comes new.
//!
//! A quarter of all places is for tenants that have none; of what is free besides, a tenant may have a quarter, up to its
//! maximum. So the more is taken, the less anybody may take of the rest (the dynamic thresholds of Choudhury and Hahne,
//! 1998), and who came first and has more than is its share by now gets no more until it has less.
//!
//! ```text
//!   free of 64, of which a tenant may have 4:   64 …… 29 │ 28 …… 25 │ 24 … 21 │ 20 …… 1 │ 0
//!   share:                                          4    │     3    │    2    │    1    │ 0
//! ```
//!
//! Who must wait does so in its tenant's line. Of those tenants that may have more, the next free place is for the one that
//! has least; of several, for who has waited longest. So nobody starves: a tenant that is passed over has places itself.
//!
//! Not here: for how long somebody waits, and what gives way.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::name::Name;

/// What of all places is for tenants that have none, and what of those that are free besides a tenant may have.
const PART: usize = 4;

/// How many places there are, and how many of them a tenant may have at most.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) all: usize,
    pub(super) of_tenant: usize,
}

impl Bounds {
    /// How many a tenant may have while so many are free.
    fn share(self, free: usize) -> usize {
        let more = free.saturating_sub(self.all / PART).div_ceil(PART);
        more.clamp(usize::from(free > 0), self.of_tenant)
    }
}

/// The places of one kind.
pub(super) struct Shares {
    bounds: Bounds,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    taken: usize,
    /// The number of who began to wait last.
    last: u64,
    /// How many are in lines, whether they still wait or not.
    waiting: usize,
    /// Of those that have places, or wait.
    tenants: BTreeMap<Name, Tenant>,
}

#[derive(Default)]
struct Tenant {
    has: usize,
    waiting: VecDeque<(u64, oneshot::Sender<Place>)>,
}

impl Tenant {
    fn waits(&self) -> bool {
        self.waiting.iter().any(|(_, place)| !place.is_closed())
    }
}

/// One place, until it is dropped.
pub(super) struct Place {
    /// None if it is nobody's.
    shares: Option<Arc<Shares>>,
    tenant: Name,
    /// Whether it is one of all, and not of the tenant's alone.
    of_all: bool,
}

impl Shares {
    pub(super) fn new(bounds: Bounds) -> Arc<Shares> {
        Arc::new(Shares { bounds, state: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a tenant, or where it comes.
    pub(super) fn ask(self: &Arc<Self>, tenant: &Name) -> Result<Place, oneshot::Receiver<Place>> {
        let mut state = self.lock();
        let share = self.share(&state);
        let State { taken, last, waiting, tenants } = &mut *state;
        let line = tenants.entry(tenant.clone()).or_default();
        if line.has < share && !line.waits() {
            line.has += 1;
            *taken += 1;
            return Ok(self.place(tenant));
        }
        let (place, comes) = oneshot::channel();
        // Who does not wait any more is not kept.
        *waiting -= line.waiting.len();
        line.waiting.retain(|(_, waits)| !waits.is_closed());
        *last += 1;
        line.waiting.push_back((*last, place));
        *waiting += line.waiting.len();
        Err(comes)
    }

    /// Whether it has more than it could take now.
    pub(super) fn is_above(&self, tenant: &Name) -> bool {
        let state = self.lock();
        state.tenants.get(tenant).is_some_and(|tenant| tenant.has > self.share(&state))
    }

    /// Whether somebody waits whom this tenant should let go first with what it does not use: itself, or others if it has
    /// more than its share.
    pub(super) fn should_yield(&self, tenant: &Name) -> bool {
        let state = self.lock();
        let Some(line) = state.tenants.get(tenant) else { return false };
        line.waits() || line.has > self.share(&state) && state.tenants.values().any(Tenant::waits)
    }

    /// How many it has, and how many it could have at most now.
    pub(super) fn standing(&self, tenant: &Name) -> (usize, usize) {
        let state = self.lock();
        (state.tenants.get(tenant).map_or(0, |tenant| tenant.has), self.share(&state))
    }

    fn share(&self, state: &State) -> usize {
        self.bounds.share(self.bounds.all.saturating_sub(state.taken))
    }

    fn place(self: &Arc<Self>, tenant: &Name) -> Place {
        Place { shares: Some(self.clone()), tenant: tenant.clone(), of_all: true }
    }

    /// Lets those have places who may by now.
    fn admit(self: &Arc<Self>, state: &mut State) {
        while state.waiting > 0 {
            let share = self.share(state);
            let waiting = state.tenants.iter_mut().filter(|(_, line)| line.has < share && !line.waiting.is_empty());
            let next = waiting.min_by_key(|(_, line)| (line.has, line.waiting.front().map(|(number, _)| *number)));
            let Some((name, line)) = next else { return };
            let Some((_, waits)) = line.waiting.pop_front() else { return };
            state.waiting -= 1;
            match waits.send(self.place(name)) {
                Ok(()) => {
                    line.has += 1;
                    state.taken += 1;
                }
                // Nobody waits for it: it is none.
                Err(mut place) => {
                    place.shares = None;
                    let name = name.clone();
                    state.forget(&name);
                }
            }
        }
    }
}

impl State {
    /// Of a tenant that has nothing and does not wait nothing is kept.
    fn forget(&mut self, tenant: &Name) {
        if self.tenants.get(tenant).is_some_and(|line| line.has == 0 && line.waiting.is_empty()) {
            self.tenants.remove(tenant);
        }
    }
}

impl Place {
    /// From now on it is one of the tenant's, and others may have one instead.
    pub(super) fn leave_to_others(&mut self) {
        let Some(shares) = self.shares.as_ref().filter(|_| self.of_all) else { return };
        self.of_all = false;
        let mut state = shares.lock();
        state.taken -= 1;
        shares.admit(&mut state);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some(shares) = self.shares.take() else { return };
        let mut state = shares.lock();
        state.taken -= usize::from(self.of_all);
        if let Some(line) = state.tenants.get_mut(&self.tenant) {
            line.has -= 1;
        }
        state.forget(&self.tenant);
        shares.admit(&mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::{
        OUTBOUND_CONNECTIONS_MAX, OUTBOUND_CONNECTIONS_OF_TENANT_MAX, OUTBOUND_DIALS_MAX, OUTBOUND_DIALS_OF_TENANT_MAX,
    };

    const DIALS: Bounds = Bounds { all: OUTBOUND_DIALS_MAX, of_tenant: OUTBOUND_DIALS_OF_TENANT_MAX };
    const CONNECTIONS: Bounds = Bounds { all: OUTBOUND_CONNECTIONS_MAX, of_tenant: OUTBOUND_CONNECTIONS_OF_TENANT_MAX };

    fn name(number: usize) -> Name {
        Name::new(&format!("t{number}")).unwrap()
    }

    /// All that a tenant gets.
    fn takes(shares: &Arc<Shares>, tenant: usize) -> Vec<Place> {
        std::iter::from_fn(|| shares.ask(&name(tenant)).ok()).collect()
    }

    #[test]
    fn a_share_is_a_part_of_what_is_free() {
        for (bounds, free, share) in [
            (DIALS, 64, 4),
            (DIALS, 29, 4),
            (DIALS, 28, 3),
            (DIALS, 25, 3),
            (DIALS, 24, 2),
            (DIALS, 21, 2),
            (DIALS, 20, 1),
            (DIALS, 1, 1),
            (DIALS, 0, 0),
            (CONNECTIONS, 2_000, 192),
            (CONNECTIONS, 1_265, 192),
            (CONNECTIONS, 1_264, 191),
            (CONNECTIONS, 900, 100),
            (CONNECTIONS, 504, 1),
            (CONNECTIONS, 1, 1),
            (CONNECTIONS, 0, 0),
        ] {
            assert_eq!(bounds.share(free), share, "{bounds:?}, {free} free");
        }
    }

    /// So many tenants, each of which takes what it can, before the next comes.
    #[test]
    fn however_much_those_take_that_came_first_there_is_something_left() {
        for (bounds, tenants, first, last) in [
            (DIALS, 1, 4, 4),
            (DIALS, 9, 4, 4),
            (DIALS, 16, 4, 1),
            (DIALS, 31, 4, 1),
            (CONNECTIONS, 1, 192, 192),
            (CONNECTIONS, 3, 192, 192),
            (CONNECTIONS, 4, 192, 185),
            (CONNECTIONS, 12, 192, 31),
            (CONNECTIONS, 20, 192, 5),
            (CONNECTIONS, 500, 192, 1),
        ] {
            let shares = Shares::new(bounds);
            let have: Vec<_> = (0..tenants).map(|tenant| takes(&shares, tenant)).collect();
            let counts: Vec<usize> = have.iter().map(Vec::len).collect();
            assert_eq!((counts[0], counts[tenants - 1]), (first, last), "{bounds:?}: {counts:?}");
            assert!(shares.ask(&name(tenants)).is_ok(), "{bounds:?}: nothing is left beside {counts:?}");
        }
    }

    /// So many tenants that ask all the time, and have each place only for a while.
    #[test]
    fn greedy_tenants_have_the_same_each_however_they_began() {
        for (bounds, tenants, each, free) in
            [(DIALS, 16, 2, 24), (CONNECTIONS, 12, 94, 872), (CONNECTIONS, 100, 14, 556)]
        {
            let shares = Shares::new(bounds);
            let mut have: Vec<_> = (0..tenants).map(|tenant| takes(&shares, tenant)).collect();
            for _ in 0..bounds.all {
                for (tenant, places) in have.iter_mut().enumerate() {
                    places.pop();
                    places.extend(takes(&shares, tenant));
                }
            }
            let counts: Vec<usize> = have.iter().map(Vec::len).collect();
            assert!(counts.iter().all(|count| count.abs_diff(each) <= 1), "{bounds:?}: {counts:?}");
            let left = bounds.all - counts.iter().sum::<usize>();
            assert!(left.abs_diff(free) <= tenants, "{bounds:?}: {left} free");
        }
    }

    /// Takes what came for those who waited.
    fn came(waiting: &mut Vec<(usize, oneshot::Receiver<Place>)>) -> Vec<(usize, Place)> {
        let mut came = Vec::new();
        waiting.retain_mut(|(tenant, place)| match place.try_recv() {
            Ok(place) => {
                came.push((*tenant, place));
                false
            }
            Err(_) => true,
        });
        came
    }

    #[test]
    fn what_becomes_free_is_for_who_has_least_and_then_for_who_waits_longest() {
        let shares = Shares::new(Bounds { all: 8, of_tenant: 3 });
        let mut have: Vec<_> =
            (0..7).flat_map(|tenant| takes(&shares, tenant).into_iter().map(move |place| (tenant, place))).collect();
        let had: Vec<usize> = have.iter().map(|(tenant, _)| *tenant).collect();
        assert_eq!(had, [0, 0, 1, 2, 3, 4, 5, 6]);
        let mut waiting: Vec<_> =
            [0, 1, 9, 7, 8, 7].map(|tenant| (tenant, shares.ask(&name(tenant)).err().unwrap())).into();
        // Who does not wait any more gets nothing, and is in nobody's way.
        waiting.remove(2);
        let mut order = Vec::new();
        while let Some((left, place)) = have.pop() {
            drop(place);
            order.push((
                left,
                came(&mut waiting)
                    .into_iter()
                    .map(|(tenant, place)| {
                        have.insert(0, (tenant, place));
                        tenant
                    })
                    .collect::<Vec<_>>(),
            ));
        }
        // What is left of the last quarter is for those that have nothing.
        let expected = [(6, vec![7]), (5, vec![8]), (4, vec![]), (3, vec![]), (2, vec![]), (1, vec![1])];
        assert_eq!(order[..6], expected, "{order:?}");
        assert!(waiting.is_empty(), "{order:?}");
        let state = shares.lock();
        assert!(state.tenants.is_empty() && state.taken == 0);
    }

    #[test]
    fn a_place_that_is_left_to_others_is_still_one_of_its_tenants() {
        let shares = Shares::new(Bounds { all: 8, of_tenant: 1 });
        let mut place = shares.ask(&name(0)).ok().unwrap();
        place.leave_to_others();
        assert_eq!(shares.standing(&name(0)), (1, 1));
        assert!(shares.lock().taken == 0);
        assert!(shares.ask(&name(0)).is_err());
        place.leave_to_others();
        drop(place);
        assert!(shares.lock().taken == 0);
        assert_eq!(shares.standing(&name(0)), (0, 1));
    }

    #[test]
    fn whoever_has_more_than_its_share_yields_to_those_who_wait() {
        let shares = Shares::new(Bounds { all: 16, of_tenant: 3 });
        let first = takes(&shares, 0);
        assert_eq!((first.len(), shares.should_yield(&name(0))), (3, false), "nobody waits");
        let _others: Vec<_> = (1..20).map(|tenant| (tenant, takes(&shares, tenant))).collect();
        let _waits = shares.ask(&name(99)).err().unwrap();
        assert!(shares.is_above(&name(0)) && shares.should_yield(&name(0)));
        assert!(!shares.is_above(&name(99)) && shares.should_yield(&name(99)));
    }

    /// Whatever comes: places are counted right, nobody has more than its maximum, and nobody waits who may have one.
    #[test]
    fn nobody_waits_for_what_it_may_have() {
        let bounds = Bounds { all: 40, of_tenant: 6 };
        let shares = Shares::new(bounds);
        let (mut have, mut waiting) = (Vec::<(usize, Place)>::new(), Vec::new());
        let mut seed = 1_u64;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) as usize % below
        };
        for step in 0..20_000 {
            // Times with many, and times with few.
            let tenant = random(if step / 2_000 % 2 == 0 { 30 } else { 4 });
            match random(8) {
                0..=3 => match shares.ask(&name(tenant)) {
                    Ok(place) => have.push((tenant, place)),
                    Err(comes) => waiting.push((tenant, comes)),
                },
                4..=5 if !have.is_empty() => drop(have.swap_remove(random(have.len()))),
                6 if !have.is_empty() => {
                    let at = random(have.len());
                    have[at].1.leave_to_others();
                }
                7 if !waiting.is_empty() => drop(waiting.swap_remove(random(waiting.len()))),
                _ => {}
            }
            have.extend(came(&mut waiting));
            let taken = have.iter().filter(|(_, place)| place.of_all).count();
            assert!(taken <= bounds.all && shares.lock().taken == taken, "step {step}");
            for (tenant, _) in &waiting {
                let has = have.iter().filter(|(one, _)| one == tenant).count();
                assert!(
                    has <= bounds.of_tenant && has >= bounds.share(bounds.all - taken),
                    "step {step}: {tenant} waits"
                );
            }
        }
        drop((have, waiting));
        assert_eq!(shares.lock().taken, 0);
    }
}
