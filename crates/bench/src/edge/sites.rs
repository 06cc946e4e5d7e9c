//! Many sites in one process, each with a program of its own, and requests spread over all of them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};

use super::load::{Group, Pace, request, run};
use super::process::{Cores, Server};
use super::saturation::only;
use super::{Bed, Edge, deploy, read};
use crate::measure::median;
use crate::report::{Figure, Report};

/// Part of the program's text that each site has otherwise: so each has code, data and pages of its own.
const MARK: &[u8] = b"hello from ";

pub(super) fn measure(report: &mut Report, options: &Edge, cores: &Cores, bed: &Bed) -> Result<()> {
    let sites = options.sites.unwrap_or(options.pick(1_000, 50));
    let program = read(&bed.hello)?;
    let at = program.windows(MARK.len()).position(|bytes| bytes == MARK).context("the program has its text")?;
    // On all cores: deploying is not what is measured.
    let limits = format!("[limits]\nsites = {sites}\n");
    deploy_all(&bed.ours(cores, false, "sites", &limits)?, sites, |number| {
        let mut program = program.clone();
        program[at..at + MARK.len()].copy_from_slice(format!("site {number:05} ").as_bytes());
        program
    })?;
    let server = bed.ours(cores, true, "sites", &limits)?;
    until_ready(&server)?;
    let loaded = server.memory_bytes()?;
    let (runs, time) = options.pick((3, Duration::from_secs(3)), (2, Duration::from_secs(1)));
    // In an order without neighbours: a step that has no divisor with their number.
    let step = (sites / 3 * 2 + 1..).find(|step| gcd(*step, sites) == 1).unwrap_or(1);
    let asked = |turn: usize| request(&host(turn * step % sites), "/some/page");
    let requests = (0..sites).map(asked).collect();
    let group = [Group { requests, connections: options.connections, pace: Pace::Closed }];
    let mut rates = Vec::new();
    for round in 0..=runs {
        let seen = only(run(server.address, &group, time)?)?;
        if round > 0 {
            rates.push(seen.fine as f64 / time.as_secs_f64());
        }
    }
    let mut add = |name: &str, value: f64, unit| {
        report.add(Figure::new(format!("edge/sites_{sites}/{name}"), Some(value), None, unit, runs));
    };
    add("requests", median(rates), "1/s");
    add("memory_loaded", loaded as f64 / f64::from(1 << 20), "MiB");
    add("memory_spread", server.memory_bytes()? as f64 / f64::from(1 << 20), "MiB");
    Ok(())
}

/// Waits until all sites are loaded.
fn until_ready(server: &Server) -> Result<()> {
    let admin = server.admin.context("the server has an admin API")?;
    loop {
        let mut stream = TcpStream::connect(admin)?;
        stream.write_all(b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if answer.starts_with("HTTP/1.0 200 ") {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn host(number: usize) -> String {
    format!("s{number}")
}

fn gcd(a: usize, b: usize) -> usize {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Deploys, two at a time: one is uploaded while the other works.
fn deploy_all(server: &Server, sites: usize, program: impl Fn(usize) -> Vec<u8> + Sync) -> Result<()> {
    let next = AtomicUsize::new(0);
    let deployer = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= sites {
                return Ok(());
            }
            deploy(server, None, &host(number), program(number))?;
        }
    };
    std::thread::scope(|scope| {
        let deployers = [scope.spawn(deployer), scope.spawn(deployer)];
        deployers.into_iter().try_for_each(|deployer| deployer.join().expect("it returns its errors"))
    })
}
