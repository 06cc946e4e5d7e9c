//! The verbs of the command, one a file.

pub(crate) mod compile;
pub(crate) mod inspect;
pub(crate) mod run;
pub(crate) mod verify;
pub(crate) mod wast;
