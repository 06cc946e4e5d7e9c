;;; initialise init
;;; allow random_get
;;; allow clock_time_get
;;; allow wasi_snapshot_preview1.environ_sizes_get
;;; image 1
;;; call environment => 0 0
;;; call same => 1
(module
  (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $env (param i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $ready (mut i32) (i32.const 0))
  (func (export "init")
    (drop (call $random (i32.const 0) (i32.const 16)))
    (drop (call $time (i32.const 0) (i64.const 1) (i32.const 16)))
    (drop (call $env (i32.const 24) (i32.const 28)))
    (global.set $ready (i32.const 1)))
  (func (export "environment") (result i32 i32) (i32.load (i32.const 24)) (i32.load (i32.const 28)))
  (func (export "same") (result i32) (global.get $ready)))
