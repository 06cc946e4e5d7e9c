//! What running guests takes beyond computing: memory files that hold artifacts, code, and pages that are marked.
//!
//! Executable memory is had in one way only: as a private mapping of a file that cannot be written through it, at a
//! place in the region of guest code. Whether that file is sealed is out of a filter's sight.

use super::computing::{self, EXEC, MAP_KIND};
use super::{Rules, Test};
use crate::jail::JailError;
use crate::region;

/// Copies of artifacts: made, filled and sealed.
const ARTIFACTS: &[i64] = &[libc::SYS_memfd_create, libc::SYS_ftruncate, libc::SYS_pwrite64];
/// `MADV_GUARD_INSTALL` and `MADV_GUARD_REMOVE`.
const GUARDS: std::ops::Range<u64> = 102..104;
const READ_EXEC: u64 = libc::PROT_READ as u64 | EXEC;
/// Of a mapping of code: a file's, private.
const CODE_KIND: u64 = MAP_KIND | libc::MAP_ANONYMOUS as u64;

pub(super) fn allow(rules: &mut Rules) -> Result<(), JailError> {
    computing::allow(rules, false, false)?;
    rules.plain(ARTIFACTS);
    rules.one_of(libc::SYS_fcntl, 1, &[libc::F_ADD_SEALS as u64])?;
    rules.limited(libc::SYS_madvise, &[Test::AtLeast(2, GUARDS.start), Test::Below(2, GUARDS.end)])?;
    // Which pages were written; the page map is open before the jail.
    rules.one_of(libc::SYS_ioctl, 1, &[crate::scan::REQUEST])?;
    let code = region::range().ok_or(JailError::System {
        what: "limit the code",
        source: std::io::Error::other("its region is not reserved"),
    })?;
    let private = Test::Bits(3, CODE_KIND, libc::MAP_PRIVATE as u64);
    rules.limited(
        libc::SYS_mmap,
        &[Test::Is(2, READ_EXEC), private, Test::AtLeast(0, code.start), Test::Below(0, code.end)],
    )
}
