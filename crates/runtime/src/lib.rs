//! From an artifact to a running instance: what a platform embeds.
//!
//! ```text
//!   artifact ─► Module ─┐
//!                       ├─► Linker::instantiate ─► Instance ─► TypedFunc::call
//!   host functions ─────┘            │                            │
//!                                  Store  (data, limits, instances, one guest stack)
//! ```
//!
//! A [`Module`] is loaded once and shared. A [`Linker`] holds host functions under their import names and
//! is shared too. A [`Store`] is one isolated little world: the host's data for it, its limits, and the
//! instances that may be linked to each other; dropping it takes everything with it. [`Func`],
//! [`Memory`], [`Table`], [`Global`] and [`Instance`] are small handles; every use names the store, and a
//! handle of another store is refused.
//!
//! Invariants:
//! * No panic, hang or unbounded growth follows from what a guest does or an artifact says. Every index,
//!   length and pointer from a guest is an allegation until checked ([`GuestPtr`]).
//! * Host code that panics ends the call, not the process ([`CallError::HostPanic`]).
//! * The compiler is not here and must never be: an artifact is all there is.
//! * `unsafe` is where code is published, in [`Module::load_trusted`] on the caller's word and in
//!   [`Module::load_untrusted`] on a proof; the machine itself is the `native` crate's.
//!
//! Host functions run on the host's stack and may call back into the guest through their [`Caller`]. There are
//! four ways to define one: [`Linker::func_wrap`] from Rust types, [`Linker::func_new`] of any type, and
//! [`Linker::func_wrap_async`] and [`Linker::func_wrap_poll`] for one that may suspend the guest while it waits.
//!
//! Examples stand where things are: a fresh instance for every request ([`Pool`], [`PoolLimits::fitting`]), what it may
//! use ([`Limits`], [`TimeLimits`]), ending it from elsewhere ([`Store::interrupt_handle`]), functions that wait
//! ([`Linker::func_wrap_async`]), shares of the processor for tenants ([`Scheduler`]), counted instructions
//! ([`Store::on_meter_used_up`]).
#![deny(unsafe_code)]
#![warn(missing_docs)]

mod backtrace;
mod builtins;
mod call;
mod context;
mod core;
mod deadline;
mod error;
mod externref;
mod func;
mod global;
mod guest;
mod host;
mod instance;
mod instantiate;
mod job;
mod limits;
mod linker;
mod matching;
mod memory;
mod meter;
mod module;
mod pool;
mod refill;
mod scheduler;
mod state;
mod store;
mod stretch;
mod suspend;
mod symbols;
mod table;
mod ticker;
mod time;
mod typed;
mod value;
mod wait;

pub use backtrace::{Backtrace, Frame, SourceLine, is_hidden};
pub use context::{AsContext, AsContextMut, Context, ContextMut};
pub use deadline::Deadline;
pub use error::{BadCall, CallError, HostError, InstantiateError, LoadError, Trap};
pub use externref::ExternRef;
pub use func::{Func, TypedExport, TypedFunc};
pub use global::{Global, GlobalError};
pub use guest::{GuestFault, GuestPtr, GuestSlice, GuestValue};
pub use host::{Caller, IntoHostFunc};
pub use instance::{Instance, Item};
pub use job::{Job, JobError};
pub use limits::{LimitError, LimitKind, Limits};
pub use linker::{InstancePre, Linker};
pub use matching::{Found, ImportProblem, LinkError};
pub use memory::Memory;
pub use module::{Module, Source, Terms};
pub use pool::{Pool, PoolLimits, touch, touch_mut};
pub use refill::UsedUp;
pub use scheduler::{Scheduler, SchedulerLimits, Tenant};
pub use selvedge_contract::trap::TrapCode;
pub use selvedge_contract::types::{ExternType, FuncType, GlobalType, MemoryType, RefType, TableType, ValType};
pub use selvedge_contract::{Contract, Export, Import};
pub use selvedge_native::{InterruptHandle, NativeError, Recycling};
pub use state::InstanceState;
pub use store::Store;
pub use stretch::Stretch;
pub use table::{Table, TableError};
pub use ticker::TICK;
pub use time::TimeLimits;
pub use typed::{HostResults, V128, WasmParams, WasmResults, WasmType};
pub use value::Val;
pub use wait::{Outcome, Wait};
