//! Whose deploy is next. A tenant has one at work and a few that wait, and tenants take turns: none waits for all that
//! another has asked for.
//!
//! A place is taken before anything is uploaded, so that places bound what lies on the disk for deploys, too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

use crate::error::EdgeError;
use crate::limits::{DEPLOYS_MAX, DEPLOYS_OF_TENANT_MAX};
use crate::name::Name;

/// Deploys that are at work, wait, or are still being uploaded.
#[derive(Default)]
pub(crate) struct Deploys(Mutex<State>);

#[derive(Default)]
struct State {
    lines: BTreeMap<Name, Line>,
    /// Tenants with a deploy that waits and none at work, each once.
    turns: VecDeque<Name>,
    at_work: usize,
    last: u64,
}

/// A tenant's.
#[derive(Default)]
struct Line {
    places: usize,
    at_work: Option<u64>,
    waiting: VecDeque<(u64, oneshot::Sender<()>)>,
}

/// A place among a tenant's deploys, until it is dropped.
pub(crate) struct Place {
    deploys: Arc<Deploys>,
    tenant: Name,
    number: u64,
}

impl Deploys {
    /// A place, if the tenant has one left.
    pub(crate) fn place(self: &Arc<Deploys>, tenant: &Name) -> Result<Place, EdgeError> {
        let mut state = self.state();
        let line = state.lines.entry(tenant.clone()).or_default();
        if line.places >= DEPLOYS_OF_TENANT_MAX {
            return Err(EdgeError::TooManyDeploys(DEPLOYS_OF_TENANT_MAX));
        }
        line.places += 1;
        state.last += 1;
        Ok(Place { deploys: self.clone(), tenant: tenant.clone(), number: state.last })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing below leaves it half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits until it is this one's turn, which lasts as long as the place.
    pub(crate) async fn turn(&self) {
        let (tell, told) = oneshot::channel();
        self.deploys.state().wait(&self.tenant, self.number, tell);
        // Whoever waits is in the queue until he is told.
        let _ = told.await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.deploys.state().leave(&self.tenant, self.number);
    }
}

impl State {
    fn wait(&mut self, tenant: &Name, number: u64, tell: oneshot::Sender<()>) {
        let Some(line) = self.lines.get_mut(tenant) else { return };
        line.waiting.push_back((number, tell));
        if line.at_work.is_none() && line.waiting.len() == 1 {
            self.turns.push_back(tenant.clone());
        }
        self.give();
    }

    fn leave(&mut self, tenant: &Name, number: u64) {
        let Some(line) = self.lines.get_mut(tenant) else { return };
        line.places -= 1;
        line.waiting.retain(|(waiting, _)| *waiting != number);
        if line.waiting.is_empty() {
            self.turns.retain(|turn| turn != tenant);
        }
        if line.at_work == Some(number) {
            (line.at_work, self.at_work) = (None, self.at_work - 1);
            if !line.waiting.is_empty() {
                self.turns.push_back(tenant.clone());
            }
        }
        if line.places == 0 {
            self.lines.remove(tenant);
        }
        self.give();
    }

    /// Lets as many work as may.
    fn give(&mut self) {
        while self.at_work < DEPLOYS_MAX
            && let Some(tenant) = self.turns.pop_front()
        {
            let Some(line) = self.lines.get_mut(&tenant) else { continue };
            let Some((number, tell)) = line.waiting.pop_front() else { continue };
            (line.at_work, self.at_work) = (Some(number), self.at_work + 1);
            // Whoever does not listen any more leaves.
            let _ = tell.send(());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Waker};

    use super::*;

    fn name(text: &str) -> Name {
        Name::new(text).unwrap()
    }

    fn places(deploys: &Arc<Deploys>, tenant: &str, count: usize) -> Vec<Place> {
        (0..count).map(|_| deploys.place(&name(tenant)).unwrap()).collect()
    }

    /// In which order they work, two at once, if the older one ends first.
    async fn order(deploys: &Arc<Deploys>, places: Vec<Place>) -> Vec<String> {
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        for place in places {
            let tell = tell.clone();
            tokio::spawn(async move {
                place.turn().await;
                let _ = tell.send(place);
            });
        }
        drop(tell);
        let mut order = Vec::new();
        while let Some(place) = told.recv().await {
            assert!(deploys.state().at_work <= DEPLOYS_MAX);
            order.push(place.tenant.to_string());
            tokio::task::yield_now().await;
        }
        order
    }

    /// One tenant's uploads stood before everybody else's, as many as it liked.
    #[tokio::test]
    async fn tenants_take_turns_and_have_one_at_work_each() {
        let deploys = Arc::<Deploys>::default();
        let mut asked = places(&deploys, "a", DEPLOYS_OF_TENANT_MAX);
        asked.extend(places(&deploys, "b", 2));
        asked.extend(places(&deploys, "c", 1));
        assert_eq!(order(&deploys, asked).await, ["a", "b", "c", "a", "b", "a", "a"]);
        assert!(deploys.state().lines.is_empty() && deploys.state().turns.is_empty());
    }

    #[test]
    fn places_are_bounded_and_those_who_leave_early_hold_up_nobody() {
        let deploys = Arc::<Deploys>::default();
        let mut held = places(&deploys, "a", DEPLOYS_OF_TENANT_MAX);
        assert!(matches!(deploys.place(&name("a")), Err(EdgeError::TooManyDeploys(DEPLOYS_OF_TENANT_MAX))));
        places(&deploys, "b", 1);
        let context = &mut Context::from_waker(Waker::noop());
        let others: Vec<Place> = held.split_off(1);
        {
            let mut first = pin!(held[0].turn());
            assert!(first.as_mut().poll(context).is_ready());
            let mut second = pin!(others[0].turn());
            assert!(second.as_mut().poll(context).is_pending(), "one of a tenant at a time");
            // It is gone before its turn, and then the one at work.
        }
        drop(others);
        drop(held);
        let next = deploys.place(&name("a")).unwrap();
        assert!(pin!(next.turn()).as_mut().poll(context).is_ready());
    }
}
