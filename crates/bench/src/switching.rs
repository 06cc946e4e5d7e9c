//! Part of `bench instances`: what it costs to go on with a guest that waits in a host call, until it waits again, without
//! what makes a future of that.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use selvedge_contract::artifact::{ArtifactIndex, TextFunction};
use selvedge_contract::types::ValType;
use selvedge_native::{
    Arena, ArenaLimits, ArtifactFile, Code, Exit, Host, HostBody, HostFunction, HostFunctions, HostVerdict, RawValue,
    SlotId, park_start, proceed,
};

/// A host that has nothing but its guest.
struct Bare;

impl Host for Bare {
    type View<'a> = Arena;

    fn arena(view: &mut Arena) -> &mut Arena {
        view
    }

    fn builtin(_: &mut Arena, _: SlotId, _: u32, _: &mut [RawValue]) -> HostVerdict {
        HostVerdict::Leave
    }
}

/// Lets its guest wait.
struct Waits;

impl HostBody<Bare> for Waits {
    const PARAMS: &'static [ValType] = &[];
    const RESULTS: &'static [ValType] = &[];
    const MAY_SUSPEND: bool = true;

    fn call(&self, _: &mut Arena, _: SlotId, _: &mut [RawValue]) -> HostVerdict {
        HostVerdict::Suspend
    }
}

#[allow(unsafe_code)]
fn publish(artifact: &[u8]) -> Result<Arc<Code>> {
    let file = ArtifactFile::from_bytes(artifact)?;
    let index = ArtifactIndex::read(file.bytes())?;
    // SAFETY: the bytes are what the compiler has just returned, and the index was read from those that are published.
    Ok(unsafe { Code::publish(file, index) }?)
}

/// Nanoseconds for a guest to go on and to wait again, in its first function, a loop of so many host calls.
pub(crate) fn round_trip(artifact: &[u8], switches: i32) -> Result<f64> {
    let mut arena = Arena::new(ArenaLimits::default())?;
    let slot = arena.add(publish(artifact)?)?;
    arena.link_hosts::<Bare>(slot, &Arc::new(HostFunctions(Box::new([Some(HostFunction::typed(Waits))]))));
    let run = arena.callable(slot, TextFunction::Defined(0)).context("the guest has a function")?;
    ensure!(park_start::<Bare>(&mut arena, &run, &[switches as RawValue]), "its stack has room");
    let (start, mut waited) = (Instant::now(), 0);
    loop {
        match proceed::<Bare>(&mut arena) {
            Exit::Suspended => waited += 1,
            Exit::Returned => break,
            exit => bail!("it was left: {exit:?}"),
        }
    }
    ensure!(waited == switches, "it waited {waited} times");
    Ok(start.elapsed().as_nanos() as f64 / f64::from(switches))
}
