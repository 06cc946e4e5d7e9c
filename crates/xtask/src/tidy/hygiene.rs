//! What should not reach the main branch: unfinished code, tests that are off without a word, big
//! or binary files.

use super::Finding;
use super::rules::Rules;
use crate::repo::{File, Repo};
use crate::syntax::RustFile;

const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];

/// Checks every file.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        repo.files.iter().filter_map(|file| form(file, rules.limits.tracked_file_bytes_max)).collect();
    for (file, rust) in repo.rust() {
        findings.extend(unfinished(file, rust));
    }
    findings
}

fn form(file: &File, bytes_max: usize) -> Option<Finding> {
    let size = file.bytes.len();
    if size > bytes_max {
        let what = format!("{size} bytes in one file, {bytes_max} allowed");
        return Some(Finding::new(&file.path, 1, what, "fetch or generate it instead"));
    }
    let binary = file.bytes.contains(&0);
    binary.then(|| Finding::new(&file.path, 1, "binary file", "keep its source and build it"))
}

fn unfinished(file: &File, rust: &RustFile) -> Vec<Finding> {
    let called = rust.macros.iter().filter(|(name, _)| UNFINISHED.contains(&name.as_str()));
    let called = called
        .map(|(name, line)| Finding::new(&file.path, *line, format!("`{name}!`"), "finish it, or return an error"));
    let ignored = rust.bare_ignores.iter().map(|line| {
        let fix = "write `#[ignore = \"why\"]`, or make it pass";
        Finding::new(&file.path, *line, "test ignored without a reason", fix)
    });
    called.chain(ignored).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    #[test]
    fn unfinished_code() {
        for (text, what) in [
            ("fn f() {\n    todo!()\n}", Some("2: `todo!`")),
            ("fn f() { x.map(|y| dbg!(y)); }", Some("1: `dbg!`")),
            ("// todo!()\nfn f() { let todo = todo != 1; }", None),
            ("#[test]\n#[ignore]\nfn f() {}", Some("2: test ignored without a reason")),
            ("#[test]\n#[ignore = \"slow\"]\nfn f() {}", None),
        ] {
            let what = what.map(|what| format!("crates/a/src/a.rs:{what}"));
            let expected: Vec<&str> = what.as_deref().into_iter().collect();
            assert_findings(check, &[("crates/a/src/a.rs", text)], &expected);
        }
    }

    #[test]
    fn big_and_binary_files() {
        let big = "x".repeat(524_289);
        let what = "a.txt:1: 524289 bytes in one file, 524288 allowed";
        assert_findings(check, &[("a.txt", &big)], &[what]);
        assert_findings(check, &[("a.txt", &big[1..])], &[]);
        assert_findings(check, &[("a.txt", "\0asm")], &["a.txt:1: binary file"]);
    }
}
