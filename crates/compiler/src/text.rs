//! The text format, accepted wherever the binary is.

use std::borrow::Cow;

use selvedge_contract::artifact::ArtifactIndex;
use selvedge_contract::limits::WASM_BYTES_MAX;

use crate::error::{CompileError, TextError};

/// What binaries begin with.
const MAGIC: &[u8; 4] = b"\0asm";
/// What follows the version in a component; in a module it is 0.
const COMPONENT_LAYER: [u8; 2] = [1, 0];

/// The binary format of a module in either format. What does not start like a binary and is UTF-8 is
/// taken for text.
///
/// # Errors
/// If it is text with a mistake; the message has line and column. If it is a component, an artifact, or something else
/// altogether.
pub fn to_binary(input: &[u8]) -> Result<Cow<'_, [u8]>, CompileError> {
    CompileError::cap("the module's bytes", input.len() as u64, WASM_BYTES_MAX)?;
    let binary = converted(input)?;
    match binary.first_chunk::<8>() {
        Some([b'\x7f', b'E', b'L', b'F', ..]) if is_artifact(&binary) => Err(CompileError::Compiled),
        Some([magic @ .., _, _, _, _]) if magic != MAGIC => Err(CompileError::Foreign { begins: beginning(magic) }),
        Some([.., first, second]) if [*first, *second] == COMPONENT_LAYER => Err(CompileError::Component),
        // What is cut off the parser tells best.
        _ => Ok(binary),
    }
}

/// Whether it is one of ours, be it damaged or of another version.
fn is_artifact(bytes: &[u8]) -> bool {
    !ArtifactIndex::read(bytes).is_err_and(|error| error.is_foreign())
}

/// What no text begins with.
fn no_text(c: char) -> bool {
    c.is_control() && !c.is_whitespace()
}

/// Bytes, and what files are that begin so.
fn beginning(bytes: &[u8]) -> String {
    let kind = match bytes {
        b"\x7fELF" => " (an ELF program or library)",
        [0x1f, 0x8b, ..] => " (compressed by gzip)",
        b"PK\x03\x04" => " (a zip archive)",
        _ => "",
    };
    let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    hex.join(" ") + kind
}

fn converted(input: &[u8]) -> Result<Cow<'_, [u8]>, CompileError> {
    let binary = input.starts_with(MAGIC) || input.is_empty();
    match std::str::from_utf8(input) {
        Ok(text) if !binary && !text.starts_with(no_text) => {
            wat::parse_str(text).map(Cow::Owned).map_err(|error| CompileError::Text(TextError(error)))
        }
        _ => Ok(Cow::Borrowed(input)),
    }
}
