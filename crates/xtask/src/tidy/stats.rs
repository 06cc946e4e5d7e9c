//! Sizes, for information: what a reader of the code will meet.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::lengths;
use super::rules::Rules;
use crate::repo::{File, Repo};
use crate::syntax::{RustFile, UnsafeKind};

/// What there is of a crate.
#[derive(Default)]
pub(super) struct Crate {
    files: usize,
    /// Lines that are neither blank, nor comment, nor test.
    pub(super) code_lines: usize,
    unsafe_blocks: usize,
}

/// The report, test code left out (but `unsafe` blocks are counted in tests too).
pub fn report(repo: &Repo, rules: &Rules) -> String {
    let files: Vec<usize> = lengths::code(repo).map(|(file, rust)| lengths::file_lines(file, rust)).collect();
    let functions: Vec<usize> =
        lengths::code(repo).flat_map(|(_, rust)| lengths::functions(rust)).map(|f| f.lines).collect();
    let max = rules.limits.function_lines_max;
    let long = functions.iter().filter(|lines| **lines > max).count();
    let share = 100.0 * long as f64 / functions.len().max(1) as f64;
    let mut out = String::new();
    // Writing to a `String` cannot fail.
    let _ = writeln!(out, "{:<10} {:>6} {:>7} {:>5}", "lines per", "count", "median", "p90");
    let _ = writeln!(out, "{}", spread("file", files));
    let _ = writeln!(out, "{}", spread("function", functions));
    let _ = writeln!(out, "functions over {max} lines: {long} ({share:.1} %)\n");
    let _ = writeln!(out, "{:<10} {:>6} {:>7} {:>7}", "crate", "files", "code", "unsafe");
    for (name, Crate { files, code_lines, unsafe_blocks }) in crates(repo) {
        let _ = writeln!(out, "{name:<10} {files:>6} {code_lines:>7} {unsafe_blocks:>7}");
    }
    out.push('\n');
    out
}

fn spread(name: &str, mut sizes: Vec<usize>) -> String {
    sizes.sort_unstable();
    let at = |share: usize| sizes.get(sizes.len() * share / 100).copied().unwrap_or(0);
    format!("{name:<10} {:>6} {:>7} {:>5}", sizes.len(), at(50), at(90))
}

/// All crates by the names of their directories.
pub(super) fn crates(repo: &Repo) -> BTreeMap<&str, Crate> {
    let mut crates: BTreeMap<&str, Crate> = BTreeMap::new();
    for (file, rust) in repo.rust() {
        let entry = crates.entry(file.krate()).or_default();
        let blocks = rust.unsafes.iter().filter(|usage| usage.kind == UnsafeKind::Block);
        entry.unsafe_blocks += blocks.count();
        if !repo.is_test(&file.path) {
            entry.files += 1;
            entry.code_lines += code_lines(file, rust);
        }
    }
    crates
}

/// Lines that are neither blank, nor comment, nor test.
fn code_lines(file: &File, rust: &RustFile) -> usize {
    let is_code = |line: &str| !line.trim().is_empty() && !line.trim().starts_with("//");
    let text = file.text();
    let lines = text.lines().enumerate();
    lines.filter(|(at, line)| is_code(line) && !rust.is_test_line(at + 1)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_code_without_tests_and_comments() {
        let text = "//! A.\n\nfn f() {\n    // x\n    g();\n}\n#[cfg(test)]\nmod tests { fn h() {} }\n";
        let repo = Repo::of(&[("crates/a/src/lib.rs", text), ("crates/a/tests/t.rs", "fn t() {}")]);
        let crates = crates(&repo);
        assert_eq!((crates["a"].files, crates["a"].code_lines), (1, 3));
    }

    #[test]
    fn median_and_ninetieth() {
        assert_eq!(spread("file", (1..=10).rev().collect()), "file           10       6    10");
        assert_eq!(spread("file", vec![]), "file            0       0     0");
    }
}
