;; --emit clif
;; --emit asm
(module
  (memory i64 1 16)
  (func $near (param i64) (result i32) (i32.load offset=8 (local.get 0)))
  (func $far (param i64) (result i32) (i32.load offset=0x80000 (local.get 0)))
  ;; No index can make this one right.
  (func $never (param i64) (result i32) (i32.load offset=0xffffffffffffffff (local.get 0)))
  (func $grow (param i64) (result i64) (memory.grow (local.get 0)))
  (func $size (result i64) (memory.size)))
