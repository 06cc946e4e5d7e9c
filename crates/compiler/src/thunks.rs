//! The functions of the text that no module wrote: how host and guest enter each other.
//!
//! * host thunk: a guest function that performs the host call of an import whose values do not fit registers
//! * import thunk: a guest function that goes on to wherever an import's slot leads
//! * entry: a host function that calls guest code of one type
//! * bad call: where indirect calls go that only a mispredicted branch makes

use cranelift_codegen::ir::immediates::Offset32;
use cranelift_codegen::ir::{
    Function, GlobalValueData, InstBuilder, MemFlagsData, StackSlotData, StackSlotKind, TrapCode, UserFuncName, Value,
    types,
};
use cranelift_codegen::isa::TargetIsa;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use selvedge_contract::abi::VALUE_BYTES;
use selvedge_contract::artifact::TextFunction;
use selvedge_contract::limits::STACK_UNCHECKED_BYTES_MAX;
use selvedge_contract::trap;
use selvedge_contract::types::{FuncType, ValType};
use selvedge_contract::vmctx::{header, import_function};

use crate::module::Module;
use crate::signature::{self, clif_type};

const FIXED_FIELD: MemFlagsData = MemFlagsData::trusted().with_readonly().with_can_move();
/// Values may lie anywhere: hosts need not align them.
const VALUES: MemFlagsData = MemFlagsData::new().with_notrap();

/// Builds a generated function into an empty one.
pub(crate) fn build(module: &Module, isa: &dyn TargetIsa, which: TextFunction, func: &mut Function) {
    func.name = UserFuncName::user(0, module.text_index(which));
    let mut memory = FunctionBuilderContext::new();
    match which {
        TextFunction::HostThunk(import) => host_thunk(module, import, isa, func, &mut memory),
        TextFunction::ImportThunk(import) => import_thunk(module, import, isa, func, &mut memory),
        TextFunction::Entry(ty) => entry(module.func_type(ty), isa, func, &mut memory),
        TextFunction::BadCall | TextFunction::Defined(_) => bad_call(isa, func, &mut memory),
    }
}

/// Starts the only block; gives its parameters.
fn begin<'f>(func: &'f mut Function, memory: &'f mut FunctionBuilderContext) -> (FunctionBuilder<'f>, Vec<Value>) {
    let mut builder = FunctionBuilder::new(func, memory);
    let block = builder.create_block();
    builder.append_block_params_for_function_params(block);
    builder.switch_to_block(block);
    builder.seal_block(block);
    let params = builder.block_params(block).to_vec();
    (builder, params)
}

fn offset(index: usize) -> i32 {
    (index * VALUE_BYTES) as i32
}

fn load_values(builder: &mut FunctionBuilder<'_>, types: &[ValType], from: Value, into: &mut Vec<Value>) {
    for (i, ty) in types.iter().enumerate() {
        into.push(builder.ins().load(clif_type(*ty), VALUES, from, offset(i)));
    }
}

fn store_values(builder: &mut FunctionBuilder<'_>, values: &[Value], to: Value) {
    for (i, value) in values.iter().enumerate() {
        builder.ins().store(VALUES, *value, to, offset(i));
    }
}

fn host_thunk(
    module: &Module,
    import: u32,
    isa: &dyn TargetIsa,
    func: &mut Function,
    memory: &mut FunctionBuilderContext,
) {
    let ty = module.function_type(import);
    func.signature = signature::guest(ty);
    limit_stack(func);
    let (mut builder, params) = begin(func, memory);
    let count = ty.params.len().max(ty.results.len()).max(1);
    let data = StackSlotData::new(StackSlotKind::ExplicitSlot, offset(count) as u32, 4);
    let slot = builder.create_sized_stack_slot(data);
    let values = builder.ins().stack_addr(types::I64, slot, 0);
    store_values(&mut builder, &params[1..], values);
    let stub = builder.ins().load(types::I64, FIXED_FIELD, params[0], header::HOST_CALL);
    let offset = builder.ins().iconst(types::I64, i64::from(module.layout.import_function(import)));
    let signature = builder.import_signature(signature::host_call());
    builder.ins().call_indirect(signature, stub, &[params[0], offset, values]);
    let mut results = Vec::with_capacity(ty.results.len());
    load_values(&mut builder, &ty.results, values, &mut results);
    builder.ins().return_(&results);
    builder.finalize(isa.frontend_config());
}

/// The stack check of guest functions.
pub(crate) fn limit_stack(func: &mut Function) {
    let base = func.create_global_value(GlobalValueData::VMContext);
    let flags = func.dfg.mem_flags.insert_unchecked(FIXED_FIELD);
    let offset = Offset32::new(header::STACK_LIMIT);
    let limit = GlobalValueData::Load { base, offset, global_type: types::I64, flags };
    func.stack_limit = Some(func.create_global_value(limit));
}

/// Takes no stack of its own, if its values are few: a chain of re-exported imports is as deep as the shortest. Where
/// there are many, all are moved aside first.
fn import_thunk(
    module: &Module,
    import: u32,
    isa: &dyn TargetIsa,
    func: &mut Function,
    memory: &mut FunctionBuilderContext,
) {
    let ty = module.function_type(import);
    func.signature = signature::guest(ty);
    if ty.params.len() * VALUE_BYTES > STACK_UNCHECKED_BYTES_MAX / 2 {
        limit_stack(func);
    }
    let (mut builder, mut params) = begin(func, memory);
    let slot = module.layout.import_function(import);
    let code = builder.ins().load(types::I64, FIXED_FIELD, params[0], slot + import_function::CODE);
    params[0] = builder.ins().load(types::I64, FIXED_FIELD, params[0], slot + import_function::CTX);
    let signature = builder.func.signature.clone();
    let signature = builder.import_signature(signature);
    builder.ins().return_call_indirect(signature, code, &params);
    builder.finalize(isa.frontend_config());
}

fn entry(ty: &FuncType, isa: &dyn TargetIsa, func: &mut Function, memory: &mut FunctionBuilderContext) {
    // A host function may call back when little stack is left, and a call may take a thousand parameters.
    func.signature = signature::entry();
    limit_stack(func);
    let (mut builder, params) = begin(func, memory);
    let [vmctx, code, values] = params[..] else { unreachable!("an entry has three parameters") };
    let mut args = vec![vmctx];
    load_values(&mut builder, &ty.params, values, &mut args);
    let signature = builder.import_signature(signature::guest(ty));
    let call = builder.ins().call_indirect(signature, code, &args);
    let results = builder.inst_results(call).to_vec();
    store_values(&mut builder, &results, values);
    builder.ins().return_(&[]);
    builder.finalize(isa.frontend_config());
}

fn bad_call(isa: &dyn TargetIsa, func: &mut Function, memory: &mut FunctionBuilderContext) {
    func.signature = signature::guest(&FuncType::default());
    let (mut builder, _) = begin(func, memory);
    builder.ins().trap(TrapCode::unwrap_user(trap::TrapCode::IndirectCallTypeMismatch.byte().get()));
    builder.finalize(isa.frontend_config());
}
