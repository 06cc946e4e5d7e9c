//! Modules that must not compile.

use anyhow::{Result, bail, ensure};
use selvedge_compiler::{CompileError, Options};
use wast::QuoteWat;

/// A module that reads well but breaks a rule.
pub(super) fn invalid(options: &Options, mut wat: QuoteWat, message: &str) -> Result<()> {
    match wat.encode() {
        Ok(binary) => must_not_compile(options, &binary, message),
        // Some rules are checked as soon as the text is read.
        Err(_) => Ok(()),
    }
}

/// A module that cannot be read: text that the text parser refuses, or a binary that the compiler does.
pub(super) fn malformed(options: &Options, mut wat: QuoteWat, message: &str) -> Result<()> {
    let is_text = matches!(wat, QuoteWat::QuoteModule(..) | QuoteWat::QuoteComponent(..));
    match (wat.encode(), is_text) {
        (Ok(_), true) => bail!("expected malformed text ({message}), but the parser accepts it"),
        (Ok(binary), false) => must_not_compile(options, &binary, message),
        (Err(_), _) => Ok(()),
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
