//! What the tests share: from text to a module or an instance.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its own part")]

pub mod secrets;

use std::future::Future;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use selvedge_compiler::{Options, compile};
use selvedge_native::{LesserKernel, pretend_kernel};
use selvedge_runtime::{
    CallError, Instance, InstantiateError, Limits, Linker, LoadError, Module, Source, Store, TrapCode,
};

/// Compiles and loads a module given as text or binary.
pub fn load(wat: impl AsRef<[u8]>) -> Module {
    load_with(wat, &Options::default())
}

pub fn load_with(wat: impl AsRef<[u8]>, options: &Options) -> Module {
    load_untrusted(&compile(wat.as_ref(), options, &()).unwrap())
}

/// Loads an artifact that can be proved.
pub fn load_untrusted(artifact: &[u8]) -> Module {
    Module::load_untrusted(artifact, std::num::NonZeroUsize::MIN).unwrap()
}

/// Loads what the compiler has just written. Tests that damage it do not run it.
#[allow(unsafe_code)]
pub fn load_trusted<'a>(source: impl Into<Source<'a>>) -> Result<Module, LoadError> {
    // SAFETY: every test here runs only what comes straight from the compiler.
    unsafe { Module::load_trusted(source) }
}

pub fn store() -> Store<()> {
    Store::new((), Limits::default()).unwrap()
}

/// A store with one instance of a module that imports nothing.
pub fn instance(wat: &str) -> (Store<()>, Instance) {
    let mut store = store();
    let instance = Linker::new().instantiate(&mut store, &load(wat)).unwrap();
    (store, instance)
}

#[track_caller]
pub fn trap_code<R: std::fmt::Debug>(result: Result<R, CallError>) -> TrapCode {
    match result {
        Err(CallError::Trap(trap)) => trap.code,
        other => panic!("expected a trap, got {other:?}"),
    }
}

#[track_caller]
pub fn start_trap(result: Result<Instance, InstantiateError>) -> TrapCode {
    match result {
        Err(InstantiateError::Start(error)) => trap_code(Err::<(), _>(error)),
        other => panic!("expected a trap, got {other:?}"),
    }
}

/// Xorshift (Marsaglia 2003): replays from its seed.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// A task that counts how often it was woken.
#[derive(Default)]
pub struct Wakes(pub AtomicU32);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Polls once, for nobody.
pub fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// Tells a child which kernel it has.
const KERNEL: &str = "SELVEDGE_TEST_KERNEL";
const KERNELS: [(&str, LesserKernel); 2] =
    [("without markers", LesserKernel::WithoutMarkers), ("without scans", LesserKernel::WithoutScan)];

/// Runs a test of this program again on kernels that can do less; it begins with [`kernel_of_child`].
pub fn on_older_kernels(test: &str) {
    for (name, _) in KERNELS {
        let mut child = Command::new(std::env::current_exe().unwrap());
        let output = child.args([test, "--exact", "--nocapture"]).env(KERNEL, name).output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{name}: {said} {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains(&format!("on a kernel {name}")), "{said}");
    }
}

/// In a child of [`on_older_kernels`] the kernel can do less from now on. Says whether it is one.
pub fn kernel_of_child() -> bool {
    let Ok(told) = std::env::var(KERNEL) else { return false };
    let (name, kernel) = KERNELS.into_iter().find(|(name, _)| *name == told).expect("a kernel of the list");
    assert!(pretend_kernel(kernel), "nothing has run yet");
    println!("on a kernel {name}");
    true
}
