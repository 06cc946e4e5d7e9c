//! What can be asked of and done to a descriptor, besides its data.

use rustix::fs::{Advice, FallocateFlags, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT};
use selvedge_runtime::{GuestPtr, GuestValue};

use crate::Wasi;
use crate::descriptor::{Descriptor, Kind};
use crate::errno::{Answer, Errno};
use crate::flags::{FdFlags, FstFlags, Rights};
use crate::host::HostFd;
use crate::types::{Fdstat, Filestat};

/// Which times to set, and to what.
pub(crate) fn timestamps(atim: u64, mtim: u64, flags: u32) -> Answer<Timestamps> {
    let flags = FstFlags::parse(flags)?;
    let choose = |set, now, time: u64| match (flags.contains(set), flags.contains(now)) {
        (true, true) => Err(Errno::Inval),
        (true, false) => Ok(Timespec { tv_sec: (time / 1_000_000_000) as i64, tv_nsec: (time % 1_000_000_000) as i64 }),
        (false, true) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_NOW }),
        (false, false) => Ok(Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }),
    };
    Ok(Timestamps {
        last_access: choose(FstFlags::ATIM, FstFlags::ATIM_NOW, atim)?,
        last_modification: choose(FstFlags::MTIM, FstFlags::MTIM_NOW, mtim)?,
    })
}

/// Sets what can be set on an open file. The embedder's own files are never touched: for those `nonblock` is
/// kept here, and `append` cannot be.
fn set_flags(descriptor: &mut Descriptor, flags: FdFlags) -> Answer {
    let changed = FdFlags(descriptor.flags.0 ^ flags.0);
    if changed.intersects(FdFlags::FIXED) {
        return Err(Errno::Notsup);
    }
    if let (Kind::Host(file), true) = (&descriptor.kind, changed.contains(FdFlags::APPEND)) {
        let HostFd::Owned(fd) = &file.fd else { return Err(Errno::Notsup) };
        let mut host_flags = rustix::fs::fcntl_getfl(fd)?;
        host_flags.set(OFlags::APPEND, flags.contains(FdFlags::APPEND));
        rustix::fs::fcntl_setfl(fd, host_flags)?;
    }
    descriptor.flags = flags;
    Ok(())
}

impl Wasi {
    pub(crate) fn fd_close(&mut self, _mem: &mut [u8], fd: u32) -> Answer {
        self.table.remove(fd).map(drop)
    }

    pub(crate) fn fd_renumber(&mut self, _mem: &mut [u8], from: u32, to: u32) -> Answer {
        self.table.renumber(from, to)
    }

    pub(crate) fn fd_fdstat_get(&mut self, mem: &mut [u8], fd: u32, stat: GuestPtr<Fdstat>) -> Answer {
        let Descriptor { filetype, flags, base, inheriting, .. } = *self.table.any(fd)?;
        Ok(stat.write(mem, &Fdstat { filetype, flags, base, inheriting })?)
    }

    pub(crate) fn fd_fdstat_set_flags(&mut self, _mem: &mut [u8], fd: u32, flags: u32) -> Answer {
        let descriptor = self.table.get_mut(fd, Rights::FD_FDSTAT_SET_FLAGS)?;
        set_flags(descriptor, FdFlags::parse(flags)?)
    }

    pub(crate) fn fd_fdstat_set_rights(&mut self, _mem: &mut [u8], fd: u32, base: u64, inheriting: u64) -> Answer {
        let descriptor = self.table.any_mut(fd)?;
        let (base, inheriting) = (Rights(base), Rights(inheriting));
        if !descriptor.base.contains(base) || !descriptor.inheriting.contains(inheriting) {
            return Err(Errno::Notcapable);
        }
        (descriptor.base, descriptor.inheriting) = (base, inheriting);
        Ok(())
    }

    pub(crate) fn fd_filestat_get<S>(&mut self, mem: &mut [u8], fd: u32, stat: GuestPtr<S>) -> Answer
    where
        S: GuestValue + From<Filestat>,
    {
        let descriptor = self.table.get(fd, Rights::FD_FILESTAT_GET)?;
        let filestat = match (descriptor.fd(), &descriptor.kind) {
            (Some(fd), _) => Filestat::from(&rustix::fs::fstat(fd)?),
            (None, Kind::Tree(opened)) => opened.filestat(),
            (None, _) => Filestat::of_stream(descriptor.filetype),
        };
        Ok(stat.write(mem, &filestat.into())?)
    }

    pub(crate) fn fd_filestat_set_size(&mut self, _mem: &mut [u8], fd: u32, size: u64) -> Answer {
        let descriptor = self.table.get(fd, Rights::FD_FILESTAT_SET_SIZE)?;
        descriptor.writable()?;
        self.meter.resize(descriptor, |_| size, |file| Ok(rustix::fs::ftruncate(file, size)?))
    }

    pub(crate) fn fd_filestat_set_times(
        &mut self,
        _mem: &mut [u8],
        fd: u32,
        atim: u64,
        mtim: u64,
        flags: u32,
    ) -> Answer {
        let descriptor = self.table.get(fd, Rights::FD_FILESTAT_SET_TIMES)?;
        let times = timestamps(atim, mtim, flags)?;
        descriptor.writable()?;
        Ok(rustix::fs::futimens(descriptor.fd().ok_or(Errno::Notsup)?, &times)?)
    }

    pub(crate) fn fd_sync(&mut self, _mem: &mut [u8], fd: u32) -> Answer {
        match self.table.get(fd, Rights::FD_SYNC)?.fd() {
            Some(fd) => Ok(rustix::fs::fsync(fd)?),
            None => Ok(()),
        }
    }

    pub(crate) fn fd_datasync(&mut self, _mem: &mut [u8], fd: u32) -> Answer {
        match self.table.get(fd, Rights::FD_DATASYNC)?.fd() {
            Some(fd) => Ok(rustix::fs::fdatasync(fd)?),
            None => Ok(()),
        }
    }

    pub(crate) fn fd_advise(&mut self, _mem: &mut [u8], fd: u32, offset: u64, len: u64, advice: u32) -> Answer {
        let descriptor = self.table.get(fd, Rights::FD_ADVISE)?;
        let advice = match advice {
            0 => Advice::Normal,
            1 => Advice::Sequential,
            2 => Advice::Random,
            3 => Advice::WillNeed,
            4 => Advice::DontNeed,
            5 => Advice::NoReuse,
            _ => return Err(Errno::Inval),
        };
        if i64::try_from(offset).is_err() || i64::try_from(len).is_err() {
            return Err(Errno::Inval);
        }
        match &descriptor.kind {
            // All of it is in memory.
            Kind::Tree(_) => Ok(()),
            // No length means to the end.
            _ => Ok(rustix::fs::fadvise(descriptor.host()?, offset, len.try_into().ok(), advice)?),
        }
    }

    pub(crate) fn fd_allocate(&mut self, _mem: &mut [u8], fd: u32, offset: u64, len: u64) -> Answer {
        let descriptor = self.table.get(fd, Rights::FD_ALLOCATE)?;
        descriptor.writable()?;
        let after = |before: u64| before.max(offset.saturating_add(len));
        let none = FallocateFlags::empty();
        self.meter.resize(descriptor, after, |file| Ok(rustix::fs::fallocate(file, none, offset, len)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_set_to_one_thing() {
        assert_eq!(timestamps(0, 0, 3).err(), Some(Errno::Inval));
        assert_eq!(timestamps(0, 0, 12).err(), Some(Errno::Inval));
        assert_eq!(timestamps(0, 0, 16).err(), Some(Errno::Inval));
        let times = timestamps(3_000_000_007, 1, 1 | 8).unwrap();
        assert_eq!((times.last_access.tv_sec, times.last_access.tv_nsec), (3, 7));
        assert_eq!(times.last_modification.tv_nsec, UTIME_NOW);
        assert_eq!(timestamps(9, 9, 0).unwrap().last_access.tv_nsec, UTIME_OMIT);
    }
}
