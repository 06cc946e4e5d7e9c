//! The peer's own server, `wasmtime serve`, as a command that the user has: it is not a part of the library.
//!
//! It gets the same component as the peer's library, and is started in several ways: each is a row beside the others.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::process::{Cores, Server};
use crate::report::Report;

/// One way to start it.
struct Way {
    /// Of its rows.
    name: &'static str,
    /// Whether with the best settings for memory and no more engine features than are needed, as the library is measured.
    tuned: bool,
    more: &'static [&'static str],
}

/// An instance for each request, unless the name says otherwise.
const WAYS: [Way; 4] = [
    Way { name: "wasmtime_serve", tuned: true, more: ONCE },
    // As it comes: for components of this world that is an instance for each request, too.
    Way { name: "wasmtime_serve_default", tuned: false, more: &[] },
    // With a limit on time, as ours have; its code then looks at epochs.
    Way {
        name: "wasmtime_serve_limited",
        tuned: true,
        more: &["-W", "timeout=30s", "--max-instance-reuse-count", "1"],
    },
    // One instance for many requests, of many clients: what ours never does.
    Way { name: "wasmtime_serve_reused", tuned: true, more: &["--max-instance-reuse-count", "128"] },
];
const ONCE: &[&str] = &["--max-instance-reuse-count", "1"];
/// What the library is given in `proxy.rs`, in the command's words.
const TUNED: [&str; 2] = [
    "-O",
    "opt-level=2,memory-init-cow,pooling-allocator,pooling-memory-keep-resident=1048576,\
     pooling-table-keep-resident=1048576,pooling-pagemap-scan=auto",
];

/// Starts the command in each way, if there is one; the report says with what arguments.
pub(super) fn start(
    report: &Report,
    wasmtime: Option<&Path>,
    cores: &Cores,
    component: &Path,
) -> Result<Vec<(&'static str, Server)>> {
    let Some(wasmtime) = wasmtime else {
        report.note("wasmtime serve is not measured: give the command as --wasmtime PATH (cargo install wasmtime-cli)");
        return Ok(Vec::new());
    };
    report.note(&format!("{} is {}", wasmtime.display(), version(wasmtime)?));
    let start = |way: &Way| {
        let mut arguments = vec!["serve", "--addr", "127.0.0.1:0"];
        arguments.extend(TUNED.iter().filter(|_| way.tuned));
        arguments.extend(way.more);
        let mut command = Command::new(wasmtime);
        command.args(&arguments).arg(component);
        report.note(&format!("{} is wasmtime {} proxy.wasm", way.name, arguments.join(" ")));
        Ok((way.name, Server::start_other(cores, command)?))
    };
    WAYS.iter().map(start).collect()
}

fn version(wasmtime: &Path) -> Result<String> {
    let output = Command::new(wasmtime).arg("--version").output();
    let output = output.with_context(|| format!("cannot run {}", wasmtime.display()))?;
    ensure!(output.status.success(), "{} --version ended with {}", wasmtime.display(), output.status);
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_string())
}
