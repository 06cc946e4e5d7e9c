//! Files of deploys under way. They may be large, and a disk takes its time to remove such: that is done by threads that may
//! wait, whoever drops them.

use std::fs::File;
use std::io::{self, Read, Write};
use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};
use tokio::runtime::Handle;

use super::disk;
use super::queue::Place;
use super::room::Room;
use crate::error::EdgeError;
use crate::server::Shared;
use crate::urgency::later;

/// A file's name, until it is dropped. Whoever has the file open drops it first: the last to go waits for the disk.
pub(super) struct Scratch(Option<Held>);

/// The place and the room are had until the file is gone: fields go in their order.
struct Held {
    path: TempPath,
    room: Room,
    place: Arc<Place>,
}

impl Scratch {
    /// A new file for a deploy that has a place, if the disk has room for so many bytes.
    pub(super) fn create(server: &Shared, place: Arc<Place>, bytes: u64) -> Result<(File, Scratch), EdgeError> {
        let room = server.disk.room(bytes)?;
        let (file, path) = NamedTempFile::new_in(&server.scratch).map_err(disk)?.into_parts();
        Ok((file, Scratch(Some(Held { path, room, place }))))
    }

    /// Another file for the same deploy, with these contents.
    pub(super) fn beside(
        &self,
        server: &Shared,
        (mut contents, bytes): (impl Read, u64),
    ) -> Result<Scratch, EdgeError> {
        let (mut file, mut new) = Scratch::create(server, self.held().place.clone(), bytes)?;
        io::copy(&mut contents, &mut file).map_err(disk)?;
        new.held_mut().room.written(bytes);
        Ok(new)
    }

    /// Writes to the file, if the disk has room.
    pub(super) fn write(&mut self, file: &mut File, bytes: &[u8]) -> Result<(), EdgeError> {
        let room = &mut self.held_mut().room;
        room.suffice(bytes.len() as u64)?;
        file.write_all(bytes).map_err(disk)?;
        room.written(bytes.len() as u64);
        Ok(())
    }

    fn held(&self) -> &Held {
        self.0.as_ref().expect("it is there until the drop")
    }

    fn held_mut(&mut self) -> &mut Held {
        self.0.as_mut().expect("it is there until the drop")
    }
}

impl Deref for Scratch {
    type Target = Path;

    fn deref(&self) -> &Path {
        &self.held().path
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let held = self.0.take();
        // Without an executor nobody is answered.
        if Handle::try_current().is_ok() {
            later(move || drop(held));
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::sync::mpsc::channel;

    use super::*;
    use crate::deploy::Deploys;
    use crate::deploy::room::{Disk, Space};
    use crate::limits::DEPLOYS_OF_TENANT_MAX;
    use crate::name::Name;

    /// Something to write to, with a name, on a disk with much room.
    pub(in crate::deploy) fn scratch(file: File) -> (File, Scratch) {
        let disk = Arc::new(Disk::asked(|| Ok(Space { free: 1 << 40, all: 1 << 40 })));
        (file, named(&disk, &Arc::default(), 0))
    }

    fn named(disk: &Arc<Disk>, deploys: &Arc<Deploys>, bytes: u64) -> Scratch {
        let place = Arc::new(deploys.place(&Name::new("a").unwrap()).unwrap());
        let path = NamedTempFile::new().unwrap().into_temp_path();
        Scratch(Some(Held { path, room: disk.room(bytes).unwrap(), place }))
    }

    /// Whoever sent the last piece of a large upload that was refused held up a thread's other clients while it was removed.
    #[test]
    fn a_file_is_removed_by_a_thread_that_may_wait_and_then_its_room_and_place_are_free() {
        let executor = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
        executor.block_on(async {
            let disk = Arc::new(Disk::asked(|| Ok(Space { free: 1 << 40, all: 1 << 40 })));
            let (deploys, (go, gone)) = (Arc::<Deploys>::default(), channel::<()>());
            let mut files: Vec<_> = (0..DEPLOYS_OF_TENANT_MAX).map(|_| named(&disk, &deploys, 5)).collect();
            let (one, bytes) = (files.pop().unwrap(), disk.promised());
            let path = one.to_owned();
            let slow = tokio::task::spawn_blocking(move || gone.recv());
            drop(one);
            let is_place = || deploys.place(&Name::new("a").unwrap()).is_ok();
            assert!(path.exists() && !is_place() && disk.promised() == bytes);
            drop(go);
            assert!(slow.await.unwrap().is_err());
            tokio::task::spawn_blocking(|| ()).await.unwrap();
            assert!(!path.exists() && is_place() && disk.promised() == bytes - 5);
        });
        let (_, without) = scratch(tempfile::tempfile().unwrap());
        let path = without.to_owned();
        drop(without);
        assert!(!path.exists());
    }
}
