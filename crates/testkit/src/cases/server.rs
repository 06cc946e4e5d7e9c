//! A program that serves connections: it gets a listening socket, and clients talk to it one after another.

use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Limits, Linker, Store};
use selvedge_wasi::{Buffer, Stdio, Wasi};

use super::format::{Case, Connection, Talk};

/// A program that leaves its client alone for so long hangs.
const PATIENCE: Duration = Duration::from_secs(60);
const STDOUT_BYTES_MAX: usize = 1 << 20;

/// Runs a case's program in this process, plays its clients, and checks what both say.
pub(super) fn check(case: &Case, module: &Path, layout: MemoryLayout) -> Result<()> {
    let directory = tempfile::TempDir::new().context("making a directory for the socket")?;
    let address = directory.path().join("socket");
    let listener = UnixListener::bind(&address).context("making the socket")?;
    let stdout = Buffer::new(STDOUT_BYTES_MAX);
    let exit = std::thread::scope(|scope| {
        let clients = scope.spawn(|| case.connection.iter().try_for_each(|connection| play(&address, connection)));
        let exit = serve(case, module, layout, listener, &stdout);
        clients.join().unwrap_or_else(|_| Err(anyhow::anyhow!("a client panicked")))?;
        exit
    })?;
    let said = String::from_utf8_lossy(&stdout.take()).into_owned();
    ensure!(exit == case.exit, "exit code {exit}, not {}; it said:\n{said}", case.exit);
    ensure!(case.stdout.as_ref().is_none_or(|expected| *expected == said), "stdout is not as expected:\n{said}");
    Ok(())
}

/// Runs the program to its end; its exit code.
fn serve(case: &Case, module: &Path, layout: MemoryLayout, listener: UnixListener, stdout: &Buffer) -> Result<i32> {
    let wasm = std::fs::read(module).with_context(|| format!("reading {}", module.display()))?;
    let module = crate::module(wasm, layout)?;
    let wasi = Wasi::builder().arg(case.name()).args(&case.args).preopen_socket(listener);
    let mut store = Store::new(wasi.stdout(Stdio::Buffer(stdout.clone())).build()?, Limits::default())?;
    let mut linker = Linker::new();
    selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
    let instance = linker.instantiate(&mut store, &module)?;
    let start = instance.get_func(&store, "_start").context("it exports no _start")?;
    match start.call(&mut store, &[]) {
        Ok(_) => Ok(0),
        Err(CallError::Exit(code)) => Ok(code),
        Err(error) => Err(error.into()),
    }
}

/// One client, from connecting to the end of the connection.
fn play(address: &Path, connection: &Connection) -> Result<()> {
    let mut stream = UnixStream::connect(address).context("connecting to the program")?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let last_send = connection.talk.iter().rposition(|talk| matches!(talk, Talk::Send(_)));
    for (number, talk) in connection.talk.iter().enumerate() {
        match talk {
            Talk::Send(text) => stream.write_all(text.as_bytes()).context("sending to the program")?,
            Talk::Receive(text) => receive(&mut stream, text)?,
        }
        if last_send == Some(number) {
            stream.shutdown(Shutdown::Write).context("ending what is sent")?;
        }
    }
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).context("waiting for the end of the connection")?;
    ensure!(rest.is_empty(), "the program also sent {:?}", String::from_utf8_lossy(&rest));
    Ok(())
}

fn receive(stream: &mut UnixStream, text: &str) -> Result<()> {
    let mut found = vec![0; text.len()];
    stream.read_exact(&mut found).with_context(|| format!("waiting for {text:?}"))?;
    ensure!(found == text.as_bytes(), "expected {text:?}, got {:?}", String::from_utf8_lossy(&found));
    Ok(())
}
