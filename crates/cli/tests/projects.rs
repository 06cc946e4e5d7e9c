//! `selvedge new` and `selvedge dev`: what developers see from the first line to the running service.

mod common;

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{SELVEDGE, ask, root};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// The command, with the toolchains of the guests on its path.
fn selvedge(directory: &Path) -> Command {
    let tools = root().canonicalize().unwrap().join("target/guest-tools");
    let mut command = Command::new(SELVEDGE);
    let path = std::env::var("PATH").unwrap_or_default();
    command.current_dir(directory).env("PATH", format!("{path}:{}", tools.join("python/bin").display()));
    // What the guests' builds have left there, and as they do it.
    command.env("GOCACHE", tools.join("go-cache")).env("GOFLAGS", "-trimpath -mod=mod").env("GOTOOLCHAIN", "local");
    command.env("ZIG_GLOBAL_CACHE_DIR", tools.join("zig-cache"));
    command
}

/// `selvedge dev`, and what it has said.
struct Dev {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Dev {
    fn start(directory: &Path) -> Dev {
        let mut child = selvedge(directory).args(["dev", "--port", "0"]).stderr(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = Arc::<Mutex<String>>::default();
        let hear = said.clone();
        std::thread::spawn(move || lines.for_each(|line| *hear.lock().unwrap() += &(line.unwrap() + "\n")));
        Dev { child, said }
    }

    /// All that was said, once it is true; a build may take its time.
    fn until(&mut self, what: &str, holds: impl Fn(&str) -> bool) -> String {
        for _ in 0..12_000 {
            let said = self.said.lock().unwrap().clone();
            if holds(&said) {
                return said;
            }
            assert!(self.child.try_wait().unwrap().is_none(), "it ended before {what}:\n{said}");
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{what} does not come:\n{}", self.said.lock().unwrap());
    }

    /// Waits for the version of this number, counted from 1; where it answers.
    fn ready(&mut self, version: usize) -> SocketAddr {
        let said = self.until("a version that answers", |said| said.matches("\nready after").count() == version);
        let address = said.rsplit("http://").next().unwrap();
        address.split('/').next().unwrap().parse().unwrap()
    }

    /// Ctrl-C; it must end well.
    fn stop(mut self) {
        kill(Pid::from_raw(self.child.id() as i32), Signal::SIGINT).unwrap();
        assert!(self.child.wait().unwrap().success(), "{}", self.said.lock().unwrap());
    }
}

/// A test that fails leaves no server behind.
impl Drop for Dev {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A program that answers with a word and says one on stderr.
fn says(word: &str) -> String {
    let hello = fs::read_to_string(root().join("examples/hello.wat")).unwrap();
    let body = format!("{word:<28}");
    hello.replace("hello, from a fresh instance", &body)
}

fn project(build: &[&str]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    let lines: Vec<String> = build.iter().map(|line| format!("'''{line}'''")).collect();
    let file = format!("site = \"word\"\nmodule = \"word.wasm\"\nbuild = [{}]\n", lines.join(", "));
    fs::write(directory.path().join("selvedge.toml"), file).unwrap();
    fs::write(directory.path().join("word.wat"), says("one")).unwrap();
    directory
}

#[test]
fn changes_are_served_and_mistakes_leave_the_version_before() {
    let directory =
        project(&["test ! -e broken || { echo 'word.wat:1: a mistake' >&2; exit 3; }", "cp word.wat word.wasm"]);
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let mut dev = Dev::start(directory.path());
    let address = dev.ready(1);
    let get = |host: &str| ask(address, host, "GET /a", "").body.trim_end().to_string();
    for host in ["localhost", "127.0.0.1", "word.localhost"] {
        assert_eq!(get(host), "one");
    }
    dev.until("the request, and what the service said", |said| {
        said.contains("GET /a 200") && said.contains("| one more request")
    });
    write("word.wat", &says("two"));
    assert_eq!(dev.ready(2), address);
    assert_eq!(get("localhost"), "two");
    write("broken", "");
    dev.until("a failed build", |said| said.contains("word.wat:1: a mistake") && said.contains("exit status: 3"));
    dev.until("what answers now", |said| said.contains("what was built before goes on answering"));
    assert_eq!(get("localhost"), "two");
    fs::remove_file(directory.path().join("broken")).unwrap();
    write("word.wat", "(module)");
    dev.until("a refusal", |said| said.contains("_start"));
    assert_eq!(get("localhost"), "two");
    write("selvedge.toml", "site = 5");
    dev.until("an error of the file", |said| said.contains("selvedge.toml:1:8: site: "));
    assert_eq!(get("localhost"), "two");
    dev.stop();
}

/// It said that what was built before goes on answering, and left the developer to find out what `asc` is.
#[test]
fn a_first_build_that_fails_says_what_is_missing_and_that_nothing_answers() {
    let place = tempfile::tempdir().unwrap();
    let new = selvedge(place.path()).args(["new", "word", "--lang", "assemblyscript"]).output().unwrap();
    assert!(String::from_utf8_lossy(&new.stdout).contains("\n    npm install\n    selvedge dev\n"));
    let mut dev = Dev::start(&place.path().join("word"));
    let said = dev.until("the end of a build", |said| said.contains("nothing answers at http://"));
    assert!(said.contains("this is missing here: asc: npm install") && !said.contains("built before"), "{said}");
    dev.stop();
}

/// It spoke of `listen`, which is a key of the server's configuration.
#[test]
fn a_port_that_is_taken_is_an_option_to_choose() {
    let directory = project(&[]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let ended = selvedge(directory.path()).args(["dev", "--port", &port]).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("--port 0") && !said.contains("`listen`"), "{said}");
}

#[test]
fn stopping_ends_builds_and_what_they_have_started() {
    let directory = project(&["sleep 1000 & echo $! > pid.o; wait"]);
    let mut dev = Dev::start(directory.path());
    dev.until("the build", |said| said.contains("$ sleep"));
    let pid = || fs::read_to_string(directory.path().join("pid.o")).unwrap_or_default().trim().parse::<i32>();
    while pid().is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let sleeping = pid().unwrap();
    assert!(Path::new(&format!("/proc/{sleeping}")).exists());
    dev.stop();
    for _ in 0..1_000 {
        // Dead, or dead and not yet waited for by whoever adopted it.
        let state = fs::read_to_string(format!("/proc/{sleeping}/stat")).unwrap_or_default();
        if state.is_empty() || state.contains(") Z ") {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    panic!("process {sleeping} outlives it");
}

/// Writes a project and serves it as it is.
fn template(language: &str, title: &str, prepare: impl Fn(&Path)) {
    let place = tempfile::tempdir().unwrap();
    let new = selvedge(place.path()).args(["new", "my-shop", "--lang", language]).output().unwrap();
    assert!(new.status.success(), "{}", String::from_utf8_lossy(&new.stderr));
    let directory = place.path().join("my-shop");
    prepare(&directory);
    let mut dev = Dev::start(&directory);
    let address = dev.ready(1);
    let answer = ask(address, "localhost", "GET /?name=Ada", "");
    assert_eq!(answer.body, format!("hello, Ada, from {title}\n"), "{}", answer.head);
    dev.stop();
}

#[test]
fn the_template_for_c_builds_and_answers() {
    template("c", "C", |_| {});
}

#[test]
fn the_template_for_rust_builds_and_answers() {
    template("rust", "Rust", |_| {});
}

#[test]
fn the_template_for_go_builds_and_answers() {
    template("go", "Go", |_| {});
}

#[test]
fn the_template_for_zig_builds_and_answers() {
    template("zig", "Zig", |_| {});
}

#[test]
fn the_template_for_assemblyscript_builds_and_answers() {
    // In place of `npm install`, which needs a network.
    let modules: PathBuf = root().canonicalize().unwrap().join("target/guest-tools/node_modules");
    template("assemblyscript", "AssemblyScript", |directory| {
        std::os::unix::fs::symlink(&modules, directory.join("node_modules")).unwrap();
    });
}
