//! Every rule of the verifier accepts what keeps it and refuses what does not: the listings beside this file,
//! one directory per rule. A case of `reject.s` must be refused under its directory's rule, in the function
//! it replaces, with the reason it names; all of `accept.s` must be proved.

mod assemble;
mod giant;
mod listing;
mod subject;

use std::fs;
use std::path::{Path, PathBuf};

use listing::Case;
use selvedge_verifier::{Refusal, Rule};
use subject::Subject;

fn directories() -> Vec<(Rule, PathBuf)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/rules");
    let mut found: Vec<_> = fs::read_dir(&root)
        .expect("the listings are there")
        .map(|entry| entry.expect("the directory can be read").path())
        .filter(|path| path.is_dir())
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let number = name.split('-').next().and_then(|number| number.parse::<usize>().ok());
            let rule = number.and_then(|number| Rule::ALL.iter().find(|rule| **rule as usize == number));
            (*rule.unwrap_or_else(|| panic!("{name} begins with no rule's number")), path)
        })
        .collect();
    found.sort();
    found
}

/// Runs a file's cases; returns how many there are, and what is wrong.
fn check(path: &Path, judge: impl Fn(&Case, Option<&Refusal>) -> Result<(), String>) -> (usize, Vec<String>) {
    let text = fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let mut cases = Vec::new();
    for short in [false, true] {
        let all = Case::all(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        cases.extend(all.into_iter().map(|case| case.with_branches(short)));
    }
    let wrong = cases.iter().filter_map(|case| {
        let subject = Subject::new(case);
        let refusals = subject.as_ref().map_err(Clone::clone).map(Subject::refusals);
        let result = refusals.and_then(|refusals| judge(case, refusals.first()));
        result.err().map(|problem| format!("{}:{}: {case}: {problem}", path.display(), case.line))
    });
    (cases.len(), wrong.collect())
}

fn accepted(_: &Case, refusal: Option<&Refusal>) -> Result<(), String> {
    refusal.map_or(Ok(()), |refusal| Err(format!("is refused\n{refusal}")))
}

fn refused(rule: Rule, case: &Case, refusal: Option<&Refusal>) -> Result<(), String> {
    let reason = case.header("refused").ok_or("no `> refused:` says why")?;
    let Some(refusal) = refusal else { return Err("is proved".into()) };
    if refusal.rule != rule || !refusal.detail.contains(reason) {
        return Err(format!("is refused for something else\n{refusal}"));
    }
    Ok(())
}

/// Where it is, what led there and what was known, for the person who must find the bug.
#[test]
fn a_refusal_says_where_and_what_was_known() {
    let refusal = |listing: &str| {
        let cases = Case::all(&format!("# a case\n{listing}")).expect("a listing");
        let mut refusals = Subject::new(&cases[0]).expect("an artifact").refusals();
        refusals.pop().expect("it is refused")
    };
    let found = refusal("mov eax, esi\nmov eax, [rax] ! memory\nret");
    assert_eq!((found.offset, found.before.len()), (2, 1));
    assert!(found.instruction.contains("mov") && found.state.contains("rdi = Context"), "{found}");
    let unlisted = refusal("mov eax, esi\nmov ecx, esi ! memory\nret");
    assert_eq!((unlisted.offset, unlisted.instruction.as_str(), unlisted.before.len()), (2, "", 0));
    let unreached = refusal("jmp .end\nsyscall\n.end:\nmov eax, esi\nret");
    assert_eq!((unreached.offset, unreached.instruction.as_str()), (5, ""));
}

#[test]
fn each_rule_accepts_and_refuses() {
    let directories = directories();
    let rules: Vec<Rule> = directories.iter().map(|(rule, _)| *rule).collect();
    assert_eq!(rules, Rule::ALL, "one directory for each rule");
    let mut wrong = Vec::new();
    for (rule, directory) in directories {
        let (accepting, problems) = check(&directory.join("accept.s"), accepted);
        wrong.extend(problems);
        let (rejecting, problems) = check(&directory.join("reject.s"), |case, refusal| refused(rule, case, refusal));
        wrong.extend(problems);
        assert!(accepting > 0 && rejecting > 0, "{} has cases of both kinds", directory.display());
    }
    assert!(wrong.is_empty(), "{} cases are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
