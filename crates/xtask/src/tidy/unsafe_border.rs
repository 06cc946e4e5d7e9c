//! `unsafe` has one home. Elsewhere it is a counted exception; everywhere each block says why it
//! is sound and each function what its caller owes.

use super::Finding;
use super::rules::{Rules, matches};
use crate::repo::{File, Repo};
use crate::syntax::{RustFile, UnsafeKind};

/// Checks every Rust file of ours, test code too.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (file, rust) in repo.rust() {
        findings.extend(placed(file, rust, rules));
        findings.extend(explained(file, rust));
        for function in rust.functions.iter().filter(|function| function.lacks_safety_doc) {
            let what = format!("unsafe fn `{}` without a `# Safety` section", function.name);
            let fix = "say in its docs what the caller must ensure";
            findings.push(Finding::new(&file.path, function.line, what, fix));
        }
    }
    findings
}

/// The first use that is one too many for this file.
fn placed(file: &File, rust: &RustFile, rules: &Rules) -> Option<Finding> {
    let border = &rules.unsafe_border;
    if border.homes.iter().any(|home| file.path.starts_with(home)) {
        return None;
    }
    let exception = border.exceptions.iter().find(|entry| matches(&entry.file, &file.path));
    let max = exception.map_or(0, |entry| entry.max);
    let over = rust.unsafes.get(max)?;
    let what = match exception {
        None => "`unsafe` outside its home".to_owned(),
        Some(entry) => format!("`unsafe` {} times, {max} allowed ({})", rust.unsafes.len(), entry.reason),
    };
    let fix = format!("put it behind a safe function of {}", border.homes[0].trim_end_matches('/'));
    Some(Finding::new(&file.path, over.line, what, fix))
}

/// Blocks and impls without their comment.
fn explained(file: &File, rust: &RustFile) -> Vec<Finding> {
    let text = file.text();
    let lines: Vec<&str> = text.lines().collect();
    let silent = |line: usize| !has_safety_comment(&lines, line);
    let stated = [UnsafeKind::Block, UnsafeKind::Impl];
    rust.unsafes
        .iter()
        .filter(|usage| stated.contains(&usage.kind) && silent(usage.line))
        .map(|usage| {
            let what = "`unsafe` without a `// SAFETY:` comment directly above";
            Finding::new(&file.path, usage.line, what, "say who guarantees what about which bytes")
        })
        .collect()
}

/// Whether the comment above the statement that `line` (from 1) is in says `SAFETY:`.
fn has_safety_comment(lines: &[&str], line: usize) -> bool {
    let above = lines[..line - 1].iter().rev().map(|line| line.trim());
    let statement_part =
        |line: &&str| !line.is_empty() && !line.starts_with("//") && !line.ends_with([';', '{', '}', ',', '|']);
    above
        .skip_while(statement_part)
        .take_while(|line| line.starts_with("//"))
        .any(|line| line.starts_with("// SAFETY:"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    const SAID: &str = "// SAFETY: checked.\n";
    const SILENT: &str = "`unsafe` without a `// SAFETY:` comment directly above";

    #[test]
    fn only_at_home_or_by_exception() {
        let block = format!("fn f() {{\n{SAID}unsafe {{ g() }}\n}}\n");
        let twice = format!("{block}{block}");
        let stray = "crates/wasi/src/lib.rs:3: `unsafe` outside its home";
        let over = "crates/cli/src/load.rs:7: `unsafe` 2 times, 1 allowed (the user vouches for an artifact \
                    loaded without proof)";
        for (path, text, expected) in [
            ("crates/native/src/lib.rs", &twice, None),
            ("crates/wasi/src/lib.rs", &block, Some(stray)),
            ("crates/cli/src/load.rs", &block, None),
            ("crates/cli/src/load.rs", &twice, Some(over)),
            ("examples/embed.rs", &block, None),
            ("guests/rust/main.rs", &twice, None),
        ] {
            let expected: Vec<&str> = expected.into_iter().collect();
            assert_findings(check, &[(path, text)], &expected);
        }
    }

    #[test]
    fn words_in_comments_strings_and_lints_do_not_count() {
        let text = "//! unsafe {\n#![forbid(unsafe_code)]\nfn f() { \"unsafe {\"; } // unsafe\n";
        assert_findings(check, &[("crates/wasi/src/lib.rs", text)], &[]);
    }

    #[test]
    fn a_block_is_explained_directly_above() {
        let cases: &[(&str, Option<usize>)] = &[
            ("fn f() {\n// SAFETY: yes.\nunsafe { g() }\n}", None),
            ("fn f() {\n// SAFETY: yes,\n// really.\nlet x =\nunsafe { g() };\n}", None),
            ("fn f() {\nunsafe { g() }\n}", Some(2)),
            ("fn f() {\n// Because.\nunsafe { g() }\n}", Some(3)),
            ("fn f() {\n// SAFETY: yes.\nunsafe { g() };\nunsafe { g() }\n}", Some(4)),
            ("fn f() {\n// SAFETY: yes.\n\nunsafe { g() }\n}", Some(4)),
            ("// SAFETY: no state.\nunsafe impl Send for X {}", None),
            ("unsafe impl Send for X {}", Some(1)),
            ("macro_rules! m { () => {\nunsafe { g() }\n} }", Some(2)),
        ];
        for (text, line) in cases {
            let expected = line.map(|line| format!("crates/native/src/a.rs:{line}: {SILENT}"));
            let expected: Vec<&str> = expected.as_deref().into_iter().collect();
            assert_findings(check, &[("crates/native/src/a.rs", text)], &expected);
        }
    }

    #[test]
    fn an_unsafe_function_states_what_its_caller_owes() {
        let what = "crates/native/src/a.rs:1: unsafe fn `f` without a `# Safety` section";
        assert_findings(check, &[("crates/native/src/a.rs", "pub unsafe fn f() {}")], &[what]);
        let told = "/// F.\n///\n/// # Safety\n/// `x` is mapped.\npub unsafe fn f() {}";
        assert_findings(check, &[("crates/native/src/a.rs", told)], &[]);
    }
}
