//! The files a jailed process may open, the ports it may connect to, and what else landlock takes.

use std::path::{Path, PathBuf};

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, CreateRulesetError, HandleAccessError,
    HandleAccessesError, LandlockStatus, NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated,
    RulesetCreatedAttr, RulesetError, Scope,
};

use super::{JailError, Lack, Layer};

/// What every kernel with landlock can forbid (Linux 5.13).
const NEEDED: ABI = ABI::V1;
/// What is forbidden as well where the kernel can. Most of it is out of reach already: the system calls for it are
/// not allowed.
const WANTED: ABI = ABI::V6;

/// Files, and what may be done with them; ports.
#[derive(Clone, Default, Debug)]
pub(super) struct Grants {
    /// Read, and list.
    pub(super) read: Vec<PathBuf>,
    /// Read, change, make and remove: plain files and directories alone.
    pub(super) write: Vec<PathBuf>,
    /// Read and run as a program.
    pub(super) execute: Vec<PathBuf>,
    /// Ports of any machine that are connected to by TCP.
    pub(super) connect: Ports,
}

/// Ports.
#[derive(Clone, Debug)]
pub(super) enum Ports {
    /// These, and no others.
    These(Vec<u16>),
    /// All there are.
    Any,
}

impl Default for Ports {
    fn default() -> Ports {
        Ports::These(Vec::new())
    }
}

impl Grants {
    fn all(&self) -> impl Iterator<Item = (&Path, BitFlags<AccessFs>)> {
        let read = AccessFs::from_read(WANTED) & !AccessFs::Execute;
        let special = AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::MakeFifo;
        let never = special | AccessFs::MakeSym | AccessFs::IoctlDev | AccessFs::Execute;
        let write = AccessFs::from_all(WANTED) & !never;
        let execute = AccessFs::ReadFile | AccessFs::Execute;
        let granted = [(&self.read, read), (&self.write, write), (&self.execute, execute)];
        granted.into_iter().flat_map(|(paths, access)| paths.iter().map(move |path| (path.as_path(), access)))
    }
}

/// Forbids what these layers take, but for what is granted.
pub(super) fn restrict(grants: &Grants, layers: &[Layer]) -> Result<Option<Lack>, JailError> {
    if ![Layer::Files, Layer::Network, Layer::Scope].iter().any(|layer| layers.contains(layer)) {
        return Ok(None);
    }
    let Some(mut ruleset) = ruleset(layers, &grants.connect)? else { return Ok(Some(Lack::Landlock)) };
    if layers.contains(&Layer::Files) {
        for (path, access) in grants.all() {
            ruleset = grant(ruleset, path, access)?;
        }
    }
    if let (true, Ports::These(ports)) = (layers.contains(&Layer::Network), &grants.connect) {
        let ports = ports.iter().map(|port| Ok(NetPort::new(*port, AccessNet::ConnectTcp)));
        ruleset = ruleset.add_rules(ports).map_err(refused)?;
    }
    let status = ruleset.restrict_self().map_err(refused)?;
    Ok(matches!(status.landlock, LandlockStatus::NotEnabled | LandlockStatus::NotImplemented).then_some(Lack::Landlock))
}

/// Rules that forbid all, but to connect if that goes to any port; `None` if this kernel has no landlock.
fn ruleset(layers: &[Layer], connect: &Ports) -> Result<Option<RulesetCreated>, JailError> {
    let mut rules = Ruleset::default().set_compatibility(CompatLevel::HardRequirement);
    if layers.contains(&Layer::Files) {
        rules = match rules.handle_access(AccessFs::from_all(NEEDED)) {
            Err(RulesetError::HandleAccesses(HandleAccessesError::Fs(HandleAccessError::Compat(_)))) => {
                return Ok(None);
            }
            needed => needed.map_err(refused)?,
        };
    }
    rules = rules.set_compatibility(CompatLevel::BestEffort);
    if layers.contains(&Layer::Files) {
        rules = rules.handle_access(AccessFs::from_all(WANTED)).map_err(refused)?;
    }
    if layers.contains(&Layer::Network) {
        let forbidden = match connect {
            Ports::These(_) => AccessNet::from_all(WANTED),
            Ports::Any => AccessNet::from_all(WANTED) & !AccessNet::ConnectTcp,
        };
        rules = rules.handle_access(forbidden).map_err(refused)?;
    }
    if layers.contains(&Layer::Scope) {
        rules = rules.scope(Scope::from_all(WANTED)).map_err(refused)?;
    }
    match rules.create() {
        Err(RulesetError::CreateRuleset(CreateRulesetError::MissingHandledAccess)) => Ok(None),
        created => created.map(Some).map_err(refused),
    }
}

fn grant(ruleset: RulesetCreated, path: &Path, access: BitFlags<AccessFs>) -> Result<RulesetCreated, JailError> {
    let fail = |source| JailError::Path { path: path.into(), source };
    let is_file = !path.metadata().map_err(fail)?.is_dir();
    let file = PathFd::new(path).map_err(|error| fail(std::io::Error::other(error)))?;
    let access = if is_file { access & AccessFs::from_file(WANTED) } else { access };
    ruleset.add_rule(PathBeneath::new(file, access)).map_err(refused)
}

fn refused(error: RulesetError) -> JailError {
    JailError::System { what: "limit the files", source: std::io::Error::other(error) }
}
