//! How much CPU time a thread has used, as the kernel counts it; any thread of the process may ask.

use std::mem::MaybeUninit;
use std::time::Duration;

/// The CPU clock of one thread.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuClock(libc::clockid_t);

impl CpuClock {
    /// This thread's, for others to read. `None` if the system refuses.
    pub fn of_this_thread() -> Option<CpuClock> {
        let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
        // SAFETY: the thread lives; `clock` is written on success, and read only then.
        unsafe {
            (libc::pthread_getcpuclockid(libc::pthread_self(), clock.as_mut_ptr()) == 0)
                .then(|| CpuClock(clock.assume_init()))
        }
    }

    /// What the thread has used so far; `None` when it is gone.
    pub fn now(self) -> Option<Duration> {
        read(self.0)
    }

    /// What this thread has used so far.
    pub fn this_thread() -> Duration {
        read(libc::CLOCK_THREAD_CPUTIME_ID).unwrap_or_default()
    }
}

fn read(clock: libc::clockid_t) -> Option<Duration> {
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: a wrong clock is an error; `time` is written on success, and read only then.
    let time = unsafe { (libc::clock_gettime(clock, time.as_mut_ptr()) == 0).then(|| time.assume_init()) }?;
    Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_read_what_a_thread_has_used_while_it_lives() {
        let (sender, receiver) = std::sync::mpsc::channel();
        let (stop, stopped) = std::sync::mpsc::channel::<()>();
        let thread = std::thread::spawn(move || {
            let before = CpuClock::this_thread();
            (0..1_000_000).for_each(|n| assert!(std::hint::black_box(n) >= 0));
            sender.send((CpuClock::of_this_thread().unwrap(), before)).unwrap();
            stopped.recv().unwrap_err();
        });
        let (clock, before) = receiver.recv().unwrap();
        assert!(clock.now().unwrap() > before);
        drop(stop);
        thread.join().unwrap();
        assert_ne!(Some(clock), CpuClock::of_this_thread());
    }
}
