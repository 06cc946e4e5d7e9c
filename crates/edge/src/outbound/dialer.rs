//! What the process does that connects for a jailed server: it asks nobody but the configuration where it may.

use std::io;
use std::net::TcpStream;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::connect::connect;
use super::destination::{Destination, Way};
use crate::config::{Config, ConfigError};

/// The servers that a configuration names, as it is when one is asked for: its file is read again when it has changed. So a
/// server that was taken over cannot add one.
pub struct Dialing {
    path: PathBuf,
    read: Mutex<Read>,
}

#[derive(Default)]
struct Read {
    state: Option<State>,
    destinations: Vec<Destination>,
}

impl Dialing {
    /// Of a configuration's file, which is read when first somebody asks. As long as it cannot be, it names nobody.
    pub fn new(path: &Path) -> Dialing {
        Dialing { path: path.to_owned(), read: Mutex::default() }
    }

    /// Connects to where a server's words say, if the configuration has it.
    ///
    /// # Errors
    /// If it has not, or nobody answers there.
    pub fn connect(&self, words: &str) -> io::Result<TcpStream> {
        let way = Way::read(words).filter(|way| self.knows(way));
        let way = way.ok_or_else(|| io::Error::new(io::ErrorKind::PermissionDenied, "no configuration names it"))?;
        connect(&way)
    }

    fn knows(&self, way: &Way) -> bool {
        // Nothing below leaves it half changed.
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        let now = state(&self.path);
        if now != read.state {
            read.state = now;
            // A file that is wrong changes nothing, as in the server, whose log says what is wrong.
            if let Ok(destinations) = destinations(&self.path) {
                read.destinations = destinations;
            }
        }
        way.is_to(read.destinations.iter())
    }
}

/// What differs where a file does: clocks of file systems tick slowly.
type State = (u64, u64, SystemTime);

fn state(path: &Path) -> Option<State> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.len(), metadata.modified().ok()?))
}

fn destinations(path: &Path) -> Result<Vec<Destination>, ConfigError> {
    Ok(Config::read(path)?.tenant_list().into_iter().flat_map(|tenant| tenant.outbound).collect())
}
