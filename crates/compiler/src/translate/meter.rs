//! Metering: `selvedge_contract::meter` says what is counted and how exactly; this is how.
//!
//! ```text
//!   piece begins   end = executed + OPERATORS; stop if end > [limit]   OPERATORS is filled in when the piece ends
//!   in the middle  store executed + so many                            before what may trap, but for accesses to memory
//!   piece ends     store end                                           before it branches, calls or returns
//! ```
//!
//! What was executed lives in a variable, that is, in a register where there is room; between pieces the context
//! holds the same. A call changes it: afterwards it is loaded again. The limit is loaded
//! anew by each piece, which stores in the same region before the next one does: so no value outlives a comparison that
//! would be another when the limit is raised.

use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::immediates::Imm64;
use cranelift_codegen::ir::{Inst, InstBuilder, InstructionData, MemFlagsData, Opcode, TrapCode, Value, types};
use cranelift_frontend::Variable;
use selvedge_contract::meter::{BYTES_PER_COUNT, COUNTS_PER_PAGE, OPERAND_MAX};
use selvedge_contract::trap::TrapSite;
use selvedge_contract::vmctx::header;

use super::{Translator, flags};

/// The meter of one function.
pub(super) struct Meter {
    /// What was executed when the next piece begins; within a piece, what will be when it ends.
    executed: Variable,
    flags: MemFlagsData,
    piece: Option<Piece>,
}

/// A straight piece of code.
struct Piece {
    /// What was executed when it began, and what will be when it ends.
    start: Value,
    end: Value,
    /// The constant between them.
    operators: Inst,
    /// Operators so far, the current one included.
    count: u32,
    /// For how many of them the context is right.
    stored: u32,
}

/// How much an operand makes an operator count.
#[derive(Clone, Copy)]
pub(super) enum Amount {
    /// Bytes of memory.
    Bytes,
    /// Pages of memory.
    Pages,
    /// Elements of a table.
    Elements,
}

/// Whether an operator, by the name of its visitor, may trap in the middle of a piece elsewhere than at an access to
/// memory. Calls end their piece, and so do operators whose operand says how much they do.
pub(super) const fn may_trap(visitor: &str) -> bool {
    const TRAPPING: [&str; 8] = [
        "visit_i32_div",
        "visit_i64_div",
        "visit_i32_rem",
        "visit_i64_rem",
        "visit_i32_trunc_f",
        "visit_i64_trunc_f",
        "visit_table_get",
        "visit_table_set",
    ];
    let mut i = 0;
    while i < TRAPPING.len() {
        if starts_with(visitor.as_bytes(), TRAPPING[i].as_bytes()) {
            return true;
        }
        i += 1;
    }
    false
}

const fn starts_with(text: &[u8], start: &[u8]) -> bool {
    let mut i = 0;
    while i < start.len() {
        if i >= text.len() || text[i] != start[i] {
            return false;
        }
        i += 1;
    }
    true
}

impl Translator<'_, '_> {
    /// Begins a metered function.
    pub(super) fn begin_meter(&mut self) {
        if self.module.contract.metered {
            let executed = self.builder.declare_var(types::I64);
            let flags = flags::meter(self.builder.func);
            self.meter = Some(Meter { executed, flags, piece: None });
            self.reload_meter();
        }
    }

    /// Takes what was executed from the context: at the start, and after a call.
    pub(super) fn reload_meter(&mut self) {
        let Some(Meter { executed, flags, .. }) = self.meter else { return };
        let vmctx = self.vmctx;
        let value = self.ins().load(types::I64, flags, vmctx, header::METER);
        self.builder.def_var(executed, value);
    }

    /// Counts an operator that is about to be executed.
    pub(super) fn count_operator(&mut self, may_trap: bool) {
        let Some(meter) = &self.meter else { return };
        if meter.piece.is_none() {
            self.begin_piece();
        }
        let Some(piece) = self.meter.as_mut().and_then(|meter| meter.piece.as_mut()) else { return };
        piece.count += 1;
        if may_trap || piece.count - piece.stored > u32::from(TrapSite::UNCOUNTED_MAX) {
            let (start, count) = (piece.start, piece.count);
            piece.stored = count;
            let executed = self.ins().iadd_imm_s(start, i64::from(count));
            self.store_meter(executed);
        }
    }

    fn begin_piece(&mut self) {
        let Some(Meter { executed, flags, .. }) = self.meter else { return };
        let start = self.builder.use_var(executed);
        let constant = self.ins().iconst(types::I64, 0);
        let operators = self.builder.func.dfg.value_def(constant).unwrap_inst();
        let end = self.spend(flags, start, constant);
        self.builder.def_var(executed, end);
        let piece = Some(Piece { start, end, operators, count: 0, stored: 0 });
        self.meter = Some(Meter { executed, flags, piece });
    }

    /// What will have been executed after this; stops the guest if that is above the limit, until it is raised.
    fn spend(&mut self, flags: MemFlagsData, executed: Value, cost: Value) -> Value {
        let vmctx = self.vmctx;
        let after = self.ins().iadd(executed, cost);
        let limit = self.ins().load(types::I64, flags, vmctx, header::METER_LIMIT);
        let exhausted = self.ins().icmp(IntCC::UnsignedGreaterThan, after, limit);
        let (stopped, goes_on) = (self.builder.create_block(), self.builder.create_block());
        self.builder.set_cold_block(stopped);
        self.ins().brif(exhausted, stopped, &[], goes_on, &[]);
        self.builder.seal_block(stopped);
        self.builder.switch_to_block(stopped);
        self.ins().store(flags, after, vmctx, header::METER_WANTED);
        self.ins().debugtrap();
        self.ins().jump(goes_on, &[]);
        self.builder.seal_block(goes_on);
        self.builder.switch_to_block(goes_on);
        after
    }

    /// Ends the current piece, before code branches, calls or returns.
    pub(super) fn end_piece(&mut self) {
        let Some(piece) = self.meter.as_mut().and_then(|meter| meter.piece.take()) else { return };
        let imm = Imm64::new(i64::from(piece.count));
        self.builder.func.dfg.insts[piece.operators] = InstructionData::UnaryImm { opcode: Opcode::Iconst, imm };
        if piece.stored != piece.count {
            self.store_meter(piece.end);
        }
    }

    fn store_meter(&mut self, executed: Value) {
        let Some(Meter { flags, .. }) = self.meter else { return };
        let vmctx = self.vmctx;
        self.ins().store(flags, executed, vmctx, header::METER);
    }

    /// Counts what an operator does beyond itself: so much as its operand says.
    pub(super) fn count_amount(&mut self, operand: Value, of: Amount) {
        let Some(Meter { executed, flags, .. }) = self.meter else { return };
        self.end_piece();
        let operand = self.widen(operand);
        let most = self.number(OPERAND_MAX);
        let operand = self.ins().umin(operand, most);
        let cost = match of {
            Amount::Bytes => self.ins().ushr_imm_u(operand, i64::from(BYTES_PER_COUNT.trailing_zeros())),
            Amount::Pages => self.ins().ishl_imm_u(operand, i64::from(COUNTS_PER_PAGE.trailing_zeros())),
            Amount::Elements => operand,
        };
        let before = self.builder.use_var(executed);
        let after = self.spend(flags, before, cost);
        self.store_meter(after);
        self.builder.def_var(executed, after);
    }

    /// How the current operator accesses memory: it says how many operators are not stored yet if it traps.
    pub(super) fn heap_flags(&self) -> MemFlagsData {
        let flags = self.regions.heap();
        let Some(piece) = self.meter.as_ref().and_then(|meter| meter.piece.as_ref()) else { return flags };
        match piece.count - piece.stored {
            0 => flags,
            uncounted => {
                let site = TrapSite::memory(uncounted as u8);
                flags.with_trap_code(Some(TrapCode::unwrap_user(site.byte().get())))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::may_trap;

    #[test]
    fn what_traps_is_known_by_name() {
        let trapping = ["visit_i32_div_s", "visit_i64_rem_u", "visit_i32_trunc_f64_u", "visit_table_get"];
        assert!(trapping.iter().all(|name| may_trap(name)));
        let others = ["visit_i32_trunc_sat_f32_s", "visit_f32_div", "visit_i32_load", "visit_table_size", "visit_call"];
        assert!(!others.iter().any(|name| may_trap(name)));
    }
}
