//! Bad input ends in an error that says what and where: nothing panics, hangs or grows without bound.
//!
//! ```text
//!   modules    damaged and random bytes as WebAssembly
//!   artifacts  damaged artifacts, read but never run
//!   demands    valid modules that ask for too much
//!   imports    modules that need what is not there
//! ```
//!
//! All input comes from fixed seeds: a failure repeats.

#[path = "hostile/artifacts.rs"]
mod artifacts;
#[path = "hostile/bounds.rs"]
mod bounds;
#[path = "hostile/builder.rs"]
mod builder;
#[path = "hostile/damage.rs"]
mod damage;
#[path = "hostile/demands.rs"]
mod demands;
#[allow(dead_code, reason = "the fuzz target's part")]
#[path = "differential/generate.rs"]
mod generate;
#[path = "hostile/imports.rs"]
mod imports;
#[path = "hostile/modules.rs"]
mod modules;
