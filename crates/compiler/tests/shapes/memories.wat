;; --emit clif
;; --emit clif --memory dense
(module
  (memory $theirs (import "env" "memory") 1)
  (memory $first 1 1)
  (memory $second 1 1)
  (func $imported (param i32) (result i32) (i32.load $theirs (local.get 0)))
  (func $imported_far (param i32) (result i32) (i32.load $theirs offset=0x8000000 (local.get 0)))
  (func $own (param i32) (result i32) (i32.load $first (local.get 0)))
  (func $other (param i32) (result i32) (i32.load $second (local.get 0)))
  (func $copy (param i32 i32 i32)
    (memory.copy $second $theirs (local.get 0) (local.get 1) (local.get 2))))
