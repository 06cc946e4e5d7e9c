//! Forms as browsers send them, bounded.

use std::collections::BTreeMap;

use http_body_util::{BodyExt, Limited};
use hyper::StatusCode;
use hyper::body::Incoming;

use crate::admin::reply::Failure;
use crate::config::ByteCount;
use crate::limits::BODY_STALL_MAX;

/// Fields by name; of several of one name, the last.
pub(super) struct Form(BTreeMap<String, String>);

impl Form {
    pub(super) async fn read(body: Incoming, bytes_max: usize) -> Result<Form, Failure> {
        let collected = Limited::new(body, bytes_max).collect();
        let collected = tokio::time::timeout(BODY_STALL_MAX, collected).await;
        let collected =
            collected.map_err(|_| Failure::new(StatusCode::REQUEST_TIMEOUT, "the form did not come in time"))?;
        let bytes = collected.map_err(|error| match error.is::<http_body_util::LengthLimitError>() {
            true => too_long(bytes_max),
            false => Failure::bad("the form ended before its end"),
        })?;
        Ok(Form(form_urlencoded::parse(&bytes.to_bytes()).into_owned().collect()))
    }

    /// A field; empty if it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }
}

fn too_long(bytes_max: usize) -> Failure {
    let most = ByteCount(bytes_max as u64);
    let message = format!("a form here has at most {most}; deploy larger modules with selvedge deploy");
    Failure::new(StatusCode::PAYLOAD_TOO_LARGE, message)
}
