//! One text function: intermediate code in, machine code out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::{ExternalName, TrapCode as ClifTrap};
use cranelift_codegen::{CodegenError, Context, FinalizedRelocTarget, MachBufferFinalized};
use selvedge_contract::artifact::TextFunction;
use selvedge_contract::limits::NESTING_MAX;
use selvedge_contract::trap::{TrapCode, TrapSite};

use crate::error::{CompileError, Place};
use crate::isa::Isa;
use crate::module::{Body, Module};
use crate::thunks;
use crate::translate::{Scratch, TranslateError, translate};

/// The machine code of a text function. Offsets are from its start.
pub(crate) struct Code {
    /// Code and constants.
    pub(crate) bytes: Box<[u8]>,
    /// What the linker fills in.
    pub(crate) calls: Box<[Call]>,
    /// Which instructions trap, and why; ascending.
    pub(crate) traps: Box<[(u32, TrapSite)]>,
    /// Where the code of each WebAssembly offset starts; ascending.
    pub(crate) addresses: Box<[(u32, u32)]>,
}

/// A 32-bit displacement to another text function.
#[derive(Clone, Copy)]
pub(crate) struct Call {
    /// Where the displacement is.
    pub(crate) at: u32,
    /// The text index of the other function.
    pub(crate) target: u32,
    /// Added to the distance.
    pub(crate) addend: i32,
}

/// Generates text functions one after the other, reusing its memory.
pub(crate) struct Generator<'a> {
    module: &'a Module,
    isa: Isa,
    context: Context,
    scratch: Scratch,
}

impl<'a> Generator<'a> {
    pub(crate) fn new(module: &'a Module, isa: Isa) -> Generator<'a> {
        Generator { module, isa, context: Context::new(), scratch: Scratch::default() }
    }

    /// Compiles a text function; `body` is that of a defined one.
    pub(crate) fn compile(&mut self, index: u32, body: Option<&Body<'_>>) -> Result<Code, CompileError> {
        // The code generator asserts its own invariants. If one fails for a hostile module, the module is
        // refused; the generator's state is thrown away.
        let result = catch_unwind(AssertUnwindSafe(|| {
            self.build(index, body)?;
            self.generate(index)
        }));
        result.unwrap_or_else(|panic| {
            *self = Generator::new(self.module, self.isa.clone());
            Err(CompileError::Codegen { message: panic_message(&*panic), place: self.place(index) })
        })
    }

    /// The intermediate code of a text function, as text.
    pub(crate) fn clif(&mut self, index: u32, body: Option<&Body<'_>>) -> Result<String, CompileError> {
        self.build(index, body)?;
        Ok(self.context.func.display().to_string())
    }

    fn build(&mut self, index: u32, body: Option<&Body<'_>>) -> Result<(), CompileError> {
        self.context.clear();
        let func = &mut self.context.func;
        match body {
            None => thunks::build(self.module, self.isa.target(), self.module.text_function(index), func),
            Some(body) => {
                let result = translate(self.module, self.isa.target(), body, &mut self.scratch, func);
                if let Err(error) = result {
                    self.scratch = Scratch::default();
                    return Err(self.refused(error, index));
                }
            }
        }
        Ok(())
    }

    fn generate(&mut self, index: u32) -> Result<Code, CompileError> {
        let isa = self.isa.of_size(self.context.func.dfg.num_blocks());
        if let Err(error) = self.context.compile(isa, &mut ControlPlane::default()) {
            let error = error.inner;
            return Err(self.failed(error, index));
        }
        let compiled = self.context.compiled_code().expect("compilation succeeded");
        collect(&compiled.buffer, &self.context.func.params)
            .map_err(|message| CompileError::Codegen { message, place: self.place(index) })
    }

    fn refused(&self, error: TranslateError, index: u32) -> CompileError {
        let place = self.place(index);
        match error {
            TranslateError::Invalid(error) => CompileError::from_parser(&error, place.function),
            TranslateError::TooDeep { offset } => CompileError::FunctionTooLarge {
                message: format!("more than {NESTING_MAX} loops and `if`s are open at once"),
                place: Place { offset: Some(offset), ..place },
            },
            TranslateError::Operator { name, offset } => CompileError::Unsupported {
                feature: "an operator of another proposal".into(),
                message: name.into(),
                place: Place { offset: Some(offset), ..place },
            },
        }
    }

    fn failed(&self, error: CodegenError, index: u32) -> CompileError {
        let place = self.place(index);
        match error {
            CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge => {
                CompileError::FunctionTooLarge { message: error.to_string().to_lowercase(), place }
            }
            CodegenError::Verifier(errors) => {
                let message = format!("{errors}\n{}", self.context.func.display());
                CompileError::Codegen { message, place }
            }
            other => CompileError::Codegen { message: other.to_string(), place },
        }
    }

    fn place(&self, index: u32) -> Place {
        let function = match self.module.text_function(index) {
            TextFunction::Defined(i) => Some(self.module.named(self.module.imported_functions + i)),
            TextFunction::HostThunk(i) | TextFunction::ImportThunk(i) => Some(self.module.named(i)),
            TextFunction::Entry(_) | TextFunction::BadCall => None,
        };
        Place { offset: None, function }
    }
}

fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    let message = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
    format!("the code generator failed: {}", message.unwrap_or("it did not say why"))
}

type Params = cranelift_codegen::ir::function::FunctionParameters;

fn collect(buffer: &MachBufferFinalized<cranelift_codegen::Final>, params: &Params) -> Result<Code, String> {
    let calls = buffer.relocs().iter().map(|reloc| {
        let FinalizedRelocTarget::ExternalName(ExternalName::User(name)) = reloc.target else {
            return Err(format!("code refers to {:?}", reloc.target));
        };
        if reloc.kind != Reloc::X86CallPCRel4 && reloc.kind != Reloc::X86PCRel4 {
            return Err(format!("code needs a relocation of the kind {}", reloc.kind));
        }
        Ok(Call { at: reloc.offset, target: params.user_named_funcs()[name].index, addend: reloc.addend as i32 })
    });
    let mut traps: Vec<_> =
        buffer.traps().iter().filter_map(|trap| Some((trap.offset, trap_site(trap.code)?))).collect();
    traps.sort_by_key(|(at, _)| *at);
    traps.dedup_by_key(|(at, _)| *at);
    Ok(Code {
        bytes: buffer.data().into(),
        calls: calls.collect::<Result<_, _>>()?,
        traps: traps.into(),
        addresses: addresses(buffer),
    })
}

fn trap_site(code: ClifTrap) -> Option<TrapSite> {
    let code = match code {
        ClifTrap::STACK_OVERFLOW => Some(TrapCode::StackOverflow),
        ClifTrap::INTEGER_OVERFLOW => Some(TrapCode::IntegerOverflow),
        ClifTrap::HEAP_OUT_OF_BOUNDS => Some(TrapCode::MemoryOutOfBounds),
        ClifTrap::INTEGER_DIVISION_BY_ZERO => Some(TrapCode::IntegerDivisionByZero),
        ClifTrap::BAD_CONVERSION_TO_INTEGER => Some(TrapCode::InvalidConversion),
        other => return TrapSite::from_byte(other.as_raw().get()),
    };
    code.map(TrapSite::from)
}

/// Where the source changes. Code between two operators belongs to the first.
fn addresses(buffer: &MachBufferFinalized<cranelift_codegen::Final>) -> Box<[(u32, u32)]> {
    let mut addresses: Vec<(u32, u32)> = Vec::new();
    for range in buffer.get_srclocs_sorted() {
        let unknown = range.loc.is_default() || range.start == range.end;
        if !unknown && addresses.last().is_none_or(|(_, last)| *last != range.loc.bits()) {
            addresses.push((range.start, range.loc.bits()));
        }
    }
    addresses.into()
}
