//! All functions at once: as many threads as there are cores, the largest functions first so that none
//! is left waiting for a giant at the end. The result does not depend on who compiled what when.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

use selvedge_contract::limits::TEXT_BYTES_MAX;

use crate::Progress;
use crate::codegen::{Code, Generator};
use crate::error::{CompileError, Place};
use crate::isa::Isa;
use crate::module::{Body, Module};

/// The code generator keeps some of its work on the stack.
const STACK_BYTES: usize = 16 << 20;

struct Work<'a> {
    module: &'a Module,
    bodies: &'a [Body<'a>],
    isa: Isa,
    /// Text indices, in the order in which to compile.
    order: Vec<u32>,
    next: AtomicUsize,
    code_bytes: AtomicU64,
    /// The failure with the lowest text index so far: which error is reported does not depend on timing.
    failed: Mutex<Option<(u32, CompileError)>>,
    progress: &'a dyn Progress,
}

/// Compiles every text function, in their order.
pub(crate) fn compile_all(
    module: &Module,
    bodies: &[Body<'_>],
    isa: &Isa,
    threads: Option<usize>,
    progress: &dyn Progress,
) -> Result<Vec<Code>, CompileError> {
    let count = module.text_functions();
    let mut order: Vec<u32> = (0..count).collect();
    order.sort_by_key(|index| {
        let bytes = bodies.get(*index as usize).map_or(0, |(_, body)| body.as_bytes().len());
        std::cmp::Reverse(bytes)
    });
    progress.functions(count as usize);
    let work = Work {
        module,
        bodies,
        isa: isa.clone(),
        order,
        next: AtomicUsize::new(0),
        code_bytes: AtomicU64::new(0),
        failed: Mutex::new(None),
        progress,
    };
    let threads = threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let parts = run(&work, threads.clamp(1, count as usize))?;
    if let Some((_, error)) = work.failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    let mut all: Vec<Option<Code>> = (0..count).map(|_| None).collect();
    for (index, code) in parts.into_iter().flatten() {
        all[index as usize] = Some(code);
    }
    Ok(all.into_iter().map(|code| code.expect("every function was compiled or one failed")).collect())
}

type Part = Vec<(u32, Code)>;

fn run(work: &Work<'_>, threads: usize) -> Result<Vec<Part>, CompileError> {
    let lost = |message: &str| CompileError::Codegen { message: message.into(), place: Place::default() };
    thread::scope(|scope| {
        let spawn = |_| thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, || work.thread());
        let (workers, refused): (Vec<_>, Vec<_>) = (0..threads).map(spawn).partition(Result::is_ok);
        // Fewer than asked for will do.
        if let (true, Some(Err(error))) = (workers.is_empty(), refused.into_iter().next()) {
            return Err(CompileError::Threads(error));
        }
        let join =
            |worker: ScopedJoinHandle<'_, Part>| worker.join().map_err(|_| lost("a thread of the compiler panicked"));
        workers.into_iter().flatten().map(join).collect()
    })
}

impl Work<'_> {
    fn thread(&self) -> Part {
        let mut generator = Generator::new(self.module, self.isa.clone());
        let mut done = Vec::new();
        while let Some(index) = self.order.get(self.next.fetch_add(1, Ordering::Relaxed)).copied() {
            if self.is_pointless(index) {
                continue;
            }
            match generator.compile(index, self.bodies.get(index as usize)) {
                Ok(code) => self.count(&code).map_or_else(|e| self.fail(index, e), |()| done.push((index, code))),
                Err(error) => self.fail(index, error),
            }
            self.progress.compiled(1);
        }
        done
    }

    /// Whether a function before this one has failed.
    fn is_pointless(&self, index: u32) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().is_some_and(|(first, _)| *first < index)
    }

    fn fail(&self, index: u32, error: CompileError) {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        if failed.as_ref().is_none_or(|(first, _)| index < *first) {
            *failed = Some((index, error));
        }
    }

    /// Ends compilation before the code takes more memory than any artifact may have.
    fn count(&self, code: &Code) -> Result<(), CompileError> {
        let bytes = code.bytes.len() as u64;
        let total = self.code_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        CompileError::cap("the code's bytes", total, TEXT_BYTES_MAX)
    }
}
