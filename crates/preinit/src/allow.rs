//! Which imports a module may use while it is initialised.
//!
//! What is not allowed is there, so that the module can be linked, and ends the initialisation when it is
//! called. What is allowed is WASI preview 1 without grants: no arguments, environment or directories, an empty
//! stdin, a clock that stands at 1970 and passes by a microsecond a look, and random bytes that are always the same.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;

use selvedge_contract::types::ExternType;
use selvedge_runtime::{HostError, Linker, Module};
use selvedge_wasi::{Buffer, BuildError, Clocks, Randomness, Stdio, Wasi};

/// The module name of WASI preview 1.
const WASI: &str = "wasi_snapshot_preview1";
/// How far the clock goes each time it is looked at.
const CLOCK_STEP_NS: u64 = 1_000;
/// Where random bytes begin.
const RANDOM_SEED: u64 = 0;

/// The imports a module may use while it is initialised: at first none.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Allow {
    all: bool,
    functions: BTreeSet<String>,
}

/// Nothing of this name can be allowed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownImport(
    /// The name.
    pub String,
);

impl fmt::Display for UnknownImport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is neither `wasi` nor a function of WASI preview 1, such as `random_get`", self.0)
    }
}

impl Error for UnknownImport {}

impl Allow {
    /// Allows one function of WASI preview 1 by its name, or with `wasi` all of them.
    ///
    /// # Errors
    /// If there is no such function.
    pub fn add(&mut self, name: &str) -> Result<(), UnknownImport> {
        let function = name.strip_prefix(WASI).map_or(name, |rest| rest.trim_start_matches('.'));
        if name == "wasi" {
            self.all = true;
        } else if wasi_linker().defines(WASI, function) {
            self.functions.insert(function.to_owned());
        } else {
            return Err(UnknownImport(name.to_owned()));
        }
        Ok(())
    }

    fn allows(&self, module: &str, name: &str) -> bool {
        module == WASI && (self.all || self.functions.contains(name))
    }

    /// What is allowed, as flags of the command.
    pub(crate) fn as_flags(&self) -> String {
        let names = self.all.then_some("wasi").into_iter().chain(self.functions.iter().map(String::as_str));
        names.map(|name| format!(" --preinit-allow {name}")).collect()
    }

    /// Everything a module imports: what is allowed, and for the rest functions that refuse.
    pub(crate) fn linker(&self, module: &Module) -> Linker<Wasi> {
        let mut linker = wasi_linker();
        for import in module.imports() {
            let ExternType::Func(ty) = &import.ty else { continue };
            if !self.allows(&import.module, &import.name) {
                let refusal = Refused::new(&import.module, &import.name);
                linker.func_new(&import.module, &import.name, ty.clone(), move |_, _, _| {
                    Err(HostError::new(refusal.clone()))
                });
            }
        }
        linker
    }
}

fn wasi_linker() -> Linker<Wasi> {
    let mut linker = Linker::new();
    selvedge_wasi::add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
    linker
}

/// A system interface that is the same every time.
pub(crate) fn wasi(output: &Buffer) -> Result<Wasi, BuildError> {
    let builder = Wasi::builder().clocks(Clocks::Fixed { realtime_ns: 0, step_ns: CLOCK_STEP_NS });
    let builder = builder.randomness(Randomness::Seed(RANDOM_SEED));
    builder.stdout(Stdio::Buffer(output.clone())).stderr(Stdio::Buffer(output.clone())).build()
}

/// An import that may not be used was called.
#[derive(Clone, Debug)]
pub(crate) struct Refused {
    pub(crate) module: String,
    pub(crate) name: String,
}

impl Refused {
    fn new(module: &str, name: &str) -> Refused {
        Refused { module: module.to_owned(), name: name.to_owned() }
    }

    /// What the operator can do.
    pub(crate) fn advice(&self) -> &'static str {
        if self.module == WASI {
            "allow it by its name, or all of WASI with `wasi`"
        } else {
            "only WASI functions can be allowed: do what needs it later, or initialise through the library with your own"
        }
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} is not there while a module is initialised", self.module, self.name)
    }
}

impl Error for Refused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_allowed_by_name() {
        let mut allow = Allow::default();
        allow.add("random_get").unwrap();
        allow.add("wasi_snapshot_preview1.fd_write").unwrap();
        assert_eq!(allow.as_flags(), " --preinit-allow fd_write --preinit-allow random_get");
        assert!(allow.allows(WASI, "random_get") && !allow.allows(WASI, "clock_time_get"));
        assert!(!allow.allows("env", "random_get"));
        assert_eq!(allow.add("env.log"), Err(UnknownImport("env.log".into())));
        allow.add("wasi").unwrap();
        assert!(allow.allows(WASI, "clock_time_get") && !allow.allows("env", "log"));
    }
}
