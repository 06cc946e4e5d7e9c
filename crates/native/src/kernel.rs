//! A kernel that can do less than this one, for tests: what it could not do fails as it would there.

use std::sync::OnceLock;

static LESSER: OnceLock<LesserKernel> = OnceLock::new();

/// A kernel that can do less than this one may.
#[doc(hidden)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LesserKernel {
    /// Before Linux 6.13: it has no guard markers.
    WithoutMarkers,
    /// Before Linux 6.7: nor can it be asked which pages were written.
    WithoutScan,
}

/// For tests, before anything runs: pages are recycled as on such a kernel. Says whether it came in time.
#[doc(hidden)]
pub fn pretend_kernel(kernel: LesserKernel) -> bool {
    LESSER.set(kernel).is_ok()
}

/// Whether markers are to be tried. Async-signal-safe.
pub(crate) fn may_mark() -> bool {
    LESSER.get().is_none()
}

/// Whether scanning is to be tried.
pub(crate) fn may_scan() -> bool {
    LESSER.get() != Some(&LesserKernel::WithoutScan)
}
