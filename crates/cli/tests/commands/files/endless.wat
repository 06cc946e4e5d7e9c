;; Writes to stdout for ever; exits with what a write that failed answered.
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\00\10\00\00")
  (func (export "_start") (local $error i32)
    (loop $again
      (br_if $again (i32.eqz (local.tee $error
        (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))))
    (call $exit (local.get $error))))
