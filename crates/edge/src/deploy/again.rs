//! What failed because the machine was short of something, a file that could not be read, memory, descriptors, is done again
//! later, and later each time, until it is decided.

use std::future::Future;
use std::sync::Arc;

use crate::error::EdgeError;
use crate::limits::{LOAD_AGAIN_FIRST, LOAD_AGAIN_MAX};
use crate::server::Shared;
use crate::site::Site;
use crate::store::StoreError;

/// Whether the same may succeed later, by no change of anybody's to a site.
pub(crate) fn may_pass(error: &EdgeError) -> bool {
    match error {
        EdgeError::Shortage(_) => true,
        // Nobody says when a disk was mended that had failed for good.
        EdgeError::Store(error) => matches!(error, StoreError::Disk { .. }),
        EdgeError::Compile(error) => error.is_passing(),
        _ => false,
    }
}

/// Does something for a site again, until it says that it is done, the site is served no more, or the server stops.
pub(super) fn later<F>(
    server: &Arc<Shared>,
    site: Arc<Site>,
    attempt: impl Fn(Arc<Shared>, Arc<Site>) -> F + Send + Sync + 'static,
) where
    F: Future<Output = bool> + Send,
{
    // Who waits keeps no server that has been stopped.
    let server = Arc::downgrade(server);
    tokio::spawn(async move {
        let mut pause = LOAD_AGAIN_FIRST;
        loop {
            tokio::time::sleep(pause).await;
            pause = LOAD_AGAIN_MAX.min(2 * pause);
            let Some(server) = server.upgrade() else { return };
            let is_served = server.site(&site.key).is_some_and(|served| Arc::ptr_eq(&served, &site));
            if !is_served || server.is_draining() || attempt(server, site.clone()).await {
                return;
            }
        }
    });
}
