;;; initialise init
;;; image 0
;;; call log => 123
;;; call _initialize => nothing
;;; call init => nothing
;;; call alias => nothing
;;; call bump => 
(module
  ;; Start function, then _initialize, then the export: in this order, and never again.
  (global $log (mut i32) (i32.const 0))
  (start $start)
  (func $note (param i32)
    (global.set $log (i32.add (i32.mul (global.get $log) (i32.const 10)) (local.get 0))))
  (func $start (call $note (i32.const 1)))
  (func (export "_initialize") (call $note (i32.const 2)))
  (func (export "init") (export "alias") (call $note (i32.const 3)))
  (func (export "bump") (call $note (i32.const 9)))
  (func (export "log") (result i32) (global.get $log)))
