//! What `deploy/` says is what the command takes.

use std::path::{Path, PathBuf};
use std::process::Command;

use selvedge_edge::Config;

fn file(name: &str) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy").join(name);
    let text = std::fs::read_to_string(&path).unwrap();
    (path, text)
}

/// The command understands these arguments: asked for help last, it has read all before.
fn understood(arguments: &[&str]) {
    let output = Command::new(env!("CARGO_BIN_EXE_selvedge")).args(arguments).arg("--help").output().unwrap();
    assert!(output.status.success(), "{arguments:?}\n{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_unit_starts_the_command_with_arguments_it_has() {
    let (_, unit) = file("selvedge.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    let words: Vec<&str> = line.split(' ').collect();
    assert_eq!(words[0], "/usr/local/bin/selvedge");
    understood(&words[1..]);
    assert!(words.contains(&"/var/lib/selvedge") && unit.contains("StateDirectory=selvedge\n"));
    for said in ["/usr/local/bin/selvedge", "/etc/selvedge/edge.toml", "deploy/edge.toml", "deploy/selvedge.service"] {
        assert!(unit.lines().any(|line| line.starts_with('#') && line.contains(said)), "{said} is installed");
    }
}

#[test]
fn the_container_starts_the_command_with_arguments_it_has() {
    let (_, text) = file("Containerfile");
    let list = text.lines().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    let words: Vec<String> = serde_json::from_str(list).unwrap();
    understood(&words.iter().map(String::as_str).collect::<Vec<_>>());
    assert!(text.contains("cargo build --release --locked -p selvedge-cli") && text.contains("\nUSER 10001\n"));
}

#[test]
fn the_configuration_holds() {
    let (path, _) = file("edge.toml");
    Config::read(&path).unwrap().check().unwrap();
}
