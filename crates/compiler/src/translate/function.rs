//! From a body to a function: signature, stack check, locals, operators.

use cranelift_codegen::ir::{Function, SourceLoc, UserFuncName, Value};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use selvedge_contract::limits::NESTING_MAX;
use wasmparser::{FuncToValidate, FuncValidator, FuncValidatorAllocations, ValidatorResources};

use super::dispatch::Dispatch;
use super::{Translator, call, control, flags, host, locals};
use crate::module::{Body, Module};
use crate::signature;

/// Memory that one translation leaves to the next.
#[derive(Default)]
pub(crate) struct Scratch {
    builder: FunctionBuilderContext,
    validator: FuncValidatorAllocations,
    stack: Vec<Value>,
    frames: Vec<control::Frame>,
}

/// A body that could not be translated.
pub(crate) enum TranslateError {
    /// It is invalid.
    Invalid(wasmparser::Error),
    /// It has an operator that validation should have refused.
    Operator {
        /// Which.
        name: &'static str,
        /// Where.
        offset: u64,
    },
    /// Too many loops and `if`s are open at once.
    TooDeep {
        /// Where.
        offset: u64,
    },
}

impl From<wasmparser::Error> for TranslateError {
    fn from(error: wasmparser::Error) -> TranslateError {
        TranslateError::Invalid(error)
    }
}

/// Validates a body and translates it into an empty function.
pub(crate) fn translate(
    module: &Module,
    isa: &dyn TargetIsa,
    body: &Body<'_>,
    scratch: &mut Scratch,
    func: &mut Function,
) -> Result<(), TranslateError> {
    let (function, body) = body;
    let mut validator = validator(function, std::mem::take(&mut scratch.validator));
    declare(module, function.index, func);
    let mut reader = body.get_binary_reader();
    reader.set_features(module.features);
    let declared = locals::read(&mut reader, &mut validator)?;

    let stack = std::mem::take(&mut scratch.stack);
    let frames = std::mem::take(&mut scratch.frames);
    let builder = FunctionBuilder::new(func, &mut scratch.builder);
    let mut translator = begin(module, builder, function.index, (stack, frames));
    translator.declare_locals(module.function_type(function.index), &declared, body.as_bytes().len());
    translator.begin_meter();
    while !reader.eof() {
        let offset = reader.original_position();
        translator.builder.set_srcloc(SourceLoc::new(offset as u32));
        reader.visit_operator(&mut Dispatch { validator: &mut validator, translator: &mut translator, offset })??;
        if translator.nesting > NESTING_MAX {
            return Err(TranslateError::TooDeep { offset });
        }
    }
    reader.finish_expression(&validator.visitor(reader.original_position()))?;
    (scratch.stack, scratch.frames) = translator.finish(isa);
    scratch.validator = validator.into_allocations();
    Ok(())
}

fn validator(
    function: &FuncToValidate<ValidatorResources>,
    memory: FuncValidatorAllocations,
) -> FuncValidator<ValidatorResources> {
    let FuncToValidate { resources, index, ty, features } = function;
    FuncToValidate { resources: resources.clone(), index: *index, ty: *ty, features: *features }.into_validator(memory)
}

/// Name, signature and stack check.
fn declare(module: &Module, function: u32, func: &mut Function) {
    func.name = UserFuncName::user(0, module.defined(function).unwrap_or(0));
    func.signature = signature::guest(module.function_type(function));
    crate::thunks::limit_stack(func);
}

/// A translator at the start of a function's entry block.
fn begin<'m, 'b>(
    module: &'m Module,
    mut builder: FunctionBuilder<'b>,
    function: u32,
    (mut stack, mut frames): (Vec<Value>, Vec<control::Frame>),
) -> Translator<'m, 'b> {
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    builder.seal_block(entry);
    builder.ensure_inserted_block();
    stack.clear();
    frames.clear();
    frames.push(control::Frame::function(module.function_types[function as usize]));
    Translator {
        module,
        vmctx: builder.block_params(entry)[0],
        stack,
        frames,
        nesting: 0,
        reachable: true,
        locals: locals::Locals::Variables,
        in_local: None,
        callees: call::Callees::default(),
        host: host::HostCalls::default(),
        meter: None,
        regions: flags::Regions::new(builder.func),
        builder,
    }
}

impl Translator<'_, '_> {
    fn finish(self, isa: &dyn TargetIsa) -> (Vec<Value>, Vec<control::Frame>) {
        let Translator { builder, stack, frames, .. } = self;
        builder.finalize(isa.frontend_config());
        (stack, frames)
    }
}
