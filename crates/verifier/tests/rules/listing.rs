//! Listings: files of cases, each a few lines of assembly and what is to be said of it.
//!
//! ```text
//! # title of the case
//! > function: unary              whose body this is (unary if not said); `thunk`, `long_thunk`, `entry`, `bad_call`
//! > cpu: x86-64-v3               what the contract declares (the baseline if not said); `all`
//! > layout: dense                of memories (guarded if not said)
//! > metered: yes                 the code may use a meter (no if not said)
//! > refused: part of the detail  in `reject.s` only
//!     mov eax, [rdi + rsi]       ! memory          the trap table's entry
//! .label:
//! .times 3                       repeats up to `.end`; `{n}` counts from 0
//! .enter 24                      compares the stack with its limit, as much deeper as this, and takes a frame
//! .leave 24                      gives it back and returns; `.deep`, where `.enter` leads otherwise, follows
//! ```

use crate::assemble::{Symbols, assemble};

/// Bytes that a short branch reaches back, less those of its own.
const SHORT_BYTES: i64 = 120;

/// One case of a file.
#[derive(Debug)]
pub(crate) struct Case {
    title: String,
    pub(crate) line: usize,
    headers: Vec<(String, String)>,
    body: Vec<(usize, String)>,
    /// Whether branches back are short where they can be.
    short: bool,
}

/// A function's bytes, and the traps in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Code {
    pub(crate) bytes: Vec<u8>,
    /// Offset from the start, and the trap's name.
    pub(crate) traps: Vec<(u32, String)>,
}

impl Case {
    /// The cases of a file.
    pub(crate) fn all(text: &str) -> Result<Vec<Case>, String> {
        let mut cases: Vec<Case> = Vec::new();
        for (nth, line) in text.lines().enumerate() {
            let line = line.split(" ;").next().unwrap_or_default().trim();
            if let Some(title) = line.strip_prefix("# ") {
                let (headers, body) = (Vec::new(), Vec::new());
                cases.push(Case { title: title.into(), line: nth + 1, headers, body, short: false });
                continue;
            }
            if line.is_empty() {
                continue;
            }
            let case = cases.last_mut().ok_or_else(|| format!("line {}: a case begins with `# title`", nth + 1))?;
            match line.strip_prefix("> ").map(|header| header.split_once(':')) {
                Some(Some((key, value))) => case.headers.push((key.into(), value.trim().into())),
                Some(None) => return Err(format!("line {}: a header is `> key: value`", nth + 1)),
                None => case.body.push((nth + 1, line.into())),
            }
        }
        Ok(cases)
    }

    /// The same with branches back that are short where they can be: the verifier does not look for those beforehand.
    pub(crate) fn with_branches(self, short: bool) -> Case {
        Case { short, ..self }
    }

    /// What a header says.
    pub(crate) fn header(&self, key: &str) -> Option<&str> {
        self.headers.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }

    /// The code, if it starts at this offset in text.
    pub(crate) fn assemble(&self, start: u32, symbols: &Symbols) -> Result<Code, String> {
        let lines = expand(&self.body)?;
        let mut symbols = symbols.clone();
        for (_, line) in &lines {
            if let Some(label) = line.strip_suffix(':') {
                symbols.insert(label.into(), start.into());
            }
        }
        // Lengths do not depend on where labels are, so the second time they are right.
        emit(&lines, start, &mut symbols, self.short)?;
        emit(&lines, start, &mut symbols, self.short)
    }
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}{}", self.title, if self.short { ", with short branches" } else { "" })
    }
}

fn emit(lines: &[(usize, String)], start: u32, symbols: &mut Symbols, short: bool) -> Result<Code, String> {
    let mut code = Code::default();
    let mut behind: Vec<&str> = Vec::new();
    for (nth, line) in lines {
        let at = start + code.bytes.len() as u32;
        if let Some(label) = line.strip_suffix(':') {
            symbols.insert(label.into(), at.into());
            behind.push(label);
            continue;
        }
        let (text, trap) = line.split_once('!').map_or((line.as_str(), None), |(text, trap)| (text, Some(trap)));
        if let Some(trap) = trap {
            code.traps.push((at - start, trap.trim().into()));
        }
        let near = |label: &&str| behind.contains(label) && i64::from(at) - symbols[*label] < SHORT_BYTES;
        let target = text.trim().split_once(' ').filter(|_| short && text.trim().starts_with('j'));
        let prefix = if target.is_some_and(|(_, label)| near(&label)) { "short." } else { "" };
        let bytes = assemble(&format!("{prefix}{}", text.trim()), at.into(), symbols)
            .map_err(|e| format!("line {nth}: `{line}`: {e}"))?;
        code.bytes.extend(bytes);
    }
    Ok(code)
}

/// Writes out what is to be repeated.
fn expand(body: &[(usize, String)]) -> Result<Vec<(usize, String)>, String> {
    let mut out = Vec::new();
    let mut rest = body.iter();
    while let Some((nth, line)) = rest.next() {
        let Some(count) = line.strip_prefix(".times ") else {
            out.extend(framed(line).into_iter().map(|line| (*nth, line)));
            continue;
        };
        let count: usize = count.parse().map_err(|_| format!("line {nth}: `.times` takes a number"))?;
        let repeated: Vec<_> = rest.by_ref().take_while(|(_, line)| line != ".end").collect();
        for n in 0..count {
            out.extend(repeated.iter().map(|(nth, line)| (*nth, counted(line, n))));
        }
    }
    Ok(out)
}

/// What `.enter` and `.leave` stand for; any other line for itself.
fn framed(line: &str) -> Vec<String> {
    let lines = match line.split_once(' ') {
        Some((".enter", bytes)) => {
            let enough = format!("add rax, {bytes}");
            let take = format!("sub rsp, {bytes}");
            return ["mov rax, [rdi + stack_limit]", &enough, "cmp rsp, rax", "jb .deep", &take]
                .map(String::from)
                .into();
        }
        Some((".leave", bytes)) => [&format!("add rsp, {bytes}"), "ret", ".deep:", "ud2 ! stack"].map(String::from),
        _ => return vec![line.into()],
    };
    lines.into()
}

/// `{n}` is the count, `{n*8+4}` a number made of it.
fn counted(line: &str, n: usize) -> String {
    let Some((before, rest)) = line.split_once("{n") else { return line.into() };
    let Some((formula, after)) = rest.split_once('}') else { return line.into() };
    let (factor, add) = match formula.rfind(['+', '-']) {
        Some(sign) if !formula[..sign].ends_with('*') => (&formula[..sign], formula[sign..].parse().expect("a number")),
        _ => (formula, 0i64),
    };
    let factor = match factor.strip_prefix('*') {
        Some(factor) => factor.parse().expect("a number"),
        None => 1,
    };
    counted(&format!("{before}{}{after}", n as i64 * factor + add), n)
}
