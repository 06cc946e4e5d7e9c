//! Functions and files stay short enough to read in one go. Test code is left out.

use super::Finding;
use super::rules::{LengthException, Rules};
use crate::repo::{File, Repo};
use crate::syntax::{Function, RustFile};

/// Checks every Rust file of ours that is not test code.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in code(repo) {
        findings.extend(long_file(file, rust, rules));
        findings.extend(functions(rust).filter_map(|function| long_function(file, function, rules)));
    }
    findings.extend(rules.lengths.exceptions.iter().filter_map(|entry| stale(repo, rules, entry)));
    findings
}

/// Rust files of ours that are not test code.
pub fn code(repo: &Repo) -> impl Iterator<Item = (&File, &RustFile)> {
    repo.rust().filter(|(file, _)| !repo.is_test(&file.path))
}

/// Functions with a body that are not test code.
pub fn functions(rust: &RustFile) -> impl Iterator<Item = &Function> {
    rust.functions.iter().filter(|function| !function.in_test && function.lines > 0)
}

/// Lines of a file outside its tests.
pub fn file_lines(file: &File, rust: &RustFile) -> usize {
    (1..=file.text().lines().count()).filter(|line| !rust.is_test_line(*line)).count()
}

fn long_file(file: &File, rust: &RustFile, rules: &Rules) -> Option<Finding> {
    let lines = file_lines(file, rust);
    let max = allowance(rules, &file.path, None).unwrap_or(rules.limits.file_lines_max);
    let what = format!("{lines} lines in one file, {max} allowed");
    let fix = "move what belongs together into a module of its own";
    (lines > max).then(|| Finding::new(&file.path, 1, what, fix))
}

fn long_function(file: &File, function: &Function, rules: &Rules) -> Option<Finding> {
    let Function { name, line, lines, .. } = function;
    let max = allowance(rules, &file.path, Some(name)).unwrap_or(rules.limits.function_lines_max);
    let what = format!("fn `{name}` has {lines} lines, {max} allowed");
    let fix = "let it branch and give the work to functions with names";
    (*lines > max).then(|| Finding::new(&file.path, *line, what, fix))
}

fn allowance(rules: &Rules, file: &str, function: Option<&str>) -> Option<usize> {
    let entry = |entry: &&LengthException| entry.file == file && entry.function.as_deref() == function;
    rules.lengths.exceptions.iter().find(entry).map(|entry| entry.lines_max)
}

/// An exception whose subject has gone or has become short enough.
fn stale(repo: &Repo, rules: &Rules, entry: &LengthException) -> Option<Finding> {
    let subject = code(repo).find(|(file, _)| file.path == entry.file);
    let needed = subject.is_some_and(|(file, rust)| match &entry.function {
        None => file_lines(file, rust) > rules.limits.file_lines_max,
        Some(name) => {
            functions(rust).any(|function| function.name == *name && function.lines > rules.limits.function_lines_max)
        }
    });
    let what = format!("needs no exception for its length ({})", entry.reason);
    (!needed).then(|| Finding::new(&entry.file, 1, what, "remove it from crates/xtask/tidy.toml"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    fn function(lines: usize) -> String {
        format!("fn f() {{\n{}}}\n", "    g();\n".repeat(lines - 2))
    }

    #[test]
    fn a_function_of_seventy_lines_is_the_longest() {
        let path = "crates/a/src/a.rs";
        let what = "crates/a/src/a.rs:1: fn `f` has 71 lines, 70 allowed";
        assert_findings(check, &[(path, &function(70))], &[]);
        assert_findings(check, &[(path, &function(71))], &[what]);
        assert_findings(check, &[(path, &format!("#[test]\n{}", function(71)))], &[]);
        assert_findings(check, &[("crates/a/tests/a.rs", &function(71))], &[]);
    }

    #[test]
    fn a_file_of_six_hundred_lines_is_the_longest() {
        let path = "crates/a/src/a.rs";
        let long = "// x\n".repeat(601);
        let tests = format!("{}#[cfg(test)]\nmod t {{\n{}}}\n", "// x\n".repeat(600), "// x\n".repeat(99));
        assert_findings(check, &[(path, &long)], &["crates/a/src/a.rs:1: 601 lines in one file, 600 allowed"]);
        assert_findings(check, &[(path, &tests)], &[]);
    }

    #[test]
    fn an_exception_allows_until_nothing_needs_it() {
        let mut rules = Rules::load().unwrap();
        rules.lengths.exceptions = vec![LengthException {
            file: "crates/a/src/a.rs".into(),
            function: Some("f".into()),
            lines_max: 80,
            reason: "one row per opcode".into(),
        }];
        for (lines, found) in [(79, 0), (81, 1), (60, 1)] {
            let repo = Repo::of(&[("crates/a/src/a.rs", &function(lines))]);
            assert_eq!(check(&repo, &rules).len(), found, "{lines}");
        }
    }
}
