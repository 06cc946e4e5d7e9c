//! Sizes that a document states are the code's: tables with a column `Lines of code`, whose first cell names a
//! crate's directory.

use super::Finding;
use super::rules::Rules;
use super::stats::crates;
use crate::markdown::{self, Table};
use crate::repo::{File, Repo};

const COLUMN: &str = "lines of code";
/// How far a stated size may be from the code's.
const TOLERANCE_PERCENT: usize = 10;

/// Checks all documents.
pub fn check(repo: &Repo, _: &Rules) -> Vec<Finding> {
    let documents = repo.files.iter().filter(|file| file.path.ends_with(".md"));
    let in_file = |file| markdown::tables(&File::text(file)).iter().flat_map(|t| in_table(repo, file, t)).collect();
    documents.flat_map(|file| -> Vec<Finding> { in_file(file) }).collect()
}

fn in_table(repo: &Repo, file: &File, table: &Table) -> Vec<Finding> {
    let Some(column) = table.header.iter().position(|head| head.to_lowercase() == COLUMN) else { return Vec::new() };
    let sizes = crates(repo);
    let fault = |cells: &Vec<String>| {
        let name = cells.first().and_then(|cell| markdown::codes(cell).next()).unwrap_or_default();
        let stated = cells.get(column).map(|cell| cell.replace(',', "")).and_then(|cell| cell.trim().parse().ok());
        let Some(found) = name.strip_prefix("crates/").and_then(|name| sizes.get(name)) else {
            return Some(("no crate is named here".into(), "name its directory, as `crates/...`".into()));
        };
        let Some(stated): Option<usize> = stated else {
            return Some((format!("how large is `{name}`?"), format!("write {}", found.code_lines)));
        };
        let off = stated.abs_diff(found.code_lines) * 100 > found.code_lines * TOLERANCE_PERCENT;
        off.then(|| (format!("`{name}` has not {stated} lines of code"), format!("write {}", found.code_lines)))
    };
    let faults = table.rows.iter().filter_map(|(line, cells)| Some((*line, fault(cells)?)));
    faults.map(|(line, (what, fix))| Finding::new(&file.path, line, what, fix)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tidy::assert_findings;

    #[test]
    fn stated_sizes_are_the_codes() {
        let code = "fn f() {\n    g();\n}\n";
        let table =
            "| code | Lines of code |\n|---|---|\n| `crates/a` | 3 |\n| `crates/a` | 2,000 |\n| `crates/b` | 1 |\n";
        let files = [("crates/a/src/lib.rs", code), ("SECURITY.md", table)];
        let expected =
            ["SECURITY.md:4: `crates/a` has not 2000 lines of code", "SECURITY.md:5: no crate is named here"];
        assert_findings(check, &files, &expected);
    }
}
