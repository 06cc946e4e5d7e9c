//! A short soak of the edge server; `bench edge --only soak` is a long one.

use std::process::Command;

/// Requests and connections: some seconds' worth.
const OPERATIONS: &str = "1200";

#[test]
fn a_soak_leaves_nothing_behind_and_each_request_is_answered_once() {
    let mut bench = Command::new(env!("CARGO_BIN_EXE_bench"));
    let output = bench.args(["edge", "--json", "--only", "soak", "--operations", OPERATIONS]).output().unwrap();
    let (said, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{errors}");
    let answered = said.lines().find(|line| line.contains("edge/soak/answered")).unwrap_or_else(|| panic!("{said}"));
    assert!(!answered.contains("\"ours\":0.0"), "{said}");
}
