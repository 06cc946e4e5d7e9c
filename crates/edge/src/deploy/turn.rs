//! The turn of a site: whoever changes what is kept of it, or where its requests go, does so one after the other.
//!
//! It may be long ago that a change was asked for: an upload and a compiler take their time. So what was found then is
//! looked at again: whether the site is still there, its tenant still the one that is configured, and whoever asks still
//! allowed to. Only then is anything kept.

use std::sync::Arc;

use tokio::sync::OwnedMutexGuard;

use super::{blocking, record_of};
use crate::config::{Scope, TokenHash};
use crate::error::EdgeError;
use crate::server::Shared;
use crate::site::{Serving, Site};
use crate::store::{SiteKey, SiteRecord};

/// Who asks for a change.
#[derive(Clone, Copy, Default)]
pub(crate) struct Asker {
    /// By which token; none where none is asked for.
    pub(crate) token: Option<TokenHash>,
    /// The revision that they believe to change; 0 of a site that there is not. None is any.
    pub(crate) revision: Option<u64>,
}

/// What is asked for is still allowed: the site as it is now, and what else the token may.
pub(super) fn allowed(server: &Shared, site: &Arc<Site>, asker: &Asker) -> Result<(Arc<Site>, Arc<Scope>), EdgeError> {
    let scope = server.access.load().scope(&site.tenant, asker.token)?;
    if !scope.may_change() || !scope.is_for(&site.key.site) {
        return Err(EdgeError::Revoked(format!("the token may not change {} any more", site.key.site)));
    }
    let site = server.present(site).ok_or_else(|| EdgeError::Deleted(site.key.site.to_string()))?;
    Ok((site, scope))
}

/// The site is still what whoever asks believes to change.
pub(super) fn is_current(key: &SiteKey, record: Option<&SiteRecord>, asker: &Asker) -> Result<(), EdgeError> {
    let now = record.map_or(0, |record| record.revision);
    match asker.revision {
        Some(expected) if expected != now => Err(EdgeError::Stale { site: key.site.to_string(), expected, now }),
        _ => Ok(()),
    }
}

/// A site that nobody else changes meanwhile.
pub(super) struct Turn {
    pub(super) site: Arc<Site>,
    /// None of one that is new.
    pub(super) record: Option<SiteRecord>,
    /// What whoever asks may.
    pub(super) scope: Arc<Scope>,
    _own: OwnedMutexGuard<()>,
}

impl Turn {
    /// Waits for it.
    pub(super) async fn of(server: &Arc<Shared>, site: &Arc<Site>, asker: &Asker) -> Result<Turn, EdgeError> {
        let own = site.turn.clone().lock_owned().await;
        let (site, scope) = allowed(server, site, asker)?;
        let record = record_of(server, &site.key).await?;
        is_current(&site.key, record.as_ref(), asker)?;
        Ok(Turn { site, record, scope, _own: own })
    }

    /// Requests go where a record says that was kept in this turn.
    pub(super) fn publish(&self, server: &Shared, record: &SiteRecord, serving: Serving) -> Result<(), EdgeError> {
        server.publish(&self.site, record, serving)
    }

    /// The site is no more: nothing is kept of it, and no requests go there.
    pub(super) async fn delete(self, server: &Arc<Shared>) -> Result<(), EdgeError> {
        let (shared, key) = (server.clone(), self.site.key.clone());
        blocking(move || Ok(shared.store.delete_site(&key)?)).await?;
        server.withdraw(&self.site);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;
    use crate::deploy::put;
    use crate::name::{Host, Name};
    use crate::server::tests::{config, server};
    use crate::site::{Content, Deployment, Tenant};
    use crate::store::VersionRecord;

    fn key() -> SiteKey {
        SiteKey { tenant: Name::new("default").unwrap(), site: Name::new("hello").unwrap() }
    }

    fn tenant(server: &Shared) -> Arc<Tenant> {
        server.access.load().tenants[&key().tenant].clone()
    }

    /// The record with a version more, of nothing.
    fn next(turn: &Turn) -> (SiteRecord, Serving) {
        let mut record = turn.record.clone().unwrap_or_else(|| SiteRecord::new(key()));
        record.hosts = vec![Host::new("hello.localhost").unwrap()];
        record.revision += 1;
        record.active += 1;
        let (number, signature, deployed_ms) = (record.active, None, 0);
        record.versions.push(VersionRecord {
            number,
            module: None,
            artifact: None,
            bundle: None,
            signature,
            deployed_ms,
        });
        let nothing = Content { program: None, assets: None };
        (record, Serving::new(Deployment::new(number, nothing), None))
    }

    /// A deploy of nothing; the site that has it.
    async fn deploy(server: &Arc<Shared>, site: &Arc<Site>) -> Result<Arc<Site>, EdgeError> {
        let turn = Turn::of(server, site, &Asker::default()).await?;
        let (record, serving) = next(&turn);
        let record = put(server, record).await?;
        turn.publish(server, &record, serving)?;
        Ok(turn.site.clone())
    }

    fn served(server: &Shared) -> Option<u32> {
        server.site(&key())?.serving()?.all().next().map(|deployment| deployment.version)
    }

    async fn until(what: &str, mut holds: impl FnMut() -> bool) {
        for waited in 0.. {
            if holds() {
                return;
            }
            assert!(waited < 6_000, "{what} does not come");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The second replaced the first, with whoever followed its log; or the record said one and requests got the other.
    #[tokio::test]
    async fn first_deploys_that_meet_are_of_one_site() {
        let (server, _state) = server("").await;
        let shared = server.shared();
        let begun = [(); 2].map(|()| shared.site_or_new(&key(), &tenant(shared)));
        let own = begun[0].turn.lock().await;
        assert!(begun[1].turn.try_lock().is_err());
        drop(own);
        let first = deploy(shared, &begun[0]).await.unwrap();
        let second = deploy(shared, &begun[1]).await.unwrap();
        assert!(Arc::ptr_eq(&first, &second));
        let record = record_of(shared, &key()).await.unwrap().unwrap();
        assert_eq!((served(shared), record.active, record.versions.len()), (Some(2), 2, 2));
    }

    /// A change that was begun before its tenant was taken away published the site again, for good; and, with the tenant
    /// back, by the policy and limits that it had had.
    #[tokio::test]
    async fn what_is_kept_when_its_tenant_goes_answers_only_by_the_next() {
        let (server, state) = server("[tenants.default]").await;
        let shared = server.shared();
        let site = deploy(shared, &shared.site_or_new(&key(), &tenant(shared))).await.unwrap();
        let turn = Turn::of(shared, &site, &Asker::default()).await.unwrap();
        let (record, serving) = next(&turn);
        let record = put(shared, record).await.unwrap();
        let refused = |serving| turn.publish(shared, &record, serving).unwrap_err().to_string();
        server.reload(&config("[tenants.other]", &state)).unwrap();
        let why = refused(serving);
        assert!(why.contains("the tenant default is not configured any more"), "{why}");
        assert!(shared.site(&key()).is_none() && shared.routes.load().places(&key().tenant).is_empty());
        server.reload(&config("[tenants.default]", &state)).unwrap();
        let why = refused(next(&turn).1);
        assert!(why.contains("the tenant default was configured anew"), "{why}");
        drop(turn);
        until("it is loaded as it was kept", || served(shared) == Some(2)).await;
        assert!(Arc::ptr_eq(&shared.site(&key()).unwrap().tenant, &tenant(shared)));
        assert!(
            matches!(deploy(shared, &site).await, Err(EdgeError::Revoked(_))),
            "and for the old one nothing is kept"
        );
        assert_eq!(record_of(shared, &key()).await.unwrap().unwrap().active, 2);
    }

    /// It went on beside a deploy, and ended with its client: with the record gone, and the site still answering.
    #[tokio::test(flavor = "multi_thread")]
    async fn a_delete_waits_its_turn_and_is_done_without_its_client() {
        let (server, _state) = server("").await;
        let shared = server.shared();
        let site = deploy(shared, &shared.site_or_new(&key(), &tenant(shared))).await.unwrap();
        let own = site.turn.lock().await;
        let those_who_wait = || Arc::strong_count(&site.turn);
        let before = those_who_wait();
        let mut client = TcpStream::connect(server.admin()).unwrap();
        client.write_all(b"DELETE /v1/sites/hello HTTP/1.1\r\nHost: localhost\r\nx-selvedge: 1\r\n\r\n").unwrap();
        until("it waits", || those_who_wait() > before).await;
        assert!(record_of(shared, &key()).await.unwrap().is_some());
        drop(client);
        tokio::time::sleep(Duration::from_millis(50)).await;
        drop(own);
        until("it is done", || shared.site(&key()).is_none()).await;
        assert!(record_of(shared, &key()).await.unwrap().is_none());
        assert!(matches!(deploy(shared, &site).await, Err(EdgeError::Deleted(_))));
    }

    /// What a reload had read before somebody deleted it came back, and answered nothing.
    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_deleted_meanwhile_is_not_adopted() {
        let (server, _state) = server("").await;
        let shared = server.shared();
        let turn = Turn::of(shared, &shared.site_or_new(&key(), &tenant(shared)), &Asker::default()).await.unwrap();
        put(shared, next(&turn).0).await.unwrap();
        assert_eq!(shared.unserved().unwrap(), (vec![], vec![key()]), "somebody changes it");
        let kept = shared.clone();
        let adopted = tokio::task::spawn_blocking(move || kept.adopt(&[key()]).unwrap().len());
        turn.delete(shared).await.unwrap();
        assert_eq!(adopted.await.unwrap(), 0);
        assert!(shared.site(&key()).is_none());
    }
}
