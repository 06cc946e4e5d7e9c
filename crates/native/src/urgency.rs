//! How soon the kernel lets a thread go on that has something to do again.

use std::io;
use std::mem::MaybeUninit;
use std::time::Duration;

/// The greatest nice value.
const NICEST: i32 = 19;

/// Asks for shorter or longer stretches of computing for this thread, and those that it starts, than threads have by
/// themselves (about 3 ms). That alone leaves it its share of the processors; but one that asks for short stretches and
/// wakes up does not wait for the end of somebody's long one (sched_setattr(2), `sched_runtime`; Linux 6.12). Its
/// share becomes less by `nicer`, which is added to its nice value (sched(7)): by a tenth for each, when others wait.
///
/// The kernel takes stretches from 0.1 to 100 ms; what is beyond is brought there.
///
/// # Errors
/// If the kernel, or a jail, refuses. One that is older than 6.12 does as if it had set the stretch.
pub fn set_urgency(stretch: Duration, nicer: u8) -> io::Result<()> {
    let mut attributes = attributes()?;
    attributes.size = size_of::<libc::sched_attr>() as u32;
    attributes.sched_runtime = stretch.as_nanos() as u64;
    attributes.sched_nice = (attributes.sched_nice + i32::from(nicer)).min(NICEST);
    // SAFETY: the kernel reads as many bytes as `size` says; policy and priority are those that the thread has.
    let set = unsafe { libc::syscall(libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    if set == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// This thread's stretch, zero if the kernel knows of none, and its nice value.
///
/// # Errors
/// If the kernel, or a jail, refuses.
pub fn urgency() -> io::Result<(Duration, i32)> {
    attributes().map(|attributes| (Duration::from_nanos(attributes.sched_runtime), attributes.sched_nice))
}

/// What the kernel has noted of this thread.
fn attributes() -> io::Result<libc::sched_attr> {
    let mut attributes = MaybeUninit::<libc::sched_attr>::zeroed();
    // SAFETY: the kernel writes at most as many bytes there as it is told that there are.
    let asked =
        unsafe { libc::syscall(libc::SYS_sched_getattr, 0, attributes.as_mut_ptr(), size_of::<libc::sched_attr>(), 0) };
    if asked != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: all of it was zero or written by the kernel, and any bits are numbers.
    Ok(unsafe { attributes.assume_init() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_gets_what_it_asks_for_and_passes_it_on() {
        std::thread::spawn(|| {
            let (wanted, (usual, nice)) = (Duration::from_micros(100), urgency().unwrap());
            set_urgency(wanted, 0).unwrap();
            let short = urgency().unwrap();
            // Older kernels know of no stretches.
            assert!(short == (wanted, nice) || (usual, short) == (Duration::ZERO, (Duration::ZERO, nice)), "{short:?}");
            assert_eq!(std::thread::spawn(|| urgency().unwrap()).join().unwrap(), short);
            for nicer in [3, 255] {
                set_urgency(wanted, nicer).unwrap();
                assert_eq!(urgency().unwrap().1, (nice + i32::from(nicer)).min(NICEST));
            }
        })
        .join()
        .unwrap();
    }
}
