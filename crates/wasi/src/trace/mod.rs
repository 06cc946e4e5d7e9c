//! Telling of each call what it was: name, arguments, what came of it, and how long it took.
//!
//! ```text
//!   path_open(3, follow, "data.txt", creat|trunc, fd_write, 0, 0) = 4 <0.000021>
//! ```
//!
//! The functions of a linker are made for one [`Observe`]r: for [`Untraced`] nothing of this is left in them.
//! What a guest says is shown escaped, and no more of its data than a glance.

mod show;

use std::fmt::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::errno::{Answer, Errno};
use crate::functions::Version;

/// What a parameter means, or two parameters. Those that begin with `Out` are places for results.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    U32,
    U64,
    I64,
    /// A place that is not looked into.
    Address,
    Clock,
    Whence,
    Advice,
    Signal,
    LookupFlags,
    OpenFlags,
    Rights,
    FdFlags,
    FstFlags,
    RiFlags,
    SdFlags,
    /// Start and length of a path.
    Path,
    /// Start and number of buffers that are written from.
    Write,
    /// Start and number of buffers that are read into.
    Read,
    /// Start and length of a buffer to fill.
    Buffer,
    /// As `Buffer`; what is in it afterwards is a name.
    Name,
    /// The four parameters of `poll_oneoff`.
    Subscriptions,
    OutU32,
    OutU64,
    OutFdstat,
    OutFilestat,
    OutPrestat,
    OutRoFlags,
    /// How much of the buffers before was filled.
    OutDone,
    /// How much of the buffer before was filled with text.
    OutText,
    /// How much of the buffer before was filled with directory entries.
    OutEntries,
}

impl Kind {
    /// How many parameters it stands for.
    pub(crate) fn width(self) -> usize {
        match self {
            Kind::Path | Kind::Write | Kind::Read | Kind::Buffer | Kind::Name => 2,
            Kind::Subscriptions => 4,
            _ => 1,
        }
    }
}

/// Who is told of calls.
pub(crate) trait Observe: Clone + Send + Sync + 'static {
    /// What is kept during a call.
    type Call: Send + 'static;

    fn begins<V: Version>(&self, name: &str, kinds: &'static [Kind], raw: &[u64], mem: &[u8]) -> Self::Call;
    fn returns<V: Version>(&self, call: Self::Call, mem: &[u8], answer: Answer);
    /// A call that does not return.
    fn ends(&self, name: &str, kind: Kind, argument: u32);
}

/// Nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Untraced;

impl Observe for Untraced {
    type Call = ();

    #[inline]
    fn begins<V: Version>(&self, _: &str, _: &'static [Kind], _: &[u64], _: &[u8]) {}

    #[inline]
    fn returns<V: Version>(&self, (): (), _: &[u8], _: Answer) {}

    #[inline]
    fn ends(&self, _: &str, _: Kind, _: u32) {}
}

/// Tells of each call of a guest's, in a line as `strace` would. Clones tell the same.
#[derive(Clone)]
pub struct Tracer {
    tell: Arc<dyn Fn(&str) + Send + Sync>,
    times: bool,
}

impl Tracer {
    /// A tracer that hands each line, without its end, to this function.
    pub fn new(tell: impl Fn(&str) + Send + Sync + 'static) -> Tracer {
        Tracer { tell: Arc::new(tell), times: true }
    }

    /// Without how long calls took, so that lines are the same in each run.
    pub fn without_times(self) -> Tracer {
        Tracer { times: false, ..self }
    }

    fn tell(&self, mut line: String, took: Option<Duration>) {
        if let Some(took) = took.filter(|_| self.times) {
            // Writing to a string does not fail.
            let _ = write!(line, " <{:.6}>", took.as_secs_f64());
        }
        (self.tell)(&line);
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tracer").field("times", &self.times).finish_non_exhaustive()
    }
}

/// A call that is being made.
#[derive(Debug)]
pub(crate) struct Traced {
    line: String,
    kinds: &'static [Kind],
    raw: Vec<u64>,
    begun: Instant,
}

impl Observe for Tracer {
    type Call = Traced;

    fn begins<V: Version>(&self, name: &str, kinds: &'static [Kind], raw: &[u64], mem: &[u8]) -> Traced {
        let line = show::call::<V>(name, kinds, raw, mem);
        Traced { line, kinds, raw: raw.to_vec(), begun: Instant::now() }
    }

    fn returns<V: Version>(&self, call: Traced, mem: &[u8], answer: Answer) {
        let took = call.begun.elapsed();
        let result = answer.map(|()| show::results::<V>(call.kinds, &call.raw, mem));
        self.tell(format!("{} = {}", call.line, result.unwrap_or_else(name_of)), Some(took));
    }

    fn ends(&self, name: &str, kind: Kind, argument: u32) {
        let argument = [u64::from(argument)];
        self.tell(format!("{} = ?", show::shown(name, &[kind], &argument)), None);
    }
}

/// `ENOENT`, …
fn name_of(errno: Errno) -> String {
    match errno {
        Errno::TooBig => "E2BIG".to_owned(),
        errno => format!("E{errno:?}").to_uppercase(),
    }
}
