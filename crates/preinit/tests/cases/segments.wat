;;; initialise init
;;; image 1
;;; call dropped 0 => 100
;;; call dropped 1 => trap: out of bounds memory access
;;; call kept 4 => 1953523051
;;; call kept 5 => trap: out of bounds memory access
;;; call active 0 => 
;;; call active 1 => trap: out of bounds memory access
;;; call elements 0 => 
;;; call elements 1 => trap: out of bounds table access
;;; call kept-elements 1 => 
;;; call call => 2
(module
  (memory 1)
  (table 4 funcref)
  (data $dropped "dropped")
  (data $kept "kept")
  (data $active (i32.const 0) "active")
  (elem $gone func $one)
  (elem $live func $one $two)
  (func $one (result i32) (i32.const 1))
  (func $two (result i32) (i32.const 2))
  (func (export "init")
    (memory.init $dropped (i32.const 100) (i32.const 0) (i32.const 7))
    (data.drop $dropped)
    (elem.drop $gone))
  (func (export "dropped") (param i32) (result i32)
    (memory.init $dropped (i32.const 200) (i32.const 0) (local.get 0))
    (i32.load8_u (i32.const 100)))
  (func (export "kept") (param i32) (result i32)
    (memory.init $kept (i32.const 300) (i32.const 0) (local.get 0))
    (i32.load (i32.const 300)))
  (func (export "active") (param i32) (memory.init $active (i32.const 0) (i32.const 0) (local.get 0)))
  (func (export "elements") (param i32) (table.init $gone (i32.const 0) (i32.const 0) (local.get 0)))
  (func (export "kept-elements") (param i32) (table.init $live (i32.const 0) (i32.const 1) (local.get 0)))
  (func (export "call") (result i32) (call_indirect (result i32) (i32.const 0))))
