//! What is changed of a site without a deploy: which of its versions answer, and whether it is there at all.
//!
//! What is to answer is made ready first, then the record is written, then requests go there: a change that fails
//! leaves all as it was. The record that is written names no blob that it did not name before:
//! whoever sweeps may do so meanwhile, and the change waits for no deploy but the site's own.

use std::sync::Arc;

use super::load::{keep_remade, serving};
use super::turn::{Asker, Turn};
use super::{put, sweep};
use crate::error::EdgeError;
use crate::server::Shared;
use crate::site::Site;
use crate::store::{Canary, SiteKey, SiteRecord};

async fn change(
    server: &Arc<Shared>,
    (site, asker): (&Arc<Site>, &Asker),
    edit: impl FnOnce(&mut SiteRecord) -> Result<(), EdgeError>,
) -> Result<SiteRecord, EdgeError> {
    let turn = Turn::of(server, site, asker).await?;
    let mut record = turn.record.clone().ok_or_else(|| EdgeError::NoSite(site.key.site.to_string()))?;
    edit(&mut record)?;
    record.revision += 1;
    let (serving, remade) = serving(server, &turn.site, &record).await?;
    let record = put(server, record).await?;
    turn.publish(server, &record, serving)?;
    keep_remade(server, &turn.site, remade).await;
    Ok(record)
}

/// Whether a record has a version.
fn existing(record: &SiteRecord, number: u32) -> Result<u32, EdgeError> {
    let missing =
        || EdgeError::NoVersion(format!("there is no version {number}; `selvedge versions` lists those there are"));
    record.version(number).map(|version| version.number).ok_or_else(missing)
}

fn no_canary() -> EdgeError {
    EdgeError::NoVersion("the site has no canary; `selvedge canary SITE VERSION PERCENT` makes a version one".into())
}

/// Goes back to a version that was deployed before: the one named, or the one before the active one. A canary ends.
pub(crate) async fn rollback(
    server: &Arc<Shared>,
    whose: (&Arc<Site>, &Asker),
    to: Option<u32>,
) -> Result<SiteRecord, EdgeError> {
    let edit = |record: &mut SiteRecord| {
        let numbers = record.versions.iter().map(|version| version.number);
        let before = numbers.filter(|number| *number < record.active).max();
        let oldest = || {
            let active = record.active;
            EdgeError::NoVersion(format!("version {active} is the oldest there is; `selvedge versions` lists them"))
        };
        record.active = existing(record, to.or(before).ok_or_else(oldest)?)?;
        record.canary = None;
        Ok(())
    };
    change(server, whose, edit).await
}

/// Lets a version answer so many of a hundred requests.
pub(crate) async fn canary(
    server: &Arc<Shared>,
    whose: (&Arc<Site>, &Asker),
    version: u32,
    percent: u8,
) -> Result<SiteRecord, EdgeError> {
    let edit = |record: &mut SiteRecord| {
        if existing(record, version)? == record.active {
            return Err(EdgeError::NoVersion(format!("version {version} answers all other requests already")));
        }
        record.canary = Some(Canary { version, percent });
        Ok(())
    };
    change(server, whose, edit).await
}

/// Lets the canary answer all requests.
pub(crate) async fn promote(server: &Arc<Shared>, whose: (&Arc<Site>, &Asker)) -> Result<SiteRecord, EdgeError> {
    let edit = |record: &mut SiteRecord| {
        record.active = record.canary.take().ok_or_else(no_canary)?.version;
        Ok(())
    };
    change(server, whose, edit).await
}

/// Lets the canary answer no more.
pub(crate) async fn drop_canary(server: &Arc<Shared>, whose: (&Arc<Site>, &Asker)) -> Result<SiteRecord, EdgeError> {
    let edit = |record: &mut SiteRecord| record.canary.take().map(drop).ok_or_else(no_canary);
    change(server, whose, edit).await
}

/// Removes a site and all its versions. It waits for no deploys but those of the site that are being kept.
pub(crate) async fn delete(server: &Arc<Shared>, (site, asker): (&Arc<Site>, &Asker)) -> Result<SiteKey, EdgeError> {
    Turn::of(server, site, asker).await?.delete(server).await?;
    sweep(server);
    Ok(site.key.clone())
}
