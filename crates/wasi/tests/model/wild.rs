//! Calls with arguments that mean nothing: whatever they do, the host goes on, and nothing outside of what was
//! granted is read or changed.

use std::path::Path;

use selvedge_runtime::{CallError, Module};
use selvedge_wasi::{Clocks, DirAccess, Quotas, Wasi};

use super::Choices;
use super::guest::{FUNCTIONS, Guest};
use super::sockets::Sockets;

/// What lies beside the granted directory.
const SECRET: &str = "not the guest's to read, nor to change";
/// What of a granted file's is there at the start.
const CONTENTS: &str = "contents of a file";

const DESCRIPTORS_MAX: u32 = 16;
const PATH_BYTES_MAX: u32 = 64;
const DISK_BYTES_MAX: u64 = 1 << 20;
/// The last errno of the document.
const ERRNO_MAX: i32 = 76;

const SUBSCRIPTIONS: u32 = 0x300;

/// Arguments that make sense, of functions that seldom do anything without.
const SENSIBLE: &[(&str, &[u64])] = &[
    ("fd_advise", &[5, 0, 0, 1]),
    ("fd_allocate", &[5, 0, 300]),
    ("fd_filestat_set_size", &[5, 200]),
    ("fd_filestat_set_times", &[5, 1, 1, 5]),
    ("fd_pread", &[5, 0x200, 2, 3, 0x400]),
    ("fd_pwrite", &[5, 0x200, 2, 3, 0x400]),
    ("fd_read", &[5, 0x200, 2, 0x400]),
    ("fd_readdir", &[3, 0x1000, 0x800, 0, 0x400]),
    ("fd_seek", &[5, 0, 0, 0x400]),
    ("fd_write", &[5, 0x200, 2, 0x400]),
    ("path_create_directory", &[3, 0x160, 9]),
    ("path_filestat_get", &[3, 1, 0x160, 14, 0x400]),
    ("path_filestat_set_times", &[3, 1, 0x100, 1, 7, 7, 5]),
    ("path_link", &[3, 0, 0x100, 1, 3, 0x121, 8]),
    ("path_open", &[3, 1, 0x100, 1, 1, (1 << 30) - 1, (1 << 30) - 1, 0, 0x400]),
    ("path_readlink", &[3, 0x1a0, 4, 0x1000, 40, 0x400]),
    ("path_remove_directory", &[3, 0x160, 9]),
    ("path_rename", &[3, 0x1a0, 4, 3, 0x144, 6]),
    ("path_symlink", &[0x120, 9, 3, 0x1a0, 3]),
    ("path_unlink_file", &[3, 0x1a0, 3]),
    ("sock_recv", &[4, 0x200, 2, 0, 0x400, 0x410]),
    ("sock_send", &[4, 0x200, 2, 0, 0x400]),
    ("sock_shutdown", &[4, 2]),
];

/// Strings that paths are made of, and structures that mean something.
const PLACES: [(u32, &[u8]); 8] = [
    (0x100, b"a"),
    (0x120, b"../secret"),
    (0x140, b"out/secret"),
    (0x160, b"directory/../a"),
    (0x180, b"/secret"),
    (0x1a0, b"link"),
    // Two buffers.
    (0x200, &[0, 0x10, 0, 0, 0x40, 0, 0, 0, 0, 0x20, 0, 0, 0, 1, 0, 0]),
    // A subscription whose time has come: nothing waits for long.
    (SUBSCRIPTIONS, &[0; 48]),
];

/// Makes calls until there are no more choices; an error says what should never be.
pub(crate) fn run(module: &Module, mut choices: Choices<'_>) -> Result<(), String> {
    let place = tempfile::tempdir().map_err(|error| error.to_string())?;
    prepare(place.path()).map_err(|error| error.to_string())?;
    let mut guest = guest(module, &place.path().join("granted")).map_err(|error| error.to_string())?;
    let mut log = Vec::new();
    let outcome = loop {
        match step(&mut guest, &mut choices, &mut log) {
            None => break Ok(()),
            Some(Ok(())) => {}
            Some(Err(problem)) => break Err(problem),
        }
    };
    let log = &log[log.len().saturating_sub(40)..];
    let outcome = outcome.and_then(|()| untouched(place.path()));
    outcome.map_err(|problem| format!("{problem}\nafter\n  {}", log.join("\n  ")))
}

/// A directory to grant, with a way out of it, and a secret beside it.
fn prepare(place: &Path) -> std::io::Result<()> {
    let granted = place.join("granted");
    std::fs::create_dir_all(granted.join("directory"))?;
    std::fs::write(place.join("secret"), SECRET)?;
    std::fs::write(granted.join("a"), CONTENTS)?;
    std::os::unix::fs::symlink("..", granted.join("out"))?;
    std::os::unix::fs::symlink("directory", granted.join("link"))
}

fn guest(module: &Module, granted: &Path) -> Result<Guest, Box<dyn std::error::Error>> {
    let mut quotas = Quotas::default();
    quotas.descriptors_max = DESCRIPTORS_MAX;
    quotas.path_bytes_max = PATH_BYTES_MAX;
    quotas.disk_bytes_max = DISK_BYTES_MAX;
    let (_, connection, _) = Sockets::new()?;
    let builder = Wasi::builder().preopen_dir(granted, "/", DirAccess::ReadWrite)?.preopen_socket(connection);
    let wasi = builder.arg("x").clocks(Clocks::Fixed { realtime_ns: 0, step_ns: 1 }).quotas(quotas).build()?;
    Ok(Guest::new(module, wasi))
}

fn step(guest: &mut Guest, choices: &mut Choices<'_>, log: &mut Vec<String>) -> Option<Result<(), String>> {
    let (name, kinds) = choices.one_of(FUNCTIONS)?;
    let sensible = SENSIBLE.iter().filter(|(function, _)| *function == name).map(|(_, arguments)| *arguments);
    let sensible = if choices.one_in(3)? { None } else { sensible.into_iter().next() };
    let mut arguments = Vec::new();
    for (index, kind) in kinds.chars().enumerate() {
        let usual = match sensible {
            // Subscriptions of other times and descriptors might wait for ever.
            _ if name == "poll_oneoff" && index == 0 => Some(SUBSCRIPTIONS.into()),
            Some(usual) if !choices.one_in(7)? => Some(usual[index]),
            _ => None,
        };
        arguments.push(usual.map_or_else(|| argument(choices, kind), Some)?);
    }
    for (at, bytes) in PLACES {
        guest.memory()[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }
    log.push(format!("{name}({arguments:x?})"));
    let before = guest.memory().to_vec();
    let answer = guest.call(name, &arguments);
    let problem = match answer {
        Ok(0) => None,
        Ok(1..=ERRNO_MAX) if *guest.memory() == before[..] => None,
        Ok(errno @ 1..=ERRNO_MAX) => Some(format!("{name} answered {errno} and wrote to memory")),
        Ok(errno) => Some(format!("{name} answered {errno}, which is no errno")),
        Err(CallError::Exit(_)) if name.starts_with("proc_") => None,
        Err(error) => Some(format!("{name} ended the guest: {error}")),
    };
    let problem = problem.or_else(|| leaked(guest, name));
    Some(problem.map_or(Ok(()), Err))
}

/// A number, of those that mean something or of those that cannot.
fn argument(choices: &mut Choices<'_>, kind: char) -> Option<u64> {
    const SMALL: [u64; 12] = [0, 0, 1, 2, 3, 3, 3, 4, 5, 6, 7, 64];
    const LARGE: [u64; 6] = [u64::MAX, 1 << 31, i64::MAX as u64, 1 << 63, 0xffff_fff0, 0x1_0000];
    Some(match choices.below(8)? {
        0..3 => choices.one_of(&SMALL)?,
        3 | 4 => PLACES[choices.below(PLACES.len() as u32)? as usize].0.into(),
        5 => choices.one_of(&[1, 9, 10, 14, 7, 4])?,
        6 if kind == 'I' => (1 << 30) - 1,
        6 => u64::from(choices.below(256)?) * 0x101,
        _ => choices.one_of(&LARGE)?,
    })
}

/// Whether the guest has what it should not.
fn leaked(guest: &mut Guest, name: &str) -> Option<String> {
    let descriptors = guest.wasi().usage().descriptors;
    if descriptors > DESCRIPTORS_MAX {
        return Some(format!("{name} left {descriptors} descriptors open"));
    }
    let secret = SECRET.as_bytes();
    let found = guest.memory().windows(secret.len()).any(|window| window == secret);
    found.then(|| format!("{name} gave away what lies outside"))
}

/// That what lies outside is as it was, and that no more than the quota is inside.
fn untouched(place: &Path) -> Result<(), String> {
    let text = |error: std::io::Error| error.to_string();
    let entries = place.read_dir().map_err(text)?.flatten();
    let mut names: Vec<_> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    let secret = std::fs::read(place.join("secret")).map_err(text)?;
    if names != ["granted", "secret"] || secret != SECRET.as_bytes() {
        return Err(format!("outside there is {names:?}, and the secret is {:?}", String::from_utf8_lossy(&secret)));
    }
    let bytes = bytes_below(&place.join("granted")).map_err(text)?;
    if bytes <= DISK_BYTES_MAX + CONTENTS.len() as u64 { Ok(()) } else { Err(format!("there are {bytes} bytes")) }
}

fn bytes_below(directory: &Path) -> std::io::Result<u64> {
    directory.read_dir()?.try_fold(0, |sum, entry| {
        let entry = entry?;
        let kind = entry.file_type()?;
        let own = if kind.is_dir() { bytes_below(&entry.path())? } else { 0 };
        Ok(sum + own + if kind.is_file() { entry.metadata()?.len() } else { 0 })
    })
}
