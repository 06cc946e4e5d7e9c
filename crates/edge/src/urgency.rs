//! Which thread is to compute first: the kernel is told what each is for.
//!
//! Threads that answer clients have little to do at a time and ask for short stretches of computing, so that they need not
//! wait for the end of a long one. What clients do not wait for is done on threads that ask for longer ones. Turns have
//! threads of their own ([`crate::turns`]).

use std::time::Duration;

use selvedge_native::set_urgency;
use tokio::task::{JoinHandle, spawn_blocking};

/// For threads that answer clients.
const ANSWERING_STRETCH: Duration = Duration::from_micros(100);
/// For all others: the kernel lets those with shorter ones go first.
pub(crate) const LATER_STRETCH: Duration = Duration::from_micros(400);

/// Makes this thread one that answers clients.
pub(crate) fn answers_clients() {
    // Where it is refused clients wait longer beside programs that compute.
    let _ = set_urgency(ANSWERING_STRETCH, 0);
}

/// Does what may wait, for the disk, another process or another server, or compute for long, on a thread of its own.
pub(crate) fn later<T: Send + 'static>(run: impl FnOnce() -> T + Send + 'static) -> JoinHandle<T> {
    spawn_blocking(move || {
        let _later = Later::begin();
        run()
    })
}

/// A thread of the executor's, until its next work.
struct Later;

impl Later {
    fn begin() -> Later {
        // As above.
        let _ = set_urgency(LATER_STRETCH, 0);
        Later
    }
}

/// The next may read a file for a client.
impl Drop for Later {
    fn drop(&mut self) {
        answers_clients();
    }
}

#[cfg(test)]
mod tests {
    use selvedge_native::urgency;

    use super::*;

    #[test]
    fn a_thread_is_for_what_clients_do_not_wait_for_only_as_long_as_that_takes() {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        let executor =
            builder.worker_threads(1).max_blocking_threads(1).on_thread_start(answers_clients).build().unwrap();
        let stretch = || (std::thread::current().id(), urgency().unwrap().0);
        let [first, deferred, last] = executor.block_on(async {
            let first = spawn_blocking(stretch).await.unwrap();
            let panics = later(|| panic!("a test's"));
            assert!(panics.await.is_err());
            [first, later(stretch).await.unwrap(), spawn_blocking(stretch).await.unwrap()]
        });
        assert_eq!(first, last);
        let knows_stretches = !first.1.is_zero();
        assert!(
            deferred == (first.0, LATER_STRETCH) && first.1 == ANSWERING_STRETCH || !knows_stretches,
            "{deferred:?}"
        );
    }
}
