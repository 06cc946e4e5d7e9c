//! Every bound of the server, with its unit in its name. What exceeds one is refused by name.
//!
//! Constants hold for all; [`SiteLimits`] can be set for each tenant.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use crate::config::{ByteCount, TimeSpan, at_least_one, count, storage};

/// Connections of clients at once. One more is told so and closed.
pub const CONNECTIONS_MAX: usize = 10_000;
/// Connections to the admin API at once.
pub const ADMIN_CONNECTIONS_MAX: usize = 100;
/// Those of them on which logs are followed and pages watched, which have no end of their own.
pub const ADMIN_STREAMS_MAX: usize = 64;
/// The same with the tokens of one tenant, or with the operators'.
pub const ADMIN_STREAMS_OF_TENANT_MAX: usize = 16;
/// How often it is asked whether who follows or watches still may; pages are drawn as often.
pub const ADMIN_STREAM_TICK: Duration = Duration::from_secs(1);
/// How long nothing is sent of a log that is followed, before an empty line is.
pub const ADMIN_STREAM_QUIET_MAX: Duration = Duration::from_secs(15);
/// How long a page is watched; its browser asks again.
pub const PAGE_WATCH_MAX: Duration = Duration::from_secs(300);
/// An operator's connection that is quiet so long is asked whether somebody is there, and again so much later.
pub const ADMIN_KEEPALIVE: Duration = Duration::from_secs(15);
/// One whose operator's machine says nothing for so long, asked or sent something, is closed.
pub const ADMIN_GONE_AFTER: Duration = Duration::from_secs(60);
/// A request's line and headers; in HTTP/1, by the way hyper reads, up to twice this.
pub const HEAD_BYTES_MAX: usize = 32 << 10;
/// Time in which a request's head must have come; a connection on which none comes is closed.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Header fields of a request; hyper's own limit for HTTP/1, and only that needs no allocation.
pub const HEADERS_MAX: usize = 100;
/// Requests at once on a connection of HTTP/2.
pub const STREAMS_MAX: u32 = 100;
/// The same on all connections. The nearer that is, the fewer a connection may have; each may have one.
pub const STREAMS_OF_ALL_MAX: usize = 20_000;
/// What a client may send of a body before it is taken.
pub const STREAM_WINDOW_BYTES: u32 = 128 << 10;
/// The same of all bodies on a connection.
pub const CONNECTION_WINDOW_BYTES: u32 = 256 << 10;
/// What of responses waits to be sent on all connections of HTTP/2, and besides a piece on each.
pub const UNSENT_BYTES_MAX: usize = 512 << 20;
/// What of a response is given to HTTP/2 at once: what its client does not take is kept twice at most.
pub const STREAM_PIECE_BYTES: usize = 16 << 10;
/// Requests on a connection that its client may take back, beyond as many as it waits for.
pub const STREAMS_RESET_MAX: u32 = 100;
/// A connection of HTTP/2 on which nothing is asked for so long is closed.
pub const HTTP2_IDLE_MAX: Duration = Duration::from_secs(60);
/// No method has a longer name.
pub const METHOD_BYTES_MAX: usize = 32;
/// What a connection that is closed has time for, to hear of it.
pub const FAREWELL_MAX: Duration = Duration::from_secs(1);
/// Certificates that can be configured.
pub const CERTIFICATES_MAX: usize = 1_000;
/// Largest file of certificates or keys.
pub const CERTIFICATE_BYTES_MAX: u64 = 1 << 20;
/// How long a client waits to be asked for what it deploys, before it sends it all the same.
pub const CONTINUE_WAIT_MAX: Duration = Duration::from_secs(1);
/// Longest pause within a request's body.
pub const BODY_STALL_MAX: Duration = Duration::from_secs(30);
/// Longest time for which a client takes nothing of a response.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);

/// What a guest whose time is over has to be told so, before its connection or stream is cut off.
pub const CUT_OFF_GRACE: Duration = Duration::from_millis(100);

/// Instances at once, unless the configuration says otherwise. Each reserves address space, not memory.
pub const SLOTS_DEFAULT: u32 = 1_000;
/// Most that can be asked for: address space is 2^47 bytes.
pub const SLOTS_MAX: u32 = 16_000;
/// Memory of one instance that no tenant's limit can exceed.
pub const MEMORY_BYTES_MAX: u64 = 4 << 30;
/// How long a guest computes before others on its thread get their turn.
pub const SLICE: Duration = Duration::from_millis(1);
/// Largest weight of a tenant.
pub const WEIGHT_MAX: u32 = 1_000;
/// Longest wait for a free instance.
pub const QUEUE_WAIT_MAX: Duration = Duration::from_secs(10);
/// What a client that was turned away is asked to wait.
pub const RETRY_AFTER_SECONDS: u64 = 1;

/// What a guest has written and the client has not taken yet. A response that fits is sent in one piece.
pub const RESPONSE_BUFFER_BYTES: usize = 64 << 10;
/// The head that a CGI program writes.
pub const CGI_HEAD_BYTES_MAX: usize = 16 << 10;
/// Header fields of it.
pub const CGI_HEADERS_MAX: usize = 100;
/// Longest line of a guest's log; what is longer is cut.
pub const LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// What the server remembers of one site's log.
pub const LOG_RING_BYTES_MAX: usize = 256 << 10;
/// Lines of one site's log in the server's own, in a second; what is more is in the site's log alone.
pub const LOG_LINES_PER_SECOND_MAX: u32 = 100;
/// Lines on their way to the server's own log; more are dropped and counted.
pub const LOG_QUEUE_LINES_MAX: usize = 1_024;
/// What of it is written at once.
pub const LOG_WRITE_BYTES_MAX: usize = 64 << 10;
/// Text of a trap or an error that is kept.
pub const MESSAGE_BYTES_MAX: usize = 8 << 10;

/// Largest module that can be deployed.
pub const MODULE_BYTES_MAX: u64 = 128 << 20;
/// Largest bundle.
pub const BUNDLE_BYTES_MAX: u64 = 512 << 20;
/// Entries of a bundle, and the directories that their names imply.
pub const BUNDLE_ENTRIES_MAX: usize = 20_000;
/// All their names together.
pub const BUNDLE_NAMES_BYTES_MAX: usize = 2 << 20;
/// Longest name in a bundle, of all its segments together.
pub const BUNDLE_NAME_BYTES_MAX: usize = 512;
/// How deep its files lie.
pub const BUNDLE_DEPTH_MAX: usize = 32;
/// What a bundle's archive says of one entry beside its header: long names, times, owners.
pub const BUNDLE_NOTE_BYTES_MAX: u64 = 64 << 10;
/// Arguments that a bundle gives its program.
pub const BUNDLE_ARGS_MAX: usize = 100;
/// All of them together.
pub const BUNDLE_ARG_BYTES_MAX: u64 = 16 << 10;
/// Time in which a module or bundle must have come: what was allowed at its beginning may not be any more at its end. The
/// largest needs 2.4 Mbit/s.
pub const UPLOAD_MAX: Duration = Duration::from_secs(30 * 60);
/// Time in which a module must be compiled.
pub const COMPILE_TIMEOUT: Duration = Duration::from_secs(300);
/// What is kept of what a compiler says.
pub const COMPILER_OUTPUT_BYTES_MAX: usize = 64 << 10;
/// Deploys at work at once, each of another tenant; one more waits.
pub const DEPLOYS_MAX: usize = 2;
/// Deploys of one tenant: one at work, the others being uploaded or waiting. One more is refused.
pub const DEPLOYS_OF_TENANT_MAX: usize = 4;
/// What a client whose deploy was turned away is asked to wait.
pub const DEPLOY_RETRY_AFTER_SECONDS: u64 = 10;
/// How much nicer than the server compilers are (nice(1)).
pub const COMPILER_NICER: u8 = 10;
/// Time in which a new version must answer its first request.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a site that could not be loaded waits until it is tried again, first and at most: each time twice as long.
pub const LOAD_AGAIN_FIRST: Duration = Duration::from_millis(500);
/// See there.
pub const LOAD_AGAIN_MAX: Duration = Duration::from_secs(30);
/// Versions of a site that are kept, the active one among them.
pub const VERSIONS_MAX: usize = 50;
/// Sites of the server.
pub const SITES_MAX: usize = 10_000;
/// What deploys leave free of the disk with the state, or a sixteenth of it if that is less.
pub const DISK_RESERVE_BYTES: u64 = 256 << 20;
/// What of the disk an upload asks for at a time that has not said how long it is.
pub const UPLOAD_GROWS_BYTES: u64 = 1 << 20;
/// Most that a tenant's versions may be allowed to take.
pub const STORAGE_BYTES_MAX: u64 = 1 << 50;
/// Longest wait for the state of a server that has just ended.
pub const STATE_WAIT_MAX: Duration = Duration::from_secs(2);
/// Files that a jailed server has open at once: connections, an artifact for each version that answers, and the rest.
pub const OPEN_FILES_MAX: usize =
    CONNECTIONS_MAX + ADMIN_CONNECTIONS_MAX + OUTBOUND_CONNECTIONS_MAX + 2 * SITES_MAX + 1_000;
/// Hosts of a site.
pub const HOSTS_MAX: usize = 32;
/// Hosts on a tenant's list of those that its sites may answer for.
pub const TENANT_HOSTS_MAX: usize = 1_000;
/// Servers on a tenant's list of those that its programs may ask.
pub const OUTBOUND_DESTINATIONS_MAX: usize = 1_000;
/// Connections to other servers at once, of all programs.
pub const OUTBOUND_CONNECTIONS_MAX: usize = 2_000;
/// Requests of one tenant's programs to other servers at once, to the ends of their answers; one more waits.
pub const OUTBOUND_ASKED_OF_TENANT_MAX: usize = 128;
/// How long it waits: for that, for a connection, and for its turn to make one.
pub const OUTBOUND_WAIT_MAX: Duration = Duration::from_secs(10);
/// Connections of one tenant's, while others have few: what is more than its requests waits for the next.
pub const OUTBOUND_CONNECTIONS_OF_TENANT_MAX: usize = OUTBOUND_ASKED_OF_TENANT_MAX + 64;
/// Of these, the ones that are being made, so that servers that do not answer hold up nobody else.
pub const OUTBOUND_DIALS_OF_TENANT_MAX: usize = 4;
/// Those of all tenants together; what makes them for a jailed server has as many threads.
pub const OUTBOUND_DIALS_MAX: usize = 64;
/// Time in which another server must take a connection, and again in which it must prove who it is.
pub const OUTBOUND_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a tenant's place among those that connect is held after a connection that was not made.
pub const OUTBOUND_FAILED_PAUSE: Duration = Duration::from_millis(100);
/// TLS sessions that a tenant keeps, to begin the next connections to the same servers with.
pub const OUTBOUND_TLS_SESSIONS_MAX: usize = 256;
/// How long a connection waits for the next request.
pub const OUTBOUND_IDLE_MAX: Duration = Duration::from_secs(10);
/// Connections to one server that do.
pub const OUTBOUND_IDLE_OF_SERVER_MAX: usize = 16;
/// A URL that a program asks for.
pub const OUTBOUND_URL_BYTES_MAX: usize = 8 << 10;
/// Headers of a program's request, and of its answer.
pub const OUTBOUND_HEAD_BYTES_MAX: usize = 64 << 10;
/// The body of a program's request, which is copied.
pub const OUTBOUND_BODY_BYTES_MAX: usize = 4 << 20;
/// Frames of an answer's body, without bytes, that are passed over before others have their turn.
pub const OUTBOUND_FRAMES_AT_ONCE: usize = 64;
/// Answers that an instance has open at once.
pub const OUTBOUND_ANSWERS_MAX: usize = 16;
/// Lines in a site's log about what one request could not reach.
pub const OUTBOUND_NOTES_MAX: u32 = 8;
/// Spans on their way to the collector; more are dropped and counted.
pub const SPAN_QUEUE_MAX: usize = 4_096;
/// Spans that are sent at once.
pub const SPAN_BATCH_MAX: usize = 512;
/// How long a span waits for others.
pub const SPAN_WAIT_MAX: Duration = Duration::from_secs(1);
/// Time in which a collector must take a batch.
pub const SPAN_SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// What of an upload is written to its file at once.
pub const UPLOAD_BUFFER_BYTES: usize = 256 << 10;
/// The form with a token, which anybody may send.
pub const LOGIN_FORM_BYTES_MAX: usize = 4 << 10;
/// A form of the dashboard.
pub const DASHBOARD_FORM_BYTES_MAX: usize = 4 << 20;
/// A module as text in a form of the dashboard; escapes may make it three times as long.
pub const DASHBOARD_TEXT_BYTES_MAX: usize = 1 << 20;
/// A module that is dropped into the dashboard.
pub const DASHBOARD_MODULE_BYTES_MAX: u64 = 16 << 20;
/// What the dashboard shows of a site's answer.
pub const DASHBOARD_ANSWER_BYTES_MAX: usize = 64 << 10;
/// Time in which a site that is asked from the dashboard must answer.
pub const TRIAL_TIMEOUT: Duration = Duration::from_secs(35);
/// Browsers that are logged in with one token; the one that has been longest gives way.
pub const SESSIONS_OF_TOKEN_MAX: usize = 16;
/// How long a browser stays logged in.
pub const SESSION_MAX: Duration = Duration::from_secs(12 * 3_600);
/// Time that requests get to end when the server stops.
pub const DRAIN_MAX: Duration = Duration::from_secs(30);
/// Time that clients get then to take what was answered.
pub const TAKE_MAX: Duration = Duration::from_secs(5);

const _: () = assert!(CGI_HEAD_BYTES_MAX <= RESPONSE_BUFFER_BYTES);
const _: () = assert!(STREAM_PIECE_BYTES <= RESPONSE_BUFFER_BYTES && STREAM_WINDOW_BYTES <= CONNECTION_WINDOW_BYTES);
const _: () = assert!(LOG_LINE_BYTES_MAX * 16 <= LOG_RING_BYTES_MAX);
const _: () = assert!(DASHBOARD_TEXT_BYTES_MAX * 3 < DASHBOARD_FORM_BYTES_MAX);
const _: () = assert!(BODY_STALL_MAX.as_secs() < UPLOAD_MAX.as_secs());
const _: () = assert!(SLOTS_DEFAULT <= SLOTS_MAX);
const _: () = assert!(ADMIN_STREAMS_OF_TENANT_MAX < ADMIN_STREAMS_MAX && ADMIN_STREAMS_MAX < ADMIN_CONNECTIONS_MAX);

/// What a tenant's sites may use. `memory`, `wall`, `cpu`, bodies and log are of one request; `instances`, `queue` and
/// `requests_per_second` of all the tenant's requests together; `sites` and `storage` of what is kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct SiteLimits {
    /// Memory of an instance.
    pub memory: ByteCount,
    /// Time from an instance's start to its end.
    pub wall: TimeSpan,
    /// CPU time of an instance.
    pub cpu: TimeSpan,
    /// Instances at once.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(range(min = 1))]
    pub instances: u32,
    /// Requests that wait for one.
    #[serde(deserialize_with = "count")]
    pub queue: u32,
    /// A request's body.
    pub request_body: ByteCount,
    /// A response's body.
    pub response_body: ByteCount,
    /// What an instance may log.
    pub log: ByteCount,
    /// Requests in a second; none is no limit.
    #[serde(deserialize_with = "some_rate")]
    #[schemars(range(min = 1))]
    pub requests_per_second: Option<u32>,
    /// The tenant's sites.
    #[serde(deserialize_with = "at_least_one")]
    #[schemars(range(min = 1))]
    pub sites: u32,
    /// What is kept of all their versions: modules, artifacts and bundles. Where a new version has no room, older ones of
    /// its site go.
    #[serde(deserialize_with = "storage")]
    pub storage: ByteCount,
}

fn some_rate<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    at_least_one(deserializer).map(Some)
}

impl Default for SiteLimits {
    fn default() -> SiteLimits {
        SiteLimits {
            memory: ByteCount(128 << 20),
            wall: TimeSpan(Duration::from_secs(30)),
            cpu: TimeSpan(Duration::from_secs(10)),
            instances: 100,
            queue: 100,
            request_body: ByteCount(64 << 20),
            response_body: ByteCount(1 << 30),
            log: ByteCount(64 << 10),
            requests_per_second: None,
            sites: 100,
            storage: ByteCount(10 << 30),
        }
    }
}
