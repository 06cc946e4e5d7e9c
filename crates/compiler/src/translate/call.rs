//! Calls: direct, through imports, through tables, and in tail position.

use std::collections::HashMap;

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::{ExtFuncData, ExternalName, FuncRef, InstBuilder, SigRef, UserExternalName, Value, types};
use selvedge_contract::abi::Builtin;
use selvedge_contract::artifact::TextFunction;
use selvedge_contract::trap::TrapCode;
use selvedge_contract::vmctx::{import_function, table_entry};

use super::{Translator, flags};
use crate::signature;

/// What a function has declared of those it calls.
#[derive(Default)]
pub(super) struct Callees {
    functions: HashMap<u32, FuncRef>,
    signatures: HashMap<u32, SigRef>,
    bad_call: Option<FuncRef>,
}

/// Where a call goes.
enum Callee {
    /// A function of this module.
    Direct(FuncRef),
    /// Code found at run time.
    Indirect(SigRef, Value),
}

impl Translator<'_, '_> {
    pub(super) fn visit_call(&mut self, function: u32) {
        self.end_piece();
        let (callee, ctx) = self.callee(function);
        self.call(callee, ctx, self.module.function_types[function as usize]);
    }

    pub(super) fn visit_return_call(&mut self, function: u32) {
        self.end_piece();
        let (callee, ctx) = self.callee(function);
        self.return_call(callee, ctx, self.module.function_types[function as usize]);
    }

    pub(super) fn visit_call_indirect(&mut self, ty: u32, table: u32) {
        self.end_piece();
        let (callee, ctx) = self.table_callee(ty, table);
        self.call(callee, ctx, ty);
    }

    pub(super) fn visit_return_call_indirect(&mut self, ty: u32, table: u32) {
        self.end_piece();
        let (callee, ctx) = self.table_callee(ty, table);
        self.return_call(callee, ctx, ty);
    }

    fn call(&mut self, callee: Callee, ctx: Value, ty: u32) {
        let args = self.pop_args(ctx, ty);
        let call = match callee {
            Callee::Direct(function) => self.ins().call(function, &args),
            Callee::Indirect(signature, code) => self.ins().call_indirect(signature, code, &args),
        };
        self.stack.extend_from_slice(self.builder.func.dfg.inst_results(call));
        self.reload_meter();
    }

    fn return_call(&mut self, callee: Callee, ctx: Value, ty: u32) {
        let args = self.pop_args(ctx, ty);
        match callee {
            Callee::Direct(function) => self.ins().return_call(function, &args),
            Callee::Indirect(signature, code) => self.ins().return_call_indirect(signature, code, &args),
        };
        self.end_reachable();
    }

    /// The context and the operands that a call of this type takes.
    fn pop_args(&mut self, ctx: Value, ty: u32) -> Vec<Value> {
        let first = self.stack.len() - self.module.func_type(ty).params.len();
        let mut args = Vec::with_capacity(1 + self.stack.len() - first);
        args.push(ctx);
        args.extend(self.stack.drain(first..));
        args
    }

    fn signature(&mut self, ty: u32) -> SigRef {
        let Translator { builder, callees, module, .. } = self;
        let import = || builder.import_signature(signature::guest(module.func_type(ty)));
        *callees.signatures.entry(ty).or_insert_with(import)
    }

    fn callee(&mut self, function: u32) -> (Callee, Value) {
        let vmctx = self.vmctx;
        let signature = self.signature(self.module.function_types[function as usize]);
        if let Some(defined) = self.module.defined(function) {
            let text = self.module.text_index(TextFunction::Defined(defined));
            let known = self.callees.functions.get(&function).copied();
            let callee = known.unwrap_or_else(|| self.colocated(text, signature));
            self.callees.functions.insert(function, callee);
            return (Callee::Direct(callee), vmctx);
        }
        let slot = self.module.layout.import_function(function);
        let code = self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, slot + import_function::CODE);
        let ctx = self.ins().load(types::I64, flags::FIXED_FIELD, vmctx, slot + import_function::CTX);
        (Callee::Indirect(signature, code), ctx)
    }

    /// Declares a function of this text by its index there.
    fn colocated(&mut self, text: u32, signature: SigRef) -> FuncRef {
        let name = self.builder.func.declare_imported_user_function(UserExternalName::new(0, text));
        let name = ExternalName::user(name);
        self.builder.import_function(ExtFuncData { name, signature, colocated: true, patchable: false })
    }

    /// Pops an index and finds the function there, or ends the guest if it is not of this type.
    ///
    /// Neither a wrong index nor a wrong type is followed even if branches are mispredicted: the index is
    /// clamped to the null entry at the table's end, the code replaced by a stub that traps.
    fn table_callee(&mut self, ty: u32, table: u32) -> (Callee, Value) {
        let index = self.pop();
        let index = self.widen(index);
        let (base, displacement, owner) = self.table_entries(table);
        let clamped = self.clamp_to_table(index, table);
        let scaled = self.ins().ishl_imm_u(clamped, i64::from(table_entry::BYTES.trailing_zeros()));
        let entry = self.ins().iadd(base, scaled);
        let flags = self.regions.table();
        let field = |this: &mut Self, offset| this.ins().load(types::I64, flags, entry, displacement + offset);
        let id = field(self, table_entry::SIGNATURE);
        let code = field(self, table_entry::CODE);
        let ctx = field(self, table_entry::CTX);
        let wanted = self.module.signature_ids[ty as usize];
        let expected = self.number(wanted);
        let matches = self.ins().icmp(IntCC::Equal, id, expected);
        self.check_callee(matches, [u64::from(table), wanted], index);
        let bad_call = self.bad_call();
        let code = self.ins().select_spectre_guard(matches, code, bad_call);
        let ctx = self.callee_context(ctx, owner);
        (Callee::Indirect(self.signature(ty), code), ctx)
    }

    /// Ends the guest unless the signature matches.
    fn check_callee(&mut self, matches: Value, [table, wanted]: [u64; 2], index: Value) {
        let (fail, go) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(fail);
        self.ins().brif(matches, go, &[], fail, &[]);
        self.builder.seal_block(fail);
        self.builder.seal_block(go);
        self.builder.switch_to_block(fail);
        let (table, wanted) = (self.number(table), self.number(wanted));
        self.host_call(Builtin::IndirectCallFailed, &[table, index, wanted]);
        self.never(TrapCode::IndirectCallTypeMismatch);
        self.builder.switch_to_block(go);
    }

    /// The context of an entry: 0 means the table's owner.
    fn callee_context(&mut self, ctx: Value, owner: Value) -> Value {
        let zero = self.number(0u64);
        let mine = self.ins().icmp(IntCC::Equal, ctx, zero);
        self.ins().select(mine, owner, ctx)
    }

    /// The address of the stub that mispredicted calls go to.
    fn bad_call(&mut self) -> Value {
        let function = self.callees.bad_call.unwrap_or_else(|| {
            let signature = self.builder.import_signature(signature::guest(&Default::default()));
            self.colocated(self.module.text_index(TextFunction::BadCall), signature)
        });
        self.callees.bad_call = Some(function);
        self.ins().func_addr(types::I64, function)
    }
}
