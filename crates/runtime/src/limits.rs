//! What one store may use, and the defaults. Reaching a limit is an ordinary, named ending.

use std::fmt;

use selvedge_contract::limits as caps;

use crate::time::TimeLimits;

/// What all instances of one store together may use.
///
/// Limits on a module's own declarations come on top: a memory never grows beyond the maximum its
/// contract states, whatever stands here.
///
/// ```
/// use selvedge_runtime::{Limits, Linker, Module, Store, TrapCode};
///
/// # let wat = r#"(module (memory 1) (func (export "grow") (result i32) (memory.grow (i32.const 1)))
/// #     (func $deep (export "recurse") (param i64) (result i64)
/// #         (i64.add (call $deep (i64.add (local.get 0) (i64.const 1))) (local.get 0))))"#;
/// # let artifact = selvedge_compiler::compile(wat.as_bytes(), &selvedge_compiler::Options::default(), &())?;
/// let module = Module::load_untrusted(&artifact, std::num::NonZeroUsize::MIN)?;
/// let limits = Limits { memory_bytes_max: 128 << 10, stack_bytes: 64 << 10, ..Limits::default() };
/// let mut store = Store::new((), limits)?;
/// let instance = Linker::new().instantiate(&mut store, &module)?;
///
/// // The guest is told that there is no more memory, and so is the host.
/// let grow = instance.typed_func::<(), i32>(&store, "grow")?;
/// assert_eq!((grow.call(&mut store, ())?, grow.call(&mut store, ())?), (1, -1));
/// assert!(store.memory_limit_reached());
/// // Too deep a recursion ends the call, and nothing else.
/// let recurse = instance.typed_func::<i64, i64>(&store, "recurse")?;
/// assert_eq!(recurse.call(&mut store, 0).unwrap_err().trap_code(), Some(TrapCode::StackOverflow));
/// assert_eq!(grow.call(&mut store, ())?, -1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Stack of the guest, in bytes; one stack per store.
    pub stack_bytes: usize,
    /// Size of all memories together, in bytes. Beyond it `memory.grow` returns -1.
    pub memory_bytes_max: u64,
    /// Size of all tables together, in elements. Beyond it `table.grow` returns -1.
    pub table_elements_max: u64,
    /// Instances, counted from the store's start: they live as long as their store.
    pub instances_max: u32,
    /// Calls from host into guest that may be under way at once, one inside the other.
    pub call_depth_max: u32,
    /// Host objects that guests may hold references to at once.
    pub extern_refs_max: u32,
    /// Instructions that each instance of metered code may execute ([`selvedge_contract::meter`]); others are not
    /// counted. [`crate::Instance::set_meter_limit`] changes it; [`crate::Store::on_meter_used_up`] lets calls wait for more.
    pub meter_max: u64,
    /// How long its calls may run.
    pub time: TimeLimits,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            stack_bytes: caps::STACK_BYTES_DEFAULT,
            memory_bytes_max: 4 << 30,
            table_elements_max: caps::TABLE_ENTRIES_MAX,
            instances_max: 1_000,
            call_depth_max: 100,
            extern_refs_max: 1_000_000,
            meter_max: u64::MAX,
            time: TimeLimits::default(),
        }
    }
}

/// Which limit was reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum LimitKind {
    /// [`Limits::memory_bytes_max`].
    MemoryBytes,
    /// [`Limits::table_elements_max`].
    TableElements,
    /// [`Limits::instances_max`].
    Instances,
    /// [`Limits::call_depth_max`].
    CallDepth,
    /// [`Limits::extern_refs_max`].
    ExternRefs,
}

/// Something would exceed a limit of the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LimitError {
    /// Which limit.
    pub kind: LimitKind,
    /// What it is set to.
    pub max: u64,
}

impl LimitError {
    pub(crate) fn new(kind: LimitKind, max: impl Into<u64>) -> LimitError {
        LimitError { kind, max: max.into() }
    }
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let LimitError { kind, max } = self;
        match kind {
            LimitKind::MemoryBytes => write!(f, "the store's memories would exceed {max} bytes (memory_bytes_max)"),
            LimitKind::TableElements => {
                write!(f, "the store's tables would exceed {max} elements (table_elements_max)")
            }
            LimitKind::Instances => write!(f, "the store would exceed {max} instances (instances_max)"),
            LimitKind::CallDepth => {
                write!(f, "host and guest would call each other more than {max} deep (call_depth_max)")
            }
            LimitKind::ExternRefs => write!(f, "guests would hold more than {max} host objects (extern_refs_max)"),
        }
    }
}

impl std::error::Error for LimitError {}
