//! What a jail is made of.

/// A layer of the jail. Each takes something away by itself, so that a hole in one is not a hole in the jail.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Layer {
    /// Nothing that is started gets rights that this process has not (`no_new_privs`).
    NoNewPrivileges,
    /// What root may, and others may not, is given up; a process that keeps files goes on passing over their
    /// permissions if it could before.
    Capabilities,
    /// Other processes of the same user cannot look at the memory of this one, nor can what collects crashes.
    Undumpable,
    /// No files but those that were granted (landlock).
    Files,
    /// No TCP but to ports that were granted (landlock).
    Network,
    /// No signals to processes outside, and none of their abstract sockets (landlock).
    Scope,
    /// No system calls but those on the list (seccomp).
    Calls,
    /// Private writable memory.
    Memory,
    /// Address space.
    AddressSpace,
    /// The main thread's stack.
    Stack,
    /// Files open at once.
    OpenFiles,
    /// No core dumps.
    CoreDumps,
    /// The length of a file.
    FileBytes,
    /// CPU time of all threads.
    CpuTime,
}

impl Layer {
    /// All there are.
    pub const ALL: [Layer; 14] = [
        Layer::NoNewPrivileges,
        Layer::Capabilities,
        Layer::Undumpable,
        Layer::Files,
        Layer::Network,
        Layer::Scope,
        Layer::Calls,
        Layer::Memory,
        Layer::AddressSpace,
        Layer::Stack,
        Layer::OpenFiles,
        Layer::CoreDumps,
        Layer::FileBytes,
        Layer::CpuTime,
    ];
}
