//! Modules that must not compile.

use anyhow::{Result, bail, ensure};
use selvedge_compiler::{CompileError, Options};
use wast::QuoteWat;

/// A malformed or invalid module: the text parser refuses it, or the compiler does. Which of them is not
/// told apart: the parser leaves some rules of the text to validation (ranges), and looks at some of validation
/// itself (names).
pub(super) fn check(options: &Options, mut wat: QuoteWat, message: &str) -> Result<()> {
    match wat.encode() {
        Ok(binary) => must_not_compile(options, &binary, message),
        Err(_) => Ok(()),
    }
}

fn must_not_compile(options: &Options, wasm: &[u8], message: &str) -> Result<()> {
    match selvedge_compiler::compile(wasm, options, &()) {
        Ok(_) => bail!("expected a compile error ({message}), but it compiles"),
        Err(error) => {
            ensure!(!matches!(error, CompileError::Codegen { .. }), "expected {message:?}, but: {error}");
            Ok(())
        }
    }
}
