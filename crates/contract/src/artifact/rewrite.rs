//! An artifact with another initial state: the same code, told to begin elsewhere.

use super::read::ArtifactIndex;
use super::write::{ArtifactParts, WriteError, write};
use crate::contract::Contract;
use crate::trap::TrapSite;

/// Writes an artifact again with another contract, image and data; code and tables stay as they are.
///
/// The caller answers for the contract: its index spaces, and where its state lies, must be those the code was
/// compiled for. `bytes` are those that `index` was read from.
///
/// # Errors
/// If a part exceeds its limit.
pub fn rewrite(
    bytes: &[u8],
    index: &ArtifactIndex,
    contract: &Contract,
    image: &[u8],
    data: &[u8],
) -> Result<Vec<u8>, WriteError> {
    let (traps, addresses, names) = (index.traps(bytes), index.addresses(bytes), index.names(bytes));
    let trap = |i| traps.get(i).and_then(|(at, code)| Some((at, TrapSite::from_byte(code)?)));
    let name = |function| names.get(function).unwrap_or_default().to_owned();
    write(&ArtifactParts {
        contract,
        text: bytes.get(index.text()).unwrap_or_default(),
        functions: &index.functions(bytes).iter().collect::<Vec<_>>(),
        traps: &(0..traps.len()).filter_map(trap).collect::<Vec<_>>(),
        addresses: &(0..addresses.len()).filter_map(|i| addresses.get(i)).collect::<Vec<_>>(),
        names: &(0..index.contract.function_count() as u32).map(name).collect::<Vec<_>>(),
        image,
        data,
        debug: &index.all_debug(bytes),
    })
}
