;;; initialise init
;;; image 0
;;; call numbers => -2 1311768467463790320
;;; call floats => 0x7fa00001 0xfff4000000000001
;;; call vector => 0x4000000030000000200000001
;;; call references => a function null null
;;; call call => 7
;;; call constant => 99
(module
  (type $number (func (result i32)))
  (global $i (mut i32) (i32.const 1))
  (global $l (mut i64) (i64.const 1))
  (global $f (mut f32) (f32.const 1))
  (global $d (mut f64) (f64.const 1))
  (global $v (mut v128) (v128.const i32x4 1 1 1 1))
  (global $r (mut funcref) (ref.null func))
  (global $gone (mut funcref) (ref.func $seven))
  (global $x (mut externref) (ref.null extern))
  (global $k i32 (i32.const 99))
  (table 1 funcref)
  (func $seven (result i32) (i32.const 7))
  (elem declare func $seven)
  (func (export "init")
    (global.set $i (i32.const -2))
    (global.set $l (i64.const 0x123456789abcdef0))
    (global.set $f (f32.const nan:0x200001))
    (global.set $d (f64.const -nan:0x4000000000001))
    (global.set $v (v128.const i32x4 1 2 3 4))
    (global.set $r (ref.func $seven))
    (global.set $gone (ref.null func)))
  (func (export "numbers") (result i32 i64) (global.get $i) (global.get $l))
  (func (export "floats") (result f32 f64) (global.get $f) (global.get $d))
  (func (export "vector") (result v128) (global.get $v))
  (func (export "references") (result funcref funcref externref)
    (global.get $r) (global.get $gone) (global.get $x))
  (func (export "call") (result i32)
    (table.set 0 (i32.const 0) (global.get $r))
    (call_indirect (type $number) (i32.const 0)))
  (func (export "constant") (result i32) (global.get $k)))
