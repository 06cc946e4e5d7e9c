//! Every bound of the interface, with its unit in its name. What exceeds one gets an errno, or a build error.

/// Longest path a guest can name.
pub(crate) const PATH_BYTES_MAX: u32 = 4096;
/// Most buffers of one scattered read or write (`IOV_MAX`).
pub(crate) const IOVECS_MAX: u32 = 1024;
/// Most that a read whose buffers overlap transfers at once: it goes through a buffer of the host's.
pub(crate) const BOUNCE_BYTES_MAX: usize = 64 << 10;
/// What a pipe that is ready takes without waiting (`PIPE_BUF`).
pub(crate) const PIPE_BYTES_AT_ONCE: usize = 4096;
/// Most subscriptions of one `poll_oneoff`.
pub(crate) const SUBSCRIPTIONS_MAX: u32 = 4096;
/// Host buffer for reading directories.
pub(crate) const LISTING_BYTES_MIN: usize = 1 << 10;
/// Host buffer for reading directories.
pub(crate) const LISTING_BYTES_MAX: usize = 32 << 10;
/// Symbolic links followed in one resolution, as in Linux.
pub(crate) const SYMLINKS_MAX: u32 = 40;
/// Components of a path while symbolic links are put into it.
pub(crate) const PATH_COMPONENTS_MAX: usize = 8192;
/// How often a resolution that lost a race with a rename is begun again by the kernel.
pub(crate) const RESOLVE_RETRIES_MAX: u32 = 16;
/// Most random bytes of one call; a tenth of a second's worth.
pub(crate) const RANDOM_BYTES_MAX: u32 = 64 << 20;
/// Random bytes are drawn in pieces of this size.
pub(crate) const RANDOM_CHUNK_BYTES: usize = 1 << 20;

/// Files of which it is kept how much of their length an instance is charged for.
pub(crate) const CHARGED_FILES_MAX: usize = 4096;
/// Entries of a tree in memory.
pub(crate) const TREE_ENTRIES_MAX: usize = 1_000_000;
/// How deep its entries lie.
pub(crate) const TREE_DEPTH_MAX: usize = 100;
/// Its contents and names, and the archive it comes from.
pub(crate) const TREE_BYTES_MAX: u64 = 4 << 30;
/// Longest name of one of its entries, as in Linux.
pub(crate) const NAME_BYTES_MAX: usize = 255;
/// Data that a trace shows of one buffer.
pub(crate) const TRACED_BYTES_MAX: usize = 32;
/// Buffers, subscriptions or events that a trace shows of one call.
pub(crate) const TRACED_ITEMS_MAX: usize = 16;

/// Arguments, and environment, of an instance.
pub(crate) const STRINGS_BYTES_MAX: usize = 16 << 20;
/// Directories and sockets granted to an instance.
pub(crate) const PREOPENS_MAX: usize = 1_000;
/// Open descriptors of an instance, unless the embedder says otherwise.
pub(crate) const DESCRIPTORS_MAX_DEFAULT: u32 = 1_024;

const _: () = assert!(PREOPENS_MAX + 3 <= DESCRIPTORS_MAX_DEFAULT as usize);
const _: () = assert!(LISTING_BYTES_MIN >= 24 + 256, "one entry of the longest name");
