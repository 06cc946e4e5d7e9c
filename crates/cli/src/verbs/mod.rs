//! The verbs of the command, one a file.

pub(crate) mod canary;
pub(crate) mod check;
pub(crate) mod compile;
pub(crate) mod deploy;
pub(crate) mod dev;
pub(crate) mod inspect;
pub(crate) mod key;
pub(crate) mod logs;
pub(crate) mod new;
pub(crate) mod rollback;
pub(crate) mod run;
pub(crate) mod serve;
pub(crate) mod sign;
pub(crate) mod sites;
pub(crate) mod top;
pub(crate) mod verify;
pub(crate) mod versions;
pub(crate) mod wast;
