//! A guest that makes any call it is told to, and nothing else.

use selvedge_contract::MemoryLayout;
use selvedge_runtime::{CallError, Instance, Limits, Linker, Module, Store, Val};
use selvedge_wasi::{Wasi, add_to_linker};

/// All functions of the document and their parameters: `i` and `I` for 32 and 64 bits.
pub(super) const FUNCTIONS: &[(&str, &str)] = &[
    ("args_get", "ii"),
    ("args_sizes_get", "ii"),
    ("environ_get", "ii"),
    ("environ_sizes_get", "ii"),
    ("clock_res_get", "ii"),
    ("clock_time_get", "iIi"),
    ("fd_advise", "iIIi"),
    ("fd_allocate", "iII"),
    ("fd_close", "i"),
    ("fd_datasync", "i"),
    ("fd_fdstat_get", "ii"),
    ("fd_fdstat_set_flags", "ii"),
    ("fd_fdstat_set_rights", "iII"),
    ("fd_filestat_get", "ii"),
    ("fd_filestat_set_size", "iI"),
    ("fd_filestat_set_times", "iIIi"),
    ("fd_pread", "iiiIi"),
    ("fd_prestat_get", "ii"),
    ("fd_prestat_dir_name", "iii"),
    ("fd_pwrite", "iiiIi"),
    ("fd_read", "iiii"),
    ("fd_readdir", "iiiIi"),
    ("fd_renumber", "ii"),
    ("fd_seek", "iIii"),
    ("fd_sync", "i"),
    ("fd_tell", "ii"),
    ("fd_write", "iiii"),
    ("path_create_directory", "iii"),
    ("path_filestat_get", "iiiii"),
    ("path_filestat_set_times", "iiiiIIi"),
    ("path_link", "iiiiiii"),
    ("path_open", "iiiiiIIii"),
    ("path_readlink", "iiiiii"),
    ("path_remove_directory", "iii"),
    ("path_rename", "iiiiii"),
    ("path_symlink", "iiiii"),
    ("path_unlink_file", "iii"),
    ("poll_oneoff", "iiii"),
    ("proc_exit", "i"),
    ("proc_raise", "i"),
    ("sched_yield", ""),
    ("random_get", "ii"),
    ("sock_accept", "iii"),
    ("sock_recv", "iiiiii"),
    ("sock_send", "iiiii"),
    ("sock_shutdown", "ii"),
];

fn parameters(kinds: &str) -> String {
    kinds.chars().map(|kind| if kind == 'i' { " i32" } else { " i64" }).collect()
}

/// A module that exports a function for each import, and calls it.
pub(crate) fn module() -> Module {
    let (mut imports, mut functions) = (String::new(), String::new());
    for (name, kinds) in FUNCTIONS {
        let result = if *name == "proc_exit" { "" } else { "(result i32)" };
        let ty = format!("(param{}) {result}", parameters(kinds));
        imports += &format!("(import \"wasi_snapshot_preview1\" \"{name}\" (func ${name} {ty}))\n");
        let arguments: String = (0..kinds.len()).map(|at| format!("(local.get {at})")).collect();
        functions += &format!("(func (export \"{name}\") {ty} (call ${name} {arguments}))\n");
    }
    let text = format!("(module {imports} (memory (export \"memory\") 1) {functions})");
    selvedge_testkit::module(&text, MemoryLayout::Dense).expect("the module is sound")
}

pub(super) struct Guest {
    store: Store<Wasi>,
    instance: Instance,
}

impl Guest {
    pub(super) fn new(module: &Module, wasi: Wasi) -> Guest {
        let mut linker = Linker::new();
        add_to_linker(&mut linker, |wasi: &mut Wasi| wasi);
        let mut store = Store::new(wasi, Limits::default()).expect("there is room for a store");
        let instance = linker.instantiate(&mut store, module).expect("all imports are there");
        Guest { store, instance }
    }

    pub(super) fn memory(&mut self) -> &mut [u8] {
        let memory = self.instance.get_memory(&self.store, "memory").expect("it is exported");
        memory.data_mut(&mut self.store)
    }

    pub(super) fn wasi(&self) -> &Wasi {
        self.store.data()
    }

    /// Makes a call; the errno it answers, 0 for success, or how it ended the guest.
    pub(super) fn call(&mut self, name: &str, arguments: &[u64]) -> Result<i32, CallError> {
        let (_, kinds) = FUNCTIONS.iter().find(|(function, _)| *function == name).expect("a function of the table");
        let value =
            |(kind, value): (char, &u64)| if kind == 'i' { Val::I32(*value as i32) } else { Val::I64(*value as i64) };
        let values: Vec<Val> = kinds.chars().zip(arguments).map(value).collect();
        let function = self.instance.get_func(&self.store, name).expect("it is exported");
        match function.call(&mut self.store, &values)?[..] {
            [Val::I32(errno)] => Ok(errno),
            ref results => panic!("{name} returned {results:?}"),
        }
    }
}
