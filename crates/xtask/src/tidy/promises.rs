//! Every promise names its proof: a test that exists, a file of test data, or a command.
//!
//! Read from the tables of `SPECIFICATION.md` that have a column `Test` or `Proof`. Each code
//! span of such a cell is one proof:
//!
//! * `crate::path::test_name`: a test function of that crate (its directory's name);
//! * `guests/...`, `crates/...`: a file or directory of the repository;
//! * `cargo ...`: a command; its package must exist, and its verb, if `--` follows.

use super::Finding;
use super::rules::Rules;
use crate::markdown::{self, Table};
use crate::repo::{File, Repo};
use crate::syntax::Function;

const COLUMNS: [&str; 2] = ["test", "proof"];

/// Checks the promises, if the document is there.
pub fn check(repo: &Repo, rules: &Rules) -> Vec<Finding> {
    let Some(file) = repo.file(&rules.docs.promises) else { return Vec::new() };
    let tables = markdown::tables(&file.text());
    tables.iter().flat_map(|table| in_table(repo, file, table)).collect()
}

fn in_table(repo: &Repo, file: &File, table: &Table) -> Vec<Finding> {
    let is_proof = |cell: &String| COLUMNS.contains(&cell.to_lowercase().as_str());
    let Some(column) = table.header.iter().position(is_proof) else { return Vec::new() };
    let mut findings = Vec::new();
    for (line, cells) in &table.rows {
        let cell = cells.get(column).map(String::as_str).unwrap_or_default();
        if markdown::codes(cell).next().is_none() {
            let fix = "name `crate::path::test`, a path, or a `cargo` command";
            findings.push(Finding::new(&file.path, *line, "promise without proof", fix));
        }
        for proof in markdown::codes(cell) {
            findings.extend(
                fault(repo, proof)
                    .map(|fix| Finding::new(&file.path, *line, format!("proof `{proof}` does not hold"), fix)),
            );
        }
    }
    findings
}

/// What is wrong with one proof.
fn fault(repo: &Repo, proof: &str) -> Option<String> {
    match proof.split_once(' ') {
        Some(("cargo", rest)) => command_fault(repo, rest),
        Some(_) => Some("only `cargo` commands are run here".into()),
        None if proof.contains("::") => test_fault(repo, proof),
        None if repo.exists(proof) => None,
        None => Some("no such file".into()),
    }
}

fn test_fault(repo: &Repo, proof: &str) -> Option<String> {
    let parts: Vec<&str> = proof.split("::").collect();
    let [krate, modules @ .., name] = parts.as_slice() else { return None };
    if !repo.exists(&format!("crates/{krate}")) {
        return Some(format!("there is no crate `{krate}`"));
    }
    let found = tests(repo, krate).find(|(file, f)| f.name == *name && within(file, modules));
    match found {
        None => Some("no such test: was it renamed?".into()),
        Some((_, function)) if function.is_ignored => Some("the test is ignored".into()),
        Some(_) => None,
    }
}

/// Every test function of a crate.
fn tests<'a>(repo: &'a Repo, krate: &'a str) -> impl Iterator<Item = (&'a File, &'a Function)> {
    let files = repo.rust().filter(move |(file, _)| file.krate() == krate);
    let all = files.flat_map(|(file, rust)| rust.functions.iter().map(move |f| (file, f)));
    all.filter(|(_, function)| function.is_test)
}

/// Whether each module is a part of the file's path, or named inside the file.
fn within(file: &File, modules: &[&str]) -> bool {
    let text = file.text();
    modules.iter().all(|module| {
        let on_path = file.path.split('/').any(|part| part.trim_end_matches(".rs") == *module);
        on_path || text.contains(&format!("mod {module} {{"))
    })
}

/// `run -p PACKAGE … -- VERB …`, `xtask VERB …`, `test -p PACKAGE …`
fn command_fault(repo: &Repo, command: &str) -> Option<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let after = |flags: &[&str]| {
        let at = words.iter().position(|word| flags.contains(word))?;
        words.get(at + 1).copied()
    };
    let (package, verb) = match words.first() {
        Some(&"xtask") => (Some("xtask"), after(&["xtask"])),
        _ => (after(&["-p", "--package"]), after(&["--"])),
    };
    let dir = package?.trim_start_matches("selvedge-");
    if !repo.exists(&format!("crates/{dir}")) {
        return Some(format!("there is no package `{dir}`"));
    }
    let verb = verb.filter(|verb| words[0] != "test" && !verb.starts_with('-'))?;
    (!has_verb(repo, dir, verb)).then(|| format!("`{dir}` has no verb `{verb}`"))
}

/// Whether a crate has a verb: a file or folder of that name, or an enum variant.
fn has_verb(repo: &Repo, krate: &str, verb: &str) -> bool {
    let snake = verb.replace('-', "_");
    let capital = |part: &str| part[..1].to_uppercase() + &part[1..];
    let camel: String = verb.split('-').filter(|part| part.is_ascii() && !part.is_empty()).map(capital).collect();
    let variant = |text: &str| text.split(|c: char| !c.is_alphanumeric()).any(|word| word == camel);
    repo.rust().filter(|(file, _)| file.krate() == krate).any(|(file, _)| {
        let file_of_it = file.path.split('/').any(|part| part.trim_end_matches(".rs") == snake);
        file_of_it || variant(&file.text())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    const POOL: (&str, &str) = (
        "crates/runtime/src/pool.rs",
        "fn helper() {}\nmod tests {\n#[test]\nfn fresh() {}\n#[test]\n#[ignore = \"x\"]\nfn off() {}\n}",
    );
    const BENCH: (&str, &str) = ("crates/bench/src/main.rs", "enum Verb { Code, LiveInstances }");
    const DATA: (&str, &str) = ("tests/traps/div.wat", "");

    fn proof(cell: &str) -> Vec<String> {
        let text = format!("| Promise | Proof |\n|---|---|\n| It holds. | {cell} |\n");
        let files = [POOL, BENCH, DATA, ("SPECIFICATION.md", text.as_str())];
        let findings = check(&Repo::of(&files), &Rules::load().unwrap());
        findings.into_iter().map(|finding| finding.fix).collect()
    }

    #[test]
    fn proofs_that_hold() {
        for cell in [
            "`runtime::pool::tests::fresh`",
            "`runtime::fresh`",
            "`tests/traps/div.wat`, `tests/traps/`",
            "`cargo run -p bench --release -- code`",
            "`cargo run -p bench --release -- live-instances --json`",
            "`cargo test -p selvedge-runtime -- fresh`",
        ] {
            assert!(proof(cell).is_empty(), "{cell}: {:?}", proof(cell));
        }
    }

    #[test]
    fn proofs_that_do_not() {
        for (cell, why) in [
            ("", "name `crate::path::test`, a path, or a `cargo` command"),
            ("pending", "name `crate::path::test`, a path, or a `cargo` command"),
            ("`runtime::pool::gone`", "no such test: was it renamed?"),
            ("`runtime::pool::helper`", "no such test: was it renamed?"),
            ("`runtime::slot::fresh`", "no such test: was it renamed?"),
            ("`runtime::pool::off`", "the test is ignored"),
            ("`gone::fresh`", "there is no crate `gone`"),
            ("`tests/traps/mul.wat`", "no such file"),
            ("`cargo run -p gone`", "there is no package `gone`"),
            ("`cargo run -p bench -- gone`", "`bench` has no verb `gone`"),
            ("`make check`", "only `cargo` commands are run here"),
        ] {
            assert_eq!(proof(cell), [why], "{cell}");
        }
    }

    #[test]
    fn other_tables_are_left_alone() {
        let text = "| a | b |\n|---|---|\n| c | d |\n";
        assert_findings(check, &[("SPECIFICATION.md", text)], &[]);
    }
}
