//! Responses that browsers read, and what they are told not to do with them.

use askama::Template;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use tokio::sync::mpsc;

use super::pages::{FailurePage, rendered};
use crate::admin::reply::{Failure, ReplyBody, typed, with_type};

/// Nothing from elsewhere, no script or style but our files, no frames, forms to ourselves alone.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// With every page and file. `same-origin`, because forms must say where they come from.
const HEADERS: [(HeaderName, &str); 6] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
];

fn guarded(mut response: Response<ReplyBody>) -> Response<ReplyBody> {
    for (name, value) in HEADERS {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

pub(super) fn page(status: StatusCode, page: &impl Template) -> Response<ReplyBody> {
    guarded(typed(status, "text/html; charset=utf-8", rendered(page)))
}

pub(super) fn failure(failure: &Failure) -> Response<ReplyBody> {
    page(failure.status, &FailurePage { status: failure.status, message: failure.message.clone() })
}

/// A page of our own that is read instead.
pub(super) fn redirect(to: &str) -> Response<ReplyBody> {
    let mut response = typed(StatusCode::SEE_OTHER, "text/plain; charset=utf-8", format!("see {to}\n"));
    let to = HeaderValue::try_from(to).expect("names of sites are plain text");
    response.headers_mut().insert(header::LOCATION, to);
    guarded(response)
}

/// Server-sent events.
pub(super) fn events(from: mpsc::Receiver<hyper::body::Bytes>) -> Response<ReplyBody> {
    guarded(with_type(StatusCode::OK, "text/event-stream", ReplyBody::Lines(from)))
}

pub(super) fn asset(name: &str) -> Result<Response<ReplyBody>, Failure> {
    let (content_type, text) = match name {
        "dashboard.css" => ("text/css; charset=utf-8", include_str!("../../../assets/dashboard.css")),
        "dashboard.js" => ("text/javascript; charset=utf-8", include_str!("../../../assets/dashboard.js")),
        "icon.svg" => ("image/svg+xml", include_str!("../../../assets/icon.svg")),
        _ => return Err(Failure::new(StatusCode::NOT_FOUND, "there is no such file")),
    };
    Ok(guarded(typed(StatusCode::OK, content_type, text)))
}
