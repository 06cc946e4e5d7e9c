;;; initialise init
;;; image 5
;;; call sum => 1101876947
;;; call size => 10
;;; call at 0 => 0
;;; call at 655359 => 1
;;; call at 655360 => trap: out of bounds memory access
;;; call grow 1 => 10
;;; call init => nothing
(module
  (memory (export "memory") 2)
  (data (i32.const 10) "from the module")
  (func (export "init")
    (drop (memory.grow (i32.const 8)))
    (i32.store (i32.const 655356) (i32.const 0x01020304))
    (i32.store8 (i32.const 10) (i32.const 0))
    (memory.fill (i32.const 300000) (i32.const 7) (i32.const 9000)))
  (func (export "sum") (result i32) (local i32 i32)
    (loop $next
      (local.set 1 (i32.add (i32.mul (local.get 1) (i32.const 31)) (i32.load8_u (local.get 0))))
      (br_if $next (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const 655360))))
    (local.get 1))
  (func (export "size") (result i32) (memory.size))
  (func (export "at") (param i32) (result i32) (i32.load8_u (local.get 0)))
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
