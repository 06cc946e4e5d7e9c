//! A guest that makes any call it is told to, and nothing else.

use selvedge_contract::MemoryLayout;
use selvedge_runtime::{Instance, Limits, Linker, Module, Store, Val};
use selvedge_wasi::{Wasi, add_to_linker};

/// Functions and their parameters: `i` and `I` for 32 and 64 bits.
const FUNCTIONS: &[(&str, &str)] = &[
    ("fd_close", "i"),
    ("fd_filestat_set_size", "iI"),
    ("fd_pread", "iiiIi"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
];

fn parameters(kinds: &str) -> String {
    kinds.chars().map(|kind| if kind == 'i' { " i32" } else { " i64" }).collect()
}

/// A module that exports a function for each import, and calls it.
pub(crate) fn module() -> Module {
    let (mut imports, mut functions) = (String::new(), String::new());
    for (name, kinds) in FUNCTIONS {
        let ty = format!("(param{}) (result i32)", parameters(kinds));
        imports += &format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {ty}))\n");
        let arguments: String = (0..kinds.len()).map(|at| format!("(local.get {at})")).collect();
        functions += &format!("(func (export \"{name}\") {ty} (call ${name} {arguments}))\n");
    }
    let text = format!("(module {imports} (memory (export \"memory\") 1) {functions})");
    selvedge_testkit::module(&text, MemoryLayout::Dense).expect("the module is sound")
}

pub(crate) struct Guest {
    store: Store<Wasi>,
    instance: Instance,
}

impl Guest {
    pub(crate) fn new(module: &Module, wasi: Wasi) -> Guest {
        let mut linker = Linker::new();
        add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
        let mut store = Store::new(wasi, Limits::default()).expect("there is room for a store");
        let instance = linker.instantiate(&mut store, module).expect("all imports are there");
        Guest { store, instance }
    }

    pub(crate) fn memory(&mut self) -> &mut [u8] {
        let memory = self.instance.get_memory(&self.store, "memory").expect("it is exported");
        memory.data_mut(&mut self.store)
    }

    /// Makes a call; the errno it answers, 0 for success.
    pub(crate) fn call(&mut self, name: &str, arguments: &[u64]) -> i32 {
        let (_, kinds) = FUNCTIONS.iter().find(|(function, _)| *function == name).expect("a function of the table");
        let value =
            |(kind, value): (char, &u64)| if kind == 'i' { Val::I32(*value as i32) } else { Val::I64(*value as i64) };
        let values: Vec<Val> = kinds.chars().zip(arguments).map(value).collect();
        let function = self.instance.get_func(&self.store, name).expect("it is exported");
        let results = function.call(&mut self.store, &values).expect("no call ends the guest");
        match results[..] {
            [Val::I32(errno)] => errno,
            _ => panic!("{name} returned {results:?}"),
        }
    }
}
