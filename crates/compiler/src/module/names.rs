//! Function names: the name section's, else the exports'. They are for people; a malformed name section
//! is ignored, as the specification asks.

use selvedge_contract::limits::NAME_BYTES_MAX;
use selvedge_contract::{Export, Extern};
use wasmparser::{BinaryReader, Name, NameSectionReader};

/// A name for each of `count` functions; empty where there is none.
pub(super) fn functions(section: Option<BinaryReader<'_>>, exports: &[Export], count: usize) -> Vec<String> {
    let mut names = vec![String::new(); count];
    for export in exports {
        if let Extern::Func(index) = export.item {
            names[index as usize].clone_from(&export.name);
        }
    }
    if let Some(section) = section {
        for subsection in NameSectionReader::new(section) {
            match subsection {
                Ok(Name::Function(map)) => take(map, &mut names),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }
    names
}

fn take(map: wasmparser::NameMap<'_>, names: &mut [String]) {
    for naming in map {
        let Ok(naming) = naming else { return };
        if let Some(slot) = names.get_mut(naming.index as usize)
            && !naming.name.is_empty()
            && naming.name.len() <= NAME_BYTES_MAX
        {
            *slot = naming.name.to_string();
        }
    }
}
