//! As many requests as a server can answer, and what clients wait when it has half of them to answer.

use std::time::Duration;

use anyhow::{Result, ensure};

use super::load::{Group, Pace, Said, Seen, ask, request, run};
use super::process::{Cores, Server};
use super::serve::Kind;
use super::{Bed, Edge, command, deploy, files, read};
use crate::measure::median;
use crate::report::{Figure, Report};

/// The site, and where it answers; a path as people ask for.
const HOST: &str = "hello";
const PATH: &str = "/some/page";

/// A site of a file, which the same server gives without an instance.
const FILE: (&str, &str) = ("file", "/some/page.txt");

/// A site whose program does the least that a program can.
const LEAST: (&str, &str) = ("least", PATH);

/// What is measured of a server that is asked as much as it can answer.
const SATURATED: [(&str, &str); 4] =
    [("requests", "1/s"), ("cpu", "us"), ("saturated_p50", "us"), ("saturated_p99", "us")];

pub(super) fn measure(report: &mut Report, options: &Edge, cores: &Cores, bed: &Bed) -> Result<()> {
    let ours = bed.ours(cores, true, "saturated", "")?;
    deploy(&ours, None, HOST, read(&bed.hello)?)?;
    deploy(&ours, None, FILE.0, files(&[(FILE.1, "hello from a file\n")])?)?;
    deploy(&ours, None, LEAST.0, read(&bed.least)?)?;
    let within = bed.ours_natively(cores, "within")?;
    deploy(&within, None, HOST, read(&bed.least)?)?;
    let peer = Server::start(cores, true, Kind::Peer, Some(bed.proxy.clone()))?;
    let native = Server::start(cores, true, Kind::Native, None)?;
    let commands = command::start(report, options.wasmtime.as_deref(), cores, &bed.proxy)?;
    let columns = [&ours, &peer, &native];
    let always = columns.into_iter().chain([&within]);
    let servers: Vec<&Server> = always.chain(commands.iter().map(|(_, server)| server)).collect();
    ensure_same_answers(&servers)?;
    let asked = servers.iter().map(|server| (*server, (HOST, PATH))).chain([(&ours, FILE), (&ours, LEAST)]);
    let medians = saturated(options, &asked.collect::<Vec<_>>())?;
    let runs = rounds(options);
    for (at, (name, unit)) in SATURATED.into_iter().enumerate() {
        add(report, name, [0, 1, 2].map(|server: usize| medians[server][at]), unit, runs);
        for (site, medians_of_site) in [FILE.0, LEAST.0].iter().zip(&medians[servers.len()..]) {
            let figure = Figure::new(format!("edge/{site}/{name}"), Some(medians_of_site[at]), None, unit, runs);
            report.add(figure.with_native(medians[2][at]));
        }
        let (ours, least) = (medians[0][at], medians[servers.len() + 1][at]);
        for (who, ours) in [("", ours), ("least/", least)] {
            let figure = Figure::new(format!("edge/{who}{name}_of_same_server"), Some(ours), None, unit, runs);
            report.add(figure.with_native(medians[columns.len()][at]));
        }
        for ((command, _), medians_of_command) in commands.iter().zip(&medians[columns.len() + 1..]) {
            let (name, native) = (format!("edge/{command}/{name}"), medians[2][at]);
            let figure = Figure::new(name, Some(medians[0][at]), Some(medians_of_command[at]), unit, runs);
            report.add(figure.with_native(native));
        }
    }
    if options.wants("latency") {
        half_load(report, options, columns, [medians[0][0], medians[1][0]])?;
    }
    Ok(())
}

/// All say the same, or a comparison means nothing.
fn ensure_same_answers(servers: &[&Server]) -> Result<()> {
    let said: Result<Vec<Said>> = servers.iter().map(|server| ask(server.address, &request(HOST, PATH))).collect();
    let said = said?;
    let other = said.iter().find(|other| **other != said[0]);
    ensure!(other.is_none(), "one server says {:?}, another {other:?}", said[0]);
    Ok(())
}

fn rounds(options: &Edge) -> usize {
    options.pick(5, 2)
}

/// What is measured, of each server and what it is asked for.
fn saturated(options: &Edge, asked: &[(&Server, (&str, &str))]) -> Result<Vec<[f64; 4]>> {
    let time = options.pick(Duration::from_secs(3), Duration::from_secs(1));
    let mut samples: Vec<[Vec<f64>; 4]> = asked.iter().map(|_| Default::default()).collect();
    for round in 0..=rounds(options) {
        for ((server, (host, path)), samples) in asked.iter().zip(&mut samples) {
            let group = [Group::of(host, path, options.connections, Pace::Closed)];
            let cpu = server.cpu_time()?;
            let seen = only(run(server.address, &group, time)?)?;
            let cpu = server.cpu_time()? - cpu;
            // The first round warms up.
            if round > 0 {
                let answers = seen.fine as f64;
                samples[0].push(answers / time.as_secs_f64());
                samples[1].push(cpu.as_nanos() as f64 / 1e3 / answers);
                samples[2].push(seen.percentile_us(50));
                samples[3].push(seen.percentile_us(99));
            }
        }
    }
    Ok(samples.into_iter().map(|of_server| of_server.map(median)).collect())
}

/// Latencies at half of our saturated rate, ours and native; the peer's at half of its own.
fn half_load(report: &mut Report, options: &Edge, servers: [&Server; 3], [ours, peer]: [f64; 2]) -> Result<()> {
    let (runs, time) = options.pick((7, Duration::from_secs(2)), (2, Duration::from_secs(1)));
    let rates = [ours / 2.0, peer / 2.0, ours / 2.0];
    let mut samples: [[Vec<f64>; 4]; 3] = Default::default();
    for round in 0..=runs {
        for ((server, rate), samples) in servers.iter().zip(rates).zip(&mut samples) {
            let group = [Group::of(HOST, PATH, options.connections, Pace::Open(rate))];
            let seen = only(run(server.address, &group, time)?)?;
            if round > 0 {
                let values =
                    [seen.percentile_us(50), seen.percentile_us(90), seen.percentile_us(99), seen.usual_us(99)];
                samples.iter_mut().zip(values).for_each(|(samples, value)| samples.push(value));
            }
        }
    }
    let medians = samples.map(|of_server| of_server.map(median));
    for (at, name) in ["half_load_p50", "half_load_p90", "half_load_p99", "half_load_p99_usual"].into_iter().enumerate()
    {
        add(report, name, medians.map(|of_server| of_server[at]), "us", runs);
    }
    report.note(&format!("half load is {:.0} requests a second, for the peer {:.0}", rates[0], rates[1]));
    Ok(())
}

fn add(report: &mut Report, name: &str, [ours, peer, native]: [f64; 3], unit: &'static str, runs: usize) {
    report.add(Figure::new(format!("edge/{name}"), Some(ours), Some(peer), unit, runs).with_native(native));
}

/// What the only group saw, if all of it was fine.
pub(super) fn only(seen: Vec<Seen>) -> Result<Seen> {
    let seen = seen.into_iter().next().unwrap_or_default();
    ensure!(seen.refused == 0 && seen.fine > 0, "{} requests were answered and {} refused", seen.fine, seen.refused);
    Ok(seen)
}
