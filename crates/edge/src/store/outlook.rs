//! What to expect of a disk that has failed: whether the same may succeed in a moment, or somebody must mend it.

use std::error::Error;
use std::io::{self, ErrorKind};

use rustix::io::Errno;

/// How it goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Outlook {
    /// There is no room on it.
    Full,
    /// It did not do it just then, or nobody knows why not.
    Passing,
    /// Trying again does not help.
    Lasting,
}

impl Outlook {
    pub(super) fn of(error: &(dyn Error + 'static)) -> Outlook {
        if let Some(error) = error.downcast_ref() {
            return Outlook::of_io(error);
        }
        // Those of redb do not say what is behind them.
        if let Some(error) = error.downcast_ref() {
            return Outlook::of_storage(error);
        }
        match (error.downcast_ref(), error.downcast_ref()) {
            (Some(redb::Error::Io(error)), _) => Outlook::of_io(error),
            (Some(redb::Error::Corrupted(_)), _) => Outlook::Lasting,
            (_, Some(redb::DatabaseError::Storage(error))) => Outlook::of_storage(error),
            (_, Some(redb::DatabaseError::UpgradeRequired(_) | redb::DatabaseError::RepairAborted)) => Outlook::Lasting,
            _ => Outlook::Passing,
        }
    }

    fn of_storage(error: &redb::StorageError) -> Outlook {
        match error {
            redb::StorageError::Io(error) => Outlook::of_io(error),
            redb::StorageError::Corrupted(_) => Outlook::Lasting,
            // It is opened anew.
            _ => Outlook::Passing,
        }
    }

    fn of_io(error: &io::Error) -> Outlook {
        use ErrorKind::{
            FileTooLarge, InvalidData, InvalidFilename, InvalidInput, IsADirectory, NotADirectory, NotFound,
            PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull, Unsupported,
        };
        match error.kind() {
            StorageFull | QuotaExceeded => Outlook::Full,
            PermissionDenied | ReadOnlyFilesystem | NotFound | IsADirectory | NotADirectory => Outlook::Lasting,
            InvalidData | InvalidInput | InvalidFilename | FileTooLarge | Unsupported => Outlook::Lasting,
            _ if error.raw_os_error() == Some(Errno::IO.raw_os_error()) => Outlook::Lasting,
            _ => Outlook::Passing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redb::disk;

    /// Whoever deployed to a disk that could only be read was asked to try again in ten seconds, for ever.
    #[test]
    fn what_passes_is_told_from_what_lasts() {
        use Outlook::{Full, Lasting, Passing};
        for (errno, expected) in [
            (Errno::NOSPC, Full),
            (Errno::DQUOT, Full),
            (Errno::AGAIN, Passing),
            (Errno::INTR, Passing),
            (Errno::MFILE, Passing),
            (Errno::NFILE, Passing),
            (Errno::NOMEM, Passing),
            (Errno::BUSY, Passing),
            (Errno::ACCESS, Lasting),
            (Errno::PERM, Lasting),
            (Errno::ROFS, Lasting),
            (Errno::NOENT, Lasting),
            (Errno::ISDIR, Lasting),
            (Errno::IO, Lasting),
        ] {
            let found = || io::Error::from(errno);
            let errors: [Box<dyn Error + Send + Sync>; 5] = [
                Box::new(found()),
                Box::new(redb::StorageError::Io(found())),
                Box::new(redb::Error::Io(found())),
                Box::new(redb::Error::from(redb::StorageError::Io(found()))),
                Box::new(redb::DatabaseError::Storage(redb::StorageError::Io(found()))),
            ];
            for error in errors {
                assert_eq!(disk("try it", error).outlook(), Some(expected), "{errno:?}");
            }
        }
        let corrupted = || redb::StorageError::Corrupted("a test's".into());
        let errors: [(Box<dyn Error + Send + Sync>, Outlook); 6] = [
            (Box::new(corrupted()), Lasting),
            (Box::new(redb::Error::from(corrupted())), Lasting),
            (Box::new(redb::DatabaseError::Storage(corrupted())), Lasting),
            // Opened anew, it may go on.
            (Box::new(redb::StorageError::PreviousIo), Passing),
            (Box::new(redb::Error::PreviousIo), Passing),
            ("it could not be opened again".into(), Passing),
        ];
        for (error, expected) in errors {
            let error = disk("try it", error);
            assert_eq!(error.outlook(), Some(expected), "{error}");
        }
        // As the files of deploys say it.
        let nowhere = tempfile::NamedTempFile::new_in("/nowhere").unwrap_err();
        assert_eq!(disk("make a file", nowhere).outlook(), Some(Lasting));
    }
}
