;;; initialise init
;;; image 0
;;; call through => 0
;;; call zero => a host function failed: the host does not provide env absent
(module
  ;; A table and a global hold an imported function; it is called later.
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (import "env" "absent" (func $absent))
  (memory (export "memory") 1)
  (table $t 2 funcref)
  (global $g (mut funcref) (ref.null func))
  (elem declare func $yield $absent)
  (func (export "init")
    (table.set $t (i32.const 0) (ref.func $yield))
    (global.set $g (ref.func $absent)))
  (func (export "through") (result i32) (call_indirect $t (result i32) (i32.const 0)))
  (func (export "zero")
    (table.set $t (i32.const 1) (global.get $g))
    (call_indirect $t (i32.const 1))))
