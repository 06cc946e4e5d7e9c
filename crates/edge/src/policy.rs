//! What a tenant's modules may ask for, and who must vouch for them: the policy that the operator names for it.
//!
//! Artifacts are checked against it when they are deployed, each time they are loaded, and when it changes. Signatures
//! are those of the module that was uploaded: the artifact is made here, and made anew by other releases.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use selvedge_contract::limits::POLICY_BYTES_MAX;
use selvedge_contract::policy::{Policy, Signers};
use selvedge_runtime::{LoadError, Module, Terms};

use crate::config::{Config, file};
use crate::error::EdgeError;
use crate::name::Name;

/// The policies of tenants that have one.
pub(crate) type Policies = BTreeMap<Name, Arc<TenantPolicy>>;

/// Reads the policies that a configuration names.
pub(crate) fn policies(config: &Config) -> Result<Policies, EdgeError> {
    let mut policies = Policies::new();
    for tenant in config.tenant_list() {
        let Some(path) = &tenant.policy else { continue };
        let wrong = |why: String| config.wrong(&config.policy_key(&tenant.name), &path.display().to_string(), why);
        policies.insert(tenant.name.clone(), Arc::new(TenantPolicy::read(path).map_err(wrong)?));
    }
    Ok(policies)
}

/// A policy, as it is applied here.
#[derive(Debug)]
pub(crate) struct TenantPolicy {
    whole: Policy,
    /// The same, whoever has signed.
    of_artifacts: Policy,
}

impl TenantPolicy {
    /// Reads a policy's file, or says what is wrong with it.
    fn read(path: &Path) -> Result<TenantPolicy, String> {
        let name = path.display().to_string();
        let unreadable = |why: String| format!("{name}: {why}");
        let failed = |error| unreadable(format!("it cannot be read: {error}"));
        let opened = file::open(path).map_err(failed)?;
        let length = opened.metadata().map_err(failed)?.len();
        if length > POLICY_BYTES_MAX as u64 {
            return Err(unreadable(format!("it has {length} bytes, a policy has at most {POLICY_BYTES_MAX}")));
        }
        let text = file::text(opened, POLICY_BYTES_MAX as u64).map_err(failed)?;
        let whole = Policy::read(&name, &text).map_err(|error| error.to_string())?;
        let of_artifacts = Policy { signers: Signers::Any.into(), ..whole.clone() };
        Ok(TenantPolicy { whole, of_artifacts })
    }

    /// Whether another says the same.
    pub(crate) fn says_the_same(&self, other: &TenantPolicy) -> bool {
        self.whole == other.whole
    }

    /// Whether it asks who has signed.
    pub(crate) fn names_signers(&self) -> bool {
        matches!(self.whole.signers.value, Signers::Keys(_))
    }

    /// Loads an artifact, proved, if the policy accepts it and the signature of the module it was made of; if not,
    /// everything that it refuses is told.
    pub(crate) fn load(&self, artifact: &[u8], module: &[u8], signature: Option<&str>) -> Result<Module, LoadError> {
        let terms = Terms { policy: &self.of_artifacts, signature: None, threads: NonZeroUsize::MIN };
        let loaded = Module::load_under(artifact, &terms);
        match (self.whole.check_signature(module, signature), loaded) {
            (Ok(()), loaded) => loaded,
            (Err(unsigned), Err(LoadError::Policy(others))) => Err(LoadError::Policy(unsigned.and(others))),
            (Err(unsigned), _) => Err(LoadError::Policy(unsigned)),
        }
    }
}
