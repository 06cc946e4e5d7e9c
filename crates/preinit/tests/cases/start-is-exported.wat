;;; initialise
;;; image 0
;;; call count => 1
(module
  ;; A start function that is exported as _initialize, too, runs once in advance; by itself it would run twice.
  (global $count (mut i32) (i32.const 0))
  (start $init)
  (func $init (export "_initialize")
    (if (i32.eqz (global.get $count)) (then (global.set $count (i32.const 1)))))
  (func (export "count") (result i32) (global.get $count)))
