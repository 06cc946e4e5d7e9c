//! How a deploy begins. Each step is had of the one before, so that nobody leaves one out:
//!
//! ```text
//!   begin ─► Begun ─► Receiving ─► Received ─► deploy
//!   place, site,      room on      all of
//!   revision, hosts   the disk     it
//! ```

use std::sync::Arc;

use tokio::sync::mpsc;

use super::queue::Place;
use super::quota::room_for_site;
use super::scratch::Scratch;
use super::spool::Spool;
use super::turn::is_current;
use super::{Order, Progress, Reporter, beside_what, blocking, deploy, hosts, placed, record_of};
use crate::error::EdgeError;
use crate::server::Shared;
use crate::site::{Site, Tenant};
use crate::store::SiteKey;

/// What is uploaded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    /// A module, binary or text.
    Module,
    /// An archive.
    Bundle,
}

/// A deploy that may be uploaded: its tenant has a place for it, and may have the site, which may answer where it is to.
pub(crate) struct Begun {
    server: Arc<Shared>,
    site: Arc<Site>,
    order: Order,
    place: Arc<Place>,
}

/// A deploy that is being uploaded.
pub(crate) struct Receiving {
    begun: Begun,
    kind: Kind,
    spool: Spool,
}

/// A deploy that was uploaded.
pub(crate) struct Received {
    begun: Begun,
    uploaded: Uploaded,
}

/// What was uploaded.
pub(super) struct Uploaded {
    pub(super) kind: Kind,
    pub(super) file: Scratch,
    pub(super) place: Arc<Place>,
}

/// Lets a deploy begin, or says why it may not before anything of it is read.
pub(crate) async fn begin(
    server: &Arc<Shared>,
    tenant: &Arc<Tenant>,
    key: &SiteKey,
    order: Order,
) -> Result<Begun, EdgeError> {
    let place = Arc::new(server.deploys.place(&tenant.name)?);
    room_for_site(server, tenant, key)?;
    foreseen(server, tenant, key, &order).await?;
    Ok(Begun { server: server.clone(), site: server.site_or_new(key, tenant), order, place })
}

/// Refuses what would be refused before it is kept, as far as that is known already: nobody waits for an upload and a compiler
/// to hear it. Only what is asked then, in the site's turn, counts: who is faster meanwhile takes a host all the same.
async fn foreseen(server: &Arc<Shared>, tenant: &Arc<Tenant>, key: &SiteKey, order: &Order) -> Result<(), EdgeError> {
    let before = record_of(server, key).await?;
    is_current(key, before.as_ref(), &order.asker)?;
    beside_what(before.as_ref(), order)?;
    let record = placed(key, before, order)?;
    hosts::check(server, key, &record.hosts)?;
    let scope = server.access.load().scope(tenant, order.asker.token)?;
    let server = server.clone();
    blocking(move || Ok(server.store.check_site_within(&record, &scope)?)).await
}

impl Begun {
    /// Goes on to take what is uploaded, if the disk has room for what is announced.
    pub(crate) async fn receive(self, kind: Kind, announced: u64) -> Result<Receiving, EdgeError> {
        let (server, place) = (self.server.clone(), self.place.clone());
        let file = blocking(move || Scratch::create(&server, place, announced)).await?;
        Ok(Receiving { begun: self, kind, spool: Spool::new(file) })
    }
}

impl Receiving {
    /// Takes a piece; waits, and lets others be answered, while the disk is behind.
    ///
    /// # Errors
    /// If the disk fails, or has no room for what was not announced.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<(), EdgeError> {
        self.spool.write(piece).await
    }

    /// That was all.
    pub(crate) async fn end(self) -> Result<Received, EdgeError> {
        let Receiving { begun, kind, spool } = self;
        let uploaded = Uploaded { kind, file: spool.end().await?, place: begun.place.clone() };
        Ok(Received { begun, uploaded })
    }
}

impl Received {
    /// Deploys it; what is returned tells how it goes.
    pub(crate) fn deploy(self) -> mpsc::UnboundedReceiver<Progress> {
        let Received { begun: Begun { server, site, order, .. }, uploaded } = self;
        let (tell, told) = mpsc::unbounded_channel();
        let mut reporter = Reporter::new(tell);
        // A task of its own: a client that goes away leaves no deploy half done.
        tokio::spawn(async move {
            if let Err(error) = deploy(&server, &site, order, uploaded, &mut reporter).await {
                reporter.failed(&error);
            }
        });
        told
    }
}
