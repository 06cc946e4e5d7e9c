;; Empties the file its own code came from, and goes on.
(module
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "eraser.selv")
  (func $truncates (result i32)
    (call $path_open (i32.const 3) (i32.const 0) (i32.const 0) (i32.const 11) (i32.const 8)
      (i64.const 64) (i64.const 0) (i32.const 0) (i32.const 64)))
  (func (export "_start")
    (if (call $truncates) (then unreachable))
    (call $exit (i32.const 7))))
