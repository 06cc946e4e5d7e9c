//! The database of records, opened anew when the disk has failed it: after one failed read or write redb refuses
//! everything until then, though the disk may have room again a moment later.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use redb::Database;

use super::StoreError;

/// How the database is opened.
type Open = dyn Fn() -> Result<Database, StoreError> + Send + Sync;

/// A database, and how it is opened.
pub(super) struct Records {
    open: Box<Open>,
    /// None as long as it cannot be opened again. Nobody keeps a transaction of it beyond the lock: its lock on the file
    /// goes with the last.
    database: RwLock<Option<Database>>,
    /// Whether it is to be opened anew before it is used.
    failed: AtomicBool,
}

impl Records {
    pub(super) fn open(
        open: impl Fn() -> Result<Database, StoreError> + Send + Sync + 'static,
    ) -> Result<Records, StoreError> {
        let database = RwLock::new(Some(open()?));
        Ok(Records { open: Box::new(open), database, failed: AtomicBool::new(false) })
    }

    /// Uses the database, opened anew if the disk failed whoever used it last.
    pub(super) fn with<T>(&self, run: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.failed.load(Ordering::Acquire) {
            self.reopen()?;
        }
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        // Somebody else was in time to try in vain.
        let closed = || super::redb::disk("use the state", "it could not be opened again");
        let done = run(database.as_ref().ok_or_else(closed)?);
        if matches!(done, Err(StoreError::Disk { .. })) {
            self.failed.store(true, Ordering::Release);
        }
        done
    }

    fn reopen(&self) -> Result<(), StoreError> {
        let mut database = self.database.write().unwrap_or_else(PoisonError::into_inner);
        if self.failed.load(Ordering::Acquire) {
            // It holds the lock on its file until it is dropped.
            *database = None;
            *database = Some((self.open)()?);
            self.failed.store(false, Ordering::Release);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io;
    use std::ops::Bound;
    use std::path::Path;
    use std::sync::Arc;

    use redb::backends::FileBackend;
    use redb::{BackendError, ReadableDatabase, ReadableTableMetadata, StorageBackend, TableDefinition};

    use super::*;
    use crate::store::redb::disk;

    const TABLE: TableDefinition<u64, u64> = TableDefinition::new("table");

    /// A file on a disk that takes nothing while it is full.
    #[derive(Debug)]
    struct OnDisk {
        file: FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl OnDisk {
        fn room(&self) -> io::Result<()> {
            let full = self.is_full.load(Ordering::Relaxed);
            if full { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl StorageBackend for OnDisk {
        fn len(&self) -> io::Result<u64> {
            self.file.len()
        }

        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            self.file.read(offset, out)
        }

        fn set_len(&self, length: u64) -> io::Result<()> {
            self.room().and_then(|()| self.file.set_len(length))
        }

        fn sync_data(&self) -> io::Result<()> {
            self.room().and_then(|()| self.file.sync_data())
        }

        fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
            self.room().and_then(|()| self.file.write(offset, data))
        }

        fn close(&self) -> io::Result<()> {
            self.file.close()
        }

        fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.try_lock_range(start, end)
        }

        fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
            self.file.unlock_range(start, end)
        }

        fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
            self.file.query_lock_range(start, end)
        }
    }

    fn open(path: &Path, is_full: &Arc<AtomicBool>) -> Result<Database, StoreError> {
        let file = File::options().read(true).write(true).create(true).truncate(false).open(path).unwrap();
        let file = OnDisk { file: FileBackend::new(file).unwrap(), is_full: is_full.clone() };
        Database::builder().create_with_backend(file).map_err(|error| disk("open it", error))
    }

    fn put(records: &Records, key: u64) -> Result<(), StoreError> {
        let failed = |error: redb::Error| disk("write it", error);
        records.with(|database| {
            let transaction = database.begin_write().map_err(|error| failed(error.into()))?;
            let mut table = transaction.open_table(TABLE).map_err(|error| failed(error.into()))?;
            table.insert(key, key).map_err(|error| failed(error.into()))?;
            drop(table);
            transaction.commit().map_err(|error| failed(error.into()))
        })
    }

    fn count(records: &Records) -> u64 {
        let counted = records.with(|database| {
            let transaction = database.begin_read().map_err(|error| disk("read it", error))?;
            transaction.open_table(TABLE).unwrap().len().map_err(|error| disk("read it", error))
        });
        counted.unwrap()
    }

    /// A disk that was full for a moment was the end of every deploy and rollback until the server was started again.
    #[test]
    fn a_disk_that_has_room_again_is_written_again() {
        let (directory, is_full) = (tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
        let path = directory.path().join("records");
        let records = Records::open({
            let is_full = is_full.clone();
            move || open(&path, &is_full)
        });
        let records = records.unwrap();
        for at in 0..3 {
            put(&records, at).unwrap();
            is_full.store(true, Ordering::Relaxed);
            for _ in 0..3 {
                assert!(put(&records, 99).is_err());
            }
            is_full.store(false, Ordering::Relaxed);
            assert_eq!(count(&records), at + 1, "what failed is not there");
        }
        put(&records, 3).unwrap();
        assert_eq!(count(&records), 4);
    }
}
