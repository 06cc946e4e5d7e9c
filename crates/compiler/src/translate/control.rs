//! Structured control: blocks, branches, returns.
//!
//! A frame's target block is made when something first branches to it: a block that nobody leaves early
//! costs nothing. Values that an `if` takes need no block parameters, for they dominate both arms.

use std::collections::HashMap;

use cranelift_codegen::ir::{Block, BlockArg, Inst, InstBuilder, JumpTableData, Type, Value};
use selvedge_contract::trap::TrapCode;
use wasmparser::{BlockType, BrTable};

use super::Translator;
use crate::signature::clif_type;

/// An open block, loop, `if` or function.
pub(super) struct Frame {
    kind: Kind,
    ty: BlockType,
    /// Height of the operand stack below the parameters.
    height: usize,
    /// Where branches to it go, once there are any: a loop's header, else what follows the frame.
    target: Option<Block>,
}

enum Kind {
    Block,
    Loop,
    /// The first arm of an `if`, with what the second will need.
    If(Box<Arms>),
    Else,
    /// Entered where nothing is reachable.
    Unreachable,
}

impl Kind {
    /// Whether code generation takes longer for what is inside.
    fn nests(&self) -> bool {
        matches!(self, Kind::Loop | Kind::If(_) | Kind::Else)
    }
}

struct Arms {
    branch: Inst,
    otherwise: Block,
    params: Vec<Value>,
}

impl Frame {
    /// The frame of a whole function: a block of its results.
    pub(super) fn function(ty: u32) -> Frame {
        Frame { kind: Kind::Block, ty: BlockType::FuncType(ty), height: 0, target: None }
    }
}

fn block_args(values: &[Value]) -> Vec<BlockArg> {
    values.iter().map(|value| BlockArg::Value(*value)).collect()
}

impl Translator<'_, '_> {
    /// What follows, up to the end of the frame, is never reached.
    pub(super) fn end_reachable(&mut self) {
        self.reachable = false;
    }

    /// The block type's parameters or results.
    fn types(&self, ty: BlockType, params: bool) -> Vec<Type> {
        match ty {
            BlockType::Empty => Vec::new(),
            BlockType::Type(_) if params => Vec::new(),
            BlockType::Type(ty) => vec![match ty {
                wasmparser::ValType::I32 => cranelift_codegen::ir::types::I32,
                wasmparser::ValType::I64 | wasmparser::ValType::Ref(_) => cranelift_codegen::ir::types::I64,
                wasmparser::ValType::F32 => cranelift_codegen::ir::types::F32,
                wasmparser::ValType::F64 => cranelift_codegen::ir::types::F64,
                wasmparser::ValType::V128 => cranelift_codegen::ir::types::I8X16,
            }],
            BlockType::FuncType(ty) => {
                let ty = self.module.func_type(ty);
                let list = if params { &ty.params } else { &ty.results };
                list.iter().map(|ty| clif_type(*ty)).collect()
            }
        }
    }

    fn count(&self, ty: BlockType, params: bool) -> usize {
        match ty {
            BlockType::Empty => 0,
            BlockType::Type(_) => usize::from(!params),
            BlockType::FuncType(ty) => {
                let ty = self.module.func_type(ty);
                if params { ty.params.len() } else { ty.results.len() }
            }
        }
    }

    fn block_of(&mut self, types: &[Type]) -> Block {
        let block = self.builder.create_block();
        for ty in types {
            self.builder.append_block_param(block, *ty);
        }
        block
    }

    /// The block that a branch to a frame goes to, and how many values it takes.
    fn target(&mut self, depth: u32) -> (Block, usize) {
        let index = self.frames.len() - 1 - depth as usize;
        let Frame { ty, target, .. } = self.frames[index];
        let to_params = matches!(self.frames[index].kind, Kind::Loop);
        let block = target.unwrap_or_else(|| {
            let block = self.block_of(&self.types(ty, to_params));
            self.frames[index].target = Some(block);
            block
        });
        (block, self.count(ty, to_params))
    }

    fn top(&self, count: usize) -> &[Value] {
        &self.stack[self.stack.len() - count..]
    }

    fn enter(&mut self, kind: Kind, ty: BlockType, target: Option<Block>) {
        if !self.reachable {
            self.frames.push(Frame { kind: Kind::Unreachable, ty, height: self.stack.len(), target: None });
            return;
        }
        let height = self.stack.len() - self.count(ty, true);
        self.nesting += u32::from(kind.nests());
        self.frames.push(Frame { kind, ty, height, target });
    }

    pub(super) fn visit_block(&mut self, ty: BlockType) {
        self.enter(Kind::Block, ty, None);
    }

    pub(super) fn visit_loop(&mut self, ty: BlockType) {
        if !self.reachable {
            return self.enter(Kind::Unreachable, ty, None);
        }
        self.end_piece();
        let header = self.block_of(&self.types(ty, true));
        let args = block_args(self.top(self.count(ty, true)));
        self.ins().jump(header, &args);
        self.enter(Kind::Loop, ty, Some(header));
        self.continue_in(header);
    }

    /// Goes on in a block whose parameters are the operands of the innermost frame.
    fn continue_in(&mut self, block: Block) {
        let height = self.frames.last().expect("in a frame").height;
        self.stack.truncate(height);
        self.builder.switch_to_block(block);
        self.builder.ensure_inserted_block();
        self.stack.extend_from_slice(self.builder.func.dfg.block_params(block));
    }

    pub(super) fn visit_if(&mut self, ty: BlockType) {
        if !self.reachable {
            return self.enter(Kind::Unreachable, ty, None);
        }
        self.count_operator(false);
        self.end_piece();
        let condition = self.pop();
        let (then, otherwise) = (self.builder.create_block(), self.builder.create_block());
        let branch = self.ins().brif(condition, then, &[], otherwise, &[]);
        let params = self.top(self.count(ty, true)).to_vec();
        self.enter(Kind::If(Box::new(Arms { branch, otherwise, params })), ty, None);
        self.builder.seal_block(then);
        self.builder.switch_to_block(then);
    }

    pub(super) fn visit_else(&mut self) {
        let frame = self.frames.last_mut().expect("an `else` is in an `if`");
        let height = frame.height;
        let Kind::If(arms) = std::mem::replace(&mut frame.kind, Kind::Else) else {
            frame.kind = Kind::Unreachable;
            return;
        };
        self.leave();
        self.stack.truncate(height);
        self.stack.extend(arms.params);
        self.builder.seal_block(arms.otherwise);
        self.builder.switch_to_block(arms.otherwise);
        self.reachable = true;
    }

    /// Jumps to what follows the innermost frame, if it is reached.
    fn leave(&mut self) {
        if self.reachable {
            self.end_piece();
            let (target, count) = self.target(0);
            let args = block_args(self.top(count));
            self.ins().jump(target, &args);
        }
    }

    pub(super) fn visit_end(&mut self) {
        let kind = std::mem::replace(&mut self.frames.last_mut().expect("in a frame").kind, Kind::Block);
        self.nesting -= u32::from(kind.nests());
        match kind {
            Kind::Unreachable => {}
            Kind::Loop => self.end_loop(),
            Kind::If(arms) => self.end_if(*arms),
            Kind::Block | Kind::Else => self.end_block(),
        }
        let height = self.frames.pop().expect("in a frame").height;
        if !self.reachable {
            self.stack.truncate(height);
        } else if self.frames.is_empty() {
            self.return_values();
        }
    }

    fn end_loop(&mut self) {
        let header = self.frames.last().expect("in a frame").target.expect("a loop has its header");
        self.builder.seal_block(header);
    }

    /// An `if` without `else`: its parameters are its results.
    fn end_if(&mut self, arms: Arms) {
        self.leave();
        if arms.params.is_empty() {
            let (target, _) = self.target(0);
            self.builder.change_jump_destination(arms.branch, arms.otherwise, target);
            self.builder.seal_block(arms.otherwise);
        } else {
            self.builder.seal_block(arms.otherwise);
            self.builder.switch_to_block(arms.otherwise);
            let (target, _) = self.target(0);
            self.ins().jump(target, &block_args(&arms.params));
        }
        self.reachable = false;
        self.end_block();
    }

    fn end_block(&mut self) {
        let Some(target) = self.frames.last().expect("in a frame").target else { return };
        self.leave();
        self.builder.seal_block(target);
        self.continue_in(target);
        self.reachable = true;
    }

    pub(super) fn visit_br(&mut self, depth: u32) {
        self.end_piece();
        let (target, count) = self.target(depth);
        let args = block_args(self.top(count));
        self.ins().jump(target, &args);
        self.end_reachable();
    }

    pub(super) fn visit_br_if(&mut self, depth: u32) {
        self.end_piece();
        let condition = self.pop();
        let (target, count) = self.target(depth);
        let args = block_args(self.top(count));
        let next = self.builder.create_block();
        self.ins().brif(condition, target, &args, next, &[]);
        self.builder.seal_block(next);
        self.builder.switch_to_block(next);
    }

    pub(super) fn visit_br_table(&mut self, table: BrTable<'_>) {
        self.end_piece();
        let index = self.pop();
        let depths = || table.targets().map_while(Result::ok);
        let (_, count) = self.target(table.default());
        if table.is_empty() {
            return self.visit_br(table.default());
        }
        // Where values go along, each distinct target gets a block of its own that passes them on.
        let mut via: HashMap<u32, Block> = HashMap::new();
        let mut calls = Vec::with_capacity(table.len() as usize);
        for depth in depths().chain([table.default()]) {
            let block = if count == 0 {
                self.target(depth).0
            } else {
                *via.entry(depth).or_insert_with(|| self.builder.create_block())
            };
            let pool = &mut self.builder.func.dfg.value_lists;
            calls.push(cranelift_codegen::ir::BlockCall::new(block, [], pool));
        }
        let default = calls.pop().expect("the default was pushed");
        let jump_table = self.builder.create_jump_table(JumpTableData::new(default, &calls));
        self.ins().br_table(index, jump_table);
        self.pass_on(via);
        self.end_reachable();
    }

    fn pass_on(&mut self, via: HashMap<u32, Block>) {
        let mut via: Vec<_> = via.into_iter().collect();
        via.sort_unstable_by_key(|(depth, _)| *depth);
        for (depth, block) in via {
            self.builder.seal_block(block);
            self.builder.switch_to_block(block);
            let (target, count) = self.target(depth);
            let args = block_args(self.top(count));
            self.ins().jump(target, &args);
        }
    }

    pub(super) fn visit_return(&mut self) {
        self.return_values();
        self.end_reachable();
    }

    fn return_values(&mut self) {
        self.end_piece();
        let count = self.builder.func.signature.returns.len();
        let values = self.top(count).to_vec();
        self.ins().return_(&values);
    }

    pub(super) fn visit_unreachable(&mut self) {
        let block = self.builder.current_block().expect("in a block");
        if self.builder.func.layout.entry_block() != Some(block) {
            self.builder.set_cold_block(block);
        }
        self.end_piece();
        self.raise(TrapCode::Unreachable);
        self.end_reachable();
    }

    pub(super) fn visit_nop(&mut self) {}
}
