;; --emit asm
(module
  (func $unreachable (unreachable))
  (func $divide (param i32 i32) (result i32) (i32.div_s (local.get 0) (local.get 1)))
  (func $convert (param f32) (result i32) (i32.trunc_f32_u (local.get 0))))
