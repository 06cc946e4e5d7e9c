;;; initialise
;;; image 2
;;; call at 0 => 5
;;; call at 134217724 => 6
;;; call size => 2048
(module
  (memory 1)
  (start $init)
  (func $init
    (drop (memory.grow (i32.const 2047)))
    ;; Written and zero again: not stored.
    (memory.fill (i32.const 1048576) (i32.const 1) (i32.const 1048576))
    (memory.fill (i32.const 1048576) (i32.const 0) (i32.const 1048576))
    (i32.store (i32.const 0) (i32.const 5))
    (i32.store (i32.const 134217724) (i32.const 6)))
  (func (export "size") (result i32) (memory.size))
  (func (export "at") (param i32) (result i32) (i32.load (local.get 0))))
