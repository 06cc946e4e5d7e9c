//! A bar on a terminal for compilations that take longer than a moment; nothing otherwise.

use std::io::IsTerminal;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use selvedge_compiler::Progress;

/// Shorter compilations show nothing.
const MOMENT: Duration = Duration::from_millis(300);

/// Listens to one compilation.
pub(crate) struct Bar {
    begun: Instant,
    shown: bool,
    total: AtomicU64,
    done: AtomicU64,
    bar: OnceLock<ProgressBar>,
}

impl Bar {
    /// A bar that appears on stderr after a moment, if that is a terminal.
    pub(crate) fn new() -> Bar {
        Bar {
            begun: Instant::now(),
            shown: std::io::stderr().is_terminal(),
            total: AtomicU64::new(0),
            done: AtomicU64::new(0),
            bar: OnceLock::new(),
        }
    }
}

impl Progress for Bar {
    fn functions(&self, total: usize) {
        self.total.store(total as u64, Ordering::Relaxed);
    }

    fn compiled(&self, n: usize) {
        let done = self.done.fetch_add(n as u64, Ordering::Relaxed) + n as u64;
        if self.shown && self.begun.elapsed() > MOMENT {
            self.bar.get_or_init(|| bar(self.total.load(Ordering::Relaxed))).set_position(done);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}

fn bar(total: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("compiling [{bar:32}] {human_pos}/{human_len} functions, {eta} left");
    ProgressBar::new(total).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
