//! Environment variables, put together by the embedder.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::args::Strings;

/// The name of a variable that the embedder knows when it is compiled, and that is checked then.
///
/// ```
/// use selvedge_wasi::VariableName;
/// const HOME: VariableName = VariableName::new("HOME");
/// ```
///
/// ```compile_fail
/// use selvedge_wasi::VariableName;
/// const WRONG: VariableName = VariableName::new("HOME=");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VariableName(&'static str);

impl VariableName {
    /// # Panics
    /// If it cannot be a name: in a constant the compiler says so.
    pub const fn new(name: &'static str) -> VariableName {
        assert!(is_name(name.as_bytes()), "a variable's name has at least a byte, and neither = nor a zero byte");
        VariableName(name)
    }
}

const fn is_name(name: &[u8]) -> bool {
    let mut at = 0;
    while at < name.len() {
        if name[at] == b'=' || name[at] == 0 {
            return false;
        }
        at += 1;
    }
    !name.is_empty()
}

/// Environment variables of an instance, or a part of them that many instances have, put together once.
///
/// ```
/// use selvedge_wasi::{Environment, VariableName, Wasi};
///
/// let mut common = Environment::new();
/// common.set("LANG", "C");
///
/// // For each instance:
/// const GREETING: VariableName = VariableName::new("GREETING");
/// let (mut environment, user) = (Environment::new(), "anna");
/// environment.set_joined(GREETING, [b"hello ", user.as_bytes()]);
/// environment.append(&common);
/// let all: Vec<(&[u8], &[u8])> = environment.iter().collect();
/// assert_eq!(all, [(&b"GREETING"[..], &b"hello anna"[..]), (b"LANG", b"C")]);
///
/// let mut builder = Wasi::builder();
/// builder.set_environment(environment);
/// builder.build_once()?;
/// # Ok::<(), selvedge_wasi::BuildError>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Environment {
    strings: Strings,
    /// The first variable whose name cannot be one.
    bad: Option<Box<str>>,
}

impl Environment {
    /// None.
    pub fn new() -> Environment {
        Environment::default()
    }

    /// Adds a variable. If it cannot be one, whoever builds with it is told.
    #[inline]
    pub fn set(&mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) {
        let (name, value) = (name.as_ref().as_bytes(), value.as_ref().as_bytes());
        // Zero bytes are looked for in all at once.
        if name.is_empty() || name.contains(&b'=') {
            self.note_bad_name(&[name, b"=", value].concat());
        }
        self.strings.push(name, b"=", [value]);
    }

    /// Adds a variable whose value is given in pieces.
    #[inline(always)]
    pub fn set_joined<const N: usize>(&mut self, name: VariableName, value: [&[u8]; N]) {
        self.strings.push(name.0.as_bytes(), b"=", value);
    }

    /// Adds all of another.
    pub fn append(&mut self, more: &Environment) {
        self.strings.append(&more.strings);
        if self.bad.is_none() {
            self.bad.clone_from(&more.bad);
        }
    }

    /// Makes room for so many more variables, of so many bytes in all: for those who are in a hurry.
    pub fn reserve(&mut self, variables: usize, bytes: usize) {
        self.strings.reserve(variables, bytes);
    }

    /// Names and values, in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.strings.iter().map(|string| {
            let end = string.iter().position(|byte| *byte == b'=').unwrap_or(string.len());
            (&string[..end], string.get(end + 1..).unwrap_or_default())
        })
    }

    #[cold]
    fn note_bad_name(&mut self, variable: &[u8]) {
        self.bad.get_or_insert_with(|| String::from_utf8_lossy(variable).into());
    }

    /// The first variable whose name cannot be one.
    pub(crate) fn bad(&self) -> Option<&str> {
        self.bad.as_deref()
    }

    pub(crate) fn strings(&self) -> &Strings {
        &self.strings
    }

    pub(crate) fn into_strings(self) -> Strings {
        self.strings
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Wasi;
    use crate::builder::BuildError;

    fn built(environment: &Environment) -> Result<(), BuildError> {
        let mut builder = Wasi::builder();
        builder.set_environment(environment.clone());
        builder.build_once().map(drop)
    }

    #[test]
    fn what_cannot_be_a_variable_is_refused_however_it_came() {
        let of = |name: &str, value: &str| {
            let mut environment = Environment::new();
            environment.set(name, value);
            environment
        };
        let mut joined = Environment::new();
        joined.set_joined(VariableName::new("a"), [b"b", b"\0", b"c"]);
        for bad in [of("", "x"), of("a=b", "x"), of("a\0", "x"), of("a", "x\0"), joined] {
            assert!(matches!(built(&bad), Err(BuildError::BadString(_))), "{bad:?}");
            let mut all = of("fine", "x");
            all.append(&bad);
            all.append(&of("fine", "x"));
            assert!(matches!(built(&all), Err(BuildError::BadString(_))), "{all:?}");
        }
        assert!(built(&of("a", "=b=")).is_ok());
    }

    #[test]
    fn parts_follow_each_other() {
        let (mut first, mut second) = (Environment::new(), Environment::new());
        first.set("a", "1");
        second.set_joined(VariableName::new("b"), [b"2", b"", b"=3"]);
        second.set("c", "");
        first.append(&second);
        first.append(&Environment::new());
        let all: Vec<(&[u8], &[u8])> = first.iter().collect();
        assert_eq!(all, [(&b"a"[..], &b"1"[..]), (b"b", b"2=3"), (b"c", b"")]);
    }
}
