//! Keys and signatures go both ways between this command and the tool whose formats they are.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

const SELVEDGE: &str = env!("CARGO_BIN_EXE_selvedge");

/// Whether the tool is there; says so loudly if not. `cargo xtask guests` installs it.
fn present() -> bool {
    let found = Command::new("minisign").arg("-v").output().is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("\n*** NOT TESTED: minisign is missing ***");
        eprintln!("*** install it: apt-get install minisign ***\n");
    }
    found
}

/// Runs a command in a directory, with some input, and says whether it succeeded.
fn run(at: &Path, program: &str, args: &[&str], input: &str) -> bool {
    let mut command = Command::new(program);
    command.args(args).current_dir(at).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("it starts");
    // Who wants no input has closed the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    if !output.status.success() {
        eprintln!("{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    output.status.success()
}

fn place() -> tempfile::TempDir {
    let place = tempfile::tempdir().expect("a directory");
    std::fs::write(place.path().join("a.wat"), "(module)").expect("it is written");
    std::fs::write(place.path().join("password"), "secret\n").expect("it is written");
    assert!(run(place.path(), SELVEDGE, &["compile", "a.wat"], ""));
    place
}

const SELVEDGE_CHECKS: &[&str] = &["check", "a.selv", "--signer", "k.pub"];
const MINISIGN_CHECKS: &[&str] = &["-V", "-p", "k.pub", "-m", "a.selv"];

#[test]
fn minisign_takes_our_keys_and_signatures() {
    if !present() {
        return;
    }
    for (flags, input) in [(&["--no-password"][..], ""), (&["--password-file", "password"][..], "secret\n")] {
        let place = place();
        let at = place.path();
        assert!(run(at, SELVEDGE, &[&["key", "new", "-o", "k"], flags].concat(), ""));
        assert!(run(at, SELVEDGE, &["sign", "a.selv", "--key", "k.key", "--password-file", "password"], ""));
        assert!(run(at, "minisign", MINISIGN_CHECKS, ""));
        std::fs::remove_file(at.join("a.selv.minisig")).expect("it was there");
        assert!(run(at, "minisign", &["-S", "-s", "k.key", "-m", "a.selv"], input));
        assert!(run(at, SELVEDGE, SELVEDGE_CHECKS, ""));
        std::fs::write(at.join("a.selv"), "changed").expect("it is written");
        assert!(!run(at, "minisign", MINISIGN_CHECKS, ""));
    }
}

#[test]
fn we_take_minisigns_keys_and_signatures() {
    if !present() {
        return;
    }
    for (flags, input) in [(&["-W"][..], ""), (&[][..], "secret\nsecret\n")] {
        let place = place();
        let at = place.path();
        assert!(run(at, "minisign", &[&["-G", "-p", "k.pub", "-s", "k.key"], flags].concat(), input));
        assert!(run(at, "minisign", &["-S", "-s", "k.key", "-m", "a.selv"], input));
        assert!(run(at, SELVEDGE, SELVEDGE_CHECKS, ""));
        std::fs::remove_file(at.join("a.selv.minisig")).expect("it was there");
        assert!(run(at, SELVEDGE, &["sign", "a.selv", "--key", "k.key", "--password-file", "password"], ""));
        assert!(run(at, SELVEDGE, SELVEDGE_CHECKS, ""));
        assert!(run(at, "minisign", MINISIGN_CHECKS, ""));
    }
}
