//! Real programs in six languages and large modules by other people, under the command, in both memory
//! layouts: the cases of `guests/README.md`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use libtest_mimic::Arguments;
use selvedge_testkit::cases::Runner;

const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::from_args();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize()?;
    let runner = Runner { selvedge: SELVEDGE.into(), root, cache: cache()? };
    for absent in runner.absent() {
        eprintln!("\n*** NOT TESTED: {} is missing ***", absent.display());
        eprintln!("*** run `cargo xtask guests` and `cargo xtask modules` first ***\n");
    }
    libtest_mimic::run(&arguments, runner.trials()?).exit()
}

/// A cache of the command's that belongs to exactly this build of it: a rebuilt compiler recompiles.
fn cache() -> io::Result<PathBuf> {
    let built = Path::new(SELVEDGE).metadata()?;
    let mut hasher = DefaultHasher::new();
    (built.modified()?, built.len()).hash(&mut hasher);
    let caches = Path::new(env!("CARGO_TARGET_TMPDIR")).join("guest-caches");
    let own = caches.join(format!("{:016x}", hasher.finish()));
    std::fs::create_dir_all(&own)?;
    for other in caches.read_dir()?.flatten().filter(|entry| entry.path() != own) {
        std::fs::remove_dir_all(other.path())?;
    }
    Ok(own)
}
