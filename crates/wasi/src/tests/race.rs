//! Paths that somebody changes while they are followed: a second process swaps directories and files for links
//! that lead out, and moves directories away, as fast as it can. `SELVEDGE_RACE_SECONDS` makes it longer than 2.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::*;
use crate::resolve::tests::WALKS;

const SECRET: &str = "a secret outside";
const TREE: &str = "SELVEDGE_RACE_TREE";

/// `root` is granted; `elsewhere` is where a directory of it is moved to and fro; nothing in `outside` is reached.
fn set_up(tree: &Path) {
    let at = |name: &str| tree.join(name);
    for dir in ["outside/b/c", "outside/empty", "elsewhere", "root/d/empty", "root/a/b/c"] {
        std::fs::create_dir_all(at(dir)).unwrap();
    }
    for name in ["outside/secret", "outside/victim", "outside/b/secret", "outside/b/c/secret", "secret"] {
        std::fs::write(at(name), SECRET).unwrap();
    }
    for name in ["root/d/secret", "root/d/victim", "root/f", "root/a/secret", "root/a/b/c/secret"] {
        std::fs::write(at(name), "inside").unwrap();
    }
    symlink("../outside", at("root/to-directory")).unwrap();
    symlink("../outside/secret", at("root/to-file")).unwrap();
}

/// The second process. It ends when it is killed, or its tree is gone.
#[test]
#[ignore = "the second process of the tests below"]
fn attacker() {
    let Some(tree) = std::env::var_os(TREE).map(PathBuf::from) else { return };
    let at = |name: &str| tree.join(name);
    let swap = |one: &str, other: &str| renameat_with(CWD, at(one), CWD, at(other), RenameFlags::EXCHANGE).is_ok();
    while at("root").exists() {
        for _ in 0..100 {
            // Any of them may fail, since the other side renames and removes, too.
            let _ = swap("root/d", "root/to-directory");
            let _ = std::fs::rename(at("root/a/b"), at("elsewhere/b"));
            let _ = swap("root/f", "root/to-file");
            let _ = std::fs::rename(at("elsewhere/b"), at("root/a/b"));
        }
    }
}

struct Attack(Child);

impl Attack {
    fn on(tree: &Path) -> Attack {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--ignored", "--exact", "tests::race::attacker"]).env(TREE, tree);
        Attack(command.stdout(std::process::Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What is where nobody may reach, by name: contents, or that it is a directory.
fn outside(tree: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut ahead = vec![tree.join("outside"), tree.join("secret")];
    while let Some(path) = ahead.pop() {
        let stat = std::fs::symlink_metadata(&path).unwrap();
        let times = format!("{:?} {:?}", stat.modified().unwrap(), std::os::unix::fs::MetadataExt::nlink(&stat));
        if stat.is_dir() {
            ahead.extend(path.read_dir().unwrap().map(|entry| entry.unwrap().path()));
        }
        found.insert(path.clone(), std::fs::read_to_string(&path).unwrap_or_default() + &times);
    }
    found
}

const OPENED: &[&str] = &[
    "d/secret",
    "f",
    "a/b/../secret",
    "a/b/c/../../secret",
    "a/b/c/secret",
    "a/b/../../../secret",
    "d/../f",
    "d/b/c/secret",
];

/// Everything a guest can do, on the paths under attack; how often something was opened, and refused.
fn use_everything(guest: &mut Guest, counts: &mut [u32; 2]) {
    for path in OPENED {
        match guest.open_to_read(path) {
            Ok(fd) => {
                counts[0] += 1;
                let contents = guest.read(fd, 100).unwrap_or_default();
                assert!(!contents.contains(SECRET), "{path} leads to {contents:?}");
                guest.close(fd).unwrap();
            }
            Err(_) => counts[1] += 1,
        }
        if let Ok((4, size)) = guest.stat(path, FOLLOW) {
            assert_ne!(size, SECRET.len() as u64, "{path}");
        }
    }
    // None of these may show outside, whatever it answers.
    for path in ["d/planted", "d/empty/planted", "a/b/c/../../../planted"] {
        if let Ok(fd) = guest.open(path, OpenFlags::CREAT) {
            guest.close(fd).unwrap();
        }
        let _ = guest.at(Wasi::path_unlink_file, path);
        let _ = guest.at(Wasi::path_create_directory, path);
        let _ = guest.at(Wasi::path_remove_directory, path);
        let _ = guest.symlink("secret", path);
        let _ = guest.at(Wasi::path_unlink_file, path);
    }
    let _ = guest.at(Wasi::path_unlink_file, "d/victim");
    let _ = guest.at(Wasi::path_remove_directory, "d/empty");
    let _ = guest.rename("d/secret", "d/renamed");
    let _ = guest.rename("d/renamed", "d/secret");
    for lookup in [0, FOLLOW] {
        let _ = guest.link(lookup, "f", "stolen");
        let _ = guest.link(lookup, "d/secret", "stolen");
        let _ = guest.at(Wasi::path_unlink_file, "stolen");
        let (path, len) = guest.text(PATH, "f");
        let _ = guest.wasi.path_filestat_set_times(&mut guest.mem, ROOT, lookup, path, len, 1, 1, 5);
    }
    if let Ok(fd) = guest.open("f", OpenFlags::TRUNC) {
        let _ = guest.write(fd, "inside");
        guest.close(fd).unwrap();
    }
}

fn race(walks: bool) {
    WALKS.set(walks);
    let seconds = std::env::var("SELVEDGE_RACE_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let tree = tempfile::tempdir().unwrap();
    set_up(tree.path());
    let wasi = Wasi::builder().preopen_dir(tree.path().join("root"), "/", DirAccess::ReadWrite).unwrap();
    let mut guest = Guest { wasi: wasi.build().unwrap(), mem: vec![0; MEMORY_BYTES], tree };
    let before = outside(guest.tree.path());
    let attack = Attack::on(guest.tree.path());
    let end = Instant::now() + Duration::from_secs_f64(seconds / 2.0);
    let mut counts = [0; 2];
    while Instant::now() < end || counts.contains(&0) {
        // A minute without a path that was swapped, or without one that was not, is no race.
        assert!(Instant::now() < end + Duration::from_secs(60), "{counts:?}");
        use_everything(&mut guest, &mut counts);
    }
    drop(attack);
    assert_eq!(outside(guest.tree.path()), before);
}

#[test]
fn the_kernels_resolution_cannot_be_raced_out_of_the_directory() {
    race(false);
}

#[test]
fn the_walk_cannot_be_raced_out_of_the_directory() {
    race(true);
}
