//! Calls that work on the contents of what is open.

use super::numbers::errno::{INVAL, NOENT};
use super::numbers::right;
use super::tree::{Answer, Id, Node};
use super::{Call, Choices, Compared, DATA, DATA_BYTES, IOVECS, Open, RESULT, Run, What, same};

impl Run {
    /// A file that is open, if the guest may do this with it.
    fn file(&self, fd: u32, rights: u64) -> Answer<(Open, Id, u64)> {
        let open = self.get(fd, rights)?;
        match open.what {
            What::File { id, position } => Ok((open, id, position)),
            other => panic!("{other:?} has rights {rights:x}"),
        }
    }

    fn contents(&mut self, id: Id) -> &mut Vec<u8> {
        match &mut self.tree.0[id] {
            Node::File(contents) => contents,
            other => panic!("{other:?} has no contents"),
        }
    }

    fn moved(&mut self, fd: u32, to: u64) {
        if let Some(Some(Open { what: What::File { position, .. }, .. })) = self.open.get_mut(fd as usize) {
            *position = to;
        }
    }

    /// Two buffers, one after the other, of so many bytes together.
    pub(super) fn iovecs(&mut self, len: u32) {
        let first = len / 3;
        let words = [DATA, first, DATA + first, len - first];
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.put(IOVECS, &bytes);
    }

    /// Writes, at a place or at the position.
    pub(super) fn write(&mut self, choices: &mut Choices<'_>, fd: u32, at_place: bool) -> Compared {
        let (len, byte) = (choices.below(40)?, choices.below(250)? as u8);
        let offset = if at_place { Some(u64::from(choices.below(50)?)) } else { None };
        self.put(DATA, &vec![byte; len as usize]);
        self.iovecs(len);
        let file = self.file(fd, right::WRITE | if at_place { right::SEEK } else { 0 });
        if let Ok((open, id, position)) = file {
            let contents = self.contents(id);
            let at = if open.appends() { contents.len() } else { offset.unwrap_or(position) as usize };
            if len > 0 {
                contents.resize(contents.len().max(at + len as usize), 0);
                contents[at..at + len as usize].fill(byte);
            }
            if offset.is_none() && len > 0 {
                self.moved(fd, at as u64 + u64::from(len));
            }
        }
        let name = if at_place { "fd_pwrite" } else { "fd_write" };
        let call = self.transfer(name, fd, offset, vec![(RESULT, 4)]);
        let compared = self.call(choices, &call, file.map(drop))?;
        let done = self.number(RESULT);
        Some(compared.and_then(|()| if file.is_ok() { same(&done, &len) } else { Ok(()) }))
    }

    /// Reads, at a place or at the position.
    pub(super) fn read(&mut self, choices: &mut Choices<'_>, fd: u32, at_place: bool) -> Compared {
        let len = choices.below(40)?;
        let offset = if at_place { Some(u64::from(choices.below(50)?)) } else { None };
        self.iovecs(len);
        let file = self.file(fd, right::READ | if at_place { right::SEEK } else { 0 });
        let expected = file.map(|(_, id, position)| {
            let contents = self.contents(id);
            let at = (offset.unwrap_or(position) as usize).min(contents.len());
            let data = contents[at..contents.len().min(at + len as usize)].to_vec();
            if offset.is_none() {
                self.moved(fd, position + data.len() as u64);
            }
            data
        });
        let name = if at_place { "fd_pread" } else { "fd_read" };
        let outputs = vec![(DATA, expected.as_ref().map_or(0, |data| data.len() as u32)), (RESULT, 4)];
        let call = self.transfer(name, fd, offset, outputs);
        let compared = self.call(choices, &call, file.map(drop))?;
        let Ok(data) = expected else { return Some(compared) };
        Some(compared.and_then(|()| self.compare_data(&data)))
    }

    fn transfer(&self, name: &'static str, fd: u32, offset: Option<u64>, outputs: Vec<(u32, u32)>) -> Call {
        let mut arguments = vec![fd.into(), IOVECS.into(), 2];
        arguments.extend(offset);
        arguments.push(RESULT.into());
        Call { name, arguments, outputs }
    }

    pub(super) fn seek(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (whence, offset) = (choices.below(4)?, i64::from(choices.below(60)?) - 20);
        let tells = whence == 1 && offset == 0;
        let expected = self.file(fd, if tells { right::TELL } else { right::SEEK });
        let expected = expected.and_then(|(_, id, position)| {
            let from = match whence {
                0 => 0,
                1 => position as i64,
                2 => self.contents(id).len() as i64,
                _ => return Err(INVAL),
            };
            u64::try_from(from + offset).map_err(|_| INVAL)
        });
        let arguments = vec![fd.into(), offset as u64, whence.into(), RESULT.into()];
        let call = Call { name: "fd_seek", arguments, outputs: vec![(RESULT, 8)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(to), Ok(())) = (expected, &compared) else { return Some(compared) };
        self.moved(fd, to);
        Some(same(&self.number64(RESULT), &to))
    }

    pub(super) fn tell(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let expected = self.file(fd, right::TELL).map(|(.., position)| position);
        let call = Call { name: "fd_tell", arguments: vec![fd.into(), RESULT.into()], outputs: vec![(RESULT, 8)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(position), Ok(())) = (expected, &compared) else { return Some(compared) };
        Some(same(&self.number64(RESULT), &position))
    }

    pub(super) fn resize(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let size = choices.below(60)?;
        let file = self.file(fd, right::SET_SIZE);
        if let Ok((_, id, _)) = file {
            self.contents(id).resize(size as usize, 0);
        }
        self.call(choices, &Call::new("fd_filestat_set_size", vec![fd.into(), size.into()]), file.map(drop))
    }

    pub(super) fn allocate(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (offset, len) = (choices.below(40)?, choices.one_of(&[0, 1, 10, 30])?);
        let file = self.file(fd, right::ALLOCATE);
        let expected = file.and_then(|(_, id, _)| if len == 0 { Err(INVAL) } else { Ok(id) });
        if let Ok(id) = expected {
            let contents = self.contents(id);
            contents.resize(contents.len().max((offset + len) as usize), 0);
        }
        let arguments = vec![fd.into(), offset.into(), len.into()];
        self.call(choices, &Call::new("fd_allocate", arguments), expected.map(drop))
    }

    pub(super) fn advise(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let mut offset = || choices.one_of(&[0, 1, 4095, i64::MAX as u64, 1 << 63]);
        let (offset, len) = (offset()?, offset()?);
        let advice = choices.below(8)?;
        let sound = advice < 6 && offset.max(len) <= i64::MAX as u64;
        let expected = self.file(fd, right::ADVISE).and(if sound { Ok(()) } else { Err(INVAL) });
        let arguments = vec![fd.into(), offset, len, advice.into()];
        self.call(choices, &Call::new("fd_advise", arguments), expected)
    }

    pub(super) fn sync(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let (name, rights) =
            if choices.one_in(2)? { ("fd_sync", right::SYNC) } else { ("fd_datasync", right::DATASYNC) };
        let expected = self.get(fd, rights).map(drop);
        self.call(choices, &Call::new(name, vec![fd.into()]), expected)
    }

    pub(super) fn list(&mut self, choices: &mut Choices<'_>, fd: u32) -> Compared {
        let root = self.root(fd, right::READDIR);
        let dead = root.is_ok_and(|root| matches!(self.tree.0[root], Node::Directory { dead: true, .. }));
        let expected = if dead { Err(NOENT) } else { root };
        let arguments = vec![fd.into(), DATA.into(), DATA_BYTES.into(), 0, RESULT.into()];
        let call = Call { name: "fd_readdir", arguments, outputs: vec![(DATA, DATA_BYTES), (RESULT, 4)] };
        let compared = self.call(choices, &call, expected.map(drop))?;
        let (Ok(id), Ok(())) = (expected, &compared) else { return Some(compared) };
        let used = self.number(RESULT);
        let listed = self.bytes(DATA, used.min(DATA_BYTES));
        let (mut rest, mut found) = (&listed[..], Vec::new());
        while let Some((header, names)) = rest.split_at_checked(24) {
            let (name, later) =
                names.split_at(u32::from_le_bytes(header[16..20].try_into().unwrap_or_default()) as usize);
            found.push(String::from_utf8_lossy(name).into_owned());
            rest = later;
        }
        found.sort();
        let names = self.tree.names(id).into_iter().flatten().map(|(name, _)| name.clone());
        let mut expected: Vec<_> = [".".to_owned(), "..".to_owned()].into_iter().chain(names).collect();
        expected.sort();
        Some(same(&found, &expected))
    }
}
