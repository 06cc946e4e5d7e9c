;; Says beforehand how long its answer is: the letter after "/" tells how. Then it goes on for a while.
(module
    (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "args_get" (func $args_get (param i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 4)
    (data (i32.const 1024) "Content-Type: text/plain\n\nfine\n")
    (data (i32.const 1100) "Content-Type: text/plain\nContent-Length: 5\n\nfine\n")
    (data (i32.const 1200) "Content-Type: text/plain\nContent-Length: five\n\nfine\n")
    (data (i32.const 1300) "Status: 204\nContent-Length: 5\n\nfine\n")
    (data (i32.const 1400) "Status: 304\nETag: \"1\"\n\n")
    ;; Writes all of it, however long the other side takes.
    (func $write (param $at i32) (param $len i32)
        (loop $more
            (i32.store (i32.const 0) (local.get $at))
            (i32.store (i32.const 4) (local.get $len))
            (if (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)) (then (call $exit (i32.const 29))))
            (local.set $at (i32.add (local.get $at) (i32.load (i32.const 8))))
            (local.set $len (i32.sub (local.get $len) (i32.load (i32.const 8))))
            (br_if $more (local.get $len))))
    ;; A subscription to the monotonic clock: its number at 16, its time in nanoseconds at 24.
    (func $wait
        (i32.store offset=16 (i32.const 8192) (i32.const 1))
        (i64.store offset=24 (i32.const 8192) (i64.const 100000000))
        (drop (call $poll (i32.const 8192) (i32.const 8448) (i32.const 1) (i32.const 8704))))
    (func (export "_start") (local $how i32)
        (drop (call $args_get (i32.const 2048) (i32.const 4096)))
        (local.set $how (i32.load8_u offset=1 (i32.load (i32.const 2048))))
        ;; A length, one that is none, no content, not modified and nevertheless a body for which there is no room.
        (if (i32.eqz (local.get $how)) (then (call $write (i32.const 1024) (i32.const 31)) (return)))
        (if (i32.eq (local.get $how) (i32.const 0x6c)) (then (call $write (i32.const 1100) (i32.const 49))))
        (if (i32.eq (local.get $how) (i32.const 0x66)) (then (call $write (i32.const 1200) (i32.const 52))))
        (if (i32.eq (local.get $how) (i32.const 0x6e)) (then (call $write (i32.const 1300) (i32.const 36))))
        (if (i32.eq (local.get $how) (i32.const 0x6d)) (then
            (call $write (i32.const 1400) (i32.const 23))
            (call $write (i32.const 65536) (i32.const 131072))))
        (call $wait)))
