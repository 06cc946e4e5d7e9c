//! Sets of flags, as the witx document numbers their bits. Bits it does not know are refused.

use crate::errno::{Answer, Errno};

macro_rules! flags {
    ($(#[$doc:meta])* $name:ident: $int:ty { $($flag:ident = $bit:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
        pub(crate) struct $name(pub(crate) $int);

        #[allow(dead_code, reason = "all the document names")]
        impl $name {
            $(pub(crate) const $flag: $name = $name(1 << $bit);)*
            pub(crate) const ALL: $name = $name(0 $(| 1 << $bit)*);
            pub(crate) const NONE: $name = $name(0);
            /// Each flag's name in the document, and its bit.
            pub(crate) const NAMES: &[(&str, u64)] = &[$((stringify!($flag), 1 << $bit)),*];

            pub(crate) const fn contains(self, other: $name) -> bool {
                self.0 & other.0 == other.0
            }

            pub(crate) const fn intersects(self, other: $name) -> bool {
                self.0 & other.0 != 0
            }

            pub(crate) const fn or(self, other: $name) -> $name {
                $name(self.0 | other.0)
            }

            pub(crate) const fn and(self, other: $name) -> $name {
                $name(self.0 & other.0)
            }

            pub(crate) const fn without(self, other: $name) -> $name {
                $name(self.0 & !other.0)
            }

            /// `other`, if `condition`; for adding up.
            pub(crate) const fn or_if(self, condition: bool, other: $name) -> $name {
                if condition { self.or(other) } else { self }
            }

            /// The flags a guest passed.
            pub(crate) fn parse(bits: impl Into<u64>) -> Answer<$name> {
                let bits = <$int>::try_from(bits.into()).map_err(|_| Errno::Inval)?;
                if $name::ALL.0 & bits == bits { Ok($name(bits)) } else { Err(Errno::Inval) }
            }
        }
    };
}

flags! {
    /// What may be done with a descriptor.
    Rights: u64 {
        FD_DATASYNC = 0,
        FD_READ = 1,
        FD_SEEK = 2,
        FD_FDSTAT_SET_FLAGS = 3,
        FD_SYNC = 4,
        FD_TELL = 5,
        FD_WRITE = 6,
        FD_ADVISE = 7,
        FD_ALLOCATE = 8,
        PATH_CREATE_DIRECTORY = 9,
        PATH_CREATE_FILE = 10,
        PATH_LINK_SOURCE = 11,
        PATH_LINK_TARGET = 12,
        PATH_OPEN = 13,
        FD_READDIR = 14,
        PATH_READLINK = 15,
        PATH_RENAME_SOURCE = 16,
        PATH_RENAME_TARGET = 17,
        PATH_FILESTAT_GET = 18,
        PATH_FILESTAT_SET_SIZE = 19,
        PATH_FILESTAT_SET_TIMES = 20,
        FD_FILESTAT_GET = 21,
        FD_FILESTAT_SET_SIZE = 22,
        FD_FILESTAT_SET_TIMES = 23,
        PATH_SYMLINK = 24,
        PATH_REMOVE_DIRECTORY = 25,
        PATH_UNLINK_FILE = 26,
        POLL_FD_READWRITE = 27,
        SOCK_SHUTDOWN = 28,
        SOCK_ACCEPT = 29,
    }
}

impl Rights {
    /// What can be done with a regular file.
    pub(crate) const FILE: Rights = Rights::FD_DATASYNC
        .or(Rights::FD_READ)
        .or(Rights::FD_SEEK)
        .or(Rights::FD_FDSTAT_SET_FLAGS)
        .or(Rights::FD_SYNC)
        .or(Rights::FD_TELL)
        .or(Rights::FD_WRITE)
        .or(Rights::FD_ADVISE)
        .or(Rights::FD_ALLOCATE)
        .or(Rights::FD_FILESTAT_GET)
        .or(Rights::FD_FILESTAT_SET_SIZE)
        .or(Rights::FD_FILESTAT_SET_TIMES)
        .or(Rights::POLL_FD_READWRITE);

    /// What can be done with a directory.
    pub(crate) const DIRECTORY: Rights = Rights::ALL
        .without(Rights::FILE)
        .or(Rights::FD_DATASYNC)
        .or(Rights::FD_FDSTAT_SET_FLAGS)
        .or(Rights::FD_SYNC)
        .or(Rights::FD_FILESTAT_GET)
        .or(Rights::FD_FILESTAT_SET_TIMES)
        .without(Rights::SOCK_SHUTDOWN)
        .without(Rights::SOCK_ACCEPT);

    /// What makes a character device no terminal: wasi-libc's `isatty` looks at these.
    pub(crate) const POSITION: Rights = Rights::FD_SEEK.or(Rights::FD_TELL);

    /// What can be done with a stream of bytes, besides reading and writing.
    pub(crate) const STREAM: Rights =
        Rights::FD_FDSTAT_SET_FLAGS.or(Rights::FD_FILESTAT_GET).or(Rights::POLL_FD_READWRITE);

    /// What a guest asks for. Unlike other flags, unknown bits are ignored: guests ask for "all" as -1.
    pub(crate) fn requested(bits: u64) -> Rights {
        Rights(bits).and(Rights::ALL)
    }
}

flags! {
    /// How a descriptor behaves.
    FdFlags: u16 { APPEND = 0, DSYNC = 1, NONBLOCK = 2, RSYNC = 3, SYNC = 4, }
}

impl FdFlags {
    /// Those that cannot be changed once a file is open.
    pub(crate) const FIXED: FdFlags = FdFlags::DSYNC.or(FdFlags::RSYNC).or(FdFlags::SYNC);
}

flags! {
    /// How `path_open` opens.
    OpenFlags: u16 { CREAT = 0, DIRECTORY = 1, EXCL = 2, TRUNC = 3, }
}

flags! {
    /// How a path is looked up.
    LookupFlags: u32 { SYMLINK_FOLLOW = 0, }
}

flags! {
    /// Which time stamps to set, and to what.
    FstFlags: u16 { ATIM = 0, ATIM_NOW = 1, MTIM = 2, MTIM_NOW = 3, }
}

flags! {
    /// How a time of a subscription is meant.
    SubClockFlags: u16 { ABSTIME = 0, }
}

flags! {
    /// How `sock_recv` receives.
    RiFlags: u16 { PEEK = 0, WAITALL = 1, }
}

flags! {
    /// Which directions `sock_shutdown` ends.
    SdFlags: u8 { RD = 0, WR = 1, }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_bits_are_refused() {
        assert_eq!(FdFlags::parse(5u32), Ok(FdFlags::APPEND.or(FdFlags::NONBLOCK)));
        assert_eq!(FdFlags::parse(32u32), Err(Errno::Inval));
        assert_eq!(FdFlags::parse(u32::MAX), Err(Errno::Inval));
        assert_eq!(Rights::requested(u64::MAX), Rights::ALL);
    }

    #[test]
    fn rights_are_divided_as_libraries_expect() {
        assert_eq!(Rights::ALL.0, (1 << 30) - 1);
        assert!(!Rights::DIRECTORY.intersects(Rights::FD_FILESTAT_SET_SIZE.or(Rights::FD_WRITE).or(Rights::POSITION)));
        assert!(Rights::DIRECTORY.contains(Rights::PATH_FILESTAT_SET_SIZE.or(Rights::FD_READDIR)));
    }
}
