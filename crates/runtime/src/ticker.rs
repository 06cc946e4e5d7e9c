//! The thread that looks, every [`TICK`], at what runs: whose time is over is asked to end, whose slice is used up
//! to give way.
//!
//! ```text
//!   thread ─► its post: what it runs now, with limits ◄─ looks ─ ticker ─ looks ─► alarms: what waits, with limits
//! ```
//!
//! Whoever runs a guest with limits on time puts a [`Watch`] on its thread's post and takes it away afterwards: one
//! lock, which only the ticker ever wants, too. Guests without limits are not seen here. The ticker asks under that
//! lock, so nothing is asked of a guest on account of a watch that has ended. While nothing is watched it sleeps.
//!
//! There is one for the process, started by the first limit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::thread::{Builder, Thread};
use std::time::{Duration, Instant};

use selvedge_native::{CpuClock, InterruptHandle, Interruption};

/// How often the ticker looks: limits and slices are kept to within this.
pub const TICK: Duration = Duration::from_millis(1);
/// Ticks without anything to look at, after which it sleeps.
const IDLE_TICKS_MAX: u32 = 50;

/// What to ask of a guest, and when.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) handle: InterruptHandle,
    /// By the thread's CPU clock.
    pub(crate) cpu_until: Option<Duration>,
    pub(crate) wall_until: Option<Instant>,
    pub(crate) slice_until: Option<Instant>,
}

/// What one thread runs: guests, the innermost last.
struct Post {
    clock: Option<CpuClock>,
    watches: Mutex<Vec<Watch>>,
    /// How many others want the thread, if that is known.
    crowd: OnceLock<Arc<AtomicUsize>>,
}

struct Ticker {
    posts: Mutex<Vec<Weak<Post>>>,
    /// What waits, by when its time is over.
    alarms: Mutex<BTreeMap<(Instant, u64), InterruptHandle>>,
    next_alarm: AtomicU64,
    asleep: AtomicBool,
    thread: OnceLock<Thread>,
}

static TICKER: Ticker = Ticker {
    posts: Mutex::new(Vec::new()),
    alarms: Mutex::new(BTreeMap::new()),
    next_alarm: AtomicU64::new(0),
    asleep: AtomicBool::new(false),
    thread: OnceLock::new(),
};

thread_local! {
    static SLICE: Cell<Option<Duration>> = const { Cell::new(None) };
    static POST: RefCell<Option<Arc<Post>>> = const { RefCell::new(None) };
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below leaves it half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Starts the ticker if it does not run yet.
pub(crate) fn ensure() -> io::Result<()> {
    static STARTING: Mutex<()> = Mutex::new(());
    if TICKER.thread.get().is_none() {
        let _one = lock(&STARTING);
        if TICKER.thread.get().is_none() {
            let thread = Builder::new().name("selvedge-ticker".into()).spawn(|| TICKER.run())?;
            TICKER.thread.get_or_init(|| thread.thread().clone());
        }
    }
    Ok(())
}

/// Watches what this thread is about to run, until [`end`].
pub(crate) fn begin(watch: Watch) {
    with_post(|post| lock(&post.watches).push(watch));
    TICKER.rouse();
}

/// What this thread has run has ended: the innermost.
pub(crate) fn end() {
    with_post(|post| lock(&post.watches).pop());
}

/// Guests that run on this thread give way after so long while anybody is in the crowd.
pub(crate) fn share_thread(slice: Duration, crowd: Arc<AtomicUsize>) {
    SLICE.set(Some(slice));
    with_post(|post| drop(post.crowd.set(crowd)));
}

/// This thread's slice, if it is shared.
#[inline]
pub(crate) fn slice() -> Option<Duration> {
    // Unlike `get`, `try_with` is inlined into other crates.
    SLICE.try_with(Cell::get).ok().flatten()
}

fn with_post<R>(act: impl FnOnce(&Post) -> R) -> R {
    POST.with(|own| act(own.borrow_mut().get_or_insert_with(new_post)))
}

fn new_post() -> Arc<Post> {
    let clock = CpuClock::of_this_thread();
    let post = Arc::new(Post { clock, watches: Mutex::default(), crowd: OnceLock::new() });
    let mut posts = lock(&TICKER.posts);
    posts.retain(|post| post.strong_count() > 0);
    posts.push(Arc::downgrade(&post));
    post
}

/// Ends what waits when its time is over, unless dropped before.
#[derive(Debug)]
pub(crate) struct Alarm((Instant, u64));

impl Alarm {
    pub(crate) fn new(at: Instant, handle: InterruptHandle) -> Alarm {
        let key = (at, TICKER.next_alarm.fetch_add(1, Ordering::Relaxed));
        let first = {
            let mut alarms = lock(&TICKER.alarms);
            alarms.insert(key, handle);
            alarms.first_key_value().is_some_and(|(first, _)| *first == key)
        };
        if first {
            TICKER.rouse();
        }
        Alarm(key)
    }
}

impl Drop for Alarm {
    fn drop(&mut self) {
        lock(&TICKER.alarms).remove(&self.0);
    }
}

impl Ticker {
    /// Wakes it if it sleeps. Whoever has put something under a lock that it takes before it falls asleep is either
    /// seen by it then, or sees here that it sleeps.
    fn rouse(&self) {
        if self.asleep.load(Ordering::SeqCst)
            && self.asleep.swap(false, Ordering::SeqCst)
            && let Some(thread) = self.thread.get()
        {
            thread.unpark();
        }
    }

    fn run(&self) {
        let mut idle = 0;
        loop {
            idle = if self.look() { 0 } else { idle + 1 };
            if idle < IDLE_TICKS_MAX {
                std::thread::park_timeout(TICK);
                continue;
            }
            self.asleep.store(true, Ordering::SeqCst);
            if !self.look() {
                match self.next_alarm() {
                    Some(at) => std::thread::park_timeout(at.saturating_duration_since(Instant::now())),
                    None => std::thread::park(),
                }
            }
            self.asleep.store(false, Ordering::SeqCst);
            idle = IDLE_TICKS_MAX / 2;
        }
    }

    fn next_alarm(&self) -> Option<Instant> {
        lock(&self.alarms).first_key_value().map(|((at, _), _)| *at)
    }

    /// Looks at everything once; whether there was anything to look at.
    fn look(&self) -> bool {
        let now = Instant::now();
        let posts: Vec<_> = lock(&self.posts).iter().filter_map(Weak::upgrade).collect();
        let mut ended = Vec::new();
        let mut busy = false;
        for post in &posts {
            busy |= post.look(now, &mut ended);
        }
        self.ring(now, &mut ended);
        // Wakers run code of others: under no lock.
        ended.iter().for_each(InterruptHandle::wake);
        busy || !ended.is_empty()
    }

    fn ring(&self, now: Instant, ended: &mut Vec<InterruptHandle>) {
        let mut alarms = lock(&self.alarms);
        while let Some(first) = alarms.first_entry().filter(|first| first.key().0 <= now) {
            let handle = first.remove();
            handle.end_quietly(Interruption::WallLimit);
            ended.push(handle);
        }
    }
}

impl Post {
    fn look(&self, now: Instant, ended: &mut Vec<InterruptHandle>) -> bool {
        let mut watches = lock(&self.watches);
        let used =
            if watches.iter().any(|w| w.cpu_until.is_some()) { self.clock.and_then(CpuClock::now) } else { None };
        for watch in &mut *watches {
            let mut end = |by| {
                watch.handle.end_quietly(by);
                ended.push(watch.handle.clone());
            };
            if watch.wall_until.take_if(|at| *at <= now).is_some() {
                end(Interruption::WallLimit);
            }
            if watch.cpu_until.take_if(|at| used.is_some_and(|used| *at <= used)).is_some() {
                end(Interruption::CpuLimit);
            }
            let waited_for = || self.crowd.get().is_none_or(|crowd| crowd.load(Ordering::SeqCst) > 0);
            if watch.slice_until.take_if(|at| *at <= now && waited_for()).is_some() {
                watch.handle.preempt();
            }
        }
        !watches.is_empty()
    }
}
