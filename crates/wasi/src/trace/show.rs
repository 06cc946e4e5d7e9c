//! Arguments and results as text.

use std::fmt::Write;

use selvedge_runtime::{GuestPtr, GuestValue};

use crate::flags::{FdFlags, FstFlags, LookupFlags, OpenFlags, RiFlags, Rights, SdFlags};
use crate::functions::Version;
use crate::limits::{TRACED_BYTES_MAX, TRACED_ITEMS_MAX};
use crate::trace::Kind;
use crate::types::{Awaited, Dirent, Event, Fdstat, Filestat, Iovec, Prestat, Subscription};

const CLOCKS: &[&str] = &["realtime", "monotonic", "process_cputime_id", "thread_cputime_id"];
const WHENCES: &[&str] = &["set", "cur", "end"];
const ADVICES: &[&str] = &["normal", "sequential", "random", "willneed", "dontneed", "noreuse"];
const SIGNALS: &[&str] = &[
    "none", "hup", "int", "quit", "ill", "trap", "abrt", "bus", "fpe", "kill", "usr1", "segv", "usr2", "pipe", "alrm",
    "term", "chld", "cont", "stop", "tstp", "ttin", "ttou", "urg", "xcpu", "xfsz", "vtalrm", "prof", "winch", "poll",
    "pwr", "sys",
];
const FILE_TYPES: &[&str] = &[
    "unknown",
    "block_device",
    "character_device",
    "directory",
    "regular_file",
    "socket_dgram",
    "socket_stream",
    "symbolic_link",
];

/// The call as it was made: `name(arguments)`.
pub(super) fn call<V: Version>(name: &str, kinds: &[Kind], raw: &[u64], mem: &[u8]) -> String {
    let mut shown = Vec::new();
    let mut rest = raw;
    for kind in kinds {
        let (values, later) = rest.split_at(kind.width());
        shown.extend(argument::<V>(*kind, values, mem));
        rest = later;
    }
    format!("{name}({})", shown.join(", "))
}

/// A call whose arguments are numbers only.
pub(super) fn shown(name: &str, kinds: &[Kind], raw: &[u64]) -> String {
    call::<crate::functions::Snapshot1>(name, kinds, raw, &[])
}

/// An argument, unless it is a place for a result.
fn argument<V: Version>(kind: Kind, values: &[u64], mem: &[u8]) -> Option<String> {
    let first = values[0];
    let text = match kind {
        Kind::U32 | Kind::U64 => first.to_string(),
        Kind::I64 => (first as i64).to_string(),
        Kind::Address => format!("{first:#x}"),
        Kind::Clock => named(CLOCKS, first),
        Kind::Whence => named(WHENCES, first),
        Kind::Advice => named(ADVICES, first),
        Kind::Signal => named(SIGNALS, first),
        Kind::LookupFlags => flags(LookupFlags::NAMES, first),
        Kind::OpenFlags => flags(OpenFlags::NAMES, first),
        Kind::Rights => rights(first),
        Kind::FdFlags => flags(FdFlags::NAMES, first),
        Kind::FstFlags => flags(FstFlags::NAMES, first),
        Kind::RiFlags => flags(RiFlags::NAMES, first),
        Kind::SdFlags => flags(SdFlags::NAMES, first),
        Kind::Path => text(values, usize::MAX, mem),
        Kind::Write => buffers(values, mem, |start, len| text(&[start, len], TRACED_BYTES_MAX, mem)),
        Kind::Read => buffers(values, mem, |_, len| len.to_string()),
        Kind::Buffer | Kind::Name => values[1].to_string(),
        Kind::Subscriptions => subscriptions::<V>(values, mem),
        _ => return None,
    };
    Some(text)
}

/// What a call that succeeded answered.
pub(super) fn results<V: Version>(kinds: &[Kind], raw: &[u64], mem: &[u8]) -> String {
    let mut shown = Vec::new();
    let (mut rest, mut buffer) = (raw, &[][..]);
    for kind in kinds {
        let (values, later) = rest.split_at(kind.width());
        shown.extend(result::<V>(*kind, values, buffer, mem));
        if matches!(kind, Kind::Read | Kind::Buffer) {
            buffer = values;
        }
        rest = later;
    }
    if shown.is_empty() { "0".to_owned() } else { shown.join(", ") }
}

/// A result; `buffer` is where the buffer or buffers before it are.
fn result<V: Version>(kind: Kind, values: &[u64], buffer: &[u64], mem: &[u8]) -> Option<String> {
    let first = values[0];
    let text = match kind {
        Kind::OutU32 => at::<u32>(first, mem)?.to_string(),
        Kind::OutU64 => at::<u64>(first, mem)?.to_string(),
        Kind::OutFdstat => fdstat(&at(first, mem)?),
        Kind::OutFilestat => filestat(&at::<V::Filestat>(first, mem)?.into()),
        Kind::OutPrestat => format!("dir {}", at::<Prestat>(first, mem)?.name_len),
        Kind::OutRoFlags => if at::<u16>(first, mem)? == 0 { "0" } else { "data_truncated" }.to_owned(),
        Kind::OutDone => done(at(first, mem)?, buffer, mem),
        Kind::OutText => text(&[buffer[0], at::<u32>(first, mem)?.into()], usize::MAX, mem),
        Kind::OutEntries => entries(at(first, mem)?, buffer[0], mem),
        Kind::Name => text(values, usize::MAX, mem),
        Kind::Subscriptions => events(values, mem),
        _ => return None,
    };
    Some(text)
}

fn at<T: GuestValue>(address: u64, mem: &[u8]) -> Option<T> {
    GuestPtr::<T>::new64(address).read(mem).ok()
}

fn named(names: &[&str], number: u64) -> String {
    names.get(number as usize).map_or_else(|| number.to_string(), |name| (*name).to_owned())
}

/// Names of flags, and what has no name; 0 if there are none.
fn flags(names: &[(&str, u64)], bits: u64) -> String {
    let mut shown: Vec<String> =
        names.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| name.to_lowercase()).collect();
    let unknown = names.iter().fold(bits, |rest, (_, bit)| rest & !bit);
    if unknown != 0 {
        shown.push(format!("{unknown:#x}"));
    }
    if shown.is_empty() { "0".to_owned() } else { shown.join("|") }
}

/// Rights, or, if that is shorter, those that are missing from all.
fn rights(bits: u64) -> String {
    let known = bits & Rights::ALL.0;
    let missing = Rights::ALL.0 & !bits;
    match missing.count_ones() {
        0 => "all".to_owned(),
        few if few < known.count_ones() => format!("all-({})", flags(Rights::NAMES, missing)),
        _ => flags(Rights::NAMES, bits),
    }
}

/// Bytes of the guest's as an escaped string, the first of them if they are many.
fn text(place: &[u64], bytes_max: usize, mem: &[u8]) -> String {
    let (start, len) = (place[0], place[1]);
    match GuestPtr::<u8>::new64(start).slice(len as u32).bytes(mem) {
        Err(_) => format!("{start:#x}+{len} outside memory"),
        Ok(bytes) if bytes.len() > bytes_max => format!("{:?}...", String::from_utf8_lossy(&bytes[..bytes_max])),
        Ok(bytes) => format!("{:?}", String::from_utf8_lossy(bytes)),
    }
}

/// Scattered buffers, each shown by `show` from its start and length.
fn buffers(place: &[u64], mem: &[u8], show: impl Fn(u64, u64) -> String) -> String {
    let slice = GuestPtr::<Iovec>::new64(place[0]).slice(place[1] as u32);
    let Ok(iovecs) = slice.values(mem) else { return format!("{:#x}+{} outside memory", place[0], place[1]) };
    let more = if iovecs.len() > TRACED_ITEMS_MAX { ", ..." } else { "" };
    let shown: Vec<_> =
        iovecs.take(TRACED_ITEMS_MAX).map(|iovec| show(iovec.start.address(), iovec.len.into())).collect();
    format!("[{}{more}]", shown.join(", "))
}

/// How much was read, and the first of it.
fn done(bytes: u32, buffers: &[u64], mem: &[u8]) -> String {
    let Ok(iovecs) = GuestPtr::<Iovec>::new64(buffers[0]).slice(buffers[1] as u32).values(mem) else {
        return bytes.to_string();
    };
    let mut data = Vec::new();
    for iovec in iovecs {
        let left = (bytes as usize).min(TRACED_BYTES_MAX) - data.len();
        let Ok(buffer) = iovec.start.slice(iovec.len).bytes(mem) else { break };
        data.extend_from_slice(&buffer[..buffer.len().min(left)]);
    }
    let more = if data.len() < bytes as usize { "..." } else { "" };
    format!("{bytes} {:?}{more}", String::from_utf8_lossy(&data))
}

/// Names of directory entries, the last one possibly cut off.
fn entries(used: u32, buffer: u64, mem: &[u8]) -> String {
    let Ok(mut rest) = GuestPtr::<u8>::new64(buffer).slice(used).bytes(mem) else { return used.to_string() };
    let mut names = Vec::new();
    while let Some((header, names_on)) = rest.split_at_checked(Dirent::BYTES as usize) {
        let Dirent { name_len, filetype, .. } = Dirent::read(header);
        let Some((name, later)) = names_on.split_at_checked(name_len as usize) else { break };
        names.push(format!("{:?} {}", String::from_utf8_lossy(name), named(FILE_TYPES, filetype as u64)));
        rest = later;
    }
    names.push(if rest.is_empty() { String::new() } else { format!("{} bytes of the next", rest.len()) });
    format!("{used} [{}]", names.join(", ").trim_end_matches(", "))
}

fn fdstat(stat: &Fdstat) -> String {
    let Fdstat { filetype, flags: fdflags, base, inheriting } = *stat;
    let filetype = named(FILE_TYPES, filetype as u64);
    let fdflags = flags(FdFlags::NAMES, fdflags.0.into());
    format!("{{{filetype}, {fdflags}, {}, {}}}", rights(base.0), rights(inheriting.0))
}

fn filestat(stat: &Filestat) -> String {
    let Filestat { dev, ino, filetype, nlink, size, atim, mtim, ctim } = *stat;
    let filetype = named(FILE_TYPES, filetype as u64);
    format!("{{dev={dev}, ino={ino}, {filetype}, nlink={nlink}, size={size}, atim={atim}, mtim={mtim}, ctim={ctim}}}")
}

fn subscriptions<V: Version>(values: &[u64], mem: &[u8]) -> String {
    let slice = GuestPtr::<V::Subscription>::new64(values[0]).slice(values[2] as u32);
    let Ok(all) = slice.values(mem) else { return format!("{:#x} outside memory", values[0]) };
    let mut text = String::new();
    let more = all.len().saturating_sub(TRACED_ITEMS_MAX);
    for (index, subscription) in all.take(TRACED_ITEMS_MAX).enumerate() {
        let Subscription { userdata, what } = subscription.into();
        let separator = if index == 0 { "" } else { ", " };
        // Writing to a string does not fail.
        let _ = write!(text, "{separator}{userdata:#x}: {}", awaited(what));
    }
    let more = if more > 0 { ", ..." } else { "" };
    format!("[{text}{more}]")
}

fn awaited(what: Awaited) -> String {
    match what {
        Awaited::Clock { id, timeout_ns, flags: 0 } => format!("{} +{timeout_ns}", named(CLOCKS, id.into())),
        Awaited::Clock { id, timeout_ns, .. } => format!("{} at {timeout_ns}", named(CLOCKS, id.into())),
        Awaited::FdRead(fd) => format!("read {fd}"),
        Awaited::FdWrite(fd) => format!("write {fd}"),
        Awaited::Unknown(tag) => format!("unknown {tag}"),
    }
}

fn events(values: &[u64], mem: &[u8]) -> String {
    let Some(count) = at::<u32>(values[3], mem) else { return String::new() };
    let Ok(all) = GuestPtr::<Event>::new64(values[1]).slice(count).values(mem) else { return count.to_string() };
    let show = |event: Event| match event {
        Event { userdata, error: 0, tag: 0, .. } => format!("{userdata:#x}"),
        Event { userdata, error: 0, available_bytes, hangup, .. } => {
            format!("{userdata:#x}: {available_bytes} bytes{}", if hangup { ", hangup" } else { "" })
        }
        Event { userdata, error, .. } => format!("{userdata:#x}: errno {error}"),
    };
    let shown: Vec<_> = all.take(TRACED_ITEMS_MAX).map(show).collect();
    format!("{count} [{}{}]", shown.join(", "), if count as usize > shown.len() { ", ..." } else { "" })
}
