//! The structures guests and host share, laid out as the witx document says.

use rustix::fs::{FileType as HostFileType, Stat};
use selvedge_runtime::{GuestPtr, GuestValue};

use crate::flags::{FdFlags, Rights};

/// What a descriptor or directory entry is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum FileType {
    Unknown = 0,
    BlockDevice = 1,
    CharacterDevice = 2,
    Directory = 3,
    RegularFile = 4,
    SocketStream = 6,
    SymbolicLink = 7,
}

impl From<HostFileType> for FileType {
    fn from(host: HostFileType) -> FileType {
        match host {
            HostFileType::RegularFile => FileType::RegularFile,
            HostFileType::Directory => FileType::Directory,
            HostFileType::Symlink => FileType::SymbolicLink,
            HostFileType::Socket => FileType::SocketStream,
            HostFileType::CharacterDevice => FileType::CharacterDevice,
            HostFileType::BlockDevice => FileType::BlockDevice,
            // The document has no number for a FIFO.
            HostFileType::Fifo | HostFileType::Unknown => FileType::Unknown,
        }
    }
}

impl From<&Stat> for FileType {
    fn from(stat: &Stat) -> FileType {
        HostFileType::from_raw_mode(stat.st_mode).into()
    }
}

/// Puts integers at offsets of a structure, after clearing it.
macro_rules! put {
    ($bytes:ident, $($offset:literal: $value:expr),* $(,)?) => {{
        $bytes.fill(0);
        $($value.write(&mut $bytes[$offset..$offset + size_of_val(&$value)]);)*
    }};
}

/// Takes an integer from an offset of a structure.
fn get<T: GuestValue>(bytes: &[u8], offset: usize) -> T {
    T::read(&bytes[offset..offset + T::BYTES as usize])
}

/// A buffer of a scattered read or write.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Iovec {
    pub(crate) start: GuestPtr<u8>,
    pub(crate) len: u32,
}

impl GuestValue for Iovec {
    const BYTES: u32 = 8;

    fn read(bytes: &[u8]) -> Iovec {
        Iovec { start: GuestPtr::new(get(bytes, 0)), len: get(bytes, 4) }
    }

    fn write(&self, bytes: &mut [u8]) {
        put!(bytes, 0: self.start.address() as u32, 4: self.len);
    }
}

/// `fdstat`: a descriptor's type, flags and rights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Fdstat {
    pub(crate) filetype: FileType,
    pub(crate) flags: FdFlags,
    pub(crate) base: Rights,
    pub(crate) inheriting: Rights,
}

/// `filestat`: a file's attributes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Filestat {
    pub(crate) dev: u64,
    pub(crate) ino: u64,
    pub(crate) filetype: FileType,
    pub(crate) nlink: u64,
    pub(crate) size: u64,
    /// Nanoseconds since 1970, as are the next two.
    pub(crate) atim: u64,
    pub(crate) mtim: u64,
    pub(crate) ctim: u64,
}

impl Filestat {
    /// Of something that is not in a file system.
    pub(crate) fn of_stream(filetype: FileType) -> Filestat {
        Filestat { dev: 0, ino: 0, filetype, nlink: 1, size: 0, atim: 0, mtim: 0, ctim: 0 }
    }
}

impl From<&Stat> for Filestat {
    fn from(stat: &Stat) -> Filestat {
        Filestat {
            dev: stat.st_dev,
            ino: stat.st_ino,
            filetype: stat.into(),
            nlink: stat.st_nlink,
            size: stat.st_size as u64,
            atim: nanoseconds(stat.st_atime, stat.st_atime_nsec),
            mtim: nanoseconds(stat.st_mtime, stat.st_mtime_nsec),
            ctim: nanoseconds(stat.st_ctime, stat.st_ctime_nsec),
        }
    }
}

/// Times before 1970 and after 2554 cannot be said; they become the nearest that can.
fn nanoseconds(seconds: i64, nanoseconds: u64) -> u64 {
    u64::try_from(seconds).map_or(0, |s| s.saturating_mul(1_000_000_000).saturating_add(nanoseconds))
}

/// `prestat` of a directory: the length of its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Prestat {
    pub(crate) name_len: u32,
}

/// `dirent`: what precedes an entry's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Dirent {
    /// The cookie of the entry after this one.
    pub(crate) next: u64,
    pub(crate) ino: u64,
    pub(crate) name_len: u32,
    pub(crate) filetype: FileType,
}

impl Dirent {
    /// Its bytes.
    pub(crate) fn encode(&self) -> [u8; Dirent::BYTES as usize] {
        let mut bytes = [0; Dirent::BYTES as usize];
        self.write(&mut bytes);
        bytes
    }
}

/// `subscription`: what to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Subscription {
    pub(crate) userdata: u64,
    pub(crate) what: Awaited,
}

/// What to wait for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    Clock {
        id: u32,
        timeout_ns: u64,
        flags: u16,
    },
    FdRead(u32),
    FdWrite(u32),
    /// A tag the document does not know.
    Unknown(u8),
}

impl GuestValue for Subscription {
    const BYTES: u32 = 48;

    fn read(bytes: &[u8]) -> Subscription {
        let what = match bytes[8] {
            0 => Awaited::Clock { id: get(bytes, 16), timeout_ns: get(bytes, 24), flags: get(bytes, 40) },
            1 => Awaited::FdRead(get(bytes, 16)),
            2 => Awaited::FdWrite(get(bytes, 16)),
            tag => Awaited::Unknown(tag),
        };
        Subscription { userdata: get(bytes, 0), what }
    }

    fn write(&self, bytes: &mut [u8]) {
        match self.what {
            Awaited::Clock { id, timeout_ns, flags } => {
                put!(bytes, 0: self.userdata, 8: 0u8, 16: id, 24: timeout_ns, 40: flags);
            }
            Awaited::FdRead(fd) => put!(bytes, 0: self.userdata, 8: 1u8, 16: fd),
            Awaited::FdWrite(fd) => put!(bytes, 0: self.userdata, 8: 2u8, 16: fd),
            Awaited::Unknown(tag) => put!(bytes, 0: self.userdata, 8: tag),
        }
    }
}

/// `event`: what happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Event {
    pub(crate) userdata: u64,
    /// 0, or an errno.
    pub(crate) error: u16,
    pub(crate) tag: u8,
    pub(crate) available_bytes: u64,
    pub(crate) hangup: bool,
}

impl FileType {
    /// The type of this number. What nobody knows is unknown.
    fn of(number: u8) -> FileType {
        let known = [
            FileType::BlockDevice,
            FileType::CharacterDevice,
            FileType::Directory,
            FileType::RegularFile,
            FileType::SocketStream,
            FileType::SymbolicLink,
        ];
        known.into_iter().find(|filetype| *filetype as u8 == number).unwrap_or(FileType::Unknown)
    }
}

impl GuestValue for Fdstat {
    const BYTES: u32 = 24;

    fn read(bytes: &[u8]) -> Fdstat {
        Fdstat {
            filetype: FileType::of(bytes[0]),
            flags: FdFlags(get(bytes, 2)),
            base: Rights(get(bytes, 8)),
            inheriting: Rights(get(bytes, 16)),
        }
    }

    fn write(&self, bytes: &mut [u8]) {
        put!(bytes, 0: self.filetype as u8, 2: self.flags.0, 8: self.base.0, 16: self.inheriting.0);
    }
}

impl GuestValue for Filestat {
    const BYTES: u32 = 64;

    fn read(bytes: &[u8]) -> Filestat {
        Filestat {
            dev: get(bytes, 0),
            ino: get(bytes, 8),
            filetype: FileType::of(bytes[16]),
            nlink: get(bytes, 24),
            size: get(bytes, 32),
            atim: get(bytes, 40),
            mtim: get(bytes, 48),
            ctim: get(bytes, 56),
        }
    }

    fn write(&self, bytes: &mut [u8]) {
        put!(
            bytes, 0: self.dev, 8: self.ino, 16: self.filetype as u8, 24: self.nlink, 32: self.size, 40: self.atim,
            48: self.mtim, 56: self.ctim
        );
    }
}

impl GuestValue for Prestat {
    const BYTES: u32 = 8;

    fn read(bytes: &[u8]) -> Prestat {
        Prestat { name_len: get(bytes, 4) }
    }

    fn write(&self, bytes: &mut [u8]) {
        put!(bytes, 0: 0u8, 4: self.name_len);
    }
}

impl GuestValue for Dirent {
    const BYTES: u32 = 24;

    fn read(bytes: &[u8]) -> Dirent {
        let filetype = FileType::of(bytes[20]);
        Dirent { next: get(bytes, 0), ino: get(bytes, 8), name_len: get(bytes, 16), filetype }
    }

    fn write(&self, bytes: &mut [u8]) {
        put!(bytes, 0: self.next, 8: self.ino, 16: self.name_len, 20: self.filetype as u8);
    }
}

impl GuestValue for Event {
    const BYTES: u32 = 32;

    fn read(bytes: &[u8]) -> Event {
        Event {
            userdata: get(bytes, 0),
            error: get(bytes, 8),
            tag: bytes[10],
            available_bytes: get(bytes, 16),
            hangup: bytes[24] & 1 != 0,
        }
    }

    fn write(&self, bytes: &mut [u8]) {
        let hangup = u16::from(self.hangup);
        put!(bytes, 0: self.userdata, 8: self.error, 10: self.tag, 16: self.available_bytes, 24: hangup);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_round_trip() {
        let clock = Awaited::Clock { id: 1, timeout_ns: 1 << 40, flags: 1 };
        for what in [clock, Awaited::FdRead(7), Awaited::FdWrite(u32::MAX), Awaited::Unknown(9)] {
            let subscription = Subscription { userdata: u64::MAX - 1, what };
            let mut bytes = [0xaa; 48];
            subscription.write(&mut bytes);
            assert_eq!(Subscription::read(&bytes), subscription);
        }
    }

    #[test]
    fn structures_lie_as_the_document_says() {
        let mut bytes = [0xaa; 24];
        let stat = Fdstat {
            filetype: FileType::RegularFile,
            flags: FdFlags::APPEND,
            base: Rights::FD_READ,
            inheriting: Rights::FD_WRITE,
        };
        stat.write(&mut bytes);
        assert_eq!(bytes, [4, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 0, 0, 0, 0]);
        let dirent = Dirent { next: 1, ino: 2, name_len: 3, filetype: FileType::Directory }.encode();
        assert_eq!(dirent, [1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 3, 0, 0, 0]);
    }

    #[test]
    fn times_saturate() {
        assert_eq!(nanoseconds(-1, 999), 0);
        assert_eq!(nanoseconds(1, 5), 1_000_000_005);
        assert_eq!(nanoseconds(i64::MAX, 0), u64::MAX);
    }
}
