//! `wasi_unstable`, the interface before `wasi_snapshot_preview1`: the same functions but one, and the few
//! structures and numbers that were different. Everything else is shared.

use selvedge_runtime::{GuestPtr, GuestValue};

use crate::functions::Version;
use crate::types::{Awaited, Filestat, Subscription};

/// `wasi_unstable`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Unstable;

impl Version for Unstable {
    const MODULE: &'static str = "wasi_unstable";
    type Filestat = OldFilestat;
    type Subscription = OldSubscription;
}

/// The number that `wasi_snapshot_preview1` has for this `whence`.
pub(crate) fn whence(number: u32) -> u32 {
    match number {
        0 => 1,
        1 => 2,
        2 => 0,
        other => other,
    }
}

/// `filestat` with 32 bits for the number of links. A file with more has the most that can be said.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OldFilestat(Filestat);

impl From<Filestat> for OldFilestat {
    fn from(stat: Filestat) -> OldFilestat {
        OldFilestat(stat)
    }
}

impl From<OldFilestat> for Filestat {
    fn from(stat: OldFilestat) -> Filestat {
        stat.0
    }
}

/// Where this layout has what comes after the number of links: eight bytes earlier.
const AFTER_NLINK: usize = 24;

impl GuestValue for OldFilestat {
    const BYTES: u32 = 56;

    fn read(bytes: &[u8]) -> OldFilestat {
        let mut new = [0; Filestat::BYTES as usize];
        new[..20].copy_from_slice(&bytes[..20]);
        new[24..28].copy_from_slice(&bytes[20..24]);
        new[AFTER_NLINK + 8..].copy_from_slice(&bytes[AFTER_NLINK..]);
        OldFilestat(Filestat::read(&new))
    }

    fn write(&self, bytes: &mut [u8]) {
        let mut new = [0; Filestat::BYTES as usize];
        self.0.write(&mut new);
        let nlink = u32::try_from(self.0.nlink).unwrap_or(u32::MAX);
        bytes[..20].copy_from_slice(&new[..20]);
        bytes[20..24].copy_from_slice(&nlink.to_le_bytes());
        bytes[AFTER_NLINK..].copy_from_slice(&new[AFTER_NLINK + 8..]);
    }
}

/// `subscription` whose clocks have an identifier of their own, which nothing ever used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct OldSubscription(Subscription);

impl From<OldSubscription> for Subscription {
    fn from(subscription: OldSubscription) -> Subscription {
        subscription.0
    }
}

impl GuestValue for OldSubscription {
    const BYTES: u32 = 56;

    fn read(bytes: &[u8]) -> OldSubscription {
        let (userdata, tag) = (number(bytes, 0), bytes[8]);
        let fd = number::<u32>(bytes, 16);
        let what = match tag {
            0 => Awaited::Clock { id: number(bytes, 24), timeout_ns: number(bytes, 32), flags: number(bytes, 48) },
            1 => Awaited::FdRead(fd),
            2 => Awaited::FdWrite(fd),
            tag => Awaited::Unknown(tag),
        };
        OldSubscription(Subscription { userdata, what })
    }

    fn write(&self, bytes: &mut [u8]) {
        let mut new = [0; Subscription::BYTES as usize];
        self.0.write(&mut new);
        bytes.fill(0);
        // Only a clock's contents are elsewhere.
        let shift = if matches!(self.0.what, Awaited::Clock { .. }) { 8 } else { 0 };
        bytes[..16].copy_from_slice(&new[..16]);
        bytes[16 + shift..48 + shift].copy_from_slice(&new[16..48]);
    }
}

fn number<T: GuestValue>(bytes: &[u8], offset: u32) -> T {
    // Inside the structure, whose size is a constant.
    GuestPtr::new(offset).read(bytes).unwrap_or_else(|_| unreachable!("a field lies in its structure"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::FileType;

    #[test]
    fn structures_lie_as_the_old_document_says() {
        let stat = Filestat {
            dev: 1,
            ino: 2,
            filetype: FileType::RegularFile,
            nlink: 3,
            size: 4,
            atim: 5,
            mtim: 6,
            ctim: u64::MAX,
        };
        let mut bytes = [0xaa; 56];
        OldFilestat(stat).write(&mut bytes);
        assert_eq!(bytes[..24], [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 3, 0, 0, 0]);
        assert_eq!([bytes[24], bytes[32], bytes[40], bytes[48]], [4, 5, 6, 255]);
        assert_eq!(OldFilestat::read(&bytes).0, stat);
        OldFilestat(Filestat { nlink: 1 << 33, ..stat }).write(&mut bytes);
        assert_eq!(OldFilestat::read(&bytes).0.nlink, u64::from(u32::MAX));
    }

    #[test]
    fn clocks_have_an_identifier_before_them() {
        let clock = Awaited::Clock { id: 1, timeout_ns: 1 << 40, flags: 1 };
        for what in [clock, Awaited::FdRead(7), Awaited::FdWrite(u32::MAX), Awaited::Unknown(9)] {
            let subscription = OldSubscription(Subscription { userdata: 5, what });
            let mut bytes = [0xaa; 56];
            subscription.write(&mut bytes);
            assert_eq!(OldSubscription::read(&bytes), subscription);
        }
        let mut bytes = [0; 56];
        OldSubscription(Subscription { userdata: 5, what: clock }).write(&mut bytes);
        assert_eq!([bytes[0], bytes[8], bytes[24], bytes[37], bytes[48]], [5, 0, 1, 1, 1]);
    }
}
