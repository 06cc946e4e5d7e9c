//! Running what initialises a module.

use std::time::Duration;

use selvedge_contract::limits::{PREINIT_OUTPUT_BYTES_MAX, PREINIT_SECONDS_DEFAULT};
use selvedge_contract::types::ExternType;
use selvedge_contract::{Contract, Extern};
use selvedge_runtime::{CallError, Deadline, Instance, InstantiateError, Limits, Module, Store};
use selvedge_wasi::{Buffer, Wasi};

use crate::allow::{self, Allow, Refused};
use crate::error::PreinitError;
use crate::freeze::{freeze, functions_only};

/// What a reactor's constructors are called through.
const INITIALIZE: &str = "_initialize";

/// How to initialise a module.
#[derive(Clone, Debug)]
pub struct Options {
    /// The export to call after the start function and `_initialize`.
    pub export: Option<String>,
    /// The imports it may use meanwhile.
    pub allow: Allow,
    /// How long all of it may take.
    pub timeout: Duration,
    /// What it may use.
    pub limits: Limits,
    /// Where its stdout and stderr go, if it may write. A full buffer answers `ENOSPC`.
    pub output: Buffer,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            export: None,
            allow: Allow::default(),
            timeout: Duration::from_secs(PREINIT_SECONDS_DEFAULT),
            limits: Limits::default(),
            output: Buffer::new(PREINIT_OUTPUT_BYTES_MAX),
        }
    }
}

impl Options {
    /// What determines the artifact, as flags of the command.
    fn as_flags(&self) -> String {
        let export = self.export.as_ref().map_or(String::new(), |export| format!("={export}"));
        format!(" --preinit{export}{}", self.allow.as_flags())
    }
}

/// Initialises a module and writes the artifact whose instances begin where that ended: runs its start
/// function, then `_initialize` if it is exported, then the export that the options name.
///
/// # Errors
/// If there is nothing to run, it does not return in time, it calls an import it may not, or what it has
/// become cannot be written down.
pub fn initialise(module: &Module, options: &Options) -> Result<Vec<u8>, PreinitError> {
    functions_only(module.contract())?;
    let calls = calls(module, options.export.as_deref())?;
    let mut store = Store::new(allow::wasi(&options.output)?, options.limits)?;
    let handle = store.interrupt_handle();
    let deadline = Deadline::start(options.timeout, move || {
        handle.interrupt();
    })
    .map_err(PreinitError::Watch)?;
    let instance = run(&mut store, module, &calls, options).map_err(|error| explain(error, options.timeout))?;
    drop(deadline);
    let spent: Vec<Extern> = calls.iter().filter_map(|name| module.contract().export(name)).collect();
    freeze(&store, instance, &spent, &options.as_flags())
}

fn run(
    store: &mut Store<Wasi>,
    module: &Module,
    calls: &[&str],
    options: &Options,
) -> Result<Instance, InstantiateError> {
    let instance = options.allow.linker(module).instantiate(store, module)?;
    let started = module.contract().start.map(Extern::Func);
    for name in calls {
        // A start function may be exported, too: it has run.
        if module.contract().export(name) != started {
            instance.typed_func::<(), ()>(store, name)?.call(store, ())?;
        }
    }
    Ok(instance)
}

/// The exports to call, in order.
fn calls<'a>(module: &Module, export: Option<&'a str>) -> Result<Vec<&'a str>, PreinitError> {
    let contract = module.contract();
    let first = Some(INITIALIZE).filter(|name| contract.export(name).is_some() && export != Some(name));
    let calls: Vec<&str> = first.into_iter().chain(export).collect();
    if calls.is_empty() && contract.start.is_none() {
        return Err(PreinitError::NothingToRun);
    }
    calls.iter().try_for_each(|name| callable(module, name))?;
    Ok(calls)
}

/// Whether an export is a function without parameters and results.
fn callable(module: &Module, name: &str) -> Result<(), PreinitError> {
    let found = module.exports().find(|(export, _)| *export == name).map(|(_, ty)| ty);
    match found {
        Some(ExternType::Func(ty)) if ty.params.is_empty() && ty.results.is_empty() => Ok(()),
        Some(ty) => Err(PreinitError::Type { name: name.to_owned(), ty: Box::new(ty) }),
        None => Err(PreinitError::NoExport { name: name.to_owned(), available: functions(module.contract()) }),
    }
}

/// The functions a module exports, as a list.
fn functions(contract: &Contract) -> String {
    const SHOWN_MAX: usize = 20;
    let functions = contract.exports.iter().filter(|export| matches!(export.item, Extern::Func(_)));
    let names: Vec<&str> = functions.map(|export| export.name.as_str()).collect();
    match names.len() {
        0 => "none".into(),
        count if count > SHOWN_MAX => format!("{}, and {} more", names[..SHOWN_MAX].join(", "), count - SHOWN_MAX),
        _ => names.join(", "),
    }
}

/// What an ending means here.
fn explain(error: InstantiateError, limit: Duration) -> PreinitError {
    let call = match error {
        InstantiateError::Start(call) => call,
        error => return PreinitError::Instantiate(error),
    };
    match call {
        CallError::Exit(code) => PreinitError::Exit(code),
        CallError::Interrupted(backtrace) => PreinitError::Timeout { limit, backtrace: Box::new(backtrace) },
        CallError::Host(error) => match error.downcast_ref::<Refused>().cloned() {
            Some(refused) => PreinitError::ImportCalled {
                advice: refused.advice(),
                module: refused.module,
                name: refused.name,
                backtrace: Box::new(error.backtrace().clone()),
            },
            None => PreinitError::Call(CallError::Host(error)),
        },
        call => PreinitError::Call(call),
    }
}
