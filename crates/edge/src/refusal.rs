//! Every answer that is the server's own: a name that stays, a status, a sentence for whoever asked. What only the
//! site's owner should see, a backtrace for example, goes to the site's log.

use std::fmt;

use hyper::StatusCode;
use selvedge_runtime::TrapCode;

use crate::config::{ByteCount, TimeSpan};
use crate::limits::HEADERS_MAX;

/// Why a request is not answered by a guest, or not to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Refusal {
    /// The client's request is none.
    BadRequest(&'static str),
    /// The request has too many header fields.
    HeadLimit,
    /// Nobody has deployed a site for the host.
    NoSite(String),
    /// The host's sites answer for other paths.
    NoPath(String),
    /// The site is being loaded.
    Loading,
    /// The version has files alone, and none for this path.
    NoFile,
    /// A file cannot be asked for so.
    FileMethod,
    /// The site has no version yet, or it could not be loaded.
    NoVersion,
    RequestBodyLimit(ByteCount),
    RequestBodyStalled,
    RequestBodyBroken,
    /// The tenant's limits on all its requests.
    RateLimit(u32),
    QueueFull(u32),
    /// None of the tenant's instances became free in time.
    InstancesBusy(u32),
    /// No slot of the server did.
    Overloaded,
    Draining,
    /// The guest trapped; the backtrace is for the log.
    Trap {
        code: TrapCode,
        backtrace: String,
    },
    Exit(i32),
    /// What the guest wrote before its body is no head.
    BadHead(String),
    /// The guest ended without a head.
    NoResponse,
    WallTime(TimeSpan),
    CpuTime(TimeSpan),
    Memory(ByteCount),
    ResponseBodyLimit(ByteCount),
    /// No instance could be made.
    Start(String),
    /// The client went away before the end.
    ClientGone,
    /// The server's own fault; what it was is for the log.
    Internal(String),
}

impl Refusal {
    /// Its name, in responses, logs and metrics.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Refusal::BadRequest(_) => "bad_request",
            Refusal::HeadLimit => "request_head_limit",
            Refusal::NoSite(_) | Refusal::NoPath(_) => "no_site",
            Refusal::Loading => "loading",
            Refusal::NoFile => "no_file",
            Refusal::FileMethod => "method_not_allowed",
            Refusal::NoVersion => "no_version",
            Refusal::RequestBodyLimit(_) => "request_body_limit",
            Refusal::RequestBodyStalled => "request_body_stalled",
            Refusal::RequestBodyBroken => "request_body_broken",
            Refusal::RateLimit(_) => "requests_per_second_limit",
            Refusal::QueueFull(_) => "queue_limit",
            Refusal::InstancesBusy(_) => "instances_limit",
            Refusal::Overloaded => "overloaded",
            Refusal::Draining => "draining",
            Refusal::Trap { .. } => "guest_trap",
            Refusal::Exit(_) => "guest_exit",
            Refusal::BadHead(_) => "bad_cgi_header",
            Refusal::NoResponse => "no_response",
            Refusal::WallTime(_) => "wall_limit",
            Refusal::CpuTime(_) => "cpu_limit",
            Refusal::Memory(_) => "memory_limit",
            Refusal::ResponseBodyLimit(_) => "response_body_limit",
            Refusal::Start(_) => "guest_start",
            Refusal::ClientGone => "client_gone",
            Refusal::Internal(_) => "internal_error",
        }
    }

    /// The status of the response.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Refusal::BadRequest(_) | Refusal::RequestBodyBroken | Refusal::ClientGone => StatusCode::BAD_REQUEST,
            Refusal::HeadLimit => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Refusal::NoSite(_) | Refusal::NoPath(_) | Refusal::NoFile => StatusCode::NOT_FOUND,
            Refusal::FileMethod => StatusCode::METHOD_NOT_ALLOWED,
            Refusal::RequestBodyLimit(_) => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::RequestBodyStalled => StatusCode::REQUEST_TIMEOUT,
            Refusal::RateLimit(_) => StatusCode::TOO_MANY_REQUESTS,
            Refusal::Loading
            | Refusal::NoVersion
            | Refusal::QueueFull(_)
            | Refusal::InstancesBusy(_)
            | Refusal::Overloaded
            | Refusal::Draining => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::BadHead(_) | Refusal::NoResponse | Refusal::ResponseBodyLimit(_) => StatusCode::BAD_GATEWAY,
            Refusal::WallTime(_) | Refusal::CpuTime(_) => StatusCode::GATEWAY_TIMEOUT,
            Refusal::Trap { .. } | Refusal::Exit(_) | Refusal::Memory(_) | Refusal::Start(_) | Refusal::Internal(_) => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
        }
    }

    /// Whether the same request may succeed in a moment.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self.status(), StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }

    /// Whether it is nobody's fault, and its line in the log says it all: a file that is not there.
    pub(crate) fn is_usual(&self) -> bool {
        matches!(self, Refusal::NoFile | Refusal::FileMethod)
    }

    /// Why the guest trapped, if it did.
    pub(crate) fn trap(&self) -> Option<TrapCode> {
        if let Refusal::Trap { code, .. } = self { Some(*code) } else { None }
    }

    /// More, for the log.
    pub(crate) fn detail(&self) -> Option<&str> {
        match self {
            Refusal::Trap { backtrace: detail, .. } | Refusal::Internal(detail) => Some(detail),
            _ => None,
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::BadRequest(why) => f.write_str(why),
            Refusal::HeadLimit => write!(f, "the request has more than {HEADERS_MAX} header fields"),
            Refusal::NoSite(host) => write!(f, "no site is deployed for the host {host:?}"),
            Refusal::NoPath(host) => write!(f, "no site of the host {host:?} answers for this path"),
            Refusal::Loading => f.write_str("the site is being loaded"),
            Refusal::NoFile => f.write_str("the site has no file for this path, and no program"),
            Refusal::FileMethod => f.write_str("a file can be asked for by GET and HEAD alone"),
            Refusal::NoVersion => f.write_str("the site has no version that can be run"),
            Refusal::RequestBodyLimit(max) => {
                write!(f, "the request's body is longer than the tenant's limit of {max}")
            }
            Refusal::RequestBodyStalled => f.write_str("the request's body did not come in time"),
            Refusal::RequestBodyBroken => f.write_str("the request's body ended before its end, or is malformed"),
            Refusal::RateLimit(max) => write!(f, "the tenant's limit of {max} requests per second is reached"),
            Refusal::QueueFull(max) => {
                write!(f, "{max} requests wait for the tenant's sites already, which is its limit")
            }
            Refusal::InstancesBusy(max) => {
                write!(f, "the request waited too long for an instance: the tenant's limit of {max} at once is reached")
            }
            Refusal::Overloaded => f.write_str("the request waited too long for a free instance of the server's"),
            Refusal::Draining => f.write_str("the server is being stopped"),
            Refusal::Trap { code, .. } => write!(f, "the site's program trapped: {code}"),
            Refusal::Exit(code) => write!(f, "the site's program ended with exit code {code} before it had answered"),
            Refusal::BadHead(why) => write!(f, "the site's program wrote no valid response: {why}"),
            Refusal::NoResponse => f.write_str("the site's program ended without a response"),
            Refusal::WallTime(max) => write!(f, "the site's program ran longer than its limit of {max}"),
            Refusal::CpuTime(max) => write!(f, "the site's program used more CPU time than its limit of {max}"),
            Refusal::Memory(max) => {
                write!(f, "the site's program failed after it had asked for more memory than its limit of {max}")
            }
            Refusal::ResponseBodyLimit(max) => {
                write!(f, "the response's body is longer than the tenant's limit of {max}")
            }
            Refusal::Start(why) => write!(f, "no instance of the site's program could be made: {why}"),
            Refusal::ClientGone => f.write_str("the client went away before the end of the response"),
            Refusal::Internal(_) => f.write_str("the server made a mistake"),
        }
    }
}
