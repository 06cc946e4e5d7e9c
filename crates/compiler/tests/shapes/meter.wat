;; --emit clif --meter
;; --emit asm --meter
(module
  (memory 1)
  (func $callee (result i32) (i32.const 1))
  (func $loop (param i32)
    (loop
      (i32.store (local.get 0) (i32.load offset=4 (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $call (param i32) (result i32)
    (i32.add (call $callee) (i32.div_u (i32.const 7) (local.get 0))))
  (func $fill (param i32)
    (memory.fill (i32.const 0) (i32.const 7) (local.get 0))))
