;; System calls in loops: each function makes `n` of them and returns how many succeeded.
;; Descriptors: 3 is /dev, 4 a directory with the file `large`, 5 a directory of many files.
(module
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock_time_get (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_read" (func $fd_read (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $fd_close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_readdir" (func $fd_readdir (param i32 i32 i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "path_open"
    (func $path_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32)))
  (memory (export "memory") 4)
  (data (i32.const 0) "null")
  (data (i32.const 8) "large")
  ;; One buffer of 1 byte at 1024, one of 64 KiB at 65536; results at 64.
  (data (i32.const 32) "\00\04\00\00\01\00\00\00")
  (data (i32.const 40) "\00\00\01\00\00\00\01\00")

  (func $open (param $dir i32) (param $path i32) (param $len i32) (param $rights i64) (result i32)
    (if (call $path_open (local.get $dir) (i32.const 0) (local.get $path) (local.get $len) (i32.const 0)
          (local.get $rights) (i64.const 0) (i32.const 0) (i32.const 64))
      (then unreachable))
    (i32.load (i32.const 64)))

  (func (export "clock_time_get") (param $n i32) (result i32)
    (local $i i32) (local $done i32)
    (loop $again
      (local.set $done (i32.add (local.get $done)
        (i32.eqz (call $clock_time_get (i32.const 1) (i64.const 0) (i32.const 64)))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $done))

  (func (export "fd_write") (param $n i32) (result i32)
    (local $i i32) (local $done i32) (local $fd i32)
    (local.set $fd (call $open (i32.const 3) (i32.const 0) (i32.const 4) (i64.const 64)))
    (loop $again
      (local.set $done (i32.add (local.get $done)
        (i32.eqz (call $fd_write (local.get $fd) (i32.const 32) (i32.const 1) (i32.const 64)))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (drop (call $fd_close (local.get $fd)))
    (local.get $done))

  (func (export "path_open") (param $n i32) (result i32)
    (local $i i32) (local $done i32)
    (loop $again
      (local.set $done (i32.add (local.get $done)
        (i32.eqz (call $fd_close (call $open (i32.const 4) (i32.const 8) (i32.const 5) (i64.const 2))))))
      (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (local.get $n))))
    (local.get $done))

  ;; Reads until `n` times 64 KiB have come.
  (func (export "fd_read") (param $n i32) (result i32)
    (local $done i32) (local $fd i32)
    (local.set $fd (call $open (i32.const 4) (i32.const 8) (i32.const 5) (i64.const 2)))
    (loop $again
      (if (call $fd_read (local.get $fd) (i32.const 40) (i32.const 1) (i32.const 64)) (then unreachable))
      (if (i32.eqz (i32.load (i32.const 64))) (then unreachable))
      (local.set $done (i32.add (local.get $done) (i32.load (i32.const 64))))
      (br_if $again (i32.lt_u (local.get $done) (i32.shl (local.get $n) (i32.const 16)))))
    (drop (call $fd_close (local.get $fd)))
    (i32.shr_u (local.get $done) (i32.const 16)))

  ;; Lists the directory once, through a buffer of 4 KiB as C libraries do; returns how many entries there are.
  (func (export "fd_readdir") (param $n i32) (result i32)
    (local $cookie i64) (local $done i32) (local $at i32) (local $used i32) (local $end i32)
    (loop $again
      (if (call $fd_readdir (i32.const 5) (i32.const 65536) (i32.const 4096) (local.get $cookie) (i32.const 64))
        (then unreachable))
      (local.set $used (i32.load (i32.const 64)))
      (local.set $at (i32.const 0))
      (block $cut
        (loop $entry
          (br_if $cut (i32.gt_u (i32.add (local.get $at) (i32.const 24)) (local.get $used)))
          (local.set $end (i32.add (i32.add (local.get $at) (i32.const 24))
            (i32.load offset=65552 (local.get $at))))
          (br_if $cut (i32.gt_u (local.get $end) (local.get $used)))
          (local.set $cookie (i64.load offset=65536 (local.get $at)))
          (local.set $done (i32.add (local.get $done) (i32.const 1)))
          (local.set $at (local.get $end))
          (br $entry)))
      (br_if $again (i32.eq (local.get $used) (i32.const 4096))))
    (local.get $done)))
