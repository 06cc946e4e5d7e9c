//! What a case file says. Unknown fields are mistakes.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use selvedge_runtime::Val;
use serde::Deserialize;

/// One run of one module.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Case {
    pub(super) guest: Option<String>,
    pub(super) module: Option<String>,
    pub(super) preinit: Option<String>,
    #[serde(default)]
    pub(super) preinit_allow: Vec<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) argv0: Option<String>,
    #[serde(default)]
    pub(super) env: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) stdin: String,
    #[serde(default)]
    pub(super) dir: bool,
    pub(super) seed: Option<BTreeMap<String, String>>,
    #[serde(default)]
    pub(super) mounts: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) exit: i32,
    pub(super) trap: Option<String>,
    pub(super) stdout: Option<String>,
    pub(super) stderr: Option<String>,
    #[serde(default)]
    pub(super) stdout_contains: Vec<String>,
    #[serde(default)]
    pub(super) stderr_contains: Vec<String>,
    #[serde(default)]
    pub(super) files_after: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) files_sha256: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) files_absent: Vec<String>,
    #[serde(default)]
    pub(super) step: Vec<Step>,
    #[serde(default)]
    pub(super) connection: Vec<Connection>,
}

/// A client of a program that serves.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Connection {
    pub(super) talk: Vec<Talk>,
}

/// What a client does next.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Talk {
    Send(String),
    Receive(String),
}

/// One thing done to a library.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Step {
    pub(super) call: Option<String>,
    #[serde(default)]
    pub(super) args: Vec<String>,
    pub(super) results: Option<Vec<String>>,
    pub(super) trap: Option<String>,
    pub(super) save: Option<String>,
    pub(super) write: Option<String>,
    pub(super) read: Option<String>,
    pub(super) at: Option<String>,
}

impl Case {
    /// Reads a case file.
    pub(super) fn read(file: &Path) -> Result<Case> {
        let text = std::fs::read_to_string(file).with_context(|| format!("reading {}", file.display()))?;
        let case: Case = toml::from_str(&text).with_context(|| format!("in {}", file.display()))?;
        ensure!(case.preinit.is_none() || !case.step.is_empty(), "{}: preinit is for libraries", file.display());
        ensure!(case.guest.is_some() != case.module.is_some(), "{} needs a guest or a module", file.display());
        Ok(case)
    }

    /// The guest's or module's name.
    pub(super) fn name(&self) -> &str {
        self.guest.as_deref().or(self.module.as_deref()).unwrap_or_default()
    }

    /// Whether it is a program that runs from start to end by itself.
    pub(super) fn is_program(&self) -> bool {
        self.step.is_empty() && self.connection.is_empty()
    }

    /// Whether the program gets a directory.
    pub(super) fn has_directory(&self) -> bool {
        self.dir || self.seed.is_some()
    }
}

/// A value as cases write it: `type:number`, or `$name` for a saved one.
pub(super) fn value(text: &str, saved: &BTreeMap<String, Val>) -> Result<Val> {
    if let Some(name) = text.strip_prefix('$') {
        return saved.get(name).copied().with_context(|| format!("nothing was saved as ${name}"));
    }
    let (ty, number) = text.split_once(':').with_context(|| format!("{text:?} is not type:number"))?;
    let bad = || format!("{number:?} is no {ty}");
    Ok(match ty {
        "i32" => number.parse::<i32>().with_context(bad)?.into(),
        "i64" => number.parse::<i64>().with_context(bad)?.into(),
        "f32" => number.parse::<f32>().with_context(bad)?.into(),
        "f64" => number.parse::<f64>().with_context(bad)?.into(),
        _ => bail!("{ty:?} is no type that cases may use"),
    })
}

/// Whether a result is what was expected; floats compare as numbers, and any NaN is any other.
pub(super) fn same(result: &Val, expected: &Val) -> bool {
    let numbers = |value: &Val| value.f64().or_else(|| value.f32().map(f64::from));
    match (numbers(result), numbers(expected)) {
        (Some(a), Some(b)) => result.ty() == expected.ty() && (a == b || a.is_nan() && b.is_nan()),
        _ => result == expected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_typed() {
        let saved = BTreeMap::from([("p".to_owned(), Val::I32(7))]);
        assert_eq!(value("i32:-1", &saved).unwrap(), Val::I32(-1));
        assert_eq!(value("$p", &saved).unwrap(), Val::I32(7));
        assert!(same(&value("f64:0.0", &saved).unwrap(), &value("f64:-0.0", &saved).unwrap()));
        assert!(same(&value("f32:nan", &saved).unwrap(), &Val::F32(0xffc0_0001)));
        assert!(!same(&value("f32:1", &saved).unwrap(), &value("f64:1", &saved).unwrap()));
        for bad in ["1", "i32:x", "i32:4294967296", "v128:1", "$q"] {
            assert!(value(bad, &saved).is_err(), "{bad}");
        }
    }
}
