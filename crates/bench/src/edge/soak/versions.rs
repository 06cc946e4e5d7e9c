//! Versions that come and go while clients ask.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use selvedge_edge::client::{Client, Host, Name, Progress};
use tokio::runtime::{Builder, Runtime};

use super::SITES;
use super::clients::Random;
use crate::edge::process::Server;

/// The program's text that each version has otherwise.
const MARK: &[u8] = b"version 00000";
/// Versions that are gone back to: the server keeps some more.
const KEPT: usize = 5;

/// What was deployed, and what answers now.
pub(super) struct Versions {
    program: Vec<u8>,
    at: usize,
    next: AtomicU32,
    switches: AtomicU64,
    sites: Mutex<[History; 2]>,
}

/// Of one site: what its versions say, by number; the last acknowledged switch.
#[derive(Default)]
struct History {
    deployed: Vec<(u32, u32)>,
    answers: Option<u32>,
}

impl Versions {
    pub(super) fn new(program: &Path) -> Result<Versions> {
        let program = std::fs::read(program)?;
        let at = program.windows(MARK.len()).position(|bytes| bytes == MARK).context("the program has its text")?;
        let (next, switches) = (AtomicU32::new(1), AtomicU64::new(0));
        Ok(Versions { program, at, next, switches, sites: Mutex::default() })
    }

    /// What a site answers since the last switch that was acknowledged.
    pub(super) fn last(&self, site: &str) -> Option<u32> {
        self.with(site, |history| history.answers)
    }

    /// Switches that were acknowledged.
    pub(super) fn switches(&self) -> u64 {
        self.switches.load(Ordering::Relaxed)
    }

    fn with<R>(&self, site: &str, act: impl FnOnce(&mut History) -> R) -> R {
        let at = SITES.iter().position(|name| *name == site).unwrap_or_default();
        act(&mut self.sites.lock().expect("nobody panics holding it")[at])
    }

    /// Another version.
    pub(super) fn deploy(&self, server: &Server, site: &str) -> Result<()> {
        let mark = self.next.fetch_add(1, Ordering::Relaxed);
        let mut program = self.program.clone();
        program[self.at..self.at + MARK.len()].copy_from_slice(format!("version {mark:05}").as_bytes());
        let (runtime, client) = (runtime()?, client(server)?);
        let mut last = None;
        let hosts = [Host::new(site)?];
        runtime.block_on(client.deploy(&Name::new(site)?, &hosts, program, |progress| last = Some(progress)))?;
        let Some(Progress::Deployed { version, .. }) = last else {
            anyhow::bail!("a deploy of {site} ended with {last:?}")
        };
        self.switches.fetch_add(1, Ordering::Relaxed);
        self.with(site, |history| {
            history.deployed.push((version, mark));
            history.answers = Some(mark);
        });
        Ok(())
    }

    /// Back to one of the last versions.
    fn roll_back(&self, server: &Server, site: &str, random: &mut Random) -> Result<()> {
        let (version, mark) = self.with(site, |history| {
            let last = &history.deployed[history.deployed.len().saturating_sub(KEPT)..];
            last[random.below(last.len() as u64) as usize]
        });
        let record = runtime()?.block_on(client(server)?.rollback(&Name::new(site)?, Some(version)))?;
        ensure!(record.active == version, "{site} was rolled back to {version} and has {}", record.active);
        self.switches.fetch_add(1, Ordering::Relaxed);
        self.with(site, |history| history.answers = Some(mark));
        Ok(())
    }

    /// Switches at random, until told to stop.
    pub(super) fn switch_until(&self, server: &Server, seed: u64, over: &AtomicBool) -> Result<()> {
        let mut random = Random(seed);
        while !over.load(Ordering::Relaxed) {
            let site = SITES[random.below(2) as usize];
            match random.below(3) {
                0 => self.deploy(server, site)?,
                _ => self.roll_back(server, site, &mut random)?,
            }
            std::thread::sleep(Duration::from_millis(random.below(100)));
        }
        Ok(())
    }
}

fn runtime() -> Result<Runtime> {
    Ok(Builder::new_current_thread().enable_all().build()?)
}

fn client(server: &Server) -> Result<Client> {
    let admin = server.admin.context("the server has an admin API")?;
    Ok(Client::new(&format!("http://{admin}"), None)?)
}
