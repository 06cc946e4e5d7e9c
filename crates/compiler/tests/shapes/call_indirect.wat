;; --emit clif
;; --emit asm
(module
  (type $t (func (param i32) (result i32)))
  (table $theirs (import "env" "table") 1 funcref)
  (table $own 10 20 funcref)
  (func $call (param i32 i32) (result i32) (call_indirect $own (type $t) (local.get 0) (local.get 1)))
  (func $imported (param i32 i32) (result i32) (call_indirect $theirs (type $t) (local.get 0) (local.get 1)))
  (func $tail (param i32 i32) (result i32) (return_call_indirect $own (type $t) (local.get 0) (local.get 1))))
