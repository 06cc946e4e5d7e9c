//! Ending, signals, yielding.

use selvedge_runtime::HostError;

use crate::Wasi;
use crate::errno::{Answer, Errno};

/// What a signal that a guest sends itself does. Guests cannot catch signals: it is what the document says
/// happens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Raised {
    Ignored,
    /// Ends the instance, with the exit code a shell would show.
    Ends(i32),
}

/// What raising a signal, by its number in the witx document, does.
pub(crate) fn raise(signal: u32) -> Answer<Raised> {
    match signal {
        // None, SIGPIPE, SIGCHLD, SIGCONT, SIGURG, SIGWINCH.
        0 | 13 | 16 | 17 | 22 | 27 => Ok(Raised::Ignored),
        // SIGSTOP, SIGTSTP, SIGTTIN, SIGTTOU: nothing could continue it.
        18..=21 => Err(Errno::Notsup),
        1..=30 => Ok(Raised::Ends(128 + HOST_NUMBERS[signal as usize])),
        _ => Err(Errno::Inval),
    }
}

/// Linux's numbers of the document's signals: exit codes are read by people who know those.
const HOST_NUMBERS: [i32; 31] =
    [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31];

/// Ends the instance.
pub(crate) fn exit(code: u32) -> HostError {
    HostError::exit(code as i32)
}

impl Wasi {
    pub(crate) fn sched_yield(&mut self, _mem: &mut [u8]) -> Answer {
        std::thread::yield_now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_do_what_they_do_by_default() {
        assert_eq!(raise(6), Ok(Raised::Ends(134)), "abort");
        assert_eq!(raise(11), Ok(Raised::Ends(139)), "segv");
        assert_eq!(raise(15), Ok(Raised::Ends(143)), "term");
        assert_eq!(raise(30), Ok(Raised::Ends(159)), "sys");
        assert_eq!(raise(16), Ok(Raised::Ignored), "chld");
        assert_eq!(raise(13), Ok(Raised::Ignored), "pipe: unlike POSIX, the document ignores it");
        assert_eq!(raise(18), Err(Errno::Notsup), "stop");
        assert_eq!(raise(31), Err(Errno::Inval));
        assert_eq!(raise(u32::MAX), Err(Errno::Inval));
    }
}
