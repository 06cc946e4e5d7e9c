//! Programs initialised in advance behave as those that initialise themselves: `tests/cases/*.wat`.
//!
//! Lines that start with `;;;` say what is done, in order:
//!
//! ```text
//! ;;; initialise [EXPORT]      as by `compile --preinit[=EXPORT]`; once, first
//! ;;; allow NAME               imports it may use meanwhile
//! ;;; memory-max PAGES         of all memories together, while it is initialised
//! ;;; error TEXT               it cannot be initialised; line by line
//! ;;; image PAGES              pages in the artifact's image
//! ;;; call NAME ARGS => RESULTS
//! ```
//!
//! Calls are made twice, in an instance that initialises itself as it is made and in one of the initialised
//! artifact; both must give the results. Everything is done in both memory layouts. `UPDATE=1` writes what
//! happened into the files; read the difference.

mod common;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use libtest_mimic::{Arguments, Failed, Trial};
use selvedge_contract::MemoryLayout;
use selvedge_contract::limits::WASM_PAGE_BYTES;
use selvedge_preinit::{Options, initialise};
use selvedge_runtime::{CallError, Instance, Module, Store, Val, ValType};
use selvedge_wasi::Wasi;

const MARK: &str = ";;; ";

fn main() -> Result<()> {
    let arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let mut files = directory.read_dir()?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<PathBuf>>>()?;
    files.sort();
    ensure!(!files.is_empty(), "there are no cases");
    libtest_mimic::run(&arguments, files.into_iter().map(trial).collect()).exit()
}

fn trial(path: PathBuf) -> Trial {
    let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    Trial::test(name, move || check(&path).map_err(|error| Failed::from(format!("{error:#}"))))
}

fn check(path: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path)?;
    let [guarded, dense] = [MemoryLayout::Guarded, MemoryLayout::Dense].map(|layout| happened(&text, layout));
    let (guarded, dense) = (guarded?, dense?);
    ensure!(guarded == dense, "the layouts differ:\n{guarded}\n{dense}");
    let rest: String = text.lines().filter(|line| !line.starts_with(MARK)).map(|line| format!("{line}\n")).collect();
    let found = guarded + &rest;
    if std::env::var_os("UPDATE").is_some() {
        return std::fs::write(path, found).context("writing what happened");
    }
    ensure!(found == text, "it went otherwise:\n{found}");
    Ok(())
}

/// The marked lines as they should be.
fn happened(text: &str, layout: MemoryLayout) -> Result<String> {
    let directives: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix(MARK)).collect();
    let module = common::module(text, layout)?;
    let mut options = Options::default();
    let mut lines = Vec::new();
    for directive in &directives {
        let (verb, rest) = directive.split_once(' ').unwrap_or((directive, ""));
        match verb {
            "initialise" => options.export = Some(rest.to_owned()).filter(|name| !name.is_empty()),
            "allow" => options.allow.add(rest)?,
            "memory-max" => options.limits.memory_bytes_max = rest.parse::<u64>()? * WASM_PAGE_BYTES,
            "call" | "error" | "image" => continue,
            _ => bail!("{verb} is no directive"),
        }
        lines.push(directive.to_string());
    }
    match initialise(&module, &options) {
        Err(error) => lines.extend(error.to_string().lines().map(|line| format!("error {line}"))),
        Ok(artifact) => {
            ensure!(initialise(&module, &options)? == artifact, "twice is not the same");
            let calls = directives.iter().filter_map(|directive| directive.strip_prefix("call "));
            lines.extend(compare(&module, &common::load(&artifact), &options, calls)?);
        }
    }
    Ok(lines.into_iter().map(|line| format!("{MARK}{line}\n")).collect())
}

/// Makes the calls in both kinds of instance.
fn compare<'a>(
    module: &Module,
    ready: &Module,
    options: &Options,
    calls: impl Iterator<Item = &'a str>,
) -> Result<Vec<String>> {
    let pages: u64 = ready.contract().image.iter().map(|run| run.pages).sum();
    let mut lines = vec![format!("image {pages}")];
    let (mut store, instance) = common::instantiate(module)?;
    for name in ["_initialize"].into_iter().chain(options.export.as_deref()) {
        if let Some(function) = instance.get_func(&store, name) {
            function.call(&mut store, &[])?;
        }
    }
    let (mut ready_store, ready) = common::instantiate(ready)?;
    for call in calls {
        let call = call.split_once(" =>").map_or(call, |(call, _)| call);
        let own = make(call, &mut store, instance)?;
        let frozen = make(call, &mut ready_store, ready)?;
        // Functions that initialised it are gone, on purpose.
        ensure!(own == frozen || frozen == "nothing", "{call} gives {own} by itself, {frozen} initialised in advance");
        lines.push(format!("call {call} => {frozen}"));
    }
    Ok(lines)
}

/// What a call gives.
fn make(call: &str, store: &mut Store<Wasi>, instance: Instance) -> Result<String> {
    let mut words = call.split_whitespace();
    let name = words.next().context("a call of nothing")?;
    let Some(function) = instance.get_func(store, name) else { return Ok("nothing".into()) };
    let ty = function.ty(store)?;
    let args = words.zip(&ty.params).map(|(word, ty)| value(word, *ty)).collect::<Result<Vec<_>>>()?;
    Ok(match function.call(store, &args) {
        Ok(results) => results.iter().map(show).collect::<Vec<_>>().join(" "),
        Err(CallError::Trap(trap)) => format!("trap: {}", trap.code),
        Err(error) => error.to_string().lines().next().unwrap_or_default().to_owned(),
    })
}

fn value(word: &str, ty: ValType) -> Result<Val> {
    Ok(match ty {
        ValType::I32 => Val::I32(word.parse()?),
        ValType::I64 => Val::I64(word.parse()?),
        other => bail!("cases pass no {other}"),
    })
}

fn show(value: &Val) -> String {
    match value {
        Val::I32(value) => value.to_string(),
        Val::I64(value) => value.to_string(),
        Val::F32(bits) => format!("{bits:#x}"),
        Val::F64(bits) => format!("{bits:#x}"),
        Val::V128(bits) => format!("{bits:#x}"),
        Val::FuncRef(None) | Val::ExternRef(None) => "null".into(),
        Val::FuncRef(Some(_)) => "a function".into(),
        Val::ExternRef(Some(_)) => "an object".into(),
    }
}
