//! Any bytes on a connection to the admin address: answered, and never with a mistake of the server's.
#![no_main]

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::Path;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use selvedge_edge::{Compile, CompileError, Config, start};

/// The compiler, in this process.
struct InProcess;

impl Compile for InProcess {
    fn compile(&self, module: &Path, artifact: &Path) -> Result<(), CompileError> {
        let refused = |error: &dyn std::fmt::Display| CompileError::Refused(error.to_string());
        let module = std::fs::read(module).map_err(|error| refused(&error))?;
        let compiled = selvedge_testkit::compile(module, selvedge_contract::MemoryLayout::Guarded);
        std::fs::write(artifact, compiled.map_err(|error| refused(&error))?).map_err(|error| refused(&error))
    }
}

/// A server that is there as long as this process.
static ADMIN: LazyLock<SocketAddr> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let runtime: &'static tokio::runtime::Runtime = Box::leak(Box::new(runtime));
    let state = tempfile::tempdir().unwrap();
    let text = "listen = \"127.0.0.1:0\"\nadmin = \"127.0.0.1:0\"\nslots = 8\n[limits]\ncpu = \"100ms\"\nwall = \"1s\"";
    let mut config = Config::parse(text, "edge.toml").unwrap();
    config.state = state.keep();
    let server = runtime.block_on(start(config, Arc::new(InProcess))).unwrap();
    let admin = server.admin();
    std::mem::forget(server);
    admin
});

fuzz_target!(|input: &[u8]| {
    let mut stream = TcpStream::connect(*ADMIN).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    // Half of the inputs are requests but for what is fuzzed in them: few others get as far as the API.
    let whole = match input.split_first() {
        Some((1, rest)) => {
            let (path, body) = rest.split_at(rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len()));
            let head = "HTTP/1.1\r\nhost: localhost\r\nx-selvedge: 1\r\nconnection: close\r\ncontent-length";
            [path, b" ", format!("{head}: {}\r\n\r\n", body.len()).as_bytes(), body].concat()
        }
        _ => input.to_vec(),
    };
    // The server may have hung up before it has all of it.
    let _ = stream.write_all(&whole).and_then(|()| stream.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let _ = stream.take(1 << 20).read_to_end(&mut answer);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
});
