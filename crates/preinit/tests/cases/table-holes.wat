;;; initialise init
;;; image 0
;;; call call 1 => 1
;;; call call 2 => trap: uninitialized element
;;; call call 5999 => 1
;;; call call 5998 => trap: uninitialized element
(module
  (type $number (func (result i32)))
  (table $t 6000 funcref)
  (func $one (result i32) (i32.const 1))
  (elem declare func $one)
  ;; Every other element: more runs than segments are made of.
  (func (export "init") (local i32)
    (local.set 0 (i32.const 1))
    (loop $next
      (table.set $t (local.get 0) (ref.func $one))
      (br_if $next (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 2))) (i32.const 6000)))))
  (func (export "call") (param i32) (result i32) (call_indirect $t (type $number) (local.get 0))))
