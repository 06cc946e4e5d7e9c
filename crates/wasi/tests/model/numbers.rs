//! The numbers of the document.

pub(super) mod errno {
    pub(crate) const BADF: i32 = 8;
    pub(crate) const EXIST: i32 = 20;
    pub(crate) const INVAL: i32 = 28;
    pub(crate) const ISDIR: i32 = 31;
    pub(crate) const LOOP: i32 = 32;
    pub(crate) const MFILE: i32 = 33;
    pub(crate) const NAMETOOLONG: i32 = 37;
    pub(crate) const NOENT: i32 = 44;
    pub(crate) const NOTDIR: i32 = 54;
    pub(crate) const NOTEMPTY: i32 = 55;
    pub(crate) const NOTSOCK: i32 = 57;
    pub(crate) const NOTSUP: i32 = 58;
    pub(crate) const PERM: i32 = 63;
    pub(crate) const PIPE: i32 = 64;
    pub(crate) const NOTCAPABLE: i32 = 76;
}

/// Bits of rights.
pub(super) mod right {
    pub(crate) const DATASYNC: u64 = 1;
    pub(crate) const READ: u64 = 1 << 1;
    pub(crate) const SEEK: u64 = 1 << 2;
    pub(crate) const SET_FLAGS: u64 = 1 << 3;
    pub(crate) const SYNC: u64 = 1 << 4;
    pub(crate) const TELL: u64 = 1 << 5;
    pub(crate) const WRITE: u64 = 1 << 6;
    pub(crate) const ADVISE: u64 = 1 << 7;
    pub(crate) const ALLOCATE: u64 = 1 << 8;
    pub(crate) const CREATE_DIRECTORY: u64 = 1 << 9;
    pub(crate) const CREATE_FILE: u64 = 1 << 10;
    pub(crate) const LINK_SOURCE: u64 = 1 << 11;
    pub(crate) const LINK_TARGET: u64 = 1 << 12;
    pub(crate) const OPEN: u64 = 1 << 13;
    pub(crate) const READDIR: u64 = 1 << 14;
    pub(crate) const READLINK: u64 = 1 << 15;
    pub(crate) const RENAME_SOURCE: u64 = 1 << 16;
    pub(crate) const RENAME_TARGET: u64 = 1 << 17;
    pub(crate) const PATH_STAT: u64 = 1 << 18;
    pub(crate) const PATH_SET_SIZE: u64 = 1 << 19;
    pub(crate) const PATH_SET_TIMES: u64 = 1 << 20;
    pub(crate) const STAT: u64 = 1 << 21;
    pub(crate) const SET_SIZE: u64 = 1 << 22;
    pub(crate) const SET_TIMES: u64 = 1 << 23;
    pub(crate) const SYMLINK: u64 = 1 << 24;
    pub(crate) const REMOVE_DIRECTORY: u64 = 1 << 25;
    pub(crate) const UNLINK: u64 = 1 << 26;
    pub(crate) const POLL: u64 = 1 << 27;
    pub(crate) const ALL: u64 = (1 << 30) - 1;
    /// What can be done with a file.
    pub(crate) const FILE: u64 = DATASYNC
        | READ
        | SEEK
        | SET_FLAGS
        | SYNC
        | TELL
        | WRITE
        | ADVISE
        | ALLOCATE
        | STAT
        | SET_SIZE
        | SET_TIMES
        | POLL;
    /// What can be done with a directory.
    pub(crate) const DIRECTORY: u64 = DATASYNC
        | SET_FLAGS
        | SYNC
        | STAT
        | SET_TIMES
        | CREATE_DIRECTORY
        | CREATE_FILE
        | LINK_SOURCE
        | LINK_TARGET
        | OPEN
        | READDIR
        | READLINK
        | RENAME_SOURCE
        | RENAME_TARGET
        | PATH_STAT
        | PATH_SET_SIZE
        | PATH_SET_TIMES
        | SYMLINK
        | REMOVE_DIRECTORY
        | UNLINK;
    /// Those for which a file must be open for writing.
    pub(crate) const TO_WRITE: u64 = WRITE | ALLOCATE | SET_SIZE;
}

/// Bits of a descriptor's flags.
pub(super) mod flag {
    pub(crate) const APPEND: u64 = 1;
    /// Those that stay as they are.
    pub(crate) const FIXED: u64 = 2 | 8 | 16;
    pub(crate) const ALL: u64 = 31;
}
