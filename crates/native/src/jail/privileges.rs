//! What a process may because of who it is.

use rustix::io::Errno;
use rustix::process::{DumpableBehavior, set_dumpable_behavior};
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities, set_no_new_privs};

use super::{JailError, Layer};

/// Gives up what these layers take. `files`: it keeps files whose permissions it may have passed over before.
pub(super) fn give_up(layers: &[Layer], files: bool) -> Result<(), JailError> {
    let refused = |what| move |source: Errno| JailError::System { what, source: source.into() };
    if layers.contains(&Layer::NoNewPrivileges) {
        set_no_new_privs(true).map_err(refused("forbid new privileges"))?;
    }
    if layers.contains(&Layer::Capabilities) {
        drop_capabilities(files).map_err(refused("drop the capabilities"))?;
    }
    if layers.contains(&Layer::Undumpable) {
        // After the capabilities: the kernel thinks again about it when they change.
        set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(refused("hide the memory"))?;
    }
    Ok(())
}

fn drop_capabilities(files: bool) -> Result<(), Errno> {
    let kept = if files { CapabilitySet::DAC_OVERRIDE } else { CapabilitySet::empty() };
    let kept = capabilities(None)?.permitted & kept;
    set_capabilities(None, CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() })
}
