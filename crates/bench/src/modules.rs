//! The modules that `compile` and `load` work on: our programs, one grown to size, and whatever large
//! ones `cargo xtask modules` has fetched.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use wasm_encoder::{CodeSection, FunctionSection, RawSection};
use wasmparser::{Parser, Payload};

use crate::programs::{build, output_folder, workspace};

/// A wasm file and the name its figures go by.
pub(crate) struct Input {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
}

/// Name of the module that is SQLite's with all its functions so many times over.
pub(crate) const GROWN: &str = "sqlite-x10";
const GROWN_COPIES: usize = 10;

/// Lua (0.3 MB), SQLite (1.2 MB) and SQLite grown tenfold, as far as `wanted`.
pub(crate) fn own(wanted: impl Fn(&str) -> bool) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for name in ["lua", "sqlite"].into_iter().filter(|name| wanted(name)) {
        let program = build(|program| program == name)?.remove(0);
        inputs.push(Input { name: program.name, path: program.wasm });
    }
    if wanted(GROWN) {
        inputs.push(grown()?);
    }
    Ok(inputs)
}

/// SQLite's module with every function there ten times: 10 MiB that never changes.
pub(crate) fn grown() -> Result<Input> {
    let program = build(|program| program == "sqlite")?.remove(0);
    let wasm = fs::read(&program.wasm).with_context(|| format!("cannot read {}", program.wasm.display()))?;
    let path = output_folder().join(format!("{GROWN}.wasm"));
    let grown = grow(&wasm, GROWN_COPIES).context("cannot grow the module")?;
    fs::write(&path, grown).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(Input { name: GROWN.into(), path })
}

/// The modules in `target/modules`, by size; none where nothing was fetched. The tiny ones are left out:
/// starting threads is most of what compiling them costs.
pub(crate) fn fetched() -> Vec<Input> {
    let Ok(entries) = fs::read_dir(workspace().join("target/modules")) else { return Vec::new() };
    let mut found = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.extension().is_some_and(|extension| extension == "wasm") && size(&path) >= BYTES_MIN {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            found.push(Input { name, path });
        }
    }
    found.sort_by_key(|input| (size(&input.path), input.name.clone()));
    found
}

const BYTES_MIN: u64 = 100 << 10;

/// A file's length in bytes; 0 for one that is not there.
pub(crate) fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |data| data.len())
}

/// Repeats all functions of a module `copies` times. The copies call the originals, so nothing else changes.
fn grow(wasm: &[u8], copies: usize) -> Result<Vec<u8>> {
    let mut module = wasm_encoder::Module::new();
    let mut bodies = Vec::new();
    let (mut types, mut code_seen) = (Vec::new(), false);
    for payload in Parser::new(0).parse_all(wasm) {
        match payload? {
            Payload::FunctionSection(section) => {
                types = section.into_iter().collect::<Result<Vec<u32>, _>>()?;
                let mut functions = FunctionSection::new();
                (0..copies).flat_map(|_| &types).for_each(|ty| _ = functions.function(*ty));
                module.section(&functions);
            }
            Payload::CodeSectionEntry(body) => {
                bodies.push(body.as_bytes());
                if bodies.len() == types.len() && !code_seen {
                    code_seen = true;
                    let mut code = CodeSection::new();
                    (0..copies).flat_map(|_| &bodies).for_each(|body| _ = code.raw(body));
                    module.section(&code);
                }
            }
            other => {
                if let Some((id, range)) = other.as_section().filter(|(id, _)| *id != CODE_SECTION) {
                    module.section(&RawSection { id, data: &wasm[range.start as usize..range.end as usize] });
                }
            }
        }
    }
    Ok(module.finish())
}

const CODE_SECTION: u8 = 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_grown_module_is_valid_and_has_the_functions() {
        let wasm =
            wat::parse_str("(module (func (export \"f\") (result i32) i32.const 7) (func call 0 drop))").unwrap();
        let grown = grow(&wasm, 5).unwrap();
        wasmparser::validate(&grown).unwrap();
        let bodies = Parser::new(0).parse_all(&grown).filter(|p| matches!(p, Ok(Payload::CodeSectionEntry(_))));
        assert_eq!(bodies.count(), 10);
    }
}
