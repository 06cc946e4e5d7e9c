//! Arithmetic on scalar floats. Cranelift's `fmin` and `fmax` treat NaN and signed zeros as WebAssembly does.

use cranelift_codegen::ir::InstBuilder;

use super::Translator;

unary! {
    fabs { visit_f32_abs, visit_f64_abs }
    fneg { visit_f32_neg, visit_f64_neg }
    ceil { visit_f32_ceil, visit_f64_ceil }
    floor { visit_f32_floor, visit_f64_floor }
    trunc { visit_f32_trunc, visit_f64_trunc }
    nearest { visit_f32_nearest, visit_f64_nearest }
    sqrt { visit_f32_sqrt, visit_f64_sqrt }
}

binary! {
    fadd { visit_f32_add, visit_f64_add }
    fsub { visit_f32_sub, visit_f64_sub }
    fmul { visit_f32_mul, visit_f64_mul }
    fdiv { visit_f32_div, visit_f64_div }
    fmin { visit_f32_min, visit_f64_min }
    fmax { visit_f32_max, visit_f64_max }
    fcopysign { visit_f32_copysign, visit_f64_copysign }
}
