//! Room on the disk with the state. A full one is everybody's; so what deploys under way have announced, and not written yet,
//! is there for nobody else.
//!
//! Whoever asks may wait for the disk: only threads that may wait do.

use std::fs::File;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::fstatvfs;

use crate::error::EdgeError;
use crate::limits::{DISK_RESERVE_BYTES, UPLOAD_GROWS_BYTES};

/// The bytes of a disk.
#[derive(Clone, Copy)]
pub(crate) struct Space {
    pub(crate) free: u64,
    pub(crate) all: u64,
}

/// How a disk says what it has.
type Ask = dyn Fn() -> io::Result<Space> + Send + Sync;

/// The disk with the state.
pub(crate) struct Disk {
    ask: Box<Ask>,
    /// What is still to be written of all that was let in.
    promised: AtomicU64,
}

impl Disk {
    /// The one with a directory.
    ///
    /// # Errors
    /// If that cannot be opened.
    pub(crate) fn of(directory: &Path) -> io::Result<Disk> {
        let directory = File::open(directory)?;
        Ok(Disk::asked(move || {
            let said = fstatvfs(&directory)?;
            Ok(Space { free: said.f_frsize * said.f_bavail, all: said.f_frsize * said.f_blocks })
        }))
    }

    pub(crate) fn asked(ask: impl Fn() -> io::Result<Space> + Send + Sync + 'static) -> Disk {
        Disk { ask: Box::new(ask), promised: AtomicU64::new(0) }
    }

    /// Room for so many bytes, if it is there.
    pub(super) fn room(self: &Arc<Disk>, bytes: u64) -> Result<Room, EdgeError> {
        self.promise(bytes)?;
        Ok(Room { disk: self.clone(), left: bytes })
    }

    fn promise(&self, bytes: u64) -> Result<(), EdgeError> {
        loop {
            // Before the disk is asked: what others write meanwhile counts twice then, and not never.
            let promised = self.promised.load(Ordering::SeqCst);
            // Where nobody says, it is tried.
            (self.ask)().map_or(Ok(()), |space| fits(space, promised, bytes))?;
            let more = promised.saturating_add(bytes);
            if self.promised.compare_exchange(promised, more, Ordering::SeqCst, Ordering::SeqCst).is_ok() {
                return Ok(());
            }
        }
    }

    #[cfg(test)]
    pub(crate) fn promised(&self) -> u64 {
        self.promised.load(Ordering::SeqCst)
    }
}

/// Whether there is room beside what was promised, and some is left then.
fn fits(Space { free, all }: Space, promised: u64, bytes: u64) -> Result<(), EdgeError> {
    let (free, reserve) = (free.saturating_sub(promised), DISK_RESERVE_BYTES.min(all / 16));
    if free >= bytes.saturating_add(reserve) { Ok(()) } else { Err(EdgeError::DiskFull { free, bytes, reserve }) }
}

/// Room that is somebody's until it is written to, or dropped.
pub(super) struct Room {
    disk: Arc<Disk>,
    left: u64,
}

impl Room {
    /// Sees to it that so many bytes may be written. What was not announced is asked for some at a time.
    pub(super) fn suffice(&mut self, bytes: u64) -> Result<(), EdgeError> {
        if bytes > self.left {
            let more = UPLOAD_GROWS_BYTES.max(bytes - self.left);
            self.disk.promise(more)?;
            self.left += more;
        }
        Ok(())
    }

    /// So many are on the disk, which says so itself.
    pub(super) fn written(&mut self, bytes: u64) {
        let of_room = bytes.min(self.left);
        self.left -= of_room;
        self.disk.promised.fetch_sub(of_room, Ordering::SeqCst);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.disk.promised.fetch_sub(self.left, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// A disk with so much more than stays free, and how it is changed.
    fn disk(beyond_reserve: u64) -> (Arc<Disk>, Arc<AtomicU64>) {
        let free = Arc::new(AtomicU64::new(DISK_RESERVE_BYTES + beyond_reserve));
        let now = free.clone();
        (Arc::new(Disk::asked(move || Ok(Space { free: now.load(Ordering::SeqCst), all: 100 * GIB }))), free)
    }

    #[test]
    fn a_disk_is_not_filled_to_the_end() {
        let room = |free, all, bytes| fits(Space { free, all }, 0, bytes);
        room(GIB, 100 * GIB, GIB - DISK_RESERVE_BYTES).unwrap();
        let refused = room(GIB, 100 * GIB, GIB - DISK_RESERVE_BYTES + 1).unwrap_err().to_string();
        assert!(refused.contains("1073741824 bytes left") && refused.contains("268435456 stay free"), "{refused}");
        // A small one may be used, too.
        room(1 << 20, 2 << 20, 1 << 19).unwrap();
        assert!(room(1 << 16, 2 << 20, 0).is_err() && room(GIB, 100 * GIB, u64::MAX).is_err());
    }

    /// Each upload was let in by what was free before the others had come, and together they filled the disk.
    #[test]
    fn uploads_under_way_count_for_each_other() {
        let (disk, free) = disk(10 * MIB);
        let is_room = |bytes| disk.room(bytes).is_ok();
        let mut first = disk.room(6 * MIB).unwrap();
        assert!(is_room(4 * MIB) && !is_room(4 * MIB + 1));
        // What is written counts once.
        free.fetch_sub(2 * MIB, Ordering::SeqCst);
        assert!(!is_room(2 * MIB + 1));
        first.written(2 * MIB);
        assert!(is_room(4 * MIB) && !is_room(4 * MIB + 1));
        let second = disk.room(4 * MIB).unwrap();
        assert!(!is_room(1));
        // Who goes away leaves what it has not written.
        drop(first);
        assert!(is_room(4 * MIB) && !is_room(4 * MIB + 1));
        drop(second);
        assert_eq!(disk.promised(), 0);
        assert!(is_room(8 * MIB) && !is_room(8 * MIB + 1));
    }

    /// An upload without a length was let in by any disk that was not full yet.
    #[test]
    fn what_is_not_announced_is_asked_for_as_it_grows() {
        let (disk, free) = disk(3 * UPLOAD_GROWS_BYTES);
        let mut room = disk.room(0).unwrap();
        let piece = UPLOAD_GROWS_BYTES / 4;
        for _ in 0..12 {
            room.suffice(piece).unwrap();
            assert!(disk.promised() <= UPLOAD_GROWS_BYTES);
            free.fetch_sub(piece, Ordering::SeqCst);
            room.written(piece);
        }
        assert!(matches!(room.suffice(1), Err(EdgeError::DiskFull { free: DISK_RESERVE_BYTES, .. })));
        assert_eq!(disk.promised(), 0);
        free.fetch_add(2 * UPLOAD_GROWS_BYTES, Ordering::SeqCst);
        // A piece that is larger than that, and one that was announced.
        room.suffice(2 * UPLOAD_GROWS_BYTES).unwrap();
        assert_eq!(disk.promised(), 2 * UPLOAD_GROWS_BYTES);
        room.suffice(2 * UPLOAD_GROWS_BYTES).unwrap();
        assert!(disk.room(1).is_err());
        drop(room);
        assert_eq!(disk.promised(), 0);
    }

    #[test]
    fn a_disk_that_does_not_say_is_tried() {
        let disk = Arc::new(Disk::asked(|| Err(io::ErrorKind::Unsupported.into())));
        let rooms = [disk.room(GIB).unwrap(), disk.room(GIB).unwrap()];
        assert_eq!(disk.promised(), 2 * GIB);
        drop(rooms);
        assert_eq!(disk.promised(), 0);
    }

    #[test]
    fn who_asks_at_once_gets_no_more_than_there_is() {
        let (disk, free) = disk(10 * MIB);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1_000 {
                        let Ok(mut room) = disk.room(4 * MIB) else { continue };
                        assert!(disk.promised() <= 10 * MIB);
                        // Written, and removed.
                        free.fetch_sub(MIB, Ordering::SeqCst);
                        room.written(MIB);
                        free.fetch_add(MIB, Ordering::SeqCst);
                    }
                });
            }
        });
        assert_eq!(disk.promised(), 0);
    }
}
