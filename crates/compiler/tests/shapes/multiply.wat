;; --emit asm
(module
  (memory 1)
  ;; The product of two 64-bit integers in 128 bits, by halves as compilers' libraries do it: one
  ;; multiplication that gives the upper half, one that gives the lower.
  (func $wide (param $a i64) (param $b i64) (result i64 i64) (local $p i64) (local $t i64) (local $u i64)
    (local.set $p (i64.mul (i64.and (local.get $a) (i64.const 0xffffffff)) (i64.and (local.get $b) (i64.const 0xffffffff))))
    (local.set $t (i64.add (i64.shr_u (local.get $p) (i64.const 32))
      (i64.mul (i64.shr_u (local.get $a) (i64.const 32)) (i64.and (local.get $b) (i64.const 0xffffffff)))))
    (local.set $u (i64.add (i64.and (local.get $t) (i64.const 0xffffffff))
      (i64.mul (i64.shr_u (local.get $b) (i64.const 32)) (i64.and (local.get $a) (i64.const 0xffffffff)))))
    (i64.add (i64.add (i64.shr_u (local.get $t) (i64.const 32))
      (i64.mul (i64.shr_u (local.get $a) (i64.const 32)) (i64.shr_u (local.get $b) (i64.const 32))))
      (i64.shr_u (local.get $u) (i64.const 32)))
    (i64.or (i64.and (local.get $p) (i64.const 0xffffffff)) (i64.shl (local.get $u) (i64.const 32))))
  ;; The same in Rust's form.
  (func $carries (param $a i64) (param $b i64) (result i64 i64)
    (local $p i64) (local $x i64) (local $s i64) (local $low i64)
    (local.set $p (i64.mul (i64.and (local.get $b) (i64.const 0xffffffff)) (i64.and (local.get $a) (i64.const 0xffffffff))))
    (local.set $x (i64.mul (i64.and (local.get $b) (i64.const 0xffffffff)) (i64.shr_u (local.get $a) (i64.const 32))))
    (local.set $s (i64.add (local.get $x)
      (i64.mul (i64.shr_u (local.get $b) (i64.const 32)) (i64.and (local.get $a) (i64.const 0xffffffff)))))
    (local.set $low (i64.add (local.get $p) (i64.shl (local.get $s) (i64.const 32))))
    (i64.add
      (i64.add (i64.mul (i64.shr_u (local.get $b) (i64.const 32)) (i64.shr_u (local.get $a) (i64.const 32)))
        (i64.or (i64.shl (i64.extend_i32_u (i64.lt_u (local.get $s) (local.get $x))) (i64.const 32))
          (i64.shr_u (local.get $s) (i64.const 32))))
      (i64.extend_i32_u (i64.lt_u (local.get $low) (local.get $p))))
    (local.get $low)))
