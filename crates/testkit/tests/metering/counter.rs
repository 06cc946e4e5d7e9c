//! The oracle: a module that counts its own operators, one by one, in a global.
//!
//! Before each operator that counts stands code that adds to the global; nothing is grouped, so that there is
//! nothing to get wrong about pieces, traps and calls. The rules are those of `selvedge_contract::meter`.

use std::convert::Infallible;

use selvedge_contract::meter::{BYTES_PER_COUNT, COUNTS_PER_PAGE, OPERAND_MAX};
use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, Function, GlobalSection, GlobalType, Instruction, Module,
    ValType,
};
use wasmparser::{Operator, Parser, Payload};

/// The global's export.
pub(crate) const METER: &str = "the meter";

/// What has to be known about a module before its code is rewritten.
#[derive(Default)]
struct Counter {
    /// Parameters of each type, of each defined function, and so on.
    types: Vec<u32>,
    params: Vec<u32>,
    memories64: Vec<bool>,
    tables64: Vec<bool>,
    globals: u32,
    /// Functions rewritten so far.
    done: usize,
}

/// The module, counting. It must import nothing, and have globals and exports.
pub(crate) fn counting(wasm: &[u8]) -> Vec<u8> {
    let mut counter = Counter::read(wasm).expect("the module is valid");
    let mut module = Module::new();
    counter.parse_core_module(&mut module, Parser::new(0), wasm).expect("the module is valid");
    assert_eq!(counter.done, counter.params.len(), "every function was rewritten");
    module.finish()
}

impl Counter {
    fn read(wasm: &[u8]) -> wasmparser::Result<Counter> {
        let mut counter = Counter::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::TypeSection(types) => {
                    for ty in types.into_iter_err_on_gc_types() {
                        counter.types.push(ty?.params().len() as u32);
                    }
                }
                Payload::FunctionSection(functions) => {
                    for ty in functions {
                        counter.params.push(counter.types[ty? as usize]);
                    }
                }
                Payload::MemorySection(memories) => {
                    counter.memories64 = memories.into_iter().map(|m| Ok(m?.memory64)).collect::<Result<_, _>>()?;
                }
                Payload::TableSection(tables) => {
                    counter.tables64 = tables.into_iter().map(|t| Ok(t?.ty.table64)).collect::<Result<_, _>>()?;
                }
                Payload::GlobalSection(globals) => counter.globals = globals.count(),
                _ => {}
            }
        }
        Ok(counter)
    }

    /// What an operator counts by its operand: whether that has 64 bits, and what one of it is worth.
    fn amount(&self, op: &Operator<'_>) -> Option<(bool, Worth)> {
        let (memory, table) = (|i: u32| self.memories64[i as usize], |i: u32| self.tables64[i as usize]);
        Some(match *op {
            Operator::MemoryGrow { mem } => (memory(mem), Worth::Page),
            Operator::MemoryFill { mem } => (memory(mem), Worth::Byte),
            Operator::MemoryCopy { dst_mem, src_mem } => (memory(dst_mem) && memory(src_mem), Worth::Byte),
            Operator::MemoryInit { .. } => (false, Worth::Byte),
            Operator::TableGrow { table: t } | Operator::TableFill { table: t } => (table(t), Worth::Element),
            Operator::TableCopy { dst_table, src_table } => (table(dst_table) && table(src_table), Worth::Element),
            Operator::TableInit { .. } => (false, Worth::Element),
            _ => return None,
        })
    }

    /// Adds what the code pushes to the global.
    fn add(&self, code: &mut Function, push: &[Instruction<'_>]) {
        code.instruction(&Instruction::GlobalGet(self.globals));
        push.iter().for_each(|op| {
            code.instruction(op);
        });
        code.instruction(&Instruction::I64Add).instruction(&Instruction::GlobalSet(self.globals));
    }

    /// Counts by an operand on top of the stack, which stays there; `local` is free, of its type.
    fn add_amount(&self, code: &mut Function, local: u32, wide: bool, worth: Worth) {
        code.instruction(&Instruction::LocalTee(local));
        let mut push = vec![Instruction::LocalGet(local)];
        if wide {
            let most = Instruction::I64Const(OPERAND_MAX as i64);
            push.extend([most.clone(), Instruction::LocalGet(local), most, Instruction::I64LtU, Instruction::Select]);
        } else {
            push.push(Instruction::I64ExtendI32U);
        }
        match worth {
            Worth::Byte => push.extend([Instruction::I64Const(BYTES_PER_COUNT as i64), Instruction::I64DivU]),
            Worth::Page => push.extend([Instruction::I64Const(COUNTS_PER_PAGE as i64), Instruction::I64Mul]),
            Worth::Element => {}
        }
        self.add(code, &push);
    }
}

#[derive(Clone, Copy)]
enum Worth {
    Byte,
    Page,
    Element,
}

fn counts(op: &Operator<'_>) -> bool {
    !matches!(op, Operator::Block { .. } | Operator::Loop { .. } | Operator::Else | Operator::End)
}

impl Reencode for Counter {
    type Error = Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: wasmparser::GlobalSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_global_section(self, globals, section)?;
        let ty = GlobalType { val_type: ValType::I64, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i64_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: wasmparser::ExportSectionReader<'_>,
    ) -> Result<(), Error<Infallible>> {
        utils::parse_export_section(self, exports, section)?;
        exports.export(METER, ExportKind::Global, self.globals);
        Ok(())
    }

    fn parse_function_body(
        &mut self,
        section: &mut CodeSection,
        body: wasmparser::FunctionBody<'_>,
    ) -> Result<(), Error<Infallible>> {
        let mut locals = Vec::new();
        let mut first_free = self.params[self.done];
        for local in body.get_locals_reader()? {
            let (count, ty) = local?;
            first_free += count;
            locals.push((count, self.val_type(ty)?));
        }
        locals.extend([(1, ValType::I32), (1, ValType::I64)]);
        let mut code = Function::new(locals);
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let op = reader.read()?;
            if counts(&op) {
                self.add(&mut code, &[Instruction::I64Const(1)]);
            }
            if let Some((wide, worth)) = self.amount(&op) {
                self.add_amount(&mut code, first_free + u32::from(wide), wide, worth);
            }
            code.instruction(&self.instruction(op)?);
        }
        self.done += 1;
        section.function(&code);
        Ok(())
    }
}
