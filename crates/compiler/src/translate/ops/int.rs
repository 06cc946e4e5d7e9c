//! Arithmetic on scalar integers.
//!
//! Division and remainder trap in Cranelift's instructions, whose `srem` also knows that the remainder
//! of the least integer by -1 is 0. 64-bit addition and `or` are in `wide_mul`.

use cranelift_codegen::ir::InstBuilder;

use super::Translator;

unary! {
    clz { visit_i32_clz, visit_i64_clz }
    ctz { visit_i32_ctz, visit_i64_ctz }
    popcnt { visit_i32_popcnt, visit_i64_popcnt }
}

binary! {
    iadd { visit_i32_add }
    isub { visit_i32_sub, visit_i64_sub }
    imul { visit_i32_mul, visit_i64_mul }
    sdiv { visit_i32_div_s, visit_i64_div_s }
    udiv { visit_i32_div_u, visit_i64_div_u }
    srem { visit_i32_rem_s, visit_i64_rem_s }
    urem { visit_i32_rem_u, visit_i64_rem_u }
    band { visit_i32_and, visit_i64_and }
    bor { visit_i32_or }
    bxor { visit_i32_xor, visit_i64_xor }
    ishl { visit_i32_shl, visit_i64_shl }
    sshr { visit_i32_shr_s, visit_i64_shr_s }
    ushr { visit_i32_shr_u, visit_i64_shr_u }
    rotl { visit_i32_rotl, visit_i64_rotl }
    rotr { visit_i32_rotr, visit_i64_rotr }
}
