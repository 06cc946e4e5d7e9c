//! The files a jailed process may open: landlock.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, CreateRulesetError, HandleAccessError,
    HandleAccessesError, LandlockStatus, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, Scope,
};

use super::{JailError, Lack};

/// What every kernel with landlock can forbid (Linux 5.13).
const NEEDED: ABI = ABI::V1;
/// What is forbidden as well where the kernel can. Most of it is out of reach already: the system calls for it are
/// not allowed.
const WANTED: ABI = ABI::V6;

/// Forbids every file but those below these paths.
pub(super) fn restrict(read: &[PathBuf], write: &[PathBuf]) -> Result<Option<Lack>, JailError> {
    let Some(mut ruleset) = ruleset()? else { return Ok(Some(Lack::Landlock)) };
    for path in read {
        ruleset = grant(ruleset, path, AccessFs::from_read(WANTED) & !AccessFs::Execute)?;
    }
    for path in write {
        ruleset = grant(ruleset, path, AccessFs::from_all(WANTED) & !AccessFs::Execute)?;
    }
    let status = ruleset.restrict_self().map_err(refused)?;
    Ok(matches!(status.landlock, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented).then_some(Lack::Landlock))
}

/// Rules that forbid all; `None` if this kernel has no landlock.
fn ruleset() -> Result<Option<RulesetCreated>, JailError> {
    let needed =
        Ruleset::default().set_compatibility(CompatLevel::HardRequirement).handle_access(AccessFs::from_all(NEEDED));
    let needed = match needed {
        Err(RulesetError::HandleAccesses(HandleAccessesError::Fs(HandleAccessError::Compat(_)))) => return Ok(None),
        needed => needed.map_err(refused)?,
    };
    let all = needed
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WANTED))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(WANTED)))
        .and_then(|rules| rules.scope(Scope::from_all(WANTED)));
    match all.and_then(Ruleset::create) {
        Err(RulesetError::CreateRuleset(CreateRulesetError::MissingHandledAccess)) => Ok(None),
        created => created.map(Some).map_err(refused),
    }
}

fn grant(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, JailError> {
    let fail = |source| JailError::Path { path: path.into(), source };
    let is_file = path.metadata().map_err(fail)?.is_file();
    let file = PathFd::new(path).map_err(|error| fail(std::io::Error::other(error)))?;
    let access = if is_file { access & AccessFs::from_file(WANTED) } else { access };
    ruleset.add_rule(PathBeneath::new(file, access)).map_err(refused)
}

fn refused(error: RulesetError) -> JailError {
    JailError::System { what: "limit the files", source: std::io::Error::other(error) }
}
