//! Calls about descriptors themselves.

use super::numbers::errno::{BADF, INVAL, NAMETOOLONG, NOTCAPABLE, NOTSUP};
use super::numbers::{flag, right};
use super::paths::times;
use super::{Call, Choices, Compared, DATA, FIRST_OPENED, GRANTED, NAME, RESULT, Run, What, same};

impl Run {
    pub(super) fn close(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        // What was granted is kept, or there would soon be nothing left to do.
        let fd = fd.max(FIRST_OPENED);
        let expected = self.get(fd, 0).map(drop);
        let compared = self.call(choices, &Call::new("fd_close", vec![fd.into()]), expected)?;
        if let Some(slot) = self.open.get_mut(fd as usize) {
            *slot = None;
        }
        Some(compared)
    }

    pub(super) fn renumber(&mut self, choices: &mut Choices<'_>, to: u32) -> Compared {
        let (from, to) = (choices.one_of(&[6, 7, 8, 9, 10])?, to.max(FIRST_OPENED));
        let expected = self.get(to, 0).and_then(|_| self.get(from, 0)).map(drop);
        let compared = self.call(choices, &Call::new("fd_renumber", vec![from.into(), to.into()]), expected)?;
        if expected.is_ok() && from != to {
            self.open[to as usize] = self.open[from as usize].take();
        }
        Some(compared)
    }

    pub(super) fn status(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let expected = self.get(fd, 0);
        let arguments = vec![fd.into(), RESULT.into()];
        let call = Call { name: "fd_fdstat_get", arguments, outputs: vec![(RESULT, 24)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(open), Ok(())) = (expected, &compared) else { return Some(compared) };
        let filetype: u64 = if matches!(open.what, What::Directory(_)) { 3 } else { 4 };
        let first = filetype | open.flags << 16;
        let found = [0, 8, 16].map(|at| self.number64(RESULT + at));
        Some(same(&found, &[first, open.base, open.inheriting]))
    }

    pub(super) fn set_flags(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let flags = choices.one_of(&[0, 0, 1, 1, 4, 5, 2, 8, 16, 32])?;
        let expected = self.get(fd, right::SET_FLAGS).and_then(|open| match (open.flags ^ flags) & flag::FIXED {
            _ if flags > flag::ALL => Err(INVAL),
            0 => Ok(()),
            _ => Err(NOTSUP),
        });
        let call = Call::new("fd_fdstat_set_flags", vec![fd.into(), flags]);
        let compared = self.call(choices, &call, expected)?;
        if let (Ok(()), Some(open)) = (expected, self.opened(fd)) {
            open.flags = flags;
        }
        Some(compared)
    }

    fn opened(&mut self, fd: u32) -> Option<&mut super::Open> {
        self.open.get_mut(fd as usize).and_then(Option::as_mut)
    }

    /// Gives up rights, or asks for more than there are. The granted directory keeps its own.
    pub(super) fn set_rights(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let fd = fd.max(FIRST_OPENED);
        let open = self.get(fd, 0);
        let has = open.map_or((0, 0), |open| (open.base, open.inheriting));
        let mut some = |has: u64| {
            Some(match choices.below(6)? {
                0 => has | 1 << choices.below(30)?,
                1 => has & !(1 << choices.below(30)?),
                2 => has & !right::TO_WRITE,
                _ => has,
            })
        };
        let (base, inheriting) = (some(has.0)?, some(has.1)?);
        let more = (base & !has.0) | (inheriting & !has.1);
        let expected = open.and(if more == 0 { Ok(()) } else { Err(NOTCAPABLE) });
        let call = Call::new("fd_fdstat_set_rights", vec![fd.into(), base, inheriting]);
        let compared = self.call(choices, &call, expected)?;
        if let (Ok(()), Some(open)) = (expected, self.opened(fd)) {
            (open.base, open.inheriting) = (base, inheriting);
        }
        Some(compared)
    }

    pub(super) fn stat_open(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let expected = self.get(fd, right::STAT);
        let arguments = vec![fd.into(), RESULT.into()];
        let call = Call { name: "fd_filestat_get", arguments, outputs: vec![(RESULT, 64)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        match (expected.map(|open| open.what), &compared) {
            (Ok(What::Directory(id) | What::File { id, .. }), Ok(())) => Some(self.compare_stat(id)),
            _ => Some(compared),
        }
    }

    pub(super) fn set_times(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let ([atim, mtim], bits, which) = times(choices)?;
        let expected = self.get(fd, right::SET_TIMES).and(which);
        let call = Call::new("fd_filestat_set_times", vec![fd.into(), atim, mtim, bits]);
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(set), Ok(()), Ok(_)) = (expected, &compared, self.get(fd, right::STAT)) else { return Some(compared) };
        let arguments = vec![fd.into(), RESULT.into()];
        let call = Call { name: "fd_filestat_get", arguments, outputs: vec![(RESULT, 64)] };
        Some(self.call_once(&call, Ok(())).and_then(|()| self.compare_times([atim, mtim], set)))
    }

    /// The name that a directory is granted under.
    pub(super) fn granted_name(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let granted = if fd == GRANTED { Ok(()) } else { Err(BADF) };
        if choices.one_in(2)? {
            let arguments = vec![fd.into(), RESULT.into()];
            let call = Call { name: "fd_prestat_get", arguments, outputs: vec![(RESULT, 8)] };
            let compared = self.call(choices, &call, granted)?;
            let found = self.number64(RESULT);
            let compare = |()| if granted.is_ok() { same(&found, &((NAME.len() as u64) << 32)) } else { Ok(()) };
            return Some(compared.and_then(compare));
        }
        let len = choices.below(3)?;
        let expected = granted.and_then(|()| if len as usize >= NAME.len() { Ok(()) } else { Err(NAMETOOLONG) });
        let arguments = vec![fd.into(), DATA.into(), len.into()];
        let call = Call { name: "fd_prestat_dir_name", arguments, outputs: vec![(DATA, NAME.len() as u32)] };
        let compared = self.call(choices, &call, expected)?;
        let found = self.bytes(DATA, NAME.len() as u32);
        let compare = |()| if expected.is_ok() { same(&found, &NAME.as_bytes().to_vec()) } else { Ok(()) };
        Some(compared.and_then(compare))
    }
}
