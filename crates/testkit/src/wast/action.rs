//! Calls, and what must come of them.

use anyhow::{Context, Result, anyhow, bail, ensure};
use selvedge_runtime::{CallError, Found, Instance, InstantiateError, LinkError, TrapCode, Val};
use wast::{WastExecute, WastInvoke, WastRet, Wat};

use super::script::Script;
use super::values;

/// How a call, a look at a global or an instantiation ended.
pub(super) type Outcome = Result<Vec<Val>, CallError>;

impl Script {
    /// Calls an export. The outer error is the script's, the inner the guest's.
    fn call(&mut self, invoke: &WastInvoke) -> Result<Outcome> {
        let instance = self.instance(invoke.module)?;
        let func = instance.get_func(&self.store, invoke.name);
        let func = func.with_context(|| format!("no function {:?} is exported", invoke.name))?;
        let args = invoke.args.iter().map(|arg| values::argument(self, arg)).collect::<Result<Vec<_>>>()?;
        Ok(func.call(&mut self.store, &args))
    }

    /// Calls an export that must return.
    pub(super) fn invoke(&mut self, invoke: &WastInvoke) -> Result<Vec<Val>> {
        self.call(invoke)?.map_err(|error| anyhow!("{error}"))
    }

    fn execute(&mut self, exec: WastExecute) -> Result<Outcome> {
        match exec {
            WastExecute::Invoke(invoke) => self.call(&invoke),
            WastExecute::Get { module, global, .. } => {
                let found = self.instance(module)?.get_global(&self.store, global);
                let global = found.with_context(|| format!("no global {global:?} is exported"))?;
                Ok(Ok(vec![global.get(&self.store)]))
            }
            WastExecute::Wat(wat) => match self.instantiate_text(wat)? {
                Ok(_) => Ok(Ok(Vec::new())),
                Err(InstantiateError::Start(error)) => Ok(Err(error)),
                Err(error) => bail!("instantiation failed: {error}"),
            },
        }
    }

    fn instantiate_text(&mut self, mut wat: Wat) -> Result<Result<Instance, InstantiateError>> {
        let binary = wat.encode().map_err(|e| anyhow!("the text does not encode: {}", e.message()))?;
        let module = self.compile(&binary)?;
        Ok(self.instantiate(&module))
    }

    pub(super) fn assert_return(&mut self, exec: WastExecute, expected: &[WastRet]) -> Result<()> {
        let results = self.execute(exec)?.map_err(|error| anyhow!("{error}"))?;
        values::check(self, &results, expected)
    }

    pub(super) fn assert_trap(&mut self, exec: WastExecute, message: &str) -> Result<()> {
        match self.execute(exec)? {
            Err(CallError::Trap(trap)) => same_trap(trap.code, message),
            Err(error) => bail!("expected the trap {message:?}, but: {error}"),
            Ok(results) => bail!("expected the trap {message:?}, but it returned {}", values::show(&results)),
        }
    }

    pub(super) fn assert_exhaustion(&mut self, call: &WastInvoke, message: &str) -> Result<()> {
        match self.call(call)? {
            Err(CallError::Trap(trap)) => same_trap(trap.code, message),
            Err(error) => bail!("expected {message:?}, but: {error}"),
            Ok(results) => bail!("expected {message:?}, but it returned {}", values::show(&results)),
        }
    }

    pub(super) fn assert_unlinkable(&mut self, wat: Wat, message: &str) -> Result<()> {
        match self.instantiate_text(wat)? {
            Err(InstantiateError::Link(error)) => same_link_error(&error, message),
            Err(error) => bail!("expected the link error {message:?}, but: {error}"),
            Ok(_) => bail!("expected the link error {message:?}, but it was instantiated"),
        }
    }
}

/// Scripts shorten messages, or add what only the reference interpreter says.
fn same_trap(code: TrapCode, message: &str) -> Result<()> {
    let ours = code.to_string();
    ensure!(message.starts_with(&ours) || ours.starts_with(message), "expected the trap {message:?}, got {ours:?}");
    Ok(())
}

/// Whether nothing of the name was found, or something that does not fit, is told apart; wording is not.
fn same_link_error(error: &LinkError, message: &str) -> Result<()> {
    let missing = error.problems.iter().any(|problem| problem.found == Found::Nothing);
    ensure!(missing == message.starts_with("unknown"), "expected the link error {message:?}, but: {error}");
    Ok(())
}
