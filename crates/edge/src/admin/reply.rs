//! Answers of the admin API: JSON, at once or line by line.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::deploy::{CompileError, may_pass};
use crate::error::EdgeError;
use crate::limits::DEPLOY_RETRY_AFTER_SECONDS;
use crate::store::{Outlook, StoreError};

/// A body: whole, or as it comes.
pub(crate) enum ReplyBody {
    Whole(Option<Bytes>),
    Lines(mpsc::Receiver<Bytes>),
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = |bytes: Option<Bytes>| bytes.map(|bytes| Ok(Frame::data(bytes)));
        match self.get_mut() {
            ReplyBody::Whole(bytes) => Poll::Ready(frame(bytes.take())),
            ReplyBody::Lines(lines) => lines.poll_recv(context).map(frame),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            ReplyBody::Lines(_) => SizeHint::default(),
        }
    }
}

/// Why a request of an operator is refused.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(super) status: StatusCode,
    pub(super) message: String,
}

#[derive(Serialize)]
struct FailureJson<'a> {
    error: &'a str,
}

impl Failure {
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Failure {
        Failure { status, message: message.into() }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::BAD_REQUEST, message)
    }

    pub(crate) fn unauthorized(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::UNAUTHORIZED, message)
    }

    pub(crate) fn forbidden(message: impl Into<String>) -> Failure {
        Failure::new(StatusCode::FORBIDDEN, message)
    }

    pub(crate) fn reply(&self) -> Response<ReplyBody> {
        let mut response = json(self.status, &FailureJson { error: &self.message });
        if matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            response.headers_mut().insert(header::RETRY_AFTER, DEPLOY_RETRY_AFTER_SECONDS.into());
        }
        response
    }
}

impl From<EdgeError> for Failure {
    fn from(error: EdgeError) -> Failure {
        let status = match &error {
            EdgeError::Name(_) | EdgeError::TooManyHosts(_) | EdgeError::CanaryMoves => StatusCode::BAD_REQUEST,
            EdgeError::NoSite(_) | EdgeError::NoVersion(_) => StatusCode::NOT_FOUND,
            EdgeError::Revoked(_) | EdgeError::Host(_) | EdgeError::Store(StoreError::HostOfOthers { .. }) => {
                StatusCode::FORBIDDEN
            }
            EdgeError::Deleted(_) | EdgeError::Stale { .. } => StatusCode::CONFLICT,
            EdgeError::Store(StoreError::HostTaken { .. } | StoreError::RouteTaken { .. } | StoreError::Conflict) => {
                StatusCode::CONFLICT
            }
            EdgeError::TooManyDeploys(_) => StatusCode::TOO_MANY_REQUESTS,
            EdgeError::DiskFull { .. } => StatusCode::INSUFFICIENT_STORAGE,
            EdgeError::Store(error) if error.outlook() == Some(Outlook::Full) => StatusCode::INSUFFICIENT_STORAGE,
            EdgeError::Store(error) if error.outlook() == Some(Outlook::Lasting) => StatusCode::INTERNAL_SERVER_ERROR,
            EdgeError::TooManySites { .. } | EdgeError::StorageFull { .. } => StatusCode::FORBIDDEN,
            EdgeError::Unfit(_) | EdgeError::Bundle(_) | EdgeError::Compile(CompileError::Refused(_)) => {
                StatusCode::UNPROCESSABLE_ENTITY
            }
            EdgeError::Compile(_) => StatusCode::SERVICE_UNAVAILABLE,
            error if may_pass(error) => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Failure::new(status, error.to_string())
    }
}

/// A value as JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response<ReplyBody> {
    let mut body = serde_json::to_vec_pretty(value).unwrap_or_default();
    body.push(b'\n');
    typed(status, "application/json", body)
}

/// A text of some type.
pub(crate) fn typed(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<ReplyBody> {
    with_type(status, content_type, ReplyBody::Whole(Some(body.into())))
}

/// Lines of JSON, as they come.
pub(crate) fn lines(from: mpsc::Receiver<Bytes>) -> Response<ReplyBody> {
    with_type(StatusCode::OK, "application/x-ndjson", ReplyBody::Lines(from))
}

pub(super) fn with_type(status: StatusCode, content_type: &'static str, body: ReplyBody) -> Response<ReplyBody> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    // What is no page is not to be taken for one.
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // A page, too, says what it asks for (RFC 9110, 15.5.2).
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// A value as one line.
pub(crate) fn line(value: &impl Serialize) -> Bytes {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line.into()
}

#[cfg(test)]
mod tests {
    use std::io::{self, ErrorKind};

    use super::*;

    /// A compiler that could not be started was told as the module's fault, and a file that could not be read as a mistake.
    #[test]
    fn whose_fault_it_is_shows_in_the_status() {
        let failed = || io::Error::other("a test's");
        let disk = |kind: ErrorKind| {
            EdgeError::from(StoreError::Disk { what: "use it".into(), source: Box::new(io::Error::from(kind)) })
        };
        for (error, status) in [
            (EdgeError::from(CompileError::Refused("bad".into())), 422),
            (CompileError::Timeout.into(), 503),
            (CompileError::GivenUp.into(), 503),
            (CompileError::NoCompiler { program: "cc".into(), source: failed() }.into(), 503),
            (EdgeError::Shortage("no memory".into()), 503),
            (disk(ErrorKind::Interrupted), 503),
            (disk(ErrorKind::StorageFull), 507),
            (EdgeError::DiskFull { free: 0, bytes: 1, reserve: 1 }, 507),
            (disk(ErrorKind::ReadOnlyFilesystem), 500),
            (StoreError::Damaged("record".into()).into(), 500),
            (EdgeError::Unfit("bad".into()), 422),
            (EdgeError::TooManyDeploys(4), 429),
            (EdgeError::Internal("a bug".into()), 500),
        ] {
            let text = error.to_string();
            let response = Failure::from(error).reply();
            assert_eq!(response.status(), status, "{text}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), [429, 503].contains(&status), "{text}");
        }
    }

    #[test]
    fn whoever_gives_no_token_is_told_how() {
        let response = Failure::unauthorized("no token").reply();
        assert_eq!(response.headers().get(header::WWW_AUTHENTICATE).unwrap(), "Bearer");
        assert!(Failure::forbidden("not you").reply().headers().get(header::WWW_AUTHENTICATE).is_none());
    }
}
