//! The text format, accepted wherever the binary is.

use std::borrow::Cow;
use std::path::Path;

use selvedge_contract::limits::WASM_BYTES_MAX;

use crate::error::CompileError;

/// The binary format of a module in either format. What does not start like a binary and is UTF-8 is
/// taken for text.
///
/// # Errors
/// If it is text with a mistake; the message has line and column.
pub fn to_binary(input: &[u8]) -> Result<Cow<'_, [u8]>, CompileError> {
    CompileError::cap("the module's bytes", input.len() as u64, WASM_BYTES_MAX)?;
    let binary = input.starts_with(b"\0asm") || input.is_empty();
    match std::str::from_utf8(input) {
        Ok(text) if !binary && !text.starts_with('\0') => {
            wat::parse_str(text).map(Cow::Owned).map_err(|mut error| {
                // Whoever calls knows the file, and says it.
                error.set_path(Path::new("the module"));
                CompileError::Text { message: error.to_string() }
            })
        }
        _ => Ok(Cow::Borrowed(input)),
    }
}
