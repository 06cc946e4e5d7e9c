//! Programs that nobody asks any more are dropped on a thread of their own.
//!
//! A program's last drop frees the slots of all its idle instances, some system calls for each. It comes with the end of a
//! deploy, or of the last request under way: on a thread that answers clients all others would wait for it. This thread
//! has what nobody else wants of the processors; what it has not come to is not in the way, since idle instances give way to
//! others meanwhile.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use selvedge_native::set_urgency;
use selvedge_runtime::Pool;

use crate::guest::{Call, Program, StartError};
use crate::turns::{Fair, Whose};

/// What is left of the processors: long stretches, and the nice value of those that go last.
const STRETCH: Duration = Duration::from_millis(1);
const NICER: u8 = 15;

/// Where programs are dropped. The thread ends with the last of these and of their programs.
#[derive(Clone)]
pub(crate) struct Reaper(Sender<Box<dyn Program>>);

impl Reaper {
    /// Instances that it frees at once: nobody has their slots meanwhile.
    pub(crate) const SLOTS: u32 = 1;

    /// Starts the thread.
    ///
    /// # Errors
    /// If the operating system refuses.
    pub(crate) fn start() -> io::Result<Reaper> {
        let (programs, gone) = channel::<Box<dyn Program>>();
        let reap = move || {
            // Where it is refused, others wait longer beside it.
            let _ = set_urgency(STRETCH, NICER);
            for program in gone {
                // What panics as it is dropped must not keep all that come later.
                let _ = catch_unwind(AssertUnwindSafe(|| drop(program)));
            }
        };
        std::thread::Builder::new().name("reaper".into()).spawn(reap)?;
        Ok(Reaper(programs))
    }
}

/// A program that is dropped by the reaper, whoever has it last.
pub(crate) struct Loaded {
    /// Until it is dropped.
    program: Option<Box<dyn Program>>,
    whose: Arc<Whose>,
    reaper: Reaper,
}

impl Loaded {
    pub(crate) fn new(program: Box<dyn Program>, whose: Arc<Whose>, reaper: Reaper) -> Loaded {
        Loaded { program: Some(program), whose, reaper }
    }

    /// A fresh instance that is about to answer a request.
    #[inline]
    pub(crate) fn start(&self, pool: &Pool, call: Call<'_>) -> Result<Fair, StartError> {
        let time = call.now..call.now + call.limits.wall.0;
        let guest = self.program.as_ref().expect("it is there until the drop").start(pool, call)?;
        Ok(Fair::new(guest, &self.whose, time))
    }
}

impl Drop for Loaded {
    fn drop(&mut self) {
        // The thread lives as long as there is anybody who could send.
        self.program.take().into_iter().for_each(|program| drop(self.reaper.0.send(program)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::Receiver;
    use std::thread;

    use tokio::runtime::Handle;

    use super::*;
    use crate::guest::Guest;
    use crate::site::tests::site;
    use crate::site::{Content, Deployment, Serving, Site};
    use crate::turns::Turns;

    /// Tells which thread drops it, and may panic then.
    struct Grave(Sender<Option<String>>, bool);

    impl Program for Grave {
        fn start(&self, _: &Pool, _: Call<'_>) -> Result<Guest, StartError> {
            unreachable!("nobody starts it")
        }
    }

    impl Drop for Grave {
        fn drop(&mut self) {
            self.0.send(thread::current().name().map(str::to_string)).unwrap();
            assert!(!self.1, "it panics as it is dropped");
        }
    }

    fn version(site: &Site, reaper: &Reaper, panics: bool) -> (Arc<Deployment>, Receiver<Option<String>>) {
        let (told, by) = channel();
        let whose = Whose::new(&Arc::new(Turns::start(1, &Handle::current()).unwrap()), &site.tenant);
        let program = Arc::new(Loaded::new(Box::new(Grave(told, panics)), whose, reaper.clone()));
        (Deployment::new(1, Content { program: Some(program), assets: None }), by)
    }

    #[test]
    fn a_version_that_is_gone_is_freed_by_no_thread_that_answers() {
        let executor = tokio::runtime::Builder::new_current_thread().build().unwrap();
        executor.block_on(async {
            let (reaper, site) = (Reaper::start().unwrap(), site("a"));
            let next = |panics| {
                let (version, by) = version(&site, &reaper, panics);
                site.settle(Some(Serving::new(version, None)));
                by
            };
            // By the deploy of the next one; a request under way has it longer.
            let (first, second) = (next(true), next(false));
            assert_eq!(first.recv().unwrap().as_deref(), Some("reaper"));
            let request = site.pick();
            site.settle(None);
            assert!(second.try_recv().is_err(), "it is still asked");
            drop(request);
            assert_eq!(second.recv().unwrap().as_deref(), Some("reaper"));
            // One that never answered.
            let (refused, by) = version(&site, &reaper, false);
            drop((refused, reaper));
            assert_eq!(by.recv().unwrap().as_deref(), Some("reaper"));
        });
    }
}
