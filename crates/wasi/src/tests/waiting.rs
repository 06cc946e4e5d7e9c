use std::io::Write;
use std::time::{Duration, Instant};

use super::*;
use crate::types::{Awaited, Subscription};
use crate::{Clocks, Stdio};

pub(super) const CLOCK: Awaited = Awaited::Clock { id: 1, timeout_ns: 20_000_000, flags: 0 };

/// Waits for these, with their index as user data; returns user data, errno and bytes available.
pub(super) fn poll(guest: &mut Guest, what: &[Awaited]) -> Answer<Vec<(u64, u16, u64)>> {
    let subscriptions = GuestPtr::<Subscription>::new(DATA);
    for (index, what) in what.iter().enumerate() {
        let subscription = Subscription { userdata: index as u64, what: *what };
        subscriptions.byte_add(index as u64 * 48).write(&mut guest.mem, &subscription).unwrap();
    }
    let (events, len) = (GuestPtr::new(PATH), GuestPtr::new(RESULT));
    let count = what.len() as u32;
    guest.wasi.complete(&mut guest.mem, |wasi, mem| wasi.poll_oneoff(mem, subscriptions, events, count, len))?;
    let field = |event: u32, offset| PATH + event * 32 + offset;
    let read = |guest: &Guest, event| {
        let userdata = GuestPtr::<u64>::new(field(event, 0)).read(&guest.mem).unwrap();
        let error = GuestPtr::<u16>::new(field(event, 8)).read(&guest.mem).unwrap();
        let available = GuestPtr::<u64>::new(field(event, 16)).read(&guest.mem).unwrap();
        (userdata, error, available)
    };
    Ok((0..guest.result::<u32>()).map(|event| read(guest, event)).collect())
}

#[test]
fn clocks_really_wait() {
    let mut guest = Guest::new(DirAccess::ReadOnly);
    let start = Instant::now();
    assert_eq!(poll(&mut guest, &[CLOCK]), Ok(vec![(0, 0, 0)]));
    assert!(start.elapsed() >= Duration::from_millis(20));
    guest.wasi.clock_time_get(&mut guest.mem, 0, 0, GuestPtr::new(RESULT)).unwrap();
    let deadline = guest.result::<u64>() + 20_000_000;
    let far = Awaited::Clock { id: 1, timeout_ns: u64::MAX, flags: 0 };
    let absolute = Awaited::Clock { id: 0, timeout_ns: deadline, flags: 1 };
    let start = Instant::now();
    assert_eq!(poll(&mut guest, &[far, absolute]), Ok(vec![(1, 0, 0)]));
    assert!(start.elapsed() >= Duration::from_millis(15));
    let past = Awaited::Clock { id: 0, timeout_ns: 5, flags: 1 };
    assert_eq!(poll(&mut guest, &[past]), Ok(vec![(0, 0, 0)]));
}

#[test]
fn fixed_clocks_take_no_time() {
    let clocks = Clocks::Fixed { realtime_ns: 0, step_ns: 0 };
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.clocks(clocks));
    let hour = Awaited::Clock { id: 1, timeout_ns: 3_600_000_000_000, flags: 0 };
    let start = Instant::now();
    assert_eq!(poll(&mut guest, &[hour]), Ok(vec![(0, 0, 0)]));
    assert!(start.elapsed() < Duration::from_secs(60));
    guest.wasi.clock_time_get(&mut guest.mem, 0, 0, GuestPtr::new(RESULT)).unwrap();
    assert_eq!(guest.result::<u64>(), 3_600_000_000_000);
}

#[test]
fn files_are_ready_and_pipes_when_they_are() {
    let (ours, theirs) = std::io::pipe().unwrap();
    let mut guest = Guest::with(DirAccess::ReadOnly, |builder| builder.stdin(Stdio::file(ours)));
    let file = guest.open_to_read("file").unwrap();
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0), CLOCK]), Ok(vec![(1, 0, 0)]));
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0), Awaited::FdRead(file), CLOCK]), Ok(vec![(1, 0, 8)]));
    (&theirs).write_all(b"abc").unwrap();
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0), CLOCK]), Ok(vec![(0, 0, 3)]));
    assert_eq!(poll(&mut guest, &[Awaited::FdWrite(1), Awaited::FdRead(0)]).unwrap().len(), 2);
    let writer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(30));
        (&theirs).write_all(b"def").unwrap();
    });
    assert_eq!(guest.read(0, 3).unwrap(), "abc");
    assert_eq!(poll(&mut guest, &[Awaited::FdRead(0)]), Ok(vec![(0, 0, 3)]));
    writer.join().unwrap();
}

#[test]
fn bad_subscriptions_are_events_bad_calls_are_not() {
    let mut guest = Guest::new(DirAccess::ReadOnly);
    let (badf, inval, notcapable) = (Errno::Badf as u16, Errno::Inval as u16, Errno::Notcapable as u16);
    let no_clock = Awaited::Clock { id: 9, timeout_ns: 0, flags: 0 };
    let what = [Awaited::FdRead(99), Awaited::FdWrite(0), no_clock, Awaited::Unknown(7)];
    let expected = vec![(0, badf, 0), (1, notcapable, 0), (2, inval, 0), (3, inval, 0)];
    assert_eq!(poll(&mut guest, &what), Ok(expected));
    assert_eq!(poll(&mut guest, &[]), Err(Errno::Inval));
}
