//! What the server computes for programs that ask others, on their accounts.
//!
//! What is done while a program is polled is counted with it: making a request, finding a connection, proving who the other
//! is. The rest is done in the tasks of connections (sending, receiving, TLS, HTTP) and on the threads that connect. It is
//! measured here, and goes to the tenant's share of the processors at once, and to the CPU time of the programs whose
//! requests are under way on the connection, in equal parts.
//!
//! Not here: what the kernel does when nobody has asked it to, and the process that connects for a jailed server.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use hyper::rt::Executor;

use crate::limits::SLICE;
use crate::turns::Share;

/// What was computed for one program, until it is charged with it.
#[derive(Default)]
pub(crate) struct Bill {
    owed_ns: AtomicU64,
    program: Mutex<Option<Waker>>,
}

/// A request of a program's, as long as it is under way.
pub(crate) struct Use(Arc<Bill>);

/// What is computed for one connection.
pub(super) struct Account {
    share: Arc<Share>,
    uses: Mutex<Vec<Weak<Use>>>,
}

impl Bill {
    /// What the program is to be charged with now. It is called when there is a slice more of it: it may wait for an answer
    /// whose beginning costs much.
    pub(crate) fn settle(&self, program: &Waker) -> Duration {
        *self.lock() = Some(program.clone());
        Duration::from_nanos(self.owed_ns.swap(0, Ordering::Relaxed))
    }

    fn add(&self, took: Duration) {
        let took = took.as_nanos() as u64;
        let owed = self.owed_ns.fetch_add(took, Ordering::Relaxed) + took;
        if u128::from(owed) >= SLICE.as_nanos()
            && let Some(program) = self.lock().take()
        {
            program.wake();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Waker>> {
        self.program.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Account {
    pub(super) fn new(share: &Arc<Share>) -> Arc<Account> {
        Arc::new(Account { share: share.clone(), uses: Mutex::default() })
    }

    /// From now on until that is dropped, a program's.
    pub(super) fn used_by(&self, bill: &Arc<Bill>) -> Arc<Use> {
        let one = Arc::new(Use(bill.clone()));
        self.uses().push(Arc::downgrade(&one));
        one
    }

    pub(super) fn is_used(&self) -> bool {
        !self.uses().is_empty()
    }

    /// So much was computed.
    pub(super) fn add(&self, took: Duration) {
        self.share.add_unpaid(took);
        let uses = self.uses();
        let Some(part) = took.checked_div(uses.len() as u32) else { return };
        uses.iter().filter_map(Weak::upgrade).for_each(|one| one.0.add(part));
    }

    /// Those that are under way.
    fn uses(&self) -> MutexGuard<'_, Vec<Weak<Use>>> {
        let mut uses = self.uses.lock().unwrap_or_else(PoisonError::into_inner);
        uses.retain(|one| one.strong_count() > 0);
        uses
    }
}

/// Tasks of a connection, measured.
#[derive(Clone)]
pub(super) struct Tasks(pub(super) Arc<Account>);

impl<F: Future<Output: Send> + Send + 'static> Executor<F> for Tasks {
    fn execute(&self, future: F) {
        tokio::spawn(Measured { future: Box::pin(future), account: self.0.clone() });
    }
}

struct Measured<F> {
    future: Pin<Box<F>>,
    account: Arc<Account>,
}

impl<F: Future> Future for Measured<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let began = Instant::now();
        let poll = self.future.as_mut().poll(context);
        // If it took longer, the kernel may have let others go first.
        self.account.add(began.elapsed().min(SLICE));
        poll
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::task::Wake;

    use super::*;

    struct Called(AtomicU64);

    impl Wake for Called {
        fn wake(self: Arc<Called>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn what_is_computed_is_the_tenants_and_the_programs_in_equal_parts() {
        let (share, us) = (Arc::new(Share::new(1)), Duration::from_micros);
        let (account, [one, other]) = (Account::new(&share), [(); 2].map(|()| Arc::<Bill>::default()));
        let (called, nobody) = (Arc::new(Called(AtomicU64::new(0))), Waker::noop());
        account.add(us(5));
        assert!(!account.is_used());
        let used = account.used_by(&one);
        account.add(us(100));
        let used = [used, account.used_by(&other)];
        account.add(us(40));
        drop(used);
        account.add(us(7));
        assert_eq!([one.settle(nobody), other.settle(nobody)], [us(120), us(20)]);
        assert_eq!((share.unpaid(), one.settle(nobody), account.is_used()), (us(152), us(0), false));
        // A program that waits is called when there is much.
        let used = account.used_by(&one);
        one.settle(&called.clone().into());
        let times = |times| (0..times).for_each(|_| account.add(SLICE / 10));
        times(9);
        assert_eq!(called.0.load(Ordering::Relaxed), 0);
        times(9);
        assert_eq!((called.0.load(Ordering::Relaxed), one.settle(nobody)), (1, SLICE / 10 * 18));
        drop(used);
    }

    #[tokio::test]
    async fn tasks_of_a_connection_are_measured_and_their_waits_are_not() {
        let share = Arc::new(Share::new(1));
        let account = Account::new(&share);
        let (bill, done) = (Arc::<Bill>::default(), Arc::new(tokio::sync::Notify::new()));
        let _used = account.used_by(&bill);
        let (mut polls, ended) = (0, done.clone());
        Tasks(account).execute(poll_fn(move |context| {
            let began = Instant::now();
            while began.elapsed() < SLICE / 4 {}
            polls += 1;
            if polls == 4 {
                ended.notify_one();
                return Poll::Ready(());
            }
            let waker = context.waker().clone();
            tokio::spawn(async move {
                tokio::time::sleep(10 * SLICE).await;
                waker.wake();
            });
            Poll::Pending
        }));
        done.notified().await;
        tokio::task::yield_now().await;
        let owed = bill.settle(Waker::noop());
        // However slow the machine is, no more than a slice is charged for each time.
        assert!((SLICE..=4 * SLICE).contains(&owed) && owed == share.unpaid(), "{owed:?}");
    }
}
