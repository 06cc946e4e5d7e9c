;;; initialise init
;;; image 4
;;; call first => 11
;;; call second => 22 499967813989
;;; call third => 33
;;; call sizes => 1 41 1
(module
  (memory $small 1)
  (memory $wide i64 1 100)
  (memory $empty 0)
  (data (memory $wide) (i64.const 8) "eight")
  (func (export "init")
    (i32.store $small (i32.const 100) (i32.const 11))
    (drop (memory.grow $wide (i64.const 40)))
    (i64.store $wide (i64.const 2686968) (i64.const 22))
    (drop (memory.grow $empty (i32.const 1)))
    (i32.store $empty (i32.const 65532) (i32.const 33)))
  (func (export "first") (result i32) (i32.load $small (i32.const 100)))
  (func (export "second") (result i64 i64)
    (i64.load $wide (i64.const 2686968)) (i64.load $wide (i64.const 8)))
  (func (export "third") (result i32) (i32.load $empty (i32.const 65532)))
  (func (export "sizes") (result i32 i64 i32) (memory.size $small) (memory.size $wide) (memory.size $empty)))
