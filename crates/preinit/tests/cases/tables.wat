;;; initialise init
;;; image 0
;;; call size => 60
;;; call call 0 => trap: uninitialized element
;;; call call 1 => 3
;;; call call 2 => 3
;;; call call 3 => trap: uninitialized element
;;; call call 59 => trap: indirect call type mismatch
;;; call call 60 => trap: undefined element
;;; call other => 4
;;; call wide 1 => 2
;;; call objects => 5 null
(module
  (type $number (func (result i32)))
  (table $t 4 100 funcref)
  (table $wide i64 3 funcref)
  (table $objects 2 externref)
  (elem (table $t) (i32.const 0) func $one $two $three)
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func $three (result i32) (i32.const 3))
  (func $other (result i64) (i64.const 4))
  (elem declare func $other)
  (func (export "init")
    (table.set $t (i32.const 0) (ref.null func))
    (table.set $t (i32.const 1) (ref.func $three))
    (drop (table.grow $t (ref.func $one) (i32.const 56)))
    (table.set $t (i32.const 59) (ref.func $other))
    (drop (table.grow $objects (ref.null extern) (i32.const 3)))
    (table.set $wide (i64.const 1) (ref.func $two)))
  (func (export "size") (result i32) (table.size $t))
  (func (export "call") (param i32) (result i32) (call_indirect $t (type $number) (local.get 0)))
  (func (export "wide") (param i64) (result i32) (call_indirect $wide (type $number) (local.get 0)))
  (func (export "other") (result i64) (call_indirect $t (result i64) (i32.const 59)))
  (func (export "objects") (result i32 externref)
    (table.size $objects) (table.get $objects (i32.const 4))))
