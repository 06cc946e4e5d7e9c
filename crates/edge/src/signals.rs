//! Signals of the operating system, without handlers: a handler that runs on a guest's stack would end the process.
//!
//! They are blocked in all threads and waited for in one. So [`block`] comes first in a process, before it has threads.

use nix::sys::signal::{SigSet, Signal};
use tokio::sync::mpsc;

/// What the operator asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Asked {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// End what is under way, and stop (SIGTERM, SIGINT).
    Stop,
}

fn set() -> SigSet {
    [Signal::SIGHUP, Signal::SIGTERM, Signal::SIGINT].into_iter().collect()
}

/// Blocks the signals in this thread and those it will start.
///
/// # Errors
/// If the operating system refuses.
pub fn block() -> std::io::Result<()> {
    Ok(set().thread_block()?)
}

/// Waits for the next signal.
///
/// # Errors
/// If the operating system refuses.
pub fn wait() -> std::io::Result<Asked> {
    Ok(match set().wait()? {
        Signal::SIGHUP => Asked::Reload,
        _ => Asked::Stop,
    })
}

/// Waits until it is asked to stop.
pub async fn stop(asked: &mut mpsc::UnboundedReceiver<Asked>) {
    loop {
        match asked.recv().await {
            Some(Asked::Stop) => return,
            Some(Asked::Reload) => {}
            // Nobody tells any more.
            None => std::future::pending().await,
        }
    }
}

/// Signals as they come, told by a thread that waits for them.
///
/// # Errors
/// If there can be no such thread.
pub fn listen() -> std::io::Result<mpsc::UnboundedReceiver<Asked>> {
    let (tell, told) = mpsc::unbounded_channel();
    let tell_all = move || {
        while let Ok(asked) = wait() {
            if tell.send(asked).is_err() {
                return;
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(tell_all)?;
    Ok(told)
}
